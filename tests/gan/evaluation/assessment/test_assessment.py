"""What `evaluate` says of generators whose faults are known: an honest one, copiers, and those of few images.

Generators are stood in for by functions that look images up: faces that no set holds, for an honest one.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import Cli
from torch import Tensor

from gan.data.dataset import DataSet
from gan.data.packed.opening import open_data
from gan.data.sources.faces import draw
from gan.evaluation.assessment.assessment import Assessment, assess
from gan.evaluation.assessment.lines import SIGNIFICANT, lines
from gan.evaluation.assessment.page import page, write_assessment
from gan.evaluation.evaluator import Evaluator
from gan.storage.storage import Storage

SAMPLES = 300
UNSEEN = 30_000  # faces from here on are in no set of these tests


class StandIn:
    """A bundle whose images are looked up: latents are the numbers of its samples."""

    shape = (16, 16, 3)
    device = torch.device("cpu")

    def __init__(self, make: Callable[[np.ndarray], np.ndarray]) -> None:
        self.make = make
        self.config: dict[str, Any] = {"generator_sha256": "0"}

    def latents(self, count: int, seed: int = 0) -> Tensor:
        return torch.arange(count) + 1000 * seed

    def generate(self, latents: Tensor) -> np.ndarray:
        return self.make(latents.numpy())


@pytest.fixture(scope="module")
def data(tiny_data: str) -> DataSet:
    return open_data(tiny_data)


@pytest.fixture(scope="module")
def evaluator(data: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    return Evaluator.prepare(data, samples=SAMPLES, cache_dir=tmp_path_factory.mktemp("cache"))


def honest(numbers: np.ndarray) -> np.ndarray:
    return draw(UNSEEN + numbers, 16)


def few(numbers: np.ndarray) -> np.ndarray:
    return honest(numbers % 10)


def noisy(pixels: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, pixels.shape)
    return (pixels + noise).clip(0, 255).astype(np.uint8)


def copier(data: DataSet) -> Callable[[np.ndarray], np.ndarray]:
    return lambda numbers: data.train.gather(numbers % len(data.train))


def judged(make: Callable[[np.ndarray], np.ndarray], data: DataSet, evaluator: Evaluator) -> Assessment:
    return assess(StandIn(make), data, evaluator, repeats=1)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def honestly(data: DataSet, evaluator: Evaluator) -> Assessment:
    return judged(honest, data, evaluator)


def test_an_honest_generator_is_not_accused(honestly: Assessment) -> None:
    found = honestly.as_dict()
    assert found["collapsed"] is False
    assert found["memorisation"]["copies_p_value"] > SIGNIFICANT
    assert found["memorisation"]["z_p_value"] > SIGNIFICANT
    assert found["diversity"]["duplicates_p_value"] > SIGNIFICANT
    assert found["diversity"]["coverage"] > 0.9 < found["diversity"]["coverage_expected"]
    assert found["precision"] > 0.6 < found["recall"]
    assert found["pixel_spread"] == pytest.approx(1, abs=0.1)
    assert (found["memorisation"]["train_images"], found["memorisation"]["held_out_images"]) == (550, 50)


def test_what_is_said_of_copies_among_other_data_is_marked(honestly: Assessment) -> None:
    """Nobody can be acquitted by images that were never shown to it."""
    marked = "NOT OF THE DATA THAT IT WAS TRAINED ON"
    other = dataclasses.replace(honestly, trained_on_this=False)
    assert marked in page("mine", other) and marked not in page("mine", honestly)
    assert other.as_dict()["trained_on_this_data"] is False


@pytest.mark.parametrize("sigma", [0, 2])
def test_copies_are_exposed(sigma: float, data: DataSet, evaluator: Evaluator, honestly: Assessment) -> None:
    copies = copier(data)
    found = judged(lambda numbers: noisy(copies(numbers), sigma), data, evaluator).as_dict()
    assert found["memorisation"]["copies"] > 0.99
    assert found["memorisation"]["copies_p_value"] < 1e-9 > found["memorisation"]["z_p_value"]
    assert found["memorisation"]["z"] < -8
    # By FID, precision and recall, a copier is the best generator there is.
    assert found["fid"] < honestly.as_dict()["fid"]
    assert found["collapsed"] is False


def test_some_copies_among_honest_samples_are_exposed(data: DataSet, evaluator: Evaluator) -> None:
    copies = copier(data)

    def mixed(numbers: np.ndarray) -> np.ndarray:
        return np.where((numbers % 4 == 0)[:, None, None, None], copies(numbers), honest(numbers))

    assert judged(mixed, data, evaluator).as_dict()["memorisation"]["copies_p_value"] < SIGNIFICANT


@pytest.mark.parametrize("sigma", [0, 2])
def test_few_images_are_exposed(sigma: float, data: DataSet, evaluator: Evaluator, honestly: Assessment) -> None:
    found, other = judged(lambda numbers: noisy(few(numbers), sigma), data, evaluator).as_dict(), honestly.as_dict()
    assert found["collapsed"] is True
    assert found["diversity"]["duplicates"] > 0.99 and found["diversity"]["duplicates_p_value"] < 1e-9
    assert found["diversity"]["coverage"] < 0.5 * other["diversity"]["coverage"]
    assert found["recall"] < 0.5 * other["recall"]
    # They are nobody's copies, and their pixels vary as those of ten real faces do.
    assert found["memorisation"]["copies_p_value"] > SIGNIFICANT
    assert found["pixel_spread"] > 0.5


def test_blurred_samples_pass_neither_for_few_nor_for_copies(data: DataSet, evaluator: Evaluator) -> None:
    def blurred(numbers: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(honest(numbers)).permute(0, 3, 1, 2).float()
        soft = torch.nn.functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
        return soft.round().byte().permute(0, 2, 3, 1).contiguous().numpy()

    found = judged(blurred, data, evaluator).as_dict()
    assert found["collapsed"] is False
    assert found["memorisation"]["copies_p_value"] > SIGNIFICANT


def test_the_same_every_time_and_random_streams_are_left_alone(
    honestly: Assessment, data: DataSet, evaluator: Evaluator
) -> None:
    streams = torch.get_rng_state(), np.random.get_state()[1].copy()
    again = judged(honest, data, evaluator)
    assert again.as_dict() | {"seconds": 0} == honestly.as_dict() | {"seconds": 0}
    assert torch.equal(torch.get_rng_state(), streams[0])
    assert (np.random.get_state()[1] == streams[1]).all()


def test_draws_differ_and_none_is_the_one_by_which_a_training_chooses(data: DataSet, evaluator: Evaluator) -> None:
    shown: list[tuple[int, int | None]] = []
    found = assess(
        StandIn(honest),  # type: ignore[arg-type]
        data,
        evaluator,
        repeats=2,
        searched=400,
        progress=lambda done, total: shown.append((done, total)),
    )
    first, second = found.fids
    own = evaluator.evaluate(lambda start, count: torch.from_numpy(honest(np.arange(start, start + count))))
    assert len({first, second, own.fid}) == 3
    assert shown[-1] == (2 * SAMPLES + 400 + 50,) * 2
    assert found.as_dict()["memorisation"]["train_images"] == 400


def test_neighbours_are_shown_beside_the_samples(data: DataSet, evaluator: Evaluator) -> None:
    nearest, first = judged(copier(data), data, evaluator).pairs
    for pairs in (nearest, first):
        assert (pairs.generated == pairs.neighbours).all() and pairs.generated.shape == (8, 16, 16, 3)
    assert (first.generated == data.train.gather((1000 + np.arange(8)) % len(data.train))).all()


def test_too_few_held_out_images_are_said_to_be_too_few(data: DataSet, evaluator: Evaluator) -> None:
    alone = dataclasses.replace(data, held_out=type(data.held_out)(data.held_out._chunks, np.arange(550, 560)))
    found = judged(honest, alone, evaluator)
    assert found.as_dict()["memorisation"] is None
    assert "too few held-out images" in page("mine", found)


def test_the_page_holds_everything_and_loads_nothing(honestly: Assessment, tmp_path: Path) -> None:
    write_assessment(Storage(tmp_path), "<mine>", honestly)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "evaluation.html",
        "evaluation.json",
        "neighbours.png",
    ]
    html = (tmp_path / "evaluation.html").read_text()
    assert "&lt;mine&gt;" in html and "<mine>" not in html
    assert "not FID as published" in html
    assert html.count("data:image/png") == 2
    assert "http" not in html.replace("http-equiv", "") and "<script" not in html
    for name, value, meaning in lines(honestly.as_dict()):
        for text in (name, value, meaning):
            assert text.replace("<", "&lt;") in html


def test_a_copier_and_a_collapsed_one_on_the_command_line(
    data: DataSet, tiny_data: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"copier": StandIn(copier(data)), "few": StandIn(few), "honest": StandIn(honest)}
    # What is first imported while this stands would keep it for ever.
    for module in ("gan.evaluation.compare.inputs", "gan.evaluation.assessment.rejudge"):
        importlib.import_module(module)
    monkeypatch.setattr("gan.bundle.bundle.load_bundle", lambda name, device="cpu": made[name])
    told = {
        name: cli("evaluate", name, "--data", tiny_data, "--samples", SAMPLES, "--repeats", 2, "--json").json
        for name in made
    }
    assert {name: found["collapsed"] for name, found in told.items()} == {
        "copier": False,
        "few": True,
        "honest": False,
    }
    copied = {name: found["memorisation"]["copies_p_value"] < SIGNIFICANT for name, found in told.items()}
    assert copied == {"copier": True, "few": False, "honest": False}
    out = tmp_path / "judged"
    shown = cli("evaluate", "copier", "--data", tiny_data, "--samples", SAMPLES, "--out", out)
    assert shown.status == 0 and "more than chance allows" in shown.out
    assert f"{out}/evaluation.html" in shown.out
