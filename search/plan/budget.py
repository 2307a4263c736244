"""What a time budget buys: size, widths, features, length and number of trials, from the measured speed of the machine.

A third of the time is kept for training the winner on. The rest is for `TRIALS` trials, of which each trains
`TRAINED_SHARE` of its length in the mean; how long that may be follows. Images are as large, and networks as wide, as
leaves the trials as much training as they need to show more than blur.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
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
from search.plan.spec import MOST_TRIALS, REST, TRAINED_SHARE, SweepSpec, validate
from search.run.run_folder import SETTINGS, read_settings

FINISH_SHARE = 1 / 3
"""Share of a time budget that is kept for training the winner on."""
TRIALS, MOST = 20, 200
"""Trials of a sweep, and the most if longer ones would see each image too often, or take too much of the time."""
WAVE_SHARE = 0.5
"""Largest share of a search's time that a trial of full length may take: what others teach must come in time."""
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
        seconds, elapsed: in all, and gone by already.
        at_once: trials that train at the same time.
        images: to train on.
        samples: of an evaluation.
        kimg, trials, interval: if they are given; the interval is in kimg.
        fewest: trials that there must be.
        shortest: kimg that a trial must have.
        in_full: trainings of full length that follow the trials, side by side: those of finalists.
        finishes: whether the winner is trained on.
    """

    seconds: float
    at_once: int
    images: int
    samples: int
    kimg: float | None = None
    trials: int | None = None
    interval: float | None = None
    fewest: int = FEWEST
    shortest: float = 0.0
    in_full: int = 0
    finishes: bool = True
    elapsed: float = 0.0

    @property
    def search_seconds(self) -> float:
        """Seconds for all but training the winner on."""
        return max(0.0, self.seconds - self.elapsed - START_SECONDS - END_SECONDS) * (1 - FINISH_SHARE * self.finishes)

    def seconds_of_one(self, trials: int) -> float:
        """Return how long one of so many trials may take at full length."""
        together = min(self.at_once, trials) / (TRAINED_SHARE * trials + self.in_full)
        return self.search_seconds * min(WAVE_SHARE, together)

    def trials_of(self, seconds: float) -> int:
        """Return how many trials of so many seconds at full length there is time for."""
        return int((self.at_once * self.search_seconds / seconds - self.in_full) / TRAINED_SHARE)

    def seconds_of(self, kimg: float, speed: Speed) -> float:
        """Return how long a trial of full length takes."""
        reports = REPORTS if self.interval is None else kimg / self.interval
        return speed.seconds(kimg / RATE_SHARE, reports, self.samples)

    def length(self, seconds: float, speed: Speed) -> float:
        """Return the kimg of a trial that takes so many seconds at full length; negative if it has none for any."""
        fixed = self.seconds_of(0.0, speed)
        return (seconds - fixed) / (self.seconds_of(1.0, speed) - fixed) if math.isfinite(fixed) else -1.0

    def least_kimg(self, rung: Rung) -> float:
        """Return the length that a trial must have."""
        return max(self.shortest, rung.least_kimg)

    def least(self, rung: Rung, speed: Speed) -> float:
        """Return the seconds in which the fewest trials of the least length fit."""
        each = self.seconds_of(self.kimg or self.least_kimg(rung), speed)
        share = self.seconds_of_one(self.trials or self.fewest) / self.search_seconds if self.search_seconds else 0.5
        return each / share / (1 - FINISH_SHARE * self.finishes) + START_SECONDS + END_SECONDS


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
        fewest = budget.fewest if chosen is None else max(budget.fewest, FEWEST_LARGER)
        found = _fit(budget, rung, speed_of(rung), fewest)
        if found is None:
            break
        chosen = found
    if chosen is None:
        # With a longer budget as the base, as shares of a very short one are of nothing.
        least = dataclasses.replace(budget, seconds=3600.0).least(rungs[0], speed_of(rungs[0]))
        if not math.isfinite(least):
            raise InputError(f"a training at {rungs[0].size} pixels does not fit into the memory: use smaller images")
        minutes = math.ceil(least / 60)
        raise InputError(f"--time-budget: too short for this machine and these settings; give at least {minutes}m")
    return chosen


def _fit(budget: Budget, rung: Rung, speed: Speed, fewest: int) -> Choice | None:
    """Return the length and the number of trials that fit into a budget; None if too little does."""
    if budget.kimg is not None:
        trials = budget.trials or min(MOST, budget.trials_of(budget.seconds_of(budget.kimg, speed)))
        return Choice(budget, rung, budget.kimg, trials, speed) if trials >= fewest else None
    least = budget.least_kimg(rung)

    def length(trials: int) -> float:
        return budget.length(budget.seconds_of_one(trials), speed)

    trials = budget.trials or max(TRIALS, fewest)
    while budget.trials is None and trials > fewest and length(trials) < least:
        trials -= 1
    if length(trials) < least:
        return None
    kimg = _rounded(min(max(least, EPOCHS * budget.images / 1000), length(trials)))
    kimg = max(kimg, budget.shortest)
    if budget.trials is None:
        # There is more time than trials of this length take, if they may not be longer, or not enough train at once.
        trials = max(trials, min(MOST, budget.trials_of(budget.seconds_of(kimg, speed))))
    return Choice(budget, rung, kimg, trials, speed)


def _rounded(kimg: float) -> float:
    """Round down to two digits."""
    unit = 10.0 ** (math.floor(math.log10(kimg)) - 1)
    return round(math.floor(kimg / unit + 1e-9) * unit, 6)


# ---- for a sweep

CHOSEN = ("trials", "kimg", "size", "features", "finish")
"""Fields of a sweep that are chosen if they are not given, beside the widths in its `settings`."""
WIDTH_SETTINGS = ("width_g", "width_d")

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
        InputError: the data cannot be read, the budget is too short, or the machine or cluster lacks what is needed.
    """
    given = {name: getattr(spec, name) for name in spec.model_fields_set}
    if run.exists(SETTINGS):
        saved = read_settings(run)["settings"]
        kept = {name: saved[name] for name in CHOSEN if name in saved and name not in given}
        settings = saved.get("settings")
        widths = (
            {name: settings[name] for name in WIDTH_SETTINGS if name in settings} if isinstance(settings, dict) else {}
        )
        return validate(SweepSpec, {**given, **kept, "settings": widths | spec.settings}, f"{run.uri}/{SETTINGS}"), None
    started = time.monotonic()
    with machine(spec) as (at_once, measured):
        changes, choice = _chosen(spec, at_once, measured, lambda: time.monotonic() - started)
    return validate(SweepSpec, given | changes, "sweep"), choice


def _chosen(
    spec: SweepSpec, at_once: int, measured: Measure, elapsed: Callable[[], float]
) -> tuple[dict[str, Any], Choice]:
    """Return the fields that are chosen, and the choice."""
    # The number of trials is not known yet; those of a list must not be refused for that.
    recipes = list(spec.model_copy(update={"trials": MOST_TRIALS}).load_recipes().values())
    size, side, shape, images, default = _images(spec, recipes)
    widths = [name for name in WIDTH_SETTINGS if all(name in recipe.settings for recipe in recipes)]
    rungs = _rungs(size, side, [spec.settings[name] for name in widths if name in spec.settings])
    given = {name: getattr(spec, name) for name in ("kimg", "trials") if name in spec.model_fields_set}
    finishes = spec.finish is not None or "finish" not in spec.model_fields_set
    assert spec.time_budget is not None
    budget = Budget(
        spec.time_budget,
        at_once,
        images,
        spec.samples,
        interval=spec.interval_kimg,
        fewest=max(FEWEST, len(spec.points) + spec.published * len(recipes)),
        shortest=max(spec.interval_kimg or 0.0, 2 * (spec.grace_kimg or 0.0)),
        in_full=(spec.finalists + len(recipes)) * spec.finalist_seeds if spec.finalists else 0,
        finishes=finishes,
        **given,
    )

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
            (rung.size, rung.size, shape[-1]) if len(shape) > 1 else shape,
            features=features,
            inception_weights=weights,
            # A trial without a share of a GPU does not use one.
            device="cpu" if spec.gpus_per_trial == 0 and spec.device == "auto" else spec.device,
            precision=spec.precision,
            threads=spec.worker_threads,
            samples=samples,
        )
        return mean_speed(measured(task))

    features = spec.features or default
    if spec.features is None and default == "inception" and not _suits(spec, budget, partial(speed_of, rungs[0])):
        features = "random-conv"
    of_features = speed_of if features != "inception" else partial(speed_of, features=features, samples=_PROBE)
    choose(budget, rungs, of_features)
    # What measuring has taken is gone.
    budget = dataclasses.replace(budget, elapsed=elapsed())
    known = rungs[: speed_of.cache_info().currsize]
    others = tuple(_with_other_budgets(budget, known, of_features))
    choice = dataclasses.replace(choose(budget, rungs, of_features), others=others)
    changes: dict[str, Any] = {"trials": choice.trials, "kimg": choice.kimg, "features": features}
    if takes(spec.data, "size"):
        changes["size"] = choice.rung.size
    if finishes and spec.finish is None:
        changes["finish"] = REST
    return changes | {"settings": dict.fromkeys(widths, choice.rung.width) | spec.settings}, choice


def _with_other_budgets(budget: Budget, rungs: Sequence[Rung], speed_of: Callable[[Rung], Speed]) -> Iterator[Choice]:
    """Yield what half and twice the time would give, among the rungs that were measured."""
    for factor in (0.5, 2.0):
        with suppress(InputError):  # Half of it may be too short.
            yield choose(dataclasses.replace(budget, seconds=factor * budget.seconds), rungs, speed_of)


def mean_speed(speeds: Sequence[Speed]) -> Speed:
    """Return the mean of what several processes have measured at the same time."""
    if not all(speed.rate for speed in speeds):
        return Speed(0.0, 0.0, 0.0)  # One of them did not fit into the memory.
    return Speed(*(sum(values) / len(speeds) for values in zip(*map(dataclasses.astuple, speeds), strict=True)))


def _images(spec: SweepSpec, recipes: Sequence[Recipe]) -> tuple[int | None, int | None, tuple[int, ...], int, str]:
    """Return what is known of the images.

    Returns:
        Their size, if it is not to be chosen; the size beyond which they would be enlarged, if that is known; the
        shape of one; their number; the features that suit them.
    """
    if spec.data.startswith("packed:"):
        data = open_data(spec.data)
        return data.shape[0], None, data.shape, len(data.train), data.default_features
    size, crop = size_and_crop(spec.data, spec.size, spec.crop, recipes)
    source = open_source(spec.data, size or (SIZES[0] if takes(spec.data, "size") else None), crop)
    if not takes(spec.data, "size"):
        size = source.shape[0]
    return size, getattr(source, "usual_side", None), source.shape, len(source), source.default_features


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
        if spec.inception_weights:
            raise
        note("the Inception weights are missing here: distances are measured in random-conv features instead of FID")
        return False
    speed = speed_of(features="inception", samples=_PROBE)
    if budget.seconds_of(0.0, speed) <= EVALUATION_SHARE * budget.seconds_of_one(budget.trials or TRIALS):
        return True
    seconds = speed.seconds(0.0, 1, budget.samples)
    note(f"an evaluation by the Inception network takes {seconds:,.0f} s here: random-conv features are used instead")
    return False
