"""Recipes: flat settings sorted to their owners, and errors that name the key."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from gan.errors import InputError
from gan.networks import FAMILIES
from gan.objectives import OBJECTIVES
from gan.recipe.recipe import active, declarations, load_recipe, parse_recipe, shipped
from gan.settings import Choices, Range


def recipe(**settings: Any) -> Any:
    return parse_recipe({"settings": settings}, "mine.yaml")


# ---- what ships


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_recipe_says_where_every_value_comes_from(name: str) -> None:
    loaded = load_recipe(name)
    assert loaded.name == name and loaded.summary and loaded.source
    assert set(loaded.sources) <= {*loaded.settings, "kimg"}
    assert set(loaded.settled) <= {*loaded.settings, "size", "crop", "kimg"}
    assert (loaded.kimg is not None) == ("kimg" in {**loaded.sources, **loaded.settled})
    # What is called settled among the sources is explained.
    assert {setting for setting, place in loaded.sources.items() if place == "settled"} <= set(loaded.settled)
    written = yaml.safe_load((files("gan") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8"))
    for setting, value in written["settings"].items():
        assert value is None or loaded.settings[setting] == value
        # Every setting that is given has a source.
        assert value is None or setting in loaded.sources


def test_the_defaults_are_the_published_values() -> None:
    dcgan, l2, wgan = (load_recipe(name).settings for name in ("dcgan", "l2", "wgan"))
    assert (dcgan["lr_g"], dcgan["beta1"], dcgan["batch"]) == (2e-4, 0.5, 128)
    assert (l2["l2_lambda"], l2["lr_d"], l2["beta2"]) == (0.02, 1e-4, 0.99)
    assert (wgan["clip"], wgan["n_critic"], wgan["lr_g"], wgan["optimizer_d"]) == (0.01, 5, 5e-5, "rmsprop")


def test_a_recipe_may_be_based_on_a_shipped_one() -> None:
    text = {"base": "cheng-96-plain", "settings": {"batch": 32, "beta2": None}, "settled": {"batch": "my memory"}}
    own, base = parse_recipe(text, "mine.yaml"), load_recipe("cheng-96-plain")
    assert (own.name, own.size, own.source) == ("mine", 96, base.source)
    assert own.settings == base.settings | {"batch": 32, "beta2": 0.999}
    assert own.settled == base.settled | {"batch": "my memory"} and own.sources == base.sources
    with pytest.raises(InputError, match=r"mine\.yaml: unknown recipe 'chang-96-plain': did you mean"):
        parse_recipe({"base": "chang-96-plain"}, "mine.yaml")


def test_one_entry_explains_several_settings() -> None:
    text = {"base": "cheng-96-plain", "sources": {"lr_g, lr_d": "my notes", "beta1,beta2": None}}
    sources = parse_recipe(text, "mine.yaml").sources
    assert (sources["lr_g"], sources["lr_d"], sources["optimizer_g"]) == ("my notes", "my notes", "the report")
    assert not {"beta1", "beta2", "lr_g, lr_d"} & set(sources)
    with pytest.raises(InputError, match=r"mine\.yaml: unknown setting 'lr_f': did you mean 'lr_"):
        parse_recipe({"settled": {"lr_g, lr_f": "my notes"}}, "mine.yaml")


# ---- settings


def test_an_objectives_own_defaults_hold_unless_a_recipe_says_otherwise() -> None:
    assert recipe(objective="wgan").training.optimizer_g == "rmsprop"
    assert recipe(objective="wgan").training.lr_d == 5e-5
    assert recipe(objective="wgan", lr_d=1e-3).training.lr_d == 1e-3
    assert recipe().training.optimizer_g == "adam"


def test_settings_round_trip() -> None:
    made = recipe(objective="wgan", clip=0.05, width_g=16, batch=32, flip="true")
    assert parse_recipe({"settings": made.settings}, "again.yaml").settings == made.settings
    assert (made.objective.clip, made.network.width_g, made.training.flip) == (0.05, 16, True)


def test_changing_settings() -> None:
    made = recipe(objective="l2", l2_lambda=0.5, lr_g=1e-3)
    changed = made.with_settings({"l2_lambda": "0.25", "batch": 32})
    assert (changed.objective.l2_lambda, changed.training.batch, changed.training.lr_g) == (0.25, 32, 1e-3)
    assert made.objective.l2_lambda == 0.5  # the old one stays as it was
    assert made.with_settings({}) is made


def test_changing_the_objective_drops_the_old_ones_settings_and_keeps_the_rest() -> None:
    changed = recipe(objective="l2", l2_lambda=0.5, lr_g=1e-3).with_settings({"objective": "wgan", "clip": 0.1})
    assert "l2_lambda" not in changed.settings
    assert (changed.settings["clip"], changed.settings["lr_g"]) == (0.1, 1e-3)


@pytest.mark.parametrize("name", shipped())
@pytest.mark.parametrize(
    "change", [*({"objective": name} for name in OBJECTIVES), *({"network": name} for name in FAMILIES)]
)
def test_any_objective_and_network_can_be_put_into_any_recipe(name: str, change: dict[str, Any]) -> None:
    """Its search space then holds what the new one has, and no more."""
    changed = load_recipe(name).with_settings(change)
    assert set(changed.space_as_dict()) <= set(changed.settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip": 0.1}, "setting 'clip' belongs to objective wgan, not to non-saturating"),
        ({"lr_gg": 0.1}, "unknown setting 'lr_gg': did you mean 'lr_g'?"),
        ({"lr_g": 0}, "lr_g: 0 is out of range"),
        ({"objective": "wgann"}, "unknown objective 'wgann': did you mean 'wgan'?"),
        ({"network": "dcgam"}, "unknown network 'dcgam': did you mean 'dcgan'?"),
        ({"batch": 1}, "batch: 1 is out of range, it must be at least 2"),
    ],
)
def test_a_wrong_change_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        recipe().with_settings(changes)
    assert message in str(caught.value)


# ---- files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ([], "not a recipe"),
        ({"settings": {1: 2}}, "unknown setting '1'"),
        ({"space": {1: [2]}}, "unknown setting '1'"),
        ({"settings": {"batch": 10**400}}, "is not a whole number"),
        ({"size": 64, "settings": {"width_g": 10**9}}, "too large"),
        ({"crop": {"celebaa": "center-178"}}, "did you mean 'celeba'"),
        ({"crop": {"celeba": "centre"}}, "crop: 'centre' is not known"),
        ({"sources": {"lr_gg": "the paper"}}, "did you mean 'lr_g'"),
        ({"settled": {"lr_gg": "by hand"}}, "did you mean 'lr_g'"),
        ({"space": {"lr_g": {"low": 1e-5, "high": 1e-3, "log": "no"}}}, "log: 'no' is not true or false"),
        ({"kimg": -1}, "kimg: '-1' is not thousands of images"),
        (None, "not a recipe"),
        ({"setings": {}}, "unknown key 'setings': did you mean 'settings'?"),
        ({"settings": []}, "'settings' must be a mapping"),
        ({"settings": [1]}, "'settings' must be a mapping"),
        ({"settings": {"lr_g": "fast"}}, "lr_g: 'fast' is not a number"),
        ({"size": "big"}, "size: 'big' is not a number of pixels"),
        ({"size": 0}, "size: '0'"),
        ({"size": -64}, "size: '-64' is not a number of pixels"),
        ({"size": True}, "size: 'True' is not a number of pixels"),
        ({"size": 64.0}, "size: '64.0' is not a number of pixels"),
        ({"size": 5000}, "size: '5000' is not a number of pixels"),
        ({"size": 50}, "network dcgan cannot make 50×50: its sizes are 4, 5, 6 or 7 times 4, 8"),
        ({"size": 40, "settings": {"network": "upsampling"}}, "cannot make 40×40: its sizes are the multiples of 16"),
        ({"size": 17, "settings": {"network": "transposed"}}, "network transposed cannot make 17×17: its sizes are"),
        ({"channels": 0}, "channels: '0' is not a number of channels"),
        ({"crop": "center-178"}, "'crop' must be a mapping"),
        ({"settings": {"lr_d": -1e-4}}, "lr_d: -0.0001 is out of range, it must be above 0"),
        ({"settings": {"objective": "wgan", "clip": 0}}, "clip: 0 is out of range, it must be above 0"),
        ({"settings": {"objective": "wgan-gp", "gp_lambda": -10}}, "gp_lambda: -10 is out of range"),
        ({"settings": {"objective": "l2", "l2_lambda": -0.1}}, "l2_lambda: -0.1 is out of range"),
        ({"size": 32, "settings": {"objective": "wgan-gp", "norm_d": "batch"}}, "norm_d=layer or norm_d=none"),
        ({"space": {"clip": [0.1]}}, "space: setting 'clip' belongs to objective wgan"),
        ({"space": {"lr_g": 3}}, "space.lr_g: give {low: …, high: …, log: true} or a list"),
        ({"space": {"lr_g": []}}, "space.lr_g: give"),
        ({"space": {"lr_g": {"low": 1e-3, "high": 1e-4}}}, "space.lr_g: low must be below high"),
        ({"space": {"lr_g": {"low": -1, "high": 1}}}, "space.lr_g: -1 is out of range"),
        ({"space": {"beta1": {"low": 0, "high": 0.9, "log": True}}}, "above 0 on a logarithmic scale"),
        ({"space": {"latent": {"low": 0, "high": 1}}}, "space.latent"),
    ],
)
def test_a_wrong_recipe_is_an_input_error_that_names_file_and_key(text: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_recipe(text, "mine.yaml")
    assert str(caught.value).startswith("mine.yaml:") and message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_comes_from_a_file_or_by_name(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text("settings: {objective: wgan, clip: 0.03}\nsize: 32\n")
    loaded = load_recipe(str(path))
    assert (loaded.name, loaded.size, loaded.objective.clip) == ("tiny", 32, 0.03)
    with pytest.raises(InputError, match="unknown recipe 'dcgam': did you mean 'dcgan'"):
        load_recipe("dcgam")
    with pytest.raises(InputError, match="does not exist"):
        load_recipe(str(tmp_path / "no.yaml"))
    path.write_text("settings: {unclosed")
    with pytest.raises(InputError, match="not valid YAML"):
        load_recipe(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"cannot be read|not valid YAML"):
        load_recipe(str(path))


# ---- what a search samples


def test_the_space_is_what_the_parts_declare() -> None:
    for name in OBJECTIVES:
        searched = recipe(objective=name).searchable()
        assert ("clip" in searched) == (name == "wgan")
        assert ("l2_lambda" in searched) == (name == "l2")
        assert ("gp_lambda" in searched) == (name == "wgan-gp")
        assert {"lr_g", "lr_d", "batch", "dropout"} <= set(searched)


def test_a_parameter_without_effect_is_not_searched() -> None:
    assert "beta1" in recipe().searchable() and "rho" not in recipe().searchable()
    wgan = recipe(objective="wgan").searchable()
    assert "rho" in wgan and "beta1" not in wgan
    known = declarations({"network": "dcgan", "objective": "wgan"})["momentum"]
    assert active(known, {"optimizer_g": "sgd", "optimizer_d": "adam"})
    assert not active(known, {"optimizer_g": "adam", "optimizer_d": "adam"})


def test_a_parameter_that_the_search_itself_may_awake_is_searched() -> None:
    text = {"settings": {}, "space": {"optimizer_d": ["adam", "sgd"], "momentum": [0.0, 0.5], "rho": [0.9]}}
    assert set(parse_recipe(text, "mine.yaml").searchable()) == {"optimizer_d", "momentum", "rho"}


def test_a_recipes_own_space_replaces_the_declared_one() -> None:
    text = {"space": {"lr_g": {"low": 1e-4, "high": 1e-3, "log": True}, "batch": [16, 32], "beta1": "default"}}
    space = {name: found for name, (_, found) in parse_recipe(text, "mine.yaml").searchable().items()}
    assert space == {"lr_g": Range(1e-4, 1e-3, log=True), "batch": Choices((16, 32)), "beta1": Range(0.0, 0.9)}
    assert replace(recipe(), space={"batch": Choices((8,))}).searchable()["batch"][1] == Choices((8,))


# ---- settings that a search is to try


def test_settings_are_completed_by_the_recipes_own() -> None:
    wgan = load_recipe("wgan")
    chosen = wgan.complete({"lr_g": "1e-3", "clip": 0.05, "width_g": wgan.settings["width_g"]})
    assert (chosen["lr_g"], chosen["clip"], chosen["lr_d"]) == (1e-3, 0.05, wgan.settings["lr_d"])
    # RMSprop has no betas, and the width is not searched.
    assert list(chosen) == [name for name in wgan.searchable() if not name.startswith("beta")]
    assert wgan.complete({}) == {name: wgan.settings[name] for name in chosen}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"lrg": 1e-3}, r"^there is no parameter 'lrg': did you mean 'lr_g'\?$"),
        ({"lr_g": "fast"}, "lr_g: 'fast' is not a number"),
        ({"lr_g": 0.5}, r"lr_g: 0\.5 lies outside what is searched \(1e-05 to 0\.01, log\)"),
        ({"batch": 48}, r"batch: 48 lies outside what is searched \(16, 32\)"),
        ({"lr_g": 1e-3}, r"batch: is left out, and the recipe's own 64 lies outside what is searched \(16, 32\)"),
        (
            {"batch": 16, "width_g": 8},
            r"width_g: 8 is given, but it is not searched here, and fixed at \d+:",
        ),
        ({"batch": 16, "beta1": 0.5}, r"beta1: has no effect here \(it needs optimizer_g=adam or "),
    ],
)
def test_settings_that_cannot_be_tried_as_they_stand_are_refused(values: dict[str, Any], said: str) -> None:
    wgan = load_recipe("wgan")
    space = {name: space for name, (_, space) in wgan.searchable().items()} | {"batch": Choices((16, 32))}
    with pytest.raises(InputError, match=said):
        replace(wgan, space=space).complete(values)
