"""The result of a comparison: each recipe's FID over training seeds, and over latent draws within a seed.

The two spreads must not be mixed up. *Over training seeds*: the same settings, trained again with
other initial weights and another order of the images. It decides whether one recipe beats another.
*Over latent draws*: one generator, sampled again. It says how exact one FID is, and is far smaller.

All values come from a journal; neither Ray nor PyTorch is needed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from search.run.record import LOST, SweepRecord, TrialRecord

CONFIDENCE = 0.95
ESTIMATE = ("mean", "std_over_seeds", "low", "high", "seeds")
_SAME = 1e-6
"""Two kimg that differ by less are the same moment."""


@dataclass(frozen=True)
class Estimate:
    """The mean of several values of one quantity, with its uncertainty.

    Attributes:
        mean, std: of the values; std is the sample's (n − 1), None of one value.
        low, high: the interval that holds the true mean with 95% confidence, after Student's t; None
            of one value.
        count: how many values.
    """

    mean: float
    std: float | None
    low: float | None
    high: float | None
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate | None:
        """Return the estimate from some values; None from none."""
        if not values:
            return None
        mean, count = statistics.fmean(values), len(values)
        if count == 1:
            return cls(mean, None, None, None, 1)
        std = statistics.stdev(values)
        half = student(count - 1) * std / math.sqrt(count)
        return cls(mean, std, mean - half, mean + half, count)

    def as_dict(self) -> dict[str, float | None]:
        """Return the estimate from training seeds, as files and JSON have it."""
        return dict(zip(ESTIMATE, (self.mean, self.std, self.low, self.high, self.count), strict=True))


@dataclass(frozen=True)
class Difference:
    """How much higher one mean is than another, with its 95% interval after Welch (1947, Biometrika 34)."""

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def between(cls, better: Estimate, worse: Estimate) -> Difference:
        mean = worse.mean - better.mean
        if better.std is None or worse.std is None:
            return cls(mean, None, None)
        parts = [estimate.std**2 / estimate.count for estimate in (better, worse) if estimate.std is not None]
        if sum(parts) == 0:
            return cls(mean, mean, mean)
        freedom = sum(parts) ** 2 / sum(
            part**2 / (estimate.count - 1) for part, estimate in zip(parts, (better, worse), strict=True)
        )
        half = student(freedom) * math.sqrt(sum(parts))
        return cls(mean, mean - half, mean + half)


def student(freedom: float) -> float:
    """Return the two-sided 95% quantile of Student's t distribution."""
    # Imported here: `status` must answer at once. (scipy.stats would take a second.)
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


@dataclass(frozen=True)
class Seed:
    """One training of a recipe.

    Attributes:
        best_fid: the lowest of its evaluations, on the latents that all trainings are judged on;
            before it diverged, if it did.
        final_fid: of its generator at full length; None if it did not reach it.
        redrawn_fid, redrawn_std: mean and spread of its best generator's FID over fresh latent draws.
    """

    seed: int
    trial: str
    state: str
    reason: str | None
    best_fid: float | None
    best_kimg: float | None
    final_fid: float | None
    redrawn_fid: float | None
    redrawn_std: float | None


@dataclass(frozen=True)
class Band:
    """The trainings of one recipe at one moment; `count` of them had a FID there."""

    kimg: float
    mean: float
    std: float
    count: int


@dataclass(frozen=True)
class RecipeResult:
    """One recipe in a comparison.

    Attributes:
        rank: 1 for the lowest mean of best_fid; recipes with a training that never had a FID come last;
            None before the first evaluation.
        source: "published" or "sampled".
        params: the settings that a search sampled.
        seeds: its trainings.
        best_fid, final_fid, redrawn_fid: over its training seeds, of those that have one.
        draws_std: spread over latent draws within a seed: the root of the seeds' mean variance.
        behind: how much higher its mean best_fid is than that of the first; None for the first.
        fid, best_so_far: against kimg, over its training seeds.
    """

    rank: int | None
    name: str
    objective: str
    source: str
    params: dict[str, Any]
    seeds: list[Seed]
    best_fid: Estimate | None
    final_fid: Estimate | None
    redrawn_fid: Estimate | None
    draws_std: float | None
    behind: Difference | None
    fid: list[Band]
    best_so_far: list[Band]

    @property
    def diverged(self) -> int:
        return sum(seed.state == "diverged" for seed in self.seeds)

    @property
    def failed(self) -> int:
        return sum(seed.state == "failed" for seed in self.seeds)

    @property
    def without_fid(self) -> int:
        """Number of trainings that ended before their first evaluation: they are in no mean."""
        return sum(seed.best_fid is None and seed.state in LOST for seed in self.seeds)

    @property
    def median_seed(self) -> Seed | None:
        """The training with the median best_fid (the better of two middle ones)."""
        judged = sorted((seed for seed in self.seeds if seed.best_fid is not None), key=lambda seed: seed.best_fid or 0)
        return judged[(len(judged) - 1) // 2] if judged else None


@dataclass(frozen=True)
class ComparisonResult:
    """A comparison, as far as it has come.

    Attributes:
        uri, state: of its run; state is running, interrupted or finished.
        kimg: length of each training.
        seeds: trainings planned for each recipe.
        draws: latent draws on which each best generator is judged again.
        recipes: best first.
    """

    uri: str
    state: str
    kimg: float
    seeds: int
    draws: int
    recipes: list[RecipeResult]

    @property
    def winner(self) -> RecipeResult | None:
        """The recipe of the lowest mean; None before the first evaluation."""
        return next((recipe for recipe in self.recipes if recipe.rank == 1), None)


def comparison_result(record: SweepRecord, uri: str, state: str) -> ComparisonResult | None:
    """Return the result of a run that is a comparison; None if it is not one."""
    settings = record.settings
    if settings.get("kind") != "compare":
        return None
    names = dict.fromkeys(trial.recipe for trial in record.trials.values())
    trials = list(record.trials.values())
    recipes = [_recipe([trial for trial in trials if trial.recipe == name], settings["kimg"]) for name in names]
    return ComparisonResult(
        uri=uri,
        state=state,
        kimg=settings["kimg"],
        seeds=settings["seeds"],
        draws=settings["draws"],
        recipes=_ranked(recipes),
    )


def _recipe(trials: list[TrialRecord], kimg: float) -> RecipeResult:
    seeds = [_seed(trial, kimg) for trial in sorted(trials, key=lambda trial: trial.seed)]
    deviations = [seed.redrawn_std for seed in seeds if seed.redrawn_std is not None]
    first = trials[0]
    return RecipeResult(
        rank=None,
        name=first.recipe,
        objective=first.objective,
        source=first.source,
        params=first.params,
        seeds=seeds,
        best_fid=Estimate.of(_known(seed.best_fid for seed in seeds)),
        final_fid=Estimate.of(_known(seed.final_fid for seed in seeds)),
        redrawn_fid=Estimate.of(_known(seed.redrawn_fid for seed in seeds)),
        draws_std=math.sqrt(statistics.fmean(std**2 for std in deviations)) if deviations else None,
        behind=None,
        fid=_bands(trials, _fid_at),
        best_so_far=_bands(trials, _best_at),
    )


def _seed(trial: TrialRecord, kimg: float) -> Seed:
    at_the_end = trial.state == "finished" and trial.kimg >= kimg - _SAME
    known = _known(trial.draws)
    whole = bool(known) and len(known) == len(trial.draws)
    return Seed(
        seed=trial.seed,
        trial=trial.id,
        state=trial.state,
        reason=trial.reason,
        best_fid=trial.best_fid,
        best_kimg=trial.last.get("best_kimg"),
        final_fid=trial.last.get("fid") if at_the_end else None,
        redrawn_fid=statistics.fmean(known) if whole else None,
        redrawn_std=statistics.stdev(known) if whole and len(known) > 1 else None,
    )


def _known(values: Any) -> list[float]:
    return [value for value in values if value is not None]


def _bands(trials: list[TrialRecord], at: Callable[[TrialRecord, float], float | None]) -> list[Band]:
    """Return mean and spread over trials at each kimg at which any of them was evaluated."""
    moments = {report["kimg"] for trial in trials for report in trial.reports if report.get("fid") is not None}
    bands = []
    for kimg in sorted(moments):
        values = _known(at(trial, kimg) for trial in trials)
        if values:
            std = statistics.stdev(values) if len(values) > 1 else 0.0
            bands.append(Band(kimg, statistics.fmean(values), std, len(values)))
    return bands


def _fid_at(trial: TrialRecord, kimg: float) -> float | None:
    return next((report.get("fid") for report in trial.reports if abs(report["kimg"] - kimg) < _SAME), None)


def _best_at(trial: TrialRecord, kimg: float) -> float | None:
    """Return a trial's best FID up to a moment; a trial that ended early keeps its last best."""
    return trial.best_fid_at(kimg) if trial.final or trial.kimg >= kimg - _SAME else None


def _ranked(recipes: list[RecipeResult]) -> list[RecipeResult]:
    """Order recipes by mean, the lowest first, and add rank and distance to the first."""

    def order(recipe: RecipeResult) -> tuple[bool, int, float]:
        mean = math.inf if recipe.best_fid is None else recipe.best_fid.mean
        return recipe.best_fid is None, recipe.without_fid, mean

    ordered = sorted(recipes, key=order)
    first = ordered[0].best_fid if ordered else None
    ranked = []
    for rank, recipe in enumerate(ordered, start=1):
        best = recipe.best_fid
        behind = Difference.between(first, best) if rank > 1 and first is not None and best is not None else None
        ranked.append(replace(recipe, rank=rank if best is not None else None, behind=behind))
    return ranked
