"""`data` and `recipes`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command_line import Cli

from gan.data.packed.opening import open_data
from gan.recipe.recipe import shipped
from gan.tensors.images import save_png


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
        *("settled", "summary", "sources", "shape", "crop", "kimg"),
    ]
    assert (told["name"], told["size"], told["generator_parameters"]) == (name, 64, 3_576_704)
    assert told["discriminator_parameters"] == 2_765_568
    assert set(told["space"]) <= set(told["settings"])
    for space in told["space"].values():
        assert isinstance(space, list) or set(space) == {"low", "high", "log"}
    shown = cli("recipes", "show", name, "--size", 32)
    assert shown.status == 0
    assert all(setting in shown.out for setting in told["settings"])


def test_the_published_length_is_shown(cli: Cli) -> None:
    assert cli("recipes", "show", "wang-mnist", "--json").json["kimg"] == 12_000
    assert "trained for 12,000 kimg (the report: 200 epochs" in cli("recipes", "show", "wang-mnist").out
    assert "trained for 5,065 kimg (settled: 25 epochs" in cli("recipes", "show", "zhang-zhao-64").out


@pytest.mark.parametrize(
    ("name", "size", "shape", "parameters"),
    [
        ("wang-mnist", [], [32, 32, 1], (1_066_880, 166_784)),
        ("cheng-96-plain", [], [96, 96, 3], (4_070_793, 1_575_171)),
        ("noe-thapa-128", [], [128, 128, 3], (4_740_611, 4_340_097)),
        ("noe-thapa-128", ["--size", "64"], [64, 64, 3], (1_375_747, 4_315_521)),
        ("curves", [], [15], (5_711, 5_249)),
    ],
)
def test_networks_are_counted_at_the_recipes_own_size_unless_told_otherwise(
    name: str, size: list[str], shape: list[int], parameters: tuple[int, int], cli: Cli
) -> None:
    told = cli("recipes", "show", name, *size, "--json").json
    assert (told["shape"], told["size"]) == (shape, shape[0])
    assert (told["generator_parameters"], told["discriminator_parameters"]) == parameters
    assert f"at {'×'.join(map(str, shape))}: {parameters[0]:,} " in cli("recipes", "show", name, *size).out


def test_a_size_that_a_recipes_network_cannot_make_is_refused(cli: Cli) -> None:
    said = cli("recipes", "show", "cheng-96-plain", "--size", 40).bad_input()
    assert "network upsampling cannot make 40×40: its sizes are the multiples of 16 (16, 32, 48" in said


BAD_RECIPES = {
    "unknown key": ("setings: {}", "mine.yaml: unknown key 'setings': did you mean 'settings'?"),
    "unknown setting": ("settings: {lr: 1}", "mine.yaml: unknown setting 'lr': did you mean 'lr_"),
    "impossible size": ("size: 50", "mine.yaml: network dcgan cannot make 50×50: its sizes are 4, 5, 6 or 7 times"),
    "impossible size of a family": (
        "{size: 40, settings: {network: upsampling}}",
        "mine.yaml: network upsampling cannot make 40×40: its sizes are the multiples of 16 (16, 32, 48",
    ),
    "negative size": ("size: -64", "mine.yaml: size: '-64' is not a number of pixels"),
    "negative rate": ("settings: {lr_g: -0.001}", "mine.yaml: lr_g: -0.001 is out of range, it must be above 0"),
    "rate of zero": ("settings: {lr_d: 0}", "mine.yaml: lr_d: 0 is out of range, it must be above 0"),
    "negative rate searched": (
        "space: {lr_d: {low: -1.0e-3, high: 1.0e-2}}",
        "mine.yaml: space.lr_d: -0.001 is out of range, it must be above 0",
    ),
    "clip of zero": ("settings: {objective: wgan, clip: 0}", "mine.yaml: clip: 0 is out of range, it must be above 0"),
    "clip elsewhere": ("settings: {clip: 0.1}", "mine.yaml: setting 'clip' belongs to objective wgan, not to"),
    "negative penalty": (
        "settings: {objective: wgan-gp, gp_lambda: -10}",
        "mine.yaml: gp_lambda: -10 is out of range, it must be at least 0",
    ),
    "penalty with batch norm": (
        "{size: 32, settings: {objective: wgan-gp, norm_d: batch}}",
        "mine.yaml: objective wgan-gp penalises each image's gradient by itself",
    ),
    "pooling unknown": ("settings: {pooling: median}", "mine.yaml: pooling: 'median' is not one of none, average, max"),
    "norm unknown": ("settings: {norm_d: group}", "mine.yaml: norm_d: 'group' is not one of batch, layer, none"),
    "no mapping": ("- 1", "mine.yaml: not a recipe"),
}


@pytest.mark.parametrize("case", BAD_RECIPES)
@pytest.mark.parametrize("command", ["show", "train"])
def test_a_bad_recipe_is_refused_in_one_line_and_nothing_is_written(
    case: str,
    command: str,
    cli: Cli,
    tmp_path: Path,
    shared_cache: Path,
    snapshot: Callable[[Path], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    text, said = BAD_RECIPES[case]
    Path("mine.yaml").write_text(text)
    before = snapshot(tmp_path), snapshot(shared_cache)
    train = ["train", "--recipe", "mine.yaml", "--data", "faces", "--size", "32", "--kimg", "1", "--out", "out"]
    arguments = ["recipes", "show", "mine.yaml"] if command == "show" else train
    assert said in cli(*arguments).bad_input()
    assert (snapshot(tmp_path), snapshot(shared_cache)) == before


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
