"""TensorBoard's HPARAMS page: every parameter of every objective is a column, whichever trial came first."""

from __future__ import annotations

from typing import Any

import pytest
from tensorboard.plugins.hparams import api_pb2, metadata

from gan.metric import REFERENCE_INCEPTION
from gan.recipe.recipe import load_recipe
from search.run.record import TrialRecord
from search.trackers.hparams import Table

RECIPES = {
    name: {"settings": load_recipe(name).settings, "space": load_recipe(name).space_as_dict()}
    for name in ("dcgan", "l2", "wgan")
}


def trial(recipe: str, state: str = "running", **changes: Any) -> TrialRecord:
    made = load_recipe(recipe).with_settings(changes)
    source = "sampled" if changes else "published"
    return TrialRecord("t0000", recipe, made.part_names["objective"], source, changes, made.settings, 0, state=state)


def shown(table: Table, one: TrialRecord) -> dict[str, Any]:
    content = table.row(one, 1e9).metadata.plugin_data.content
    values = metadata.parse_session_start_info_plugin_data(content).hparams
    return {name: getattr(value, str(value.WhichOneof("kind"))) for name, value in values.items()}


def declared(table: Table) -> api_pb2.Experiment:
    return metadata.parse_experiment_plugin_data(table.head().metadata.plugin_data.content)


def test_the_parameters_of_every_objective_are_columns() -> None:
    table = Table(RECIPES, None)
    names = {info.name for info in declared(table).hparam_infos}
    assert {"recipe", "source", "lr_g", "lr_d", "beta1", "rho", "l2_lambda", "clip", "n_critic", "clip_scope"} <= names
    # What is the same in all trials tells nothing.
    assert "latent_dim" not in names
    for one in (trial("dcgan"), trial("l2"), trial("wgan")):
        assert shown(table, one).keys() == names


def test_what_has_no_effect_shows_a_value_that_it_cannot_have() -> None:
    table = Table(RECIPES, None)
    wgan, plain = shown(table, trial("wgan")), shown(table, trial("dcgan"))
    assert (wgan["clip"], wgan["clip_scope"], wgan["rho"]) == (0.01, "all", 0.99)
    assert (wgan["beta1"], wgan["l2_lambda"]) == (-1, -1)
    assert (plain["clip"], plain["clip_scope"], plain["rho"], plain["beta1"]) == (-1, "inactive", -1, 0.5)
    # An optimiser that is sampled decides, trial by trial, whether a parameter has an effect.
    other = shown(table, trial("dcgan", optimizer_g="sgd", optimizer_d="sgd"))
    assert (other["optimizer_g"], other["beta1"]) == ("sgd", -1)


def test_a_parameter_of_negative_values_keeps_its_own_apart() -> None:
    recipes = {
        "a": {"settings": {"tilt": -3.5}, "space": {"tilt": {"low": -7.5, "high": 2.0, "log": False}}},
        "b": {"settings": {}, "space": {}},
    }
    table = Table(recipes, None)
    known = TrialRecord("t0", "a", "x", "sampled", {"tilt": -1.0}, {"tilt": -1.0}, 0)
    assert shown(table, known)["tilt"] == -1.0
    assert shown(table, TrialRecord("t1", "b", "x", "sampled", {}, {}, 0))["tilt"] < -7.5


def test_types_of_columns() -> None:
    recipes = {"a": {"settings": {"flip": False, "batch": 32, "latent": "gaussian"}, "space": {}}}
    recipes["b"] = {"settings": {"flip": True, "batch": 64, "latent": "uniform"}, "space": {"batch": [32, 64]}}
    table = Table(recipes, None)
    types = {info.name: info.type for info in declared(table).hparam_infos}
    assert types["batch"] == api_pb2.DATA_TYPE_FLOAT64
    assert types["flip"] == types["latent"] == types["recipe"] == api_pb2.DATA_TYPE_STRING
    values = shown(table, TrialRecord("t0", "b", "x", "sampled", {}, recipes["b"]["settings"], 0))
    assert (values["flip"], values["batch"], values["latent"]) == ("true", 64, "uniform")
    flip = next(info for info in declared(table).hparam_infos if info.name == "flip")
    assert [each.string_value for each in flip.domain_discrete.values] == ["false", "true", "inactive"]


def test_best_fid_is_the_metric_and_only_the_reference_networks_is_called_fid() -> None:
    for features, weights, said in (
        ("inception", REFERENCE_INCEPTION, "best FID"),
        ("inception", "0" * 64, "best FD (inception, other weights)"),
        ("random-conv", "0" * 64, "best FD (random-conv)"),
    ):
        first = declared(Table(RECIPES, {"features": features, "weights_sha256": weights})).metric_infos[0]
        assert (first.name.tag, first.display_name) == ("quality/best_fid", said)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("finished", api_pb2.STATUS_SUCCESS),
        ("stopped", api_pb2.STATUS_SUCCESS),
        ("diverged", api_pb2.STATUS_FAILURE),
        ("failed", api_pb2.STATUS_FAILURE),
    ],
)
def test_how_a_trial_ended(state: str, status: int) -> None:
    content = Table(RECIPES, None).end(trial("dcgan", state), 1e9).metadata.plugin_data.content
    assert metadata.parse_session_end_info_plugin_data(content).status == status


def test_parts_that_are_not_installed_here() -> None:
    """A run with an objective of somebody's own package can be looked at without it."""
    recipes = {"theirs": {"settings": {"network": "dcgan", "objective": "elsewhere", "lr_g": 1e-3}, "space": {}}}
    recipes["theirs"]["space"] = {"lr_g": {"low": 1e-4, "high": 1e-2, "log": True}}
    one = TrialRecord("t0", "theirs", "elsewhere", "published", {}, recipes["theirs"]["settings"], 0)
    assert shown(Table(recipes, None), one)["lr_g"] == 1e-3
