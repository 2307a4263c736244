"""The README.md of a bundle, read by people and by the Hugging Face Hub."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard
from training_fixtures import one_thread, small_evaluator, small_trainer

from gan.bundle.model_card import model_card
from gan.data.sources.opening import public_name
from gan.evaluation.features.inception import SHA256
from gan.evaluation.identity import EvaluationIdentity
from gan.storage.storage import Storage
from gan.training.run import TrainingRun

__all__ = ["one_thread"]

COMMAND = "gan-search train --recipe dcgan --data faces --set 'latent_dim=8'"

INCEPTION = EvaluationIdentity(
    features="inception",
    weights_sha256=SHA256,
    resize="none",
    samples=5000,
    reference_samples=5000,
    reference_seed=0,
    latent_seed=0,
    data="folder:photos",
    data_hash="0" * 64,
    size=64,
)
CONFIG: dict[str, Any] = {
    "network": "dcgan",
    "recipe": "l2",
    "shape": [64, 64, 3],
    "fid": 12.34567,
    "kimg": 500.0,
    "data": "folder:photos",
    "metric": INCEPTION.metric,
    "evaluation": INCEPTION.as_dict(),
    "settings": {"lr_g": 2e-4},
    "versions": {"torch": "2.14.1"},
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingRun]:
    """A bundle as a training writes it."""
    run = TrainingRun(
        small_trainer(),
        small_evaluator(),
        Storage(tmp_path_factory.mktemp("run")),
        total_kimg=0.1,
        interval_kimg=0.1,
        provenance={"command": COMMAND},
    )
    list(run.reports())
    return Path(str(run.bundle)), run


def check_front_matter(text: str) -> None:
    """Check what the Hub's specification of model cards asks for (hub-docs, modelcard.md)."""
    found = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    assert found
    front = yaml.safe_load(found[1])
    assert set(front) <= {"library_name", "pipeline_tag", "tags", "metrics", "model-index"}
    for key in ("tags", "metrics"):
        assert all(isinstance(item, str) and item for item in front.get(key, []))
    for entry in front.get("model-index", []):
        assert isinstance(entry["name"], str) and entry["name"]
        for result in entry["results"]:
            assert isinstance(result["task"]["type"], str)
            assert all(isinstance(result["dataset"][key], str) and result["dataset"][key] for key in ("type", "name"))
            for metric in result["metrics"]:
                assert isinstance(metric["type"], str) and isinstance(metric["value"], float)


def read(config: dict[str, Any]) -> tuple[ModelCard, EvalResult]:
    """Read a card as the Hub's own library does; return it and its only score."""
    card = ModelCard(model_card(config))
    check_front_matter(model_card(config))
    assert card.data.eval_results is not None and len(card.data.eval_results) == 1
    return card, card.data.eval_results[0]


# ---- for people


def test_it_tells_score_identity_settings_and_command(exported: tuple[Path, TrainingRun]) -> None:
    folder, run = exported
    text = (folder / "README.md").read_text()
    assert run.best is not None
    assert f"**{run.best.fid:.2f}** after 0.1 kimg" in text
    identity = run.evaluator.identity.as_dict()
    for name, value in (identity | {"data": public_name(identity["data"])}).items():
        assert f"| {name} | {value} |" in text
    for name, value in run.trainer.recipe.settings.items():
        assert f"| {name} | {value} |" in text
    assert f"```\n{COMMAND}\n```" in text
    assert "![64 samples from fixed latents](samples.png)" in text and (folder / "samples.png").is_file()


def test_its_three_lines_of_python_run(exported: tuple[Path, TrainingRun]) -> None:
    folder, _ = exported
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    lines = [line for line in code.splitlines() if line]
    assert len(lines) == 3
    namespace: dict[str, Any] = {}
    exec(code.replace("path/to/this/folder", str(folder)), namespace)
    assert namespace["images"].shape == (16, 16, 16, 3)
    assert "# uint8, 16×16×16×3" in code


def test_only_the_reference_network_gives_a_fid() -> None:
    text = model_card(CONFIG)
    assert "FID, 5000 samples against 5000 images: **12.35** after 500 kimg." in text
    assert "not FID" not in text
    random = dataclasses.replace(INCEPTION, features="random-conv", reference_samples=4000)
    other = dataclasses.replace(INCEPTION, weights_sha256="0" * 64)
    for identity, said in (
        (random, "Fréchet distance in random-conv features, 5000 samples against 4000 images: **12.35**"),
        (other, "Fréchet distance in features of other Inception weights than the reference's, 5000"),
    ):
        config = CONFIG | {"metric": identity.metric, "evaluation": identity.as_dict()}
        card, score = read(config)
        assert said in card.text and "This is not FID as published" in card.text
        assert score.metric_type == "frechet-distance" and card.data.metrics == ["frechet-distance"]


def test_a_bundle_that_does_not_tell_what_its_score_is_claims_no_fid() -> None:
    card, score = read({name: value for name, value in CONFIG.items() if name not in ("metric", "evaluation")})
    assert score.metric_type == "frechet-distance" and "not FID as published" in card.text


def test_no_folder_or_bucket_of_the_author_is_named(exported: tuple[Path, TrainingRun]) -> None:
    folder, run = exported
    home = str(Path(run.trainer.data.uri.removeprefix("packed:")).parent)
    assert home.startswith("/")
    for file in ("README.md", "config.json"):
        assert home not in (folder / file).read_text()


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("faces", "faces"),
        ("folder:/home/me/photos", "folder:photos"),
        ("folder:photos/", "folder:photos"),
        ("packed:s3://bucket/sets/photos.arrow?endpoint_override=localhost:9000", "packed:photos.arrow"),
        ("mnist:données", "mnist:données"),
        ("celeba:/data/celeba.zip?limit=40000", "celeba:celeba.zip?limit=40000"),
        ("folder:/data/what?", "folder:what?"),
    ],
)
def test_public_names_of_data(uri: str, name: str) -> None:
    assert public_name(uri) == name


# ---- for the Hub


def test_the_hub_reads_a_card_as_a_training_writes_it(exported: tuple[Path, TrainingRun]) -> None:
    folder, run = exported
    card = ModelCard.load(folder / "README.md")
    assert run.best is not None and card.data.eval_results is not None
    assert card.data.library_name == "pytorch"
    assert card.data.pipeline_tag == "unconditional-image-generation"
    assert card.data.tags == ["gan", "gan-search", "image-generation"]
    assert card.data.metrics == ["frechet-distance"]
    score = card.data.eval_results[0]
    assert score.metric_value == pytest.approx(run.best.fid, abs=1e-4)
    assert score.metric_type == "frechet-distance" and "in random-conv features" in str(score.metric_name)
    check_front_matter((folder / "README.md").read_text())


def test_a_fid_is_announced_as_one() -> None:
    card, score = read(CONFIG)
    assert card.data.metrics == ["fid"]
    assert (score.metric_type, score.metric_value) == ("fid", 12.3457)
    assert (score.task_type, score.dataset_type) == ("unconditional-image-generation", "folder")
    assert score.dataset_name == "folder:photos"


@pytest.mark.parametrize(
    "name", ["a: b", "- x", "'\"", "ein\nzeiler", "---", "表情 ☺", "{x}", "null", "1e3", "#", "a | b"]
)
def test_no_name_breaks_out_of_the_front_matter(name: str) -> None:
    card, score = read(CONFIG | {"data": f"folder:{name}", "recipe": name, "trial": name})
    assert score.dataset_name == f"folder:{name}"
    assert card.data.model_name == f"{name} generator, 64×64×3"
    assert card.data.pipeline_tag == "unconditional-image-generation"


def test_without_a_score_there_is_no_index_and_vectors_are_no_images() -> None:
    text = model_card({"network": "dcgan", "shape": [2]})
    card = ModelCard(text)
    assert card.data.eval_results is None and card.data.pipeline_tag is None and card.data.metrics is None
    assert "samples.png" not in text and "float32, 16×2" in text and "Quality" not in text
