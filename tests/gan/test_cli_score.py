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
    kept["evaluation"].pop("data")  # a bundle does not tell where its data lay
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
    assert result.out.startswith("FD (random-conv) ")


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
    assert shown.out.startswith(f"FD (random-conv)  {told['fids'][0]:.4f} ")
    assert "64 samples for 416 features: the covariance is singular" in shown.err


def test_saved_statistics_stand_for_their_images(
    bundle: Path, tiny_data: str, images: Path, cli: Cli, tmp_path: Path
) -> None:
    for name, side in (("set", tiny_data), ("folder", images), ("bundle", bundle)):
        target = tmp_path / f"{name}.npz"
        told = cli("fid", "--save-stats", side, target, "--samples", 64, *RANDOM, "--json").json
        assert told["statistics"] == str(target)
        assert told["evaluation"]["samples"] == (40 if name == "folder" else 64)
        with np.load(target) as archive:  # as pytorch-fid reads them
            assert archive["mu"].shape == (416,) and archive["sigma"].shape == (416, 416)
        fids = [cli("fid", bundle, each, "--samples", 64, "--json", *RANDOM).json["fid"] for each in (side, target)]
        assert fids[1] == pytest.approx(fids[0], rel=1e-5, abs=1e-4)
    # What they were made with needs no telling again.
    told = cli("fid", bundle, tmp_path / "set.npz", "--samples", 64, "--json").json
    assert told["evaluation"]["features"] == "random-conv"
    told = cli("fid", tmp_path / "set.npz", tmp_path / "folder.npz", "--json").json["evaluation"]
    assert (told["features"], told["size"]) == ("random-conv", 16)


def test_statistics_of_other_features_or_sizes_are_refused_with_the_difference(
    bundle: Path, images: Path, saved: Path, cli: Cli, tmp_path: Path
) -> None:
    statistics = load_statistics(saved)
    made = {"features": "random-conv", "weights_sha256": "ab", "resize": "none", "size": 16, "shape": [16, 16, 3]}
    save_statistics(tmp_path / "other.npz", statistics, made)
    save_statistics(tmp_path / "large.npz", statistics, made | {"size": 32, "shape": [32, 32, 3]})
    assert "weights_sha256: ab, not fdf8" in cli("fid", bundle, tmp_path / "other.npz").bad_input()
    assert "16×16×3 and 32×32×3" in cli("fid", bundle, tmp_path / "large.npz").bad_input()
    assert "32×32×3 and 16×16×3" in cli("fid", tmp_path / "large.npz", tmp_path / "other.npz").bad_input()
    save_statistics(tmp_path / "blurred.npz", statistics, made | {"resize": "other"})
    assert "resize: other, not none" in cli("fid", tmp_path / "blurred.npz", tmp_path / "other.npz").bad_input()
    np.savez(tmp_path / "odd.npz", mu=np.zeros(2), sigma=np.eye(2), evaluation=np.asarray("[]"))
    assert "does not say how" in cli("fid", bundle, tmp_path / "odd.npz").bad_input()


def test_statistics_that_do_not_say_how_they_were_made_are_taken_with_a_warning(
    bundle: Path, saved: Path, cli: Cli
) -> None:
    result = cli("fid", bundle, saved, "--samples", 64)
    assert result.status == 0 and "taken at its word" in result.err


def test_a_folder_of_which_not_all_counts_says_so(images: Path, cli: Cli) -> None:
    assert "10 of its 40 images count" in cli("fid", images, images, "--samples", 10, *RANDOM).err


def test_what_cannot_be_saved(tiny_data: str, images: Path, saved: Path, cli: Cli, tmp_path: Path) -> None:
    for arguments, said in (
        ([tiny_data, tmp_path / "out.txt"], "ends in .npz"),
        ([tiny_data, saved], "exists already"),
        ([tiny_data, tmp_path / "none" / "out.npz"], "no folder"),
        ([saved, tmp_path / "out.npz"], "file of statistics already"),
        ([tiny_data, tmp_path / "out.npz", "--size", 8], "cannot be resized"),
        ([images, tmp_path / "out.npz"], "--features random-conv"),
    ):
        assert said in cli("fid", "--save-stats", *arguments).bad_input()
    assert not list(tmp_path.iterdir())


def test_a_generator_that_makes_nan_is_refused(bundle: Path, tiny_data: str, cli: Cli, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from gan.bundle import write_bundle
    from gan.storage import Storage

    weights = load_file(bundle / "generator.safetensors")
    next(value for value in weights.values() if value.is_floating_point()).fill_(float("nan"))
    write_bundle(Storage(tmp_path / "lost"), weights, json.loads((bundle / "config.json").read_text()))
    out = tmp_path / "judged"
    for arguments in (["fid", tmp_path / "lost", tiny_data], ["evaluate", tmp_path / "lost", "--data", tiny_data]):
        more = ["--out", out] if arguments[0] == "evaluate" else []
        result = cli(*arguments, *more, "--samples", 500)
        assert "not finite" in result.bad_input()
    assert not out.exists()


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
        ([bundle, "--data", tiny_data, "--samples", 1], "--samples"),
        ([bundle, "--data", tiny_data, "--out", tmp_path], "is not an empty folder"),
        ([bundle, "--data", tiny_data, "--features", "exported:none.pt2"], "none.pt2"),
        ([bundle, "--data", tiny_data, "--features", "inception"], "random-conv"),
    ):
        assert said in cli("evaluate", *arguments).bad_input()
    assert len(list(tmp_path.rglob("*"))) == 5
