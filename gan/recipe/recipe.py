"""A recipe: the settings of one training, with where each came from."""

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
from gan.registry import Registry
from gan.schedules import SCHEDULES, Schedule
from gan.settings import LARGEST_SIDE, Choices, Parameter, Part, Range, Space, Value, build, parameters

SIZE = 64
"""At which a recipe's networks are counted where it has no size of its own."""
_MAPPINGS = ("settings", "sources", "settled", "space", "crop")
_KEYS = {
    "base",
    "name",
    "summary",
    "source",
    "size",
    "channels",
    "crop",
    "kimg",
    "settings",
    "sources",
    "settled",
    "space",
}
NONE = "none"
PARTS: dict[str, tuple[Registry, str]] = {
    "network": (FAMILIES, "dcgan"),
    "objective": (OBJECTIVES, "non-saturating"),
    "penalty": (PENALTIES, NONE),
    "augmentation": (AUGMENTATIONS, NONE),
    "schedule": (SCHEDULES, NONE),
}
"""Kind of part → the registry of its names, and the default one. A recipe may have none of the last three."""
_EXPLAINED = (*PARTS, "size", "channels", "crop", "kimg", "data")
"""What `sources` and `settled` may speak of beside the settings of training and parts."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what one training does, but for data, size and seed.

    Attributes:
        name: how people call it.
        part_names: kind of part → name in its registry, or "none".
        training, network, objective, penalty, augmentation, schedule: the settings, each held by the part that uses
            them.
        size: the side of an image in pixels (of a vector: its length), where the recipe has one of its own.
        channels: of the images that it was made for.
        crop: data source → how its images are to be cropped, where nobody says otherwise.
        kimg: thousands of images that the published training showed, where that is known or settled.
        source: the report or paper that the recipe follows.
        sources: setting → where its value comes from.
        settled: setting (or size, crop, kimg, data) → why, for what the source leaves open or contradicts.
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
    def network_name(self) -> str:
        return self.part_names["network"]

    @property
    def objective_name(self) -> str:
        return self.part_names["objective"]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that it has."""
        return tuple(getattr(self, kind) for kind, name in self.part_names.items() if name != NONE)

    @property
    def penalties(self) -> tuple[Objective | Penalty, ...]:
        """The parts that may add a penalty to the discriminator's loss."""
        return (self.objective,) if self.penalty is None else (self.objective, self.penalty)

    @property
    def settings(self) -> dict[str, Value]:
        """All settings by name, in one flat mapping: what `--set` and the search speak of.

        Parts that it does not have are left out.
        """
        values: dict[str, Value] = {kind: name for kind, name in self.part_names.items() if name != NONE}
        for owner in (self.training, *self.parts):
            values |= {name: getattr(owner, name) for name in parameters(owner)}
        return values

    def with_settings(self, changes: dict[str, Any]) -> Recipe:
        """Return this recipe with some settings changed.

        Settings of a part that a change replaces are dropped, from the search space too. So are those of the network
        for which a new part has defaults of its own (layer norm, for wgan-gp).

        Raises:
            InputError: an unknown setting, or a value that is not valid for it.
        """
        if not changes:
            return self
        kept = self.settings
        for kind, old in self.part_names.items():
            new = str(changes.get(kind, old))
            if new != old:
                dropped = [] if old == NONE else list(parameters(PARTS[kind][0][old]))
                dropped += [] if new == NONE else PARTS[kind][0][new].network_defaults
                kept = {name: value for name, value in kept.items() if name not in dropped}
        fields = _build_parts(kept | changes)
        space = self.space
        if space is not None:
            declared = declarations(fields["part_names"])
            space = {name: values for name, values in space.items() if name in declared}
        return dataclasses.replace(self, **fields, space=space)

    def with_space(self, space: dict[str, Space]) -> Recipe:
        """Return this recipe with another search space."""
        return dataclasses.replace(self, space=space)

    def shape(self, size: int | None = None) -> tuple[int, ...]:
        """Return the shape of a row of this size, else the recipe's own, else `SIZE`."""
        return self.network.shape(size or self.size or SIZE, self.channels)

    def networks(self, shape: tuple[int, ...]) -> tuple[nn.Module, nn.Module]:
        """Return a fresh generator and discriminator.

        Args:
            shape: of a row of the data: (height, width, channels) for images.

        Raises:
            InputError: the network cannot make this shape, the augmentation cannot change it, or the objective or
                penalty cannot train the network.
        """
        generator = self.network.generator(shape, self.training.latent_dim)
        discriminator = self.network.discriminator(shape)
        for part in self.penalties:
            part.check(discriminator)
        if self.augmentation is not None:
            self.augmentation.module(shape)
        return generator, discriminator

    def count_parameters(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return the trainable parameters of generator and discriminator, without allocating them.

        Raises:
            InputError: as `networks`; or they are larger than any memory.
        """
        try:
            with torch.device("meta"):
                generator, discriminator = self.networks(shape)
        except RuntimeError as error:  # the bytes of a layer are more than a number of PyTorch's holds
            raise InputError(f"the networks are too large ({error}): choose narrower ones") from None
        return trainable_parameters(generator), trainable_parameters(discriminator)

    def space_as_dict(self) -> dict[str, Any]:
        """Return what a search samples as YAML and JSON write it: {low, high, log} or a list of values."""
        return {
            name: {"low": space.low, "high": space.high, "log": space.log}
            if isinstance(space, Range)
            else list(space.values)
            for name, (_, space) in self.searchable().items()
        }

    def searchable(self) -> dict[str, tuple[Parameter, Space]]:
        """Return the parameters that a search samples for this recipe, with what it samples."""
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


def _part_types(names: Mapping[str, str]) -> dict[str, type[Part]]:
    """Return the classes of the parts that are there, by kind."""
    return {kind: PARTS[kind][0][name] for kind, name in names.items() if name != NONE}


def declarations(names: Mapping[str, str]) -> dict[str, Parameter]:
    """Return every hyperparameter of a training with these parts, in order.

    Args:
        names: kind of part → name in its registry, or "none".
    """
    owners = (Training, *_part_types(names).values())
    return {name: known for owner in owners for name, known in parameters(owner).items()}


def active(known: Parameter, settings: dict[str, Value]) -> bool:
    """Tell whether a parameter has an effect under `settings` (β₁ has none without an Adam)."""
    return not known.needs or any(
        settings.get(name) == value for name, _, value in (need.partition("=") for need in known.needs)
    )


def parse_recipe(text: dict[str, Any], origin: str) -> Recipe:
    """Make a recipe from a parsed YAML mapping.

    Raises:
        InputError: an unknown key or setting, or a wrong value; names `origin` and the key.
    """
    if not isinstance(text, dict):
        raise InputError(f"{origin}: not a recipe (it must be a YAML mapping)")
    for key in text:
        if key not in _KEYS:
            raise InputError(f"{origin}: unknown key '{key}': {nearest(str(key), _KEYS)}")
    for key in _MAPPINGS:
        if text.get(key) is not None and not isinstance(text[key], dict):
            raise InputError(f"{origin}: '{key}' must be a mapping")
    if "base" in text:
        text = _on_base(text, origin)
    for key, value in (text.get("crop") or {}).items():
        _check_crop(key, value, origin)
    size = _whole(text, "size", None, "a number of pixels", origin)
    channels = _whole(text, "channels", 3, "a number of channels", origin)
    try:
        fields = _build_parts(text.get("settings") or {})
        names = fields["part_names"]
        space = _parse_space(text["space"], names) if text.get("space") is not None else None
        for key in ("sources", "settled"):
            _check_explained(text.get(key) or {}, names)
    except InputError as error:
        raise InputError(f"{origin}: {error}") from None
    recipe = Recipe(
        name=str(text.get("name") or Path(origin).stem),
        size=size,
        channels=channels,
        crop=dict(text.get("crop") or {}),
        kimg=_kimg(text.get("kimg"), origin),
        summary=str(text.get("summary", "")),
        source=str(text.get("source", "")),
        sources={str(key): str(value) for key, value in (text.get("sources") or {}).items()},
        settled={str(key): str(value) for key, value in (text.get("settled") or {}).items()},
        space=space,
        **fields,
    )
    if size is not None:
        _check_size(recipe, origin)
    return recipe


def _on_base(text: dict[str, Any], origin: str) -> dict[str, Any]:
    """Return a recipe's text completed by the shipped recipe that it names as its `base`.

    What it says itself replaces what the base says, entry by entry in mappings. An entry of null removes the base's.
    """
    try:
        base = _shipped_text(str(text["base"]))
    except InputError as error:
        raise InputError(f"{origin}: {error}") from None
    if "base" in base:
        base = _on_base(base, origin)
    merged = base | {"name": Path(origin).stem} | {key: value for key, value in text.items() if key != "base"}
    for key in _MAPPINGS:
        if key in base:
            entries = base[key] | (text.get(key) or {})
            merged[key] = {name: value for name, value in entries.items() if value is not None}
    return merged


def _whole(text: dict[str, Any], key: str, default: int | None, what: str, origin: str) -> Any:
    """Return a recipe's `size` or `channels`, checked."""
    value = text.get(key, default)
    if value is not None and (type(value) is not int or not 1 <= value <= LARGEST_SIDE):
        raise InputError(f"{origin}: {key}: '{value}' is not {what}")
    return default if value is None else value


def _kimg(value: Any, origin: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e9:
        raise InputError(f"{origin}: kimg: '{value}' is not thousands of images")
    return float(value)


def _check_crop(source: Any, crop: Any, origin: str) -> None:
    """Raise `InputError` unless a recipe's crop is one, of a kind of data that there is."""
    if source not in SOURCES:
        raise InputError(f"{origin}: crop: unknown data source '{source}': {nearest(str(source), SOURCES)}")
    try:
        Crop.parse(str(crop))
    except InputError as error:
        raise InputError(f"{origin}: {error}") from None


def _check_explained(explanations: dict[Any, Any], names: dict[str, str]) -> None:
    """Raise `InputError` unless all that `sources` or `settled` explain is a setting or a key of recipes."""
    known = (*declarations(names), *_EXPLAINED)
    for name in explanations:
        if name not in known:
            raise InputError(f"unknown setting '{name}': {nearest(str(name), known)}")


def _check_size(recipe: Recipe, origin: str) -> None:
    """Raise `InputError` unless the network can make the recipe's own size."""
    try:
        recipe.count_parameters(recipe.shape())
    except InputError as error:
        raise InputError(f"{origin}: {error}") from None


def shipped() -> list[str]:
    """Return the names of the recipes that come with the package, sorted."""
    names = (item.name for item in (files("gan") / "recipes").iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def load_recipe(name: str) -> Recipe:
    """Return a shipped recipe by name, or one from a YAML file by path.

    Raises:
        InputError: no such recipe, or a file that is not one.
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
        InputError: it cannot be read, or is not YAML.
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
    family = parameters(types["network"])
    defaults: dict[str, Any] = {}
    for part in types.values():
        own = {name: value for name, value in part.network_defaults.items() if name in family}
        defaults |= part.defaults | own
    values = defaults | values
    known = declarations(names)
    for name in values:
        if name not in known:
            raise InputError(_explain_unknown(name, names))

    def built(owner: type[Any]) -> Any:
        return build(owner, {name: value for name, value in values.items() if name in parameters(owner)})

    return {"part_names": names, "training": built(Training)} | {kind: built(part) for kind, part in types.items()}


def _explain_unknown(name: str, names: dict[str, str]) -> str:
    """Say what is wrong with a setting that neither training nor any part has."""
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
        if name not in declared:
            raise InputError(f"space: {_explain_unknown(name, names)}")
        space[name] = parse_range(name, given, declared[name])
    return space


def parse_range(name: str, given: Any, known: Parameter) -> Space:
    """Read what to search for one parameter: {low, high, log}, a list of values, or "default".

    Raises:
        InputError: neither of these, or values that are not valid for the parameter.
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
