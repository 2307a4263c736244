"""A recipe: the settings of one training, and the source of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from gan.augmentations import AUGMENTATIONS, Augmentation
from gan.data.sources.decode import Crop
from gan.data.sources.opening import SOURCES
from gan.errors import InputError, nearest
from gan.networks import FAMILIES, Family
from gan.networks.base import trainable_parameters
from gan.objectives import OBJECTIVES, Objective
from gan.penalties import PENALTIES, Penalty
from gan.recipe.training_settings import Training
from gan.registry import NONE, Registry
from gan.schedules import SCHEDULES, Schedule
from gan.settings import LARGEST_SIDE, Choices, Parameter, Part, Range, Space, Value, build, parameters

SIZE = 64
"""Image side at which parameters are counted for a recipe without a size of its own."""
_MAPPINGS = ("settings", "sources", "settled", "space", "crop")
_KEYS = {"base", "name", "summary", "source", "size", "channels", "kimg", *_MAPPINGS}
PARTS: dict[str, tuple[Registry, str]] = {
    "network": (FAMILIES, "dcgan"),
    "objective": (OBJECTIVES, "non-saturating"),
    "penalty": (PENALTIES, NONE),
    "augmentation": (AUGMENTATIONS, NONE),
    "schedule": (SCHEDULES, NONE),
}
"""Kind of part → its registry, and the default name."""
_EXPLAINABLE = (*PARTS, "size", "channels", "crop", "kimg", "data")
"""Keys of `sources` and `settled`, in addition to the settings of training and parts."""


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a training, except data, size and seed.

    Attributes:
        name: the name in commands and reports.
        part_names: kind of part → name in its registry, or "none".
        training, network, objective, penalty, augmentation, schedule: the settings, each in the part that uses them.
        size: the side of an image in pixels (or the length of a vector), if the recipe has one of its own.
        channels: number of image channels that the recipe is made for.
        crop: data source → default crop of its images.
        kimg: thousands of images shown in the published training, if known or settled.
        summary: one line that describes the recipe.
        source: the report or paper that the recipe follows.
        sources: setting → the source of its value.
        settled: setting (or size, crop, kimg, data) → reason for a choice that the source leaves open or contradicts.
        space: parameter → what a search samples, instead of its declared default.
    """

    name: str
    part_names: dict[str, str]
    training: Training
    network: Family
    objective: Objective
    penalty: Penalty | None = None
    augmentation: Augmentation | None = None
    schedule: Schedule | None = None
    size: int | None = None
    channels: int = 3
    crop: dict[str, str] = field(default_factory=dict)
    kimg: float | None = None
    summary: str = ""
    source: str = ""
    sources: dict[str, str] = field(default_factory=dict)
    settled: dict[str, str] = field(default_factory=dict)
    space: dict[str, Space] | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """The recipe's parts, without those that it does not have."""
        return tuple(getattr(self, kind) for kind, name in self.part_names.items() if name != NONE)

    @property
    def penalties(self) -> tuple[Objective | Penalty, ...]:
        """The parts that may add a penalty to the discriminator's loss."""
        return (self.objective,) if self.penalty is None else (self.objective, self.penalty)

    @property
    def settings(self) -> dict[str, Value]:
        """All settings by name, in one flat mapping with the names that `--set` and the search use.

        Parts that the recipe does not have are omitted.
        """
        values: dict[str, Value] = {kind: name for kind, name in self.part_names.items() if name != NONE}
        for owner in (self.training, *self.parts):
            values |= {name: getattr(owner, name) for name in parameters(owner)}
        return values

    def with_settings(self, changes: dict[str, Any]) -> Recipe:
        """Return this recipe with some settings changed.

        If a part is replaced, its settings are dropped, also from the search space. So are settings of the network for
        which the new part has defaults (layer norm, for wgan-gp).

        Raises:
            InputError: a setting is unknown, or its value is not valid.
        """
        if not changes:
            return self
        kept = self.settings
        for kind, old in self.part_names.items():
            new = str(changes.get(kind, old))
            if new != old:
                types = _part_types({kind: old}), _part_types({kind: new})
                dropped = {name for part in types[0].values() for name in parameters(part)}
                dropped |= {name for part in types[1].values() for name in part.network_defaults}
                kept = {name: value for name, value in kept.items() if name not in dropped}
        fields = _build_parts(kept | changes)
        space = self.space
        if space is not None:
            declared = declarations(fields["part_names"])
            space = {name: values for name, values in space.items() if name in declared}
        return dataclasses.replace(self, **fields, space=space)

    def shape(self, size: int | None = None) -> tuple[int, ...]:
        """Return the shape of one row of data at this size; by default at the recipe's own, or else at `SIZE`."""
        return self.network.shape(size or self.size or SIZE, self.channels)

    def networks(self, shape: tuple[int, ...]) -> tuple[nn.Module, nn.Module]:
        """Return a fresh generator and discriminator.

        Args:
            shape: the shape of one row of data: (height, width, channels) for images.

        Raises:
            InputError: the network cannot generate this shape, or the objective or penalty cannot train the network.
        """
        generator = self.network.generator(shape, self.training.latent_dim)
        discriminator = self.network.discriminator(shape)
        for part in self.penalties:
            part.check(discriminator)
        return generator, discriminator

    def count_parameters(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return the numbers of trainable parameters of generator and discriminator, without allocating them.

        Raises:
            InputError: as for `networks`; the augmentation cannot process this shape; or the networks are larger than
                any memory.
        """
        if self.augmentation is not None:
            self.augmentation.module(shape)
        try:
            with torch.device("meta"):
                generator, discriminator = self.networks(shape)
        except RuntimeError as error:  # the size of a layer in bytes overflows
            raise InputError(f"the networks are too large ({error}): choose narrower ones") from None
        return trainable_parameters(generator), trainable_parameters(discriminator)

    def space_as_dict(self) -> dict[str, Any]:
        """Return the search space in the form of YAML and JSON: {low, high, log} or a list of values."""
        return {
            name: {"low": space.low, "high": space.high, "log": space.log}
            if isinstance(space, Range)
            else list(space.values)
            for name, (_, space) in self.searchable().items()
        }

    def searchable(self) -> dict[str, tuple[Parameter, Space]]:
        """Return the parameters that a search samples for this recipe, each with its space."""
        declared = declarations(self.part_names)
        chosen = self.space
        if chosen is None:
            chosen = {name: known.search for name, known in declared.items() if known.search is not None}
        settings = self.settings
        return {
            name: (declared[name], space)
            for name, space in chosen.items()
            if active(declared[name], settings)
            or any(need.partition("=")[0] in chosen for need in declared[name].needs)
        }

    def complete(self, values: dict[str, Any]) -> dict[str, Value]:
        """Return values of all parameters that a search samples for this recipe, as far as they have an effect.

        Args:
            values: some of them. The others take the recipe's own values.

        Raises:
            InputError: a parameter is unknown, fixed at another value or without effect; or a value, be it the recipe's
                own, lies outside the search space.
        """
        declared, searched = declarations(self.part_names), self.searchable()
        given: dict[str, Value] = {}
        for name, value in values.items():
            if name not in declared:
                raise InputError(f"there is no parameter '{name}': {nearest(str(name), searched)}")
            given[name] = declared[name].check(name, value)
        settings = self.settings | given
        chosen: dict[str, Value] = {}
        for name in dict.fromkeys([*given, *searched]):
            value = settings[name]
            if not active(declared[name], settings):
                if name in given:
                    needs = " or ".join(declared[name].needs)
                    raise InputError(f"{name}: has no effect here (it needs {needs}): leave it out")
            elif name not in searched:
                if value != self.settings[name]:
                    fixed = f"{value} is given, but it is not searched here, and fixed at {self.settings[name]}"
                    raise InputError(f"{name}: {fixed}: leave it out, or search it (`space`)")
            elif value not in searched[name][1]:
                whose = "" if name in given else "is left out, and the recipe's own "
                raise InputError(f"{name}: {whose}{value} lies outside what is searched ({searched[name][1]})")
            else:
                chosen[name] = value
        return {name: chosen[name] for name in searched if name in chosen}


def _part_types(names: Mapping[str, str]) -> dict[str, type[Part]]:
    """Return kind → class of the parts that are not "none"."""
    return {kind: PARTS[kind][0][name] for kind, name in names.items() if name != NONE or not PARTS[kind][0].optional}


def declarations(names: Mapping[str, str]) -> dict[str, Parameter]:
    """Return all hyperparameters of a training with these parts, in order.

    Args:
        names: kind of part → name in its registry, or "none".

    Raises:
        InputError: a part is unknown, or two declare the same name.
    """
    found: dict[str, Parameter] = {}
    owners: tuple[type[Any], ...] = (Training, *_part_types(names).values())
    for owner in owners:
        declared = parameters(owner)
        if twice := sorted(found.keys() & declared):
            raise InputError(f"{owner.__name__} declares '{twice[0]}', as another part or the training does: rename it")
        found |= declared
    return found


def active(known: Parameter, settings: dict[str, Value]) -> bool:
    """Tell whether a parameter has an effect under `settings` (β₁ has none without Adam)."""
    return not known.needs or any(
        settings.get(name) == value for name, _, value in (need.partition("=") for need in known.needs)
    )


def parse_recipe(text: dict[str, Any], origin: str) -> Recipe:
    """Build a recipe from a parsed YAML mapping.

    Raises:
        InputError: a key or setting is unknown, or a value is wrong; the message names `origin` and the key.
    """
    try:
        return _parse(text, Path(origin).stem)
    except InputError as error:
        raise InputError(f"{origin}: {error}") from None


def _parse(text: dict[str, Any], name: str) -> Recipe:
    """Build a recipe; it is called `name` if it does not say otherwise."""
    if not isinstance(text, dict):
        raise InputError("not a recipe (it must be a YAML mapping)")
    for key in text:
        if key not in _KEYS:
            raise InputError(f"unknown key '{key}': {nearest(str(key), _KEYS)}")
    for key in _MAPPINGS:
        if text.get(key) is not None and not isinstance(text[key], dict):
            raise InputError(f"'{key}' must be a mapping")
    text = _one_name_each(text)
    if "base" in text:
        text = _on_base(text, name)
    for key, value in (text.get("crop") or {}).items():
        _check_crop(key, value)
    size = _whole(text, "size", None, "a number of pixels")
    channels = _whole(text, "channels", 3, "a number of channels")
    fields = _build_parts(text.get("settings") or {})
    names = fields["part_names"]
    space = _parse_space(text["space"], names) if text.get("space") is not None else None
    for key in ("sources", "settled"):
        _check_explanations(text.get(key) or {}, names)
    recipe = Recipe(
        name=str(text.get("name") or name),
        size=size,
        channels=channels,
        crop=dict(text.get("crop") or {}),
        kimg=_kimg(text.get("kimg")),
        summary=str(text.get("summary", "")),
        source=str(text.get("source", "")),
        sources={str(key): str(value) for key, value in (text.get("sources") or {}).items()},
        settled={str(key): str(value) for key, value in (text.get("settled") or {}).items()},
        space=space,
        **fields,
    )
    if size is not None:
        recipe.count_parameters(recipe.shape())  # Raises if the network does not support the recipe's own size.
    return recipe


def _one_name_each(text: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe's mapping with one entry for each name that `sources` and `settled` explain together."""
    mappings = {key: text[key] for key in ("sources", "settled") if text.get(key)}
    return text | {
        key: {name.strip(): why for names, why in mapping.items() for name in str(names).split(",")}
        for key, mapping in mappings.items()
    }


def _on_base(text: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a recipe's mapping, completed by the shipped recipe that it names as its `base`.

    Its own values replace the base's; mappings are merged entry by entry. A null entry removes the base's entry.
    """
    base = _one_name_each(_shipped_text(str(text["base"])))
    if "base" in base:
        base = _on_base(base, name)
    merged = base | {"name": name} | {key: value for key, value in text.items() if key != "base"}
    for key in _MAPPINGS:
        if key in base:
            entries = base[key] | (text.get(key) or {})
            merged[key] = {entry: value for entry, value in entries.items() if value is not None}
    return merged


def _whole(text: dict[str, Any], key: str, default: int | None, expected: str) -> Any:
    """Check a recipe's `size` or `channels`, and return it."""
    value = text.get(key, default)
    if value is not None and (type(value) is not int or not 1 <= value <= LARGEST_SIDE):
        raise InputError(f"{key}: '{value}' is not {expected}")
    return default if value is None else value


def _kimg(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e9:
        raise InputError(f"kimg: '{value}' is not thousands of images")
    return float(value)


def _check_crop(source: Any, crop: Any) -> None:
    """Raise `InputError` unless the data source is known and its crop is valid."""
    if source not in SOURCES:
        raise InputError(f"crop: unknown data source '{source}': {nearest(str(source), SOURCES)}")
    Crop.parse(str(crop))


def _check_explanations(explanations: dict[Any, Any], names: dict[str, str]) -> None:
    """Raise `InputError` unless each key of `sources` or `settled` is a setting or another explainable key."""
    known = (*declarations(names), *_EXPLAINABLE)
    for name in explanations:
        if name not in known:
            raise InputError(f"unknown setting '{name}': {nearest(str(name), known)}")


def shipped() -> list[str]:
    """Return the names of the recipes that come with the package, sorted."""
    names = (item.name for item in (files("gan") / "recipes").iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def load_recipe(name: str) -> Recipe:
    """Return a shipped recipe by name, or read one from a YAML file by path.

    Raises:
        InputError: there is no such recipe, or the file is not one.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"recipe file {name} does not exist")
        return parse_recipe(read_yaml(path), name)
    return parse_recipe(_shipped_text(name), name)


def _shipped_text(name: str) -> dict[str, Any]:
    if name not in shipped():
        raise InputError(f"unknown recipe '{name}': {nearest(name, shipped())}")
    text: dict[str, Any] = yaml.safe_load((files("gan") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8"))
    return text


def read_yaml(path: Path) -> Any:
    """Parse a YAML file safely.

    Raises:
        InputError: the file cannot be read, or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None


def _build_parts(values: dict[str, Any]) -> dict[str, Any]:
    """Build training settings and parts from flat settings; return them as fields of a `Recipe`."""
    values = dict(values)
    names = {kind: str(values.pop(kind, default)) for kind, (_, default) in PARTS.items()}
    types = _part_types(names)
    network_parameters = parameters(types["network"])
    defaults: dict[str, Any] = {}
    for part in types.values():
        own = {name: value for name, value in part.network_defaults.items() if name in network_parameters}
        defaults |= part.defaults | own
    values = defaults | values
    known = declarations(names)
    for name in values:
        if name not in known:
            raise InputError(_explain_unknown(name, names))

    def make(owner: type[Any]) -> Any:
        return build(owner, {name: value for name, value in values.items() if name in parameters(owner)})

    return {"part_names": names, "training": make(Training)} | {kind: make(part) for kind, part in types.items()}


def _explain_unknown(name: str, names: dict[str, str]) -> str:
    """Return the error message for a setting that neither training nor any part has."""
    for kind, (registry, _) in PARTS.items():
        owners = [other for other in registry if name in parameters(registry[other])]
        if owners:
            return f"setting '{name}' belongs to {kind} {', '.join(owners)}, not to {names[kind]}"
    return f"unknown setting '{name}': {nearest(str(name), [*declarations(names), *PARTS])}"


def _parse_space(text: dict[str, Any], names: dict[str, str]) -> dict[str, Space]:
    """Read a recipe's `space`: name → {low, high, log} or a list of values."""
    declared = declarations(names)
    space: dict[str, Space] = {}
    for name, given in text.items():
        if name in PARTS:
            raise InputError(f"space: a search does not choose the {name}: compare recipes with different ones")
        if name not in declared:
            raise InputError(f"space: {_explain_unknown(name, names)}")
        space[name] = parse_range(name, given, declared[name])
    return space


def parse_range(name: str, given: Any, known: Parameter) -> Space:
    """Read one parameter's search space: {low, high, log}, a list of values, or "default".

    Raises:
        InputError: it is none of these, or contains values that are not valid for the parameter.
    """
    if given == "default" and known.search is not None:
        return known.search
    if isinstance(given, list) and given:
        return Choices(tuple(known.check(f"space.{name}", value) for value in given))
    if isinstance(given, dict) and {"low", "high"} <= set(given) <= {"low", "high", "log"}:
        low, high = (known.check(f"space.{name}", given[end]) for end in ("low", "high"))
        log = given.get("log", False)
        if not isinstance(log, bool):
            raise InputError(f"space.{name}: log: '{log}' is not true or false")
        if isinstance(low, (str, bool)) or isinstance(high, (str, bool)):
            raise InputError(f"space.{name}: give a list of values")
        if low >= high or (log and low <= 0):
            raise InputError(f"space.{name}: low must be below high, and above 0 on a logarithmic scale")
        return Range(low, high, log)
    raise InputError(f"space.{name}: give {{low: …, high: …, log: true}} or a list of values")
