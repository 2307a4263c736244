"""A run's settings: from YAML and flags, validated, split into what identifies a run and what does not.

The flags of `sweep` and `compare`, with their help, are made from the fields here. So this is imported for every
command, and imports PyTorch only where recipes are loaded.
"""

from __future__ import annotations

import dataclasses
import math
import re
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from gan.errors import InputError, nearest
from gan.settings import LARGEST_SIDE, SMALLEST_SIDE, Space, Value, to_images

if TYPE_CHECKING:
    from gan.recipe.recipe import Recipe

DEFAULTS = ("dcgan", "l2", "wgan")
"""Recipes that a sweep searches over unless others are named."""
MOST_TRIALS = 1_000_000
PORTFOLIO_SHARE = 1 / 3
"""Share of a sweep's trials that a prior's portfolio may take."""
PUBLISHED_SHARE = 0.1
"""Share of a sweep's training that published settings may take and still train to their full length."""
TRAINED_SHARE = 0.4
"""Share of the full length that a sweep's trials train, in the mean."""
REST = "rest"
"""Value of `finish`: the winner is trained on for the rest of the time budget."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(value: Any) -> Any:
    """Convert a text such as "2h" to seconds."""
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if not match:
        raise ValueError("give seconds, or a number with s, m, h or d, such as 90s or 2h")
    return float(match[1]) * _SECONDS[match[2]]


Duration = Annotated[float, BeforeValidator(_seconds)]


class RunSpec(BaseModel):
    """The settings that every run has, be it a sweep or a comparison.

    Class attributes:
        identifying: fields that identify a run, beside its recipes and its data; all others may change
            between launches.
        growing: parts of the identity to which a later launch may add, without changing what is there.
    """

    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)
    identifying: ClassVar[tuple[str, ...]] = ("kimg", "seed", "features", "samples", "size", "crop")
    growing: ClassVar[tuple[str, ...]] = ()

    kind: str
    name: str
    recipes: list[Any]
    settings: dict[str, Any] = Field({}, description="settings changed in every recipe")
    data: str = Field("faces", description="faces, mnist:DIR, fashion-mnist:DIR, celeba:DIR, folder:DIR, packed:URI")
    size: int | None = Field(
        None,
        ge=SMALLEST_SIDE,
        le=LARGEST_SIDE,
        description="side of the images in pixels; default: the recipes', or the data's own",
    )
    crop: str | None = Field(
        None, description="crop before resizing, such as center-178; default: the recipes', or the data's own"
    )
    kimg: float = Field(200.0, gt=0, description="thousands of real images a full trial sees")
    interval_kimg: float | None = Field(None, gt=0, description="kimg between reports; default kimg / 12")
    seed: int
    features: str | None = Field(None, description="inception, random-conv or exported:PATH; default: by data")
    inception_weights: str | None = Field(None, description="file of the Inception weights; default: fetched once")
    samples: int = Field(5000, ge=2, le=1_000_000, description="generated images FID is computed on")

    storage: str = Field("results", description="where runs are kept: a folder, s3:// or gs://")
    concurrent: int | None = Field(None, ge=1, description="trials at once; default: what fits")
    cpus_per_trial: float = Field(1.0, gt=0, description="CPU cores a trial takes, and its threads")
    gpus_per_trial: float | Literal["auto"] | None = Field(
        None,
        description="GPUs a trial takes; 0.25 packs four on one; auto: as many as its memory and the cores hold,"
        " 16 at most; default: 1 where there are any",
    )
    device: str = Field("auto", description="auto, cpu or cuda")
    precision: str = Field("auto", description="auto, fp32 or bf16")
    address: str | None = Field(None, description="address of a Ray cluster; default: this machine alone")
    wait_for_nodes: Duration = Field(
        0.0,
        ge=0,
        description="how long, such as 15m, an autoscaler may take to bring the first node that holds a trial",
    )
    time_budget: Duration | None = Field(
        None, gt=0, description="end cleanly after this long, such as 90s, 30m, 2h or 1d; default: never"
    )
    retries: int = Field(3, ge=0, le=100, description="times a trial is restarted without a new report in between")

    @field_validator("name")
    @classmethod
    def _name_is_a_folder(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("use letters, digits, '.', '_' and '-' (at most 100), starting with a letter or digit")
        return name

    @field_validator("gpus_per_trial", mode="before")
    @classmethod
    def _parse_gpus(cls, value: Any) -> Any:
        if value is None or value == "auto":
            return value
        try:
            gpus = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            gpus = math.nan
        if not 0 <= gpus < math.inf:
            raise ValueError("give a number from 0 on, such as 0.25, or auto")
        return gpus

    @model_validator(mode="after")
    def _interval_fits(self) -> Self:
        if self.interval > self.kimg and not self._chooses_kimg:
            raise ValueError("interval_kimg is longer than kimg")
        return self

    @property
    def _chooses_kimg(self) -> bool:
        """Whether the length is still to be chosen."""
        return False

    @property
    def interval(self) -> float:
        """Thousands of images between two reports of a trial: a whole number of images."""
        wanted = self.interval_kimg if self.interval_kimg is not None else self.kimg / 12
        return to_images(wanted) / 1000

    @property
    def worker_device(self) -> str:
        """The device of a trial: a worker that was given no share of a GPU must not use one."""
        return "cpu" if self.device == "auto" and not self.gpus else self.device

    @property
    def gpus(self) -> float:
        """GPUs a trial takes; a whole one until `search.cluster.gpu_share` has measured what it needs."""
        if self.gpus_per_trial == "auto":
            return 1.0
        return self.gpus_per_trial or 0.0

    @property
    def worker_threads(self) -> int:
        return max(1, int(self.cpus_per_trial))

    @property
    @abstractmethod
    def bundles_kept(self) -> int:
        """How many trials of the run, the best first, keep their best generator."""

    @property
    def checkpoints_kept(self) -> bool:
        """Whether these trials keep their checkpoints too, so that they can be trained on."""
        return False

    def rungs(self) -> list[float]:
        """Milestones in kimg at which trials that fall behind are stopped; by default there are none."""
        return []

    @abstractmethod
    def load_recipes(self) -> dict[str, Recipe]:
        """Return the recipes by name, with this run's settings applied.

        Raises:
            InputError: an unknown recipe or setting, or two recipes of one name.
        """

    def identity(self) -> dict[str, Any]:
        """Return the fields that identify this run, as far as they are plain values.

        Recipes and data belong to the identity too, by their content: see `preflight.Plan.identity`.
        """
        return {name: getattr(self, name) for name in self.identifying} | {"interval_kimg": self.interval}


S = TypeVar("S", bound=RunSpec)


class SweepSpec(RunSpec):
    """All settings of a sweep."""

    identifying = (*RunSpec.identifying, "reduction_factor", "futility", "minimum_share", "published")

    kind: Literal["sweep"] = "sweep"
    name: str = Field("sweep", description="name of the run: its folder in the storage")
    recipes: list[str] = Field(list(DEFAULTS), min_length=1, description="recipes to search over")
    space: dict[str, Any] = Field({}, description="parameter → what to search, instead of its default")
    points: list[Any] = Field([], description="settings to try before samples: parameter → value, and `recipe`")
    grace_kimg: float | None = Field(None, gt=0, description="first ASHA rung; default one interval")
    reduction_factor: float = Field(4.0, gt=1, description="ASHA keeps the best 1/x at each rung")
    futility: float | None = Field(
        3.0, ge=0, description="deviations by which one of the first 100 trials must miss the best; null: never"
    )
    minimum_share: float = Field(0.1, ge=0, le=1, description="share of trials dealt evenly to the recipes")
    published: bool = Field(
        True,
        description="run each recipe's own settings; to full length if that takes at most a tenth of the training",
    )
    prior: str | None = Field(
        "shipped",
        description="what is known beforehand: shipped, none, a prior's file, or earlier runs; commas between several",
    )
    seed: int = Field(0, ge=0, lt=2**31, description="seed of the search; trials derive theirs from it")

    trials: int = Field(20, ge=1, le=MOST_TRIALS, description="trials in all, published ones included")
    top_k: int = Field(3, ge=1, le=1000, description="bundles kept of the whole sweep")
    finalists: int = Field(
        0, ge=0, le=1000, description="best settings trained again on fresh seeds, with the published ones"
    )
    finalist_seeds: int = Field(3, ge=1, le=1000, description="fresh seeds for each finalist")
    finish: float | Literal["rest"] | None = Field(
        None,
        description="in the end train the winner on, to so many times kimg, or for the rest of the time budget;"
        " default: rest if the budget chooses the length, else not",
    )

    @field_validator("recipes")
    @classmethod
    def _recipes_differ(cls, recipes: list[str]) -> list[str]:
        if len(set(recipes)) < len(recipes):
            raise ValueError("a recipe is named twice")
        return recipes

    @field_validator("finish", mode="before")
    @classmethod
    def _parse_finish(cls, value: Any) -> Any:
        if value is None or value == REST:
            return value
        try:
            times = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            times = math.nan
        if not 1 < times < math.inf:
            raise ValueError(f"give a number above 1, such as 4, or {REST}")
        return times

    @model_validator(mode="after")
    def _rungs_fit(self) -> Self:
        if self.grace_kimg is not None and self.grace_kimg >= self.kimg and not self._chooses_kimg:
            raise ValueError("grace_kimg must be below kimg, or no trial is ever stopped")
        return self

    @property
    def bundles_kept(self) -> int:
        return self.top_k

    @property
    def checkpoints_kept(self) -> bool:
        return True

    @property
    def _chooses_kimg(self) -> bool:
        return self.time_budget is not None and "kimg" not in self.model_fields_set

    @property
    def portfolio_trials(self) -> int:
        """How many trials a prior's portfolio may take."""
        return int(self.trials * PORTFOLIO_SHARE)

    def published_in_full(self, recipes: int) -> bool:
        """Tell whether published settings are exempt from stopping: if they take a small share of all training.

        In a run of version 0.1.0 they always are.
        """
        return self.prior is None or recipes <= PUBLISHED_SHARE * TRAINED_SHARE * self.trials

    def rungs(self) -> list[float]:
        """ASHA's milestones in kimg: grace·η^k below `kimg`, each a multiple of the interval."""
        interval, total = to_images(self.interval), to_images(self.kimg)
        grace = float(interval) if self.grace_kimg is None else self.grace_kimg * 1000
        milestone: float = max(1, round(grace / interval)) * interval
        milestones: list[float] = []
        while (images := max(1, round(milestone / interval)) * interval) < total:
            milestones.append(images / 1000)
            milestone *= self.reduction_factor
        return list(dict.fromkeys(milestones))

    def load_recipes(self) -> dict[str, Recipe]:
        """Return the recipes by name, with this sweep's settings and search ranges applied.

        Raises:
            InputError: an unknown recipe, setting or range; or a parameter none of them has.
        """
        from gan.recipe.recipe import declarations, load_recipe

        loaded = [load_recipe(name).with_settings(self.settings) for name in self.recipes]
        if len({recipe.name for recipe in loaded}) < len(loaded):
            raise InputError(f"recipes: two of {', '.join(self.recipes)} have the same name; rename one")
        # A parameter that a sweep sets is not searched, unless the sweep's own `space` says so.
        space = dict.fromkeys(self.settings) | self.space
        recipes = {recipe.name: _with_space(recipe, space) for recipe in loaded}
        known = {name for recipe in loaded for name in declarations(recipe.part_names)}
        for name in self.space:
            if name not in known:
                raise InputError(f"space: none of the recipes has '{name}': {nearest(name, known)}")
        self.resolve_points(recipes)
        return recipes

    def resolve_points(self, recipes: dict[str, Recipe]) -> list[tuple[str, dict[str, Value]]]:
        """Return the recipe of each point, and its values of all searched parameters: see `Recipe.complete`.

        Raises:
            InputError: the first point that cannot be tried as it stands, or more of them than trials.
        """
        published = len(recipes) if self.published else 0
        if self.points and published + len(self.points) > self.trials:
            there = f"{len(self.points)} and {published} published settings are more than the {self.trials} trials"
            raise InputError(f"points: {there}: raise trials, or leave some out")
        return [_resolve_point(f"points: point {place}", point, recipes) for place, point in enumerate(self.points, 1)]

    def identity(self) -> dict[str, Any]:
        # Runs of version 0.1.0 have no points, and must stay the same runs.
        return super().identity() | {"rungs": self.rungs()} | ({"points": self.points} if self.points else {})


class Contestant(BaseModel):
    """Settings to be compared that are not a shipped recipe's: those of a file, or of a trial of another run.

    Attributes:
        recipe: as in a recipe's YAML file; "name" is its name in the comparison.
        source: "published", or "sampled" by a search.
        params: those of its settings that a search sampled.
    """

    model_config = ConfigDict(extra="forbid")

    recipe: dict[str, Any]
    source: Literal["published", "sampled"] = "published"
    params: dict[str, Any] = {}

    @field_validator("recipe")
    @classmethod
    def _has_a_name(cls, recipe: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(recipe.get("name"), str) or not recipe["name"]:
            raise ValueError("give the recipe a name")
        return recipe

    @property
    def name(self) -> str:
        return str(self.recipe["name"])

    def load(self) -> Recipe:
        from gan.recipe.recipe import parse_recipe

        return parse_recipe(self.recipe, self.name)


class CompareSpec(RunSpec):
    """All settings of a comparison: recipes, each trained on the same seeds to the same length."""

    growing = ("recipes",)

    kind: Literal["compare"] = "compare"
    name: str = Field("compare", description="name of the run: its folder in the storage")
    recipes: list[str | Contestant] = Field(min_length=1, description="recipes to compare")
    seed: int = Field(0, ge=0, lt=2**53, description="first training seed; the others follow it")

    seeds: int = Field(3, ge=1, le=1000, description="training seeds for each recipe")
    draws: int = Field(5, ge=0, le=1000, description="latent draws on which each best generator is judged again")

    @property
    def bundles_kept(self) -> int:
        # All of them: each is judged again after the training.
        return MOST_TRIALS

    def training_seeds(self) -> list[int]:
        return list(range(self.seed, self.seed + self.seeds))

    def load_recipes(self) -> dict[str, Recipe]:
        loaded = [_load(recipe).with_settings(self.settings) for recipe in self.recipes]
        names = [recipe.name for recipe in loaded]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"recipes: '{name}' is named twice: name each once, or rename one of the files")
        return dict(zip(names, loaded, strict=True))

    def origins(self) -> dict[str, Contestant | None]:
        """Return by name where each recipe comes from; None for a shipped one."""
        return {_load(recipe).name: None if isinstance(recipe, str) else recipe for recipe in self.recipes}


class ExtendSpec(RunSpec):
    """All settings of the further training of one trial; `kimg` is its length in all.

    Attributes:
        trial: its id in its sweep.
    """

    identifying = (*(name for name in RunSpec.identifying if name != "kimg"), "trial")

    kind: Literal["extend"] = "extend"
    recipes: list[Contestant]
    seed: int = 0
    trial: str

    @property
    def bundles_kept(self) -> int:
        return 1

    @property
    def checkpoints_kept(self) -> bool:
        return True

    def load_recipes(self) -> dict[str, Recipe]:
        return {contestant.name: contestant.load() for contestant in self.recipes}


def _resolve_point(where: str, point: Any, recipes: dict[str, Recipe]) -> tuple[str, dict[str, Value]]:
    if not isinstance(point, dict):
        raise InputError(f"{where} is no mapping of parameters to values: {point!r}")
    values = {"recipe": next(iter(recipes))} | point if len(recipes) == 1 else dict(point)
    if "recipe" not in values:
        raise InputError(f"{where} does not say whose settings it has: give it a `recipe` ({', '.join(recipes)})")
    name = str(values.pop("recipe"))
    if name not in recipes:
        raise InputError(f"{where}: the sweep has no recipe '{name}': {nearest(name, recipes)}")
    try:
        return name, recipes[name].complete(values)
    except InputError as error:
        raise InputError(f"{where} ({name}): {error}") from None


def _load(recipe: str | Contestant) -> Recipe:
    from gan.recipe.recipe import load_recipe

    return load_recipe(recipe) if isinstance(recipe, str) else recipe.load()


def _with_space(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """Apply a sweep's ranges: `null` fixes a parameter at the recipe's value."""
    from gan.recipe.recipe import declarations, parse_range

    declared = declarations(recipe.part_names)
    space: dict[str, Space] = {name: chosen for name, (_, chosen) in recipe.searchable().items()}
    for name, given in changes.items():
        if given is None:
            space.pop(name, None)
        elif name in declared:
            space[name] = parse_range(name, given, declared[name])
    return dataclasses.replace(recipe, space={name: space[name] for name in declared if name in space})


def make_spec(values: dict[str, Any], origin: str = "sweep") -> SweepSpec:
    """Validate a sweep's settings: see `validate`."""
    return validate(SweepSpec, values, origin)


def validate(spec: type[S], values: dict[str, Any], origin: str) -> S:
    """Validate the settings of a run.

    Raises:
        InputError: one line that names the first wrong field, and what is allowed.
    """
    for key in values:
        if key not in spec.model_fields:
            raise InputError(f"{origin}: unknown field '{key}': {nearest(str(key), spec.model_fields)}")
    try:
        return spec(**values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        shown = f" (got {first['input']!r})" if field and not isinstance(first["input"], dict) else ""
        raise InputError(f"{origin}: {field + ': ' if field else ''}{message}{shown}") from None


def read_spec(path: Path) -> dict[str, Any]:
    """Read a sweep's YAML file as a mapping, not yet validated.

    Raises:
        InputError: no such file, or not a YAML mapping.
    """
    from gan.recipe.recipe import read_yaml

    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise InputError(f"{path}: not a sweep's settings (it must be a YAML mapping)")
    return values
