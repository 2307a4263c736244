"""What a time budget buys: size, widths, features, length and number of trials, from the measured speed of the machine.

A third of the time is kept for training the winner on. The rest is for `TRIALS` trials, of which each trains
`TRAINED_SHARE` of its length in the mean; how long that may be follows. Images are as large, and networks as wide, as
leaves the trials as much training as they need to show more than blur.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gan.checks.preflight import size_and_crop
from gan.checks.speed import SAMPLES, Speed, measure
from gan.data.packed.opening import open_data
from gan.data.sources.opening import open_source, takes
from gan.errors import InputError
from gan.evaluation.features.inception_weights import find_weights
from gan.recipe.recipe import Recipe
from gan.storage.storage import Storage
from gan.terminal import note
from search.plan.spec import REST, TRAINED_SHARE, SweepSpec
from search.run.run_folder import SETTINGS, read_settings

FINISH_SHARE = 1 / 3
"""Share of a time budget that is kept for training the winner on."""
TRIALS, MOST = 20, 60
"""Trials of a sweep, and the most if longer ones would see each image too often."""
FEWEST, FEWEST_LARGER = 6, 12
"""Fewest trials, and fewest for the sake of larger images or wider networks."""
REPORTS = 12
"""Evaluations of a trial of full length, as a sweep has them by default."""
EPOCHS = 200
"""Most times that a trial sees each image."""
LEAST_KIMG, LEAST_POWER = 12.0, 1.5
"""Length at which trials of 16×16 images show more than blur, and the power of the size with which it grows."""
SIZES, WIDTHS = (16, 32, 64, 128), (16, 32, 64)
START_SECONDS, END_SECONDS = 15.0, 10.0
"""What a run takes beside its trainings: to start Ray and its processes, and to write its report."""
EVALUATION_SHARE = 0.2
"""Largest share of a training's time that evaluations by the Inception network may take."""
RATE_SHARE = 0.9
"""Rate of a trial over that measured: other recipes and settings may take longer than the one measured."""

_BATCH = 32
_PROBE = (16, 48)
"""Numbers of samples of the Inception network that are timed."""


class Rung(NamedTuple):
    """A size of the images, and a width of the networks."""

    size: int
    width: int

    @property
    def least_kimg(self) -> float:
        return LEAST_KIMG * (self.size / 16) ** LEAST_POWER


@dataclass(frozen=True)
class Budget:
    """A time budget, and what is given with it.

    Attributes:
        seconds: in all.
        at_once: trials that train at the same time.
        images: to train on.
        samples: of an evaluation.
        kimg, trials: if they are given.
        finishes: whether the winner is trained on.
    """

    seconds: float
    at_once: int
    images: int
    samples: int
    kimg: float | None = None
    trials: int | None = None
    finishes: bool = True

    @property
    def slot_seconds(self) -> float:
        """Seconds of all trials together, if each trained its full length."""
        share = 1 - FINISH_SHARE * self.finishes
        return self.at_once * max(0.0, self.seconds - START_SECONDS - END_SECONDS) * share / TRAINED_SHARE

    def least(self, rung: Rung, speed: Speed) -> float:
        """Return the seconds in which the fewest trials of the least length fit."""
        each = speed.seconds(self.kimg or rung.least_kimg / RATE_SHARE, REPORTS, self.samples)
        together = (self.trials or FEWEST) * TRAINED_SHARE * each / self.at_once
        return together / (1 - FINISH_SHARE * self.finishes) + START_SECONDS + END_SECONDS


@dataclass(frozen=True)
class Choice:
    """What a sweep does with a budget.

    Attributes:
        speed: of a trial while others train beside it.
        others: what it would do with half and with twice the time; empty if that was not asked for.
    """

    budget: Budget
    rung: Rung
    kimg: float
    trials: int
    speed: Speed
    others: tuple[Choice, ...] = ()


def choose(budget: Budget, rungs: Sequence[Rung], speed_of: Callable[[Rung], Speed]) -> Choice:
    """Return what to do with a budget.

    Args:
        rungs: from the least work to the most.
        speed_of: measures; it is not asked beyond the first rung that is too much.

    Raises:
        InputError: the budget is too short for the first; the message says how much would do.
    """
    chosen: Choice | None = None
    for rung in rungs:
        found = _fit(budget, rung, speed_of(rung), FEWEST if chosen is None else FEWEST_LARGER)
        if found is None:
            break
        chosen = found
    if chosen is None:
        least = math.ceil(budget.least(rungs[0], speed_of(rungs[0])) / 60)
        raise InputError(f"--time-budget: too short for this machine and these settings; give at least {least}m")
    return chosen


def _fit(budget: Budget, rung: Rung, speed: Speed, fewest: int) -> Choice | None:
    """Return the length and the number of trials that fit into a budget; None if too little does."""
    most = max(rung.least_kimg, EPOCHS * budget.images / 1000)

    def length(trials: int) -> float:
        training = budget.slot_seconds / trials - speed.seconds(0.0, REPORTS, budget.samples)
        return training * speed.rate * RATE_SHARE / 1000

    def trials_of(kimg: float) -> int:
        return min(MOST, int(budget.slot_seconds / speed.seconds(kimg / RATE_SHARE, REPORTS, budget.samples)))

    if budget.kimg is not None:
        trials = budget.trials or trials_of(budget.kimg)
        return Choice(budget, rung, budget.kimg, trials, speed) if trials >= fewest else None
    trials = budget.trials or TRIALS
    while budget.trials is None and trials > fewest and length(trials) < rung.least_kimg:
        trials -= 1
    if length(trials) < rung.least_kimg:
        return None
    kimg = _rounded(min(most, length(trials)))
    if budget.trials is None and length(trials) > most:
        trials = max(trials, trials_of(kimg))
    return Choice(budget, rung, kimg, trials, speed)


def _rounded(kimg: float) -> float:
    """Round down to two digits."""
    unit = 10.0 ** (math.floor(math.log10(kimg)) - 1)
    return round(math.floor(kimg / unit + 1e-9) * unit, 6)


# ---- for a sweep

CHOSEN = ("trials", "kimg", "size", "features", "finish")
"""Fields of a sweep that are chosen if they are not given, beside the widths in its `settings`."""
_WIDTHS = ("width_g", "width_d")

Measure = Callable[[Callable[[], Speed]], list[Speed]]
"""Runs a measurement as often as trials train at once, all at the same time."""


def is_open(spec: SweepSpec) -> bool:
    """Tell whether a sweep leaves it to its time budget how much it trains."""
    return spec.time_budget is not None and not {"trials", "kimg"} <= spec.model_fields_set


def with_choice(
    spec: SweepSpec, run: Storage, machine: Callable[[SweepSpec], AbstractContextManager[tuple[int, Measure]]]
) -> tuple[SweepSpec, Choice | None]:
    """Return a sweep's settings with all that its time budget decides, and the choice.

    A run that has begun keeps what was chosen for it; then nothing is measured, and the choice is None.

    Args:
        machine: see `search.cluster.machine`.

    Raises:
        InputError: the data cannot be read, or the budget is too short.
    """
    if run.exists(SETTINGS):
        saved = read_settings(run)["settings"]
        kept = {name: saved[name] for name in CHOSEN if name in saved and name not in spec.model_fields_set}
        widths = {name: value for name, value in (saved.get("settings") or {}).items() if name in _WIDTHS}
        return spec.model_copy(update={**kept, "settings": widths | spec.settings}), None
    with machine(spec) as (at_once, measured):
        return _chosen(spec, at_once, measured)


def _chosen(spec: SweepSpec, at_once: int, measured: Measure) -> tuple[SweepSpec, Choice]:
    recipes = list(spec.load_recipes().values())
    size, side, channels, images, default = _images(spec, recipes)
    widths = [name for name in _WIDTHS if all(name in recipe.settings for recipe in recipes)]
    rungs = _rungs(size, side, [spec.settings[name] for name in widths if name in spec.settings])
    given = {name: getattr(spec, name) for name in ("kimg", "trials") if name in spec.model_fields_set}
    finishes = spec.finish is not None or "finish" not in spec.model_fields_set
    assert spec.time_budget is not None
    budget = Budget(spec.time_budget, at_once, images, spec.samples, finishes=finishes, **given)

    @functools.cache
    def speed_of(rung: Rung, features: str = "random-conv", samples: tuple[int, int] = SAMPLES) -> Speed:
        settings = dict.fromkeys(widths, rung.width) | spec.settings
        recipe = recipes[0].with_settings({name: settings[name] for name in widths})
        if "batch" in recipe.searchable():
            recipe = recipe.with_settings({"batch": min(_BATCH, images)})
        weights = Path(spec.inception_weights) if spec.inception_weights else None
        task = partial(
            measure,
            recipe,
            (rung.size, rung.size, channels),
            features=features,
            inception_weights=weights,
            device="cpu" if spec.gpus_per_trial == 0 else spec.device,
            precision=spec.precision,
            threads=spec.worker_threads,
            samples=samples,
        )
        return mean_speed(measured(task))

    features = spec.features or default
    if spec.features is None and default == "inception" and not _suits(spec, budget, partial(speed_of, rungs[0])):
        features = "random-conv"
    of_features = speed_of if features != "inception" else partial(speed_of, features=features, samples=_PROBE)
    choice = dataclasses.replace(
        choose(budget, rungs, of_features), others=tuple(_with_other_budgets(budget, rungs, of_features))
    )
    changes: dict[str, Any] = {"trials": choice.trials, "kimg": choice.kimg, "features": features}
    if takes(spec.data, "size"):
        changes["size"] = choice.rung.size
    if finishes and spec.finish is None:
        changes["finish"] = REST
    settings = dict.fromkeys(widths, choice.rung.width) | spec.settings
    return spec.model_copy(update={**changes, "settings": settings}), choice


def _with_other_budgets(budget: Budget, rungs: Sequence[Rung], speed_of: Callable[[Rung], Speed]) -> Iterator[Choice]:
    for factor in (0.5, 2.0):
        with suppress(InputError):  # Half of it may be too short.
            yield choose(dataclasses.replace(budget, seconds=factor * budget.seconds), rungs, speed_of)


def mean_speed(speeds: Sequence[Speed]) -> Speed:
    """Return the mean of what several processes have measured at the same time."""
    return Speed(*(sum(values) / len(speeds) for values in zip(*map(dataclasses.astuple, speeds), strict=True)))


def _images(spec: SweepSpec, recipes: Sequence[Recipe]) -> tuple[int | None, int | None, int, int, str]:
    """Return what is known of the images.

    Returns:
        Their size, if it is not to be chosen; the size beyond which they would be enlarged, if that is known; channels;
        number; the features that suit them.
    """
    if spec.data.startswith("packed:"):
        data = open_data(spec.data)
        return data.shape[0], None, data.shape[-1], len(data.train), data.default_features
    size, crop = size_and_crop(spec.data, spec.size, spec.crop, recipes)
    source = open_source(spec.data, size or (SIZES[0] if takes(spec.data, "size") else None), crop)
    if not takes(spec.data, "size"):
        size = source.shape[0]
    return size, getattr(source, "usual_side", None), source.shape[-1], len(source), source.default_features


def _rungs(size: int | None, side: int | None, widths: Sequence[Any]) -> list[Rung]:
    """Return the sizes and widths to choose from.

    Args:
        size: of the images, if it is given.
        side: beyond which they would be enlarged; None if that does not matter.
        widths: of the networks, if they are given.
    """
    sizes = [size] if size else [each for each in SIZES if side is None or each <= side] or [SIZES[0]]
    suiting = [Rung(each, width) for each in sizes for width in _widths(each, size is None)]
    return list(dict.fromkeys(Rung(rung.size, int(max(widths))) for rung in suiting)) if widths else suiting


def _widths(size: int, free: bool) -> list[int]:
    """Return the widths that suit a size; the narrow ones only if there is no smaller size to take instead."""
    suiting = [width for width in WIDTHS if (size if free and size < 64 else size / 2) <= width <= 1.25 * size]
    return suiting or [WIDTHS[0] if size < WIDTHS[0] else WIDTHS[-1]]


def _suits(spec: SweepSpec, budget: Budget, speed_of: Callable[..., Speed]) -> bool:
    """Tell whether the Inception network can judge here: its weights are there, and it is not too slow."""
    try:
        find_weights(Path(spec.inception_weights) if spec.inception_weights else None, fetch=False, check=False)
    except InputError:
        note("the Inception weights are missing here: distances are measured in random-conv features instead of FID")
        return False
    speed = speed_of(features="inception", samples=_PROBE)
    if speed.seconds(0.0, REPORTS, budget.samples) <= EVALUATION_SHARE * budget.slot_seconds / TRIALS:
        return True
    seconds = speed.seconds(0.0, 1, budget.samples)
    note(f"an evaluation by the Inception network takes {seconds:,.0f} s here: random-conv features are used instead")
    return False
