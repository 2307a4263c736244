"""`data` and `recipes`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command_line import Cli

from gan.data import open_data
from gan.images import save_png
from gan.recipe import shipped


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(8):
        save_png(folder / f"{number}.png", np.full((30, 40, 3), 30 * number, np.uint8))
    return folder


def test_pack_and_info(photos: Path, cli: Cli, tmp_path: Path) -> None:
    packed = tmp_path / "photos.arrow"
    told = cli("data", "pack", photos, packed, "--size", 16, "--crop", "center-20", "--json").json
    assert (told["size"], told["channels"], told["crop"], told["train"] + told["held_out"]) == (16, 3, "center-20", 8)
    assert cli("data", "info", f"packed:{packed}", "--json").json == told
    shown = cli("data", "info", packed)
    assert shown.status == 0
    assert told["content_hash"] in shown.out
    assert open_data(told["uri"]).shape == (16, 16, 3)


def test_pack_says_how_to_go_on(photos: Path, cli: Cli, tmp_path: Path) -> None:
    result = cli("data", "pack", f"folder:{photos}", f"packed:{tmp_path / 'a.arrow'}", "--size", 16)
    assert f"--data packed:{tmp_path / 'a.arrow'}" in result.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pack", "none", "a.arrow", "--size", 16], "none"),
        (["pack", "empty", "a.arrow", "--size", 16], "no image"),
        (["pack", "photos", "a.arrow"], "size"),
        (["pack", "photos", "a.arrow", "--size", 2], "--size"),
        (["pack", "photos", "a.arrow", "--size", 16, "--crop", "middle"], "crop"),
        (["pack", "photos", "a.arrow", "--size", 16, "--crop", "center-35"], "too few to crop"),
        (["pack", "photos", "photos/0.png", "--size", 16], "exists"),
        (["pack", "photos", "photos/0.png/a.arrow", "--size", 16], "cannot be written"),
        (["pack", "packed:a", "b", "--size", 16], "packed already"),
        (["info", "none"], "unknown data source"),
        (["info", "packed:none"], "no such file"),
        (["info", "photos/0.png"], "not a packed set"),
    ],
)
def test_bad_data_writes_nothing(
    arguments: list[object],
    said: str,
    photos: Path,
    cli: Cli,
    tmp_path: Path,
    snapshot: Callable[[Path], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    before = snapshot(tmp_path)
    assert said in cli("data", *arguments).bad_input()
    assert snapshot(tmp_path) == before


def test_recipes_list(cli: Cli) -> None:
    assert [recipe["name"] for recipe in cli("recipes", "list", "--json").json] == shipped()
    assert [line.split()[0] for line in cli("recipes", "list").out.splitlines()] == shipped()


@pytest.mark.parametrize("name", ["dcgan", "l2", "wgan"])
def test_recipes_show(name: str, cli: Cli) -> None:
    told = cli("recipes", "show", name, "--json").json
    assert list(told) == [
        *("name", "size", "settings", "space", "source", "generator_parameters", "discriminator_parameters"),
        *("settled", "summary", "sources"),
    ]
    assert (told["name"], told["size"], told["generator_parameters"]) == (name, 64, 3_576_704)
    assert told["discriminator_parameters"] == 2_765_568
    assert set(told["space"]) <= set(told["settings"])
    for space in told["space"].values():
        assert isinstance(space, list) or set(space) == {"low", "high", "log"}
    shown = cli("recipes", "show", name, "--size", 32)
    assert shown.status == 0
    assert all(setting in shown.out for setting in told["settings"])


def test_recipes_from_files(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"size": 32, "settings": {"width_g": 8}, "space": {"width_g": [8, 16]}}))
    told = cli("recipes", "show", path, "--json").json
    assert (told["name"], told["size"], told["space"]) == ("mine", 32, {"width_g": [8, 16]})
    path.write_text("settings: {width_h: 8}")
    assert "did you mean 'width_" in cli("recipes", "show", path).bad_input()
    path.write_text("{")
    assert "not valid YAML" in cli("recipes", "show", path).bad_input()
    assert "did you mean 'wgan'?" in cli("recipes", "show", "wgann").bad_input()
