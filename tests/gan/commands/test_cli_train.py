"""`train`: results, resuming, what it refuses."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from command_line import TINY, Cli, Result
from PIL import Image

from gan.bundle.bundle import load_bundle
from gan.data.packed.opening import open_data
from gan.recipe.recipe import load_recipe
from gan.storage.lock import locked_file
from gan.training.report import Report
from gan.training.run import TrainingRun
from gan.training.trainer import Trainer
from gan.training.training_folder import start_from

Snapshot = Callable[[Path], Any]
Train = Callable[..., Result]


@pytest.fixture
def train(cli: Cli, tiny_data: str) -> Train:
    """A function that trains tiny things; later options win over these."""

    def run(out: Path, *more: object, kimg: float = 0.4) -> Result:
        return cli("train", *TINY, "--data", tiny_data, "--kimg", kimg, "--out", out, *more)

    return run


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def reports(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "reports.jsonl").read_text().splitlines()]


def test_what_a_training_leaves(trained: Path, bundle: Path) -> None:
    assert [report["kimg"] for report in reports(trained)] == [0.2, 0.4]
    assert load_bundle(str(bundle)).shape == (16, 16, 3)
    assert "gan-search train --recipe dcgan" in (bundle / "README.md").read_text()
    assert len(list((trained / "samples").glob("*.png"))) == 2
    assert (trained / "real.png").is_file()
    with Image.open(trained / "training.png") as plot:
        assert plot.width > 800


def test_without_a_length_it_trains_as_long_as_the_publication(cli: Cli, tiny_data: str, tmp_path: Path) -> None:
    mine = ["--data", tiny_data, "--samples", 64, "--out", tmp_path / "run"]
    assert "recipe dcgan has no published length" in cli("train", "--recipe", "dcgan", *mine).bad_input()
    recipe = tmp_path / "short.yaml"
    recipe.write_text("kimg: 0.2\nsettings: {width_g: 4, width_d: 4, batch: 16}\n")
    assert cli("train", "--recipe", recipe, *mine, "--json").json["kimg"] == 0.2


def test_it_trains_without_matplotlib(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = train(tmp_path / "run")
    assert result.status == 0 and "no training.png" in result.err
    assert not (tmp_path / "run" / "training.png").exists()


def test_a_complete_training_tells_its_last_report_again(
    trained: Path, bundle: Path, train: Train, snapshot: Snapshot
) -> None:
    checkpoints = snapshot(trained / "checkpoints")
    told = train(trained, "--json").json
    assert told.items() >= {**reports(trained)[-1], "images_per_second": told["images_per_second"]}.items()
    assert told["bundle"] == str(bundle)
    assert snapshot(trained / "checkpoints") == checkpoints


def test_interrupted_and_resumed_is_as_if_never_stopped(
    train: Train, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = TrainingRun.reports

    def one_then_ctrl_c(run: TrainingRun) -> Iterator[Report]:
        yield next(whole(run))
        raise KeyboardInterrupt

    folder = tmp_path / "new"
    with monkeypatch.context() as patch:
        patch.setattr(TrainingRun, "reports", one_then_ctrl_c)
        stopped = train(folder)
    assert stopped.status == 130
    # Before it stands the warning that so few samples give a singular covariance.
    last = stopped.err.splitlines()[-1]
    assert last.startswith("gan-search: interrupted: saved at 0.2 kimg; to go on: gan-search train ")
    result = train(folder, "--json")
    assert "going on from 0.2 kimg" in result.err
    same = ("kimg", "fid", "best_fid", "g_loss", "d_loss", "curve")
    assert {name: result.json[name] for name in same} == {name: reports(trained)[-1][name] for name in same}
    assert [report["kimg"] for report in reports(folder)] == [0.2, 0.4]


def test_more_kimg_trains_further(train: Train, copied: Path) -> None:
    result = train(copied, kimg=0.6)
    assert result.status == 0
    assert [report["kimg"] for report in reports(copied)] == [0.2, 0.4, 0.6]
    assert "best Fréchet distance in random-conv features" in result.out


def test_a_training_keeps_the_number_of_its_threads(train: Train, tmp_path: Path) -> None:
    before, folder = torch.get_num_threads(), tmp_path / "run"
    try:
        assert train(folder, "--threads", 2, kimg=0.2).status == 0
        assert yaml.safe_load((folder / "train.yaml").read_text())["threads"] == 2
        torch.set_num_threads(1)
        again = train(folder)
        assert again.status == 0 and torch.get_num_threads() == 2
        other = train(folder, "--threads", 1, kimg=0.6)
        assert other.status == 0 and torch.get_num_threads() == 1
        assert "began with 2 threads: with 1 its numbers differ" in other.err
        (folder / "train.yaml").write_text((folder / "train.yaml").read_text().replace("threads: 2", "threads: many"))
        assert train(folder, kimg=0.6).status == 0
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (["--seed", 1], "seed 0 there, 1 here"),
        (["--set", "lr_g=1e-3"], "lr_g 0.0002 there, 0.001 here"),
        (["--samples", 32], "samples 64 there, 32 here"),
        (["--precision", "bf16"], "precision fp32 there, bf16 here"),
    ],
)
def test_another_training_in_the_folder_is_refused(
    change: list[object], named: str, train: Train, trained: Path, snapshot: Snapshot
) -> None:
    recorded = "precision: fp32" in (trained / "train.yaml").read_text()
    if "bf16" in change and not recorded:
        pytest.skip("this machine trains in bf16 by itself")
    before = snapshot(trained)
    assert named in train(trained, *change).bad_input()
    assert snapshot(trained) == before


def test_a_second_process_is_kept_out(train: Train, trained: Path, snapshot: Snapshot) -> None:
    before = snapshot(trained)
    with locked_file(trained / ".lock"):
        assert "another process" in train(trained).bad_input()
    assert snapshot(trained) == before


def test_starting_from_a_bundle(bundle: Path, tiny_data: str, train: Train, tmp_path: Path) -> None:
    recipe = load_recipe("dcgan").with_settings({"width_g": 8, "width_d": 8, "ema_kimg": 1.0})
    trainer = Trainer(recipe, open_data(tiny_data), seed=5, device="cpu")
    loaded = load_bundle(str(bundle))
    start_from(trainer, loaded, str(bundle))
    latents = loaded.latents(4)
    assert (trainer.sample(latents).numpy() == loaded.generate(latents)).all()

    folder = tmp_path / "new"
    assert train(folder, "--from", bundle, kimg=0.2).status == 0
    assert "there, None here" in train(folder, kimg=0.2).bad_input()


def test_a_bundle_that_does_not_fit_is_refused(bundle: Path, train: Train, tmp_path: Path) -> None:
    assert "does not fit" in train(tmp_path / "new", "--from", bundle, "--set", "latent_dim=9").bad_input()
    assert not list(tmp_path.iterdir())


def test_divergence_is_told(train: Train, tmp_path: Path) -> None:
    result = train(tmp_path / "new", "--set", "objective=wgan", "--set", "clip=1000", "--set", "lr_d=1000", kimg=2)
    assert result.status == 0
    assert "diverged at " in result.err


def test_vectors_are_drawn_as_lines_beside_the_checkpoints(cli: Cli, tmp_path: Path) -> None:
    arguments = ["train", "--recipe", "curves", "--data", "curves", "--kimg", 0.4, "--interval-kimg", 0.2]
    told = cli(*arguments, "--samples", 64, "--device", "cpu", "--out", tmp_path / "run", "--json").json
    assert told["kimg"] == 0.4 and told["fid"] > 0
    pictures = sorted((tmp_path / "run" / "samples").glob("*.png"))
    assert [path.stem for path in pictures] == ["000000200", "000000400"]
    with Image.open(pictures[0]) as image:
        assert image.mode == "RGB" and image.width > image.height > 200
        assert len(image.getcolors(2**24) or ()) > 50  # lines, shade and words
    assert load_bundle(told["bundle"]).sample(3).shape == (3, 15)


def test_a_recipes_size_is_for_data_that_can_be_made_of_any_size(cli: Cli, tiny_data: str, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("{size: 24, settings: {width_g: 2, width_d: 2}}")
    arguments = ["train", "--recipe", recipe, "--kimg", 0.2, "--out", tmp_path / "run", "--samples", 16]
    assert "was packed at size 16×16, not 24" in cli(*arguments, "--data", tiny_data).bad_input()
    assert "square images, not data of shape 15" in cli(*arguments, "--data", "curves").bad_input()
    assert (
        "vectors, not data of shape 16×16×3"
        in cli(
            "train", "--recipe", "curves", "--data", "faces", "--size", 16, "--kimg", 1, "--out", tmp_path / "run"
        ).bad_input()
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--recipe", "dcgam"], "did you mean 'dcgan'?"),
        (["--recipe", "none.yaml"], "none.yaml does not exist"),
        (["--set", "lr_gg=1"], "did you mean 'lr_g'?"),
        (["--set", "lr_g"], "KEY=VALUE"),
        (["--set", "lr_g=fast"], "lr_g: 'fast' is not a number"),
        (["--set", "lr_g=-1"], "out of range"),
        (["--set", "ema_kimg=1", "--set", "ema_kimg=2"], "set twice"),
        (["--set", "network=dcgam"], "did you mean 'dcgan'?"),
        (["--set", "clip=0.1"], "belongs to objective wgan"),
        (["--kimg", "0"], "above 0"),
        (["--kimg", "nan"], "above 0"),
        (["--samples", "1"], "--samples"),
        (["--seed", "-1"], "--seed"),
        (["--interval-kimg", "0.001"], "--interval-kimg"),
        (["--data", "facess"], "did you mean 'faces'?"),
        (["--data", "folder:none", "--size", "16"], "is not a folder"),
        (["--data", "packed:none.arrow"], "no such file"),
        (["--size", "32"], "16"),
        (["--data", "faces", "--size", "17"], "cannot make 17×17"),
        (["--recipe", "cheng-96-plain", "--data", "faces", "--size", "40"], "the multiples of 16 (16, 32, 48"),
        (["--set", "objective=wgan", "--set", "clip=0"], "clip: 0 is out of range, it must be above 0"),
        (["--set", "objective=wgan-gp", "--set", "gp_lambda=-1"], "gp_lambda: -1 is out of range"),
        (["--set", "objective=wgan-gp", "--set", "norm_d=batch"], "norm_d=layer or norm_d=none"),
        (["--device", "cuda:99"], "--device cuda:99"),
        (["--precision", "fp8"], "--precision fp8"),
        (["--features", "random"], "did you mean 'random-conv'?"),
        (["--features", "inception"], "--features random-conv"),
        (["--features", "inception", "--inception-weights", "none.pth"], "none.pth"),
        (["--from", "none"], "not a bundle"),
        (["--out", "file.txt"], "is a file"),
        (["--out", "file.txt/below"], "file.txt"),
        (["--out", "full"], "holds other files"),
        (["--out", "damaged"], "damaged"),
    ],
)
def test_bad_input_writes_nothing(
    change: list[str],
    said: str,
    train: Train,
    tmp_path: Path,
    shared_cache: Path,
    snapshot: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file.txt").write_text("mine")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "train.yaml").write_text("{")
    before = snapshot(tmp_path), snapshot(shared_cache / "packed")
    assert said in train(Path("out"), *change).bad_input()
    assert (snapshot(tmp_path), snapshot(shared_cache / "packed")) == before
