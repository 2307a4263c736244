"""`sample`: what it writes, and bundles that are none."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import Cli
from PIL import Image, ImageSequence
from training_fixtures import lively_bundle

from gan.bundle.bundle import load_bundle
from gan.commands.sample import _walks

Snapshot = Callable[[Path], Any]


def test_grid(bundle: Path, cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "new" / "grid.png"
    told = cli("sample", bundle, "-n", 10, "--grid", "--out", out, "--json").json
    assert told == {"bundle": str(bundle), "count": 10, "seed": 0, "shape": [16, 16, 3], "written": [str(out)]}
    with Image.open(out) as image:
        assert image.size == (2 + 8 * 18, 2 + 2 * 18)


def test_folder_npy_and_python_give_the_same_images(bundle: Path, cli: Cli, tmp_path: Path) -> None:
    wanted = load_bundle(str(bundle)).sample(5, seed=3)
    told = cli("sample", bundle, "-n", 5, "--seed", 3, "--out", tmp_path / "images", "--json").json
    assert [Path(path).name for path in told["written"]] == [f"{number:06d}.png" for number in range(5)]
    assert (np.stack([np.asarray(Image.open(path)) for path in told["written"]]) == wanted).all()
    assert cli("sample", bundle, "-n", 5, "--seed", 3, "--out", tmp_path / "images.npy").status == 0
    assert (np.load(tmp_path / "images.npy", allow_pickle=False) == wanted).all()
    assert cli("sample", bundle, "-n", 1, "--seed", 3, "--out", tmp_path / "one.png").status == 0
    assert (np.asarray(Image.open(tmp_path / "one.png")) == wanted[0]).all()


def test_interpolation(bundle: Path, cli: Cli, tmp_path: Path) -> None:
    assert cli("sample", bundle, "-n", 16, "--interpolate", "--out", tmp_path / "walk.png").status == 0
    with Image.open(tmp_path / "walk.png") as image:
        assert image.size == (2 + 8 * 18, 2 + 2 * 18)
    loaded = load_bundle(str(bundle))
    ends, walks = loaded.latents(4, 0), _walks(loaded, 16, 0)
    torch.testing.assert_close(walks[[0, 7, 8, 15]], ends, rtol=0, atol=1e-6)
    assert len(_walks(loaded, 1, 0)) == 1
    assert len(_walks(loaded, 11, 0)) == 11


def frames(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.format == "GIF"
        assert picture.info["loop"] == 0 and picture.info["duration"] == 60
        return np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(picture)])


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose images differ from each other as a trained one's do: 16×16 in colour."""
    folder = tmp_path_factory.mktemp("lively")
    assert lively_bundle("dcgan", folder).shape == (16, 16, 3)
    return folder


def distance(frame: np.ndarray, image: np.ndarray) -> float:
    return float(np.abs(frame.astype(int) - image).mean())


def test_animation_goes_past_images_of_the_seed_and_back(lively: Path, cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "new" / "walk.gif"
    told = cli("sample", lively, "-n", 72, "--seed", 5, "--interpolate", "--out", out, "--json").json
    assert told["written"] == [str(out)] and told["count"] == 72
    shown = frames(out)
    assert shown.shape == (72, 16, 16, 3)
    corners = load_bundle(str(lively)).sample(3, seed=5)
    for number, corner in enumerate(corners):
        # Near, not equal: all frames share 256 colours.
        assert distance(shown[24 * number], corner) < 15 < 25 < distance(shown[24 * number], corners[number - 1])
    # The last frame is as near to the first as others are to the next: it repeats without a jump.
    steps = [distance(shown[i], shown[(i + 1) % 72]) for i in range(72)]
    assert 0 < steps[-1] <= 1.5 * max(steps[:-1])


def test_animated_grid(lively: Path, cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "walk.GIF"
    assert cli("sample", lively, "-n", 3, "--interpolate", "--grid", "--out", out).out == f"3 frames: {out}\n"
    assert frames(out).shape == (3, 2 + 4 * 18, 2 + 4 * 18, 3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "a.png"], "need --grid"),
        (["--out", "a.jpg", "--grid"], ".png"),
        (["--out", "a", "--grid"], ".png"),
        (["--out", "a", "--interpolate"], ".png"),
        (["--out", "a.gif"], "add --interpolate"),
        (["--out", "a.gif", "--grid"], "add --interpolate"),
        (["--out", "a.gif", "--interpolate", "-n", "1"], "from 2 to 2000 frames"),
        (["--out", "a.gif", "--interpolate", "-n", "2001"], "from 2 to 2000 frames"),
        (["--out", "folder.gif", "--interpolate"], "is a folder"),
        (["--out", "file.txt/a.gif", "--interpolate"], "file.txt"),
        (["--out", "file.txt"], "is a file"),
        (["--out", "file.txt/a"], "file.txt"),
        (["--out", "file.txt/a.npy"], "file.txt"),
        (["--out", "a", "-n", "0"], "-n"),
        (["--out", "a", "--seed", "-1"], "--seed"),
        (["--out", "a", "--device", "cuda:99"], "--device"),
    ],
)
def test_bad_input_writes_nothing(
    arguments: list[str],
    said: str,
    bundle: Path,
    cli: Cli,
    tmp_path: Path,
    snapshot: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("mine")
    (tmp_path / "folder.gif").mkdir()
    before = snapshot(tmp_path)
    assert said in cli("sample", bundle, *arguments).bad_input()
    assert snapshot(tmp_path) == before


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._target),)


def test_weights_are_never_unpickled(bundle: Path, cli: Cli, tmp_path: Path) -> None:
    target = tmp_path / "taken over"
    bad = Path(shutil.copytree(bundle, tmp_path / "bad"))
    (bad / "generator.safetensors").write_bytes(pickle.dumps(Payload(target)))
    for command in (["sample", bad, "-n", 1, "--out", tmp_path / "a.png"], ["fid", bad, bad]):
        assert "generator.safetensors" in cli(*command).bad_input()
    torch.save({"x": Payload(target)}, bad / "generator.safetensors")
    cli("sample", bad, "-n", 1, "--out", tmp_path / "a.png").bad_input()
    assert [path.name for path in tmp_path.iterdir()] == ["bad"]


@pytest.mark.parametrize(
    "change",
    [
        {"network": "unknown"},
        {"network_settings": {"width_g": -1}},
        {"network_settings": {"width_g": 16}},
        {"shape": [16, 16]},
        {"shape": "16"},
        {"latent_dim": 10**9},
        {"latent": "cauchy"},
        {"format": 99},
    ],
    ids=str,
)
def test_a_bundle_that_does_not_fit_together(change: dict[str, Any], bundle: Path, cli: Cli, tmp_path: Path) -> None:
    bad = Path(shutil.copytree(bundle, tmp_path / "bad"))
    config = json.loads((bad / "config.json").read_text())
    (bad / "config.json").write_text(json.dumps(config | change))
    cli("sample", bad, "-n", 1, "--out", tmp_path / "a.png").bad_input()
    assert [path.name for path in tmp_path.iterdir()] == ["bad"]
