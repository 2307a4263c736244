"""`fid` between all kinds of things, and `evaluate`."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import Cli

from gan.data.packed.opening import open_data
from gan.evaluation.evaluator import reference_rows, statistics_of
from gan.evaluation.features import make_features
from gan.evaluation.identity import EvaluationIdentity
from gan.evaluation.statistics import Statistics, load_statistics, save_statistics
from gan.tensors.images import save_png

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
    own = cli("fid", bundle, tiny_data, "--samples", 64, "--seed", 0, "--json").json["fid"]
    assert own == pytest.approx(kept["fid"], rel=1e-5)
    # The draw of latents by which the training chose this moment is no witness.
    assert all(abs(fid - own) > 1e-4 * own for fid in told["fids"]) and told["evaluation"]["latent_seed"] == 1
    assert told["trained_on_this_data"] is True
    assert told["fid"] == pytest.approx(np.mean(told["fids"]))
    assert told["fid_std"] == pytest.approx(np.std(told["fids"], ddof=1))
    assert told["pixel_spread"] > 0
    assert told["collapsed"] is False
    assert EvaluationIdentity.from_dict(told["evaluation"])
    shown = cli("evaluate", bundle, "--data", tiny_data, "--samples", 64, "--repeats", 1)
    assert shown.out.startswith(f"FD (random-conv)  {told['fids'][0]:.4f} ")
    assert "64 samples for 416 features: the covariance is singular" in shown.err


def test_a_bundle_is_judged_by_the_features_of_its_training(
    bundle: Path, images: Path, cli: Cli, tmp_path: Path
) -> None:
    """Not by those of a folder, which would be the Inception network's."""
    arguments = ["--data", f"folder:{images}", "--samples", 12, "--repeats", 1, "--json"]
    assert cli("evaluate", bundle, *arguments).json["evaluation"]["features"] == "random-conv"
    # A program that somebody else's bundle names is not run.
    other = Path(shutil.copytree(bundle, tmp_path / "other"))
    config = json.loads((other / "config.json").read_text())
    config["evaluation"]["features"] = "exported:program.pt2"
    (other / "config.json").write_text(json.dumps(config))
    assert "Inception weights" in cli("evaluate", other, *arguments).bad_input()


@pytest.mark.slow
def test_inception_from_images_to_a_page(
    bundle: Path, tiny_data: str, images: Path, random_inception: Path, cli: Cli, tmp_path: Path
) -> None:
    """With random weights, which are said to be no standard FID."""
    weights = ["--inception-weights", random_inception, "--samples", 12]
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(images.iterdir())[:12]:
        (few / path.name).hardlink_to(path)
    told = cli("fid", images, few, *weights, "--json").json  # a folder's default features
    assert told["evaluation"]["features"] == "inception"
    assert told["evaluation"]["weights_sha256"] == hashlib.sha256(random_inception.read_bytes()).hexdigest()
    assert told["fid"] > 0
    judged = ["--data", tiny_data, "--repeats", 1, "--neighbours", 12, "--features", "inception"]
    found = cli("evaluate", bundle, *judged, *weights, "--out", tmp_path / "page", "--json").json
    assert found["fid"] > 0 and found["evaluation"]["resize"] == "TF1 bilinear to 299"
    assert (tmp_path / "page" / "evaluation.html").is_file()


def test_weights_that_are_not_the_networks_are_refused(
    images: Path, random_inception: Path, cli: Cli, tmp_path: Path
) -> None:
    whole = random_inception.read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "code.pth").write_bytes(pickle.dumps(Payload(tmp_path / "ran"), protocol=2))
    for name in ("cut.pth", "code.pth"):
        arguments = [images, images, "--features", "inception", "--inception-weights", tmp_path / name]
        assert name in cli("fid", *arguments).bad_input()
    assert not (tmp_path / "ran").exists()


class Payload:
    """Pickled code: unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_folders_of_two_sizes_are_compared_at_the_size_that_is_named(images: Path, cli: Cli, tmp_path: Path) -> None:
    for number in range(4):
        save_png(tmp_path / f"{number}.png", np.full((32, 32, 3), 60 * number, np.uint8))
    for sides in ((images, tmp_path), (tmp_path, images)):
        said = cli("fid", *sides, *RANDOM).bad_input()
        assert "different sizes" in said and "--size" in said
    told = [
        cli("fid", *sides, *RANDOM, "--size", 16, "--json").json for sides in ((images, tmp_path), (tmp_path, images))
    ]
    assert told[0]["fid"] == pytest.approx(told[1]["fid"], rel=1e-6)


def test_images_of_formats_that_are_not_read_are_told(images: Path, cli: Cli, tmp_path: Path) -> None:
    for path in images.iterdir():
        (tmp_path / path.name).hardlink_to(path)
    (tmp_path / "more.bmp").write_bytes(b"BM")
    assert "1 images of other formats" in cli("fid", tmp_path, images, *RANDOM).err


def test_what_is_no_covariance_is_no_statistics(saved: Path, images: Path, cli: Cli, tmp_path: Path) -> None:
    known = load_statistics(saved)[0]
    mean, covariance = known.mean.numpy(), known.covariance.numpy()
    lopsided = np.random.default_rng(0).normal(size=covariance.shape)
    for sigma, said in ((lopsided, "not symmetric"), (covariance - np.eye(len(mean)), "negative eigenvalues")):
        np.savez(tmp_path / "odd.npz", mu=mean, sigma=sigma)
        refused = cli("fid", images, tmp_path / "odd.npz", *RANDOM).bad_input()
        assert said in refused and "odd.npz" in refused
    np.savez(tmp_path / "float32.npz", mu=mean.astype(np.float32), sigma=covariance.astype(np.float32))
    assert cli("fid", saved, tmp_path / "float32.npz", "--json").json["fid"] == pytest.approx(0, abs=0.1)


def test_one_image_is_named_as_too_few(images: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "one.png").hardlink_to(next(images.iterdir()))
    refused = cli("fid", images, tmp_path / "only", *RANDOM).bad_input()
    assert "only: " in refused and "at least 2" in refused


def test_judging_by_other_data_than_it_was_trained_on_is_told(bundle: Path, images: Path, cli: Cli) -> None:
    judged = ["evaluate", bundle, "--data", f"folder:{images}", "--samples", 20, "--repeats", 1, *RANDOM]
    result = cli(*judged)
    assert result.status == 0 and "was trained on" in result.err


def test_a_folder_that_cannot_be_written_costs_the_page_alone(
    bundle: Path, tiny_data: str, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    judged = ["--data", tiny_data, "--samples", 20, "--repeats", 1, *RANDOM, "--out", tmp_path / "file" / "page"]
    result = cli("evaluate", bundle, *judged, "--json")
    assert result.status == 2 and "cannot be written" in result.err
    assert json.loads(result.out)["fid"] > 0


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
    statistics = load_statistics(saved)[0]
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
    assert result.status == 0 and "so this is not checked" in result.err


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

    from gan.bundle.bundle import write_bundle
    from gan.storage.storage import Storage

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
    known = load_statistics(saved)[0]
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
