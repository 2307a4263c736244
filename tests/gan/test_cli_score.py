"""`fid` between all kinds of things, and `evaluate`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import Cli

from gan.data import open_data
from gan.evaluation import EvaluationIdentity, Statistics, load_statistics, make_features, save_statistics
from gan.evaluation.evaluator import reference_rows, statistics_of
from gan.images import save_png

RANDOM = ["--features", "random-conv"]


@pytest.fixture(scope="session")
def images(tiny_data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the first 40 training images."""
    folder = tmp_path_factory.mktemp("images")
    for number, image in enumerate(open_data(tiny_data).train.gather(np.arange(40))):
        save_png(folder / f"{number:02d}.png", image)
    return folder


@pytest.fixture(scope="session")
def saved(tiny_data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Statistics of the 64 training images that seed 0 chooses."""
    data = open_data(tiny_data)
    rows = data.train.gather(reference_rows(len(data.train), 64, 0))
    path = tmp_path_factory.mktemp("statistics") / "saved.npz"
    save_statistics(path, statistics_of([rows], make_features("random-conv", shape=data.shape)))
    return path


def test_a_bundle_gets_the_score_that_it_was_kept_for(bundle: Path, tiny_data: str, cli: Cli) -> None:
    kept = json.loads((bundle / "config.json").read_text())
    told = cli("fid", bundle, tiny_data, "--samples", 64, "--device", "cpu", "--json").json
    assert set(told) == {"fid", "evaluation"}
    assert told["fid"] == pytest.approx(kept["fid"], rel=1e-5)
    assert told["evaluation"].items() >= kept["evaluation"].items()
    other_way = cli("fid", tiny_data, bundle, "--samples", 64, "--device", "cpu", "--json").json
    assert other_way == told


def test_a_set_is_no_distance_from_itself(tiny_data: str, bundle: Path, images: Path, saved: Path, cli: Cli) -> None:
    for side in (tiny_data, bundle, images, saved):
        told = cli("fid", side, side, "--samples", 64, "--json", *RANDOM).json
        assert told["fid"] == pytest.approx(0, abs=1e-4)


def test_statistics_stand_for_what_they_were_made_of(bundle: Path, tiny_data: str, saved: Path, cli: Cli) -> None:
    of_data, of_file = (cli("fid", bundle, b, "--samples", 64, "--json").json for b in (tiny_data, saved))
    assert of_file["fid"] == pytest.approx(of_data["fid"], rel=1e-5)
    assert of_file["evaluation"]["reference_samples"] == 64


def test_folders_of_any_size_are_brought_to_the_other_side(
    bundle: Path, images: Path, cli: Cli, tmp_path: Path
) -> None:
    for number in range(3):
        save_png(tmp_path / f"{number}.png", np.full((20 + number, 24, 3), 40 * number, np.uint8))
    told = cli("fid", bundle, tmp_path, "--samples", 10, "--json").json
    assert told["evaluation"]["size"] == 16
    assert told["evaluation"]["features"] == "random-conv"
    assert "--size" in cli("fid", tmp_path, tmp_path, *RANDOM).bad_input()
    told = cli("fid", images, tmp_path, "--size", 8, "--json", *RANDOM).json
    assert (told["evaluation"]["size"], told["evaluation"]["reference_samples"]) == (8, 3)


def test_grey_bundles_meet_grey_files(images: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "grey").mkdir()
    (tmp_path / "rgb").mkdir()
    for number in range(4):
        grey = np.random.default_rng(number).integers(0, 256, (16, 16, 1), np.uint8)
        save_png(tmp_path / "grey" / f"{number}.png", grey)
        save_png(tmp_path / "rgb" / f"{number}.png", grey.repeat(3, 2))
    assert cli("fid", tmp_path / "grey", tmp_path / "rgb", "--json", *RANDOM).json["fid"] == pytest.approx(0, abs=1e-4)


def test_samples_chooses_that_many_files(images: Path, cli: Cli) -> None:
    told = cli("fid", images, images, "--samples", 10, "--json", *RANDOM).json
    assert (told["evaluation"]["samples"], told["evaluation"]["reference_samples"]) == (10, 10)


def test_few_images_are_warned_of(images: Path, cli: Cli) -> None:
    result = cli("fid", images, images, *RANDOM)
    assert result.status == 0
    assert "warning" in result.err
    assert "40 images" in result.err
    assert result.out.startswith("FID (random-conv) ")


def test_evaluate(bundle: Path, tiny_data: str, cli: Cli) -> None:
    kept = json.loads((bundle / "config.json").read_text())
    told = cli("evaluate", bundle, "--data", tiny_data, "--samples", 64, "--repeats", 2, "--json").json
    assert told["fids"][0] == pytest.approx(kept["fid"], rel=1e-5)
    assert told["fid"] == pytest.approx(np.mean(told["fids"]))
    assert told["fid_std"] == pytest.approx(np.std(told["fids"], ddof=1))
    assert told["pixel_spread"] > 0
    assert told["collapsed"] is False
    assert EvaluationIdentity.from_dict(told["evaluation"])
    shown = cli("evaluate", bundle, "--data", tiny_data, "--samples", 64, "--repeats", 1)
    assert shown.out.startswith(f"FID (random-conv) {told['fids'][0]:.4f}\n")


def test_bad_input(
    bundle: Path, images: Path, saved: Path, tiny_data: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    known = load_statistics(saved)
    save_statistics(tmp_path / "other.npz", Statistics(known.mean[:9], known.covariance[:9, :9], None))
    (tmp_path / "text.npz").write_text("no")
    (tmp_path / "empty").mkdir()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text("{}")
    for arguments, said in (
        ([bundle, "none"], "'none': no such folder"),
        ([bundle, "facess"], "did you mean 'faces'?"),
        ([bundle, "none.npz"], "none.npz"),
        ([bundle, "text.npz"], "text.npz"),
        ([bundle, "other.npz"], "9 dimensions"),
        ([saved, "other.npz"], "dimensions cannot be compared"),
        ([bundle, "empty"], "no image"),
        ([bundle, "half"], "not a bundle"),
        ([bundle, "packed:none"], "no such file"),
        ([bundle, saved.parent / "saved.npz", "--size", 8], "cannot be resized"),
        ([bundle, tiny_data, "--size", 8], "cannot be resized"),
        ([bundle, "faces:x"], "faces takes no path"),
        ([bundle, tiny_data, "--features", "random"], "random-conv"),
        ([images, images], "--features random-conv"),
    ):
        assert said in cli("fid", *arguments).bad_input()
    for arguments, said in (
        ([bundle, "--data", "none"], "unknown data source"),
        (["none", "--data", tiny_data], "not a bundle"),
        ([bundle, "--data", tiny_data, "--repeats", 0], "--repeats"),
        ([bundle, "--data", tiny_data, "--features", "inception"], "random-conv"),
    ):
        assert said in cli("evaluate", *arguments).bad_input()
    assert len(list(tmp_path.rglob("*"))) == 5
