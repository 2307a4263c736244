"""TensorBoard's HPARAMS page: a column for every setting in which trials can differ, a row for every trial."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf import struct_pb2
from tensorboard.compat.proto import summary_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

from gan.metric import label
from search.run.active_parameters import Recipes, declared, has_effect, is_number, searched, values_of
from search.run.record import LOST, TrialRecord

METRICS = {"quality/best_fid": "best", "quality/fid": "last", "state/diverged": "diverged"}
"""Tags of the scalars whose last values are shown beside the parameters, and their names there."""

INACTIVE_TEXT = "inactive"
_ALWAYS = ("recipe", "source")


class Table:
    """The columns and rows of one run.

    Args:
        recipes: that it searches over.
        evaluation: identity of its distances, from the journal.
    """

    def __init__(self, recipes: Recipes, evaluation: Mapping[str, Any] | None) -> None:
        columns = [_column(name, recipes) for name in _names(recipes)]
        self._inactive = {info.name: inactive for info, inactive in columns}
        self._infos = [
            _text_column("recipe", "the kind of GAN", recipes, leads=True),
            _text_column("source", "where its settings come from", ("published", "sampled")),
            *(info for info, _ in columns),
        ]
        self._distance = label(evaluation)

    def head(self) -> summary_pb2.Summary.Value:
        """Return the summary that declares the columns. TensorBoard takes that of any trial, so each has the same."""
        names = [name if tag.startswith("state") else f"{name} {self._distance}" for tag, name in METRICS.items()]
        metrics = [
            api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=name)
            for tag, name in zip(METRICS, names, strict=True)
        ]
        experiment = api_pb2.Experiment(hparam_infos=self._infos, metric_infos=metrics)
        return _summary(metadata.EXPERIMENT_TAG, plugin_data_pb2.HParamsPluginData(experiment=experiment))

    def row(self, trial: TrialRecord, at: float) -> summary_pb2.Summary.Value:
        """Return the summary with a trial's parameters, for its start."""
        start = plugin_data_pb2.SessionStartInfo(start_time_secs=at)
        start.hparams["recipe"].string_value = trial.recipe
        start.hparams["source"].string_value = trial.source
        for name, inactive in self._inactive.items():
            value = _value(name, inactive, trial.settings)
            if isinstance(value, str):
                start.hparams[name].string_value = value
            else:
                start.hparams[name].number_value = value
        return _summary(metadata.SESSION_START_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=start))

    def end(self, trial: TrialRecord, at: float) -> summary_pb2.Summary.Value:
        """Return the summary with a trial's end: success or failure."""
        status = api_pb2.STATUS_FAILURE if trial.state in LOST else api_pb2.STATUS_SUCCESS
        info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=at)
        return _summary(metadata.SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=info))


def _names(recipes: Recipes) -> list[str]:
    """Return the settings that any recipe searches, or that differ between recipes."""
    settings = [recipe.get("settings") or {} for recipe in recipes.values()]
    missing = object()

    def differs(name: str) -> bool:
        first, *others = (each.get(name, missing) for each in settings)
        return any(other != first for other in others)

    names = dict.fromkeys(name for each in settings for name in each)
    wanted = set(searched(recipes)) | {name for name in names if differs(name)}
    return [name for name in names if name in wanted and name not in _ALWAYS]


def _column(name: str, recipes: Recipes) -> tuple[api_pb2.HParamInfo, str | float]:
    """Return the column of a setting, and what it shows for a trial in which the setting has no effect.

    TensorBoard leaves trials without a value out of most of its plots.
    """
    values, about = values_of(name, recipes), _help(name, recipes)
    if not all(map(is_number, values)):
        return _text_column(name, about, [*map(_text, values), INACTIVE_TEXT]), INACTIVE_TEXT
    info = api_pb2.HParamInfo(name=name, display_name=name, description=about, type=api_pb2.DATA_TYPE_FLOAT64)
    info.differs = _is_broad(name, recipes)
    # A number that the setting itself cannot have.
    return info, min(-1.0, math.floor(float(min(values))) - 1.0)


def _text_column(name: str, about: str, texts: Iterable[str], *, leads: bool = False) -> api_pb2.HParamInfo:
    """Return a column of texts.

    Args:
        leads: whether it is shown first. By default TensorBoard shows the five first ones in the alphabet.
    """
    info = api_pb2.HParamInfo(name=name, display_name=name, description=about, type=api_pb2.DATA_TYPE_STRING)
    info.differs = leads
    info.domain_discrete.values.extend(struct_pb2.Value(string_value=text) for text in dict.fromkeys(texts))
    return info


def _is_broad(name: str, recipes: Recipes) -> bool:
    """Tell whether every recipe searches a setting over orders of magnitude; then it is shown first."""
    spaces = [(recipe.get("space") or {}).get(name) for recipe in recipes.values()]
    return all(isinstance(space, Mapping) and bool(space.get("log")) for space in spaces)


def _value(name: str, inactive: str | float, settings: Mapping[str, Any]) -> str | float:
    if name not in settings or not has_effect(name, settings):
        return inactive
    value = settings[name]
    if isinstance(inactive, str):
        return _text(value)
    return float(value) if is_number(value) else inactive


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _help(name: str, recipes: Recipes) -> str:
    parameters = (declared(recipe.get("settings") or {}).get(name) for recipe in recipes.values())
    return next((parameter.help for parameter in parameters if parameter is not None), "")


def _summary(tag: str, content: plugin_data_pb2.HParamsPluginData) -> summary_pb2.Summary.Value:
    about = metadata.create_summary_metadata(content)
    return summary_pb2.Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)
