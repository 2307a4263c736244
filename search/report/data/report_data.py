"""What there is to say of a run: one object, for terminal, JSON and page; `collect` makes it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from gan.metric import metric_of, short_name
from search.report.data.assessed import Assessed
from search.report.data.contest import ComparisonResult
from search.report.data.rescoring import Rescoring

EVALUATION = ("features", "weights_sha256", "samples", "reference_samples", "data", "data_hash", "size")
"""Fields of the evaluation's identity that a report always has, null where not known yet."""


@dataclass(frozen=True)
class Row:
    """One trial.

    Attributes:
        rank: 1 for the lowest best FID; None before the first evaluation.
        state: pending, running, finished, stopped, diverged or failed.
        params: of what the sweep searches, the values it trains with; published settings included.
        kimg: thousands of real images shown, None before the first report.
        fid: of its last evaluation.
        seconds: training and evaluation so far, across restarts.
        spread: of the pixels of its best samples, as a share of that of real images; near zero, they
            are one image.
        seed: of its training.
        rescored_fid, rescored_std: what re-scoring said of its best generator (mean and standard
            deviation over draws of latents), if it took part; see `ReportData.rescoring`.
    """

    id: str
    rank: int | None = None
    recipe: str | None = None
    objective: str | None = None
    source: str | None = None
    state: str = "pending"
    params: dict[str, Any] | None = None
    kimg: float | None = None
    fid: float | None = None
    best_fid: float | None = None
    best_kimg: float | None = None
    reason: str | None = None
    seconds: float | None = None
    spread: float | None = None
    seed: int | None = None
    rescored_fid: float | None = None
    rescored_std: float | None = None


@dataclass(frozen=True)
class Curve:
    """How one trial went.

    Attributes:
        fid: points (kimg, FID) of its evaluations.
        best_fid: points (kimg, best FID so far).
        losses: points (kimg, generator's loss, discriminator's loss), finer than the reports.
        images_per_iteration: real images between two steps of the generator, over all steps of the
            discriminator; None where the settings do not tell.
    """

    fid: list[tuple[float, float]]
    best_fid: list[tuple[float, float]]
    losses: list[tuple[float, float, float]]
    images_per_iteration: int | None = None

    def best_at(self, kimg: float) -> float | None:
        """Return the best FID within its first `kimg`."""
        return next((fid for at, fid in reversed(self.best_fid) if at <= kimg + 1e-6), None)


@dataclass(frozen=True)
class Evaluated:
    """One evaluation of the sweep, `seconds` after its start; time between launches does not count."""

    seconds: float
    trial: str
    fid: float


@dataclass(frozen=True)
class Comparison:
    """A recipe's published settings against the best that the search found for it, at equal kimg."""

    recipe: str
    published: str
    found: str | None
    kimg: float | None
    published_fid: float | None
    found_fid: float | None

    @property
    def gain(self) -> float | None:
        """The share by which the search lowered the distance; negative where it did not."""
        if not self.published_fid or self.found_fid is None:
            return None
        return 1 - self.found_fid / self.published_fid


@dataclass(frozen=True)
class Best:
    """The trial of the lowest FID, by re-scoring where there was one.

    Attributes:
        best_fid: as the sweep measured it.
        bundle: its generator's path or URI, if it is still kept.
        rescored_fid: as re-scoring measured it.
    """

    trial: str
    best_fid: float
    bundle: str | None
    rescored_fid: float | None = None


@dataclass(frozen=True)
class Budget:
    """What the run has cost.

    Attributes:
        trial_seconds: training, evaluation and checkpoints, over all trials.
        wall_seconds: that drivers have spent, over all launches.
        kimg: thousands of images shown, over all trials.
        saved_fraction: of the kimg of the ended trials at full length, the share that was not spent;
            None until a trial has ended.
        overhead_fraction: of `trial_seconds`, the share that went into evaluation, checkpoints and
            pictures, not training; None before the first report.
    """

    trial_seconds: float
    wall_seconds: float
    kimg: float
    saved_fraction: float | None
    overhead_fraction: float | None


@dataclass(frozen=True)
class ReportData:
    """A run, as far as it has come.

    Attributes:
        name, uri: of the run.
        state: running, interrupted or finished.
        cause: of an interruption, if its own time budget was: `TIME_BUDGET`.
        rows: every trial by id, those not made yet included.
        curves: by trial, for those that have reported.
        evaluations: in order of time.
        comparisons: one for each recipe whose published settings ran.
        searched: every parameter that any of the recipes searches.
        evaluation: identity of the FID's measurement, with at least the keys in `EVALUATION`.
        total_kimg: of a trial at full length.
        identity: what makes the run what it is, as sweep.yaml tells; empty where that is damaged.
        contest: what it says as a comparison, if it is one.
        finalists: what a sweep's finalists showed on fresh seeds, if it has any.
        rescoring: how its best were judged again, if they were; ranks go by it first.
        assessed: whether its winner collapsed or copied, if that was looked for.
    """

    name: str
    uri: str
    state: str
    rows: list[Row]
    curves: dict[str, Curve]
    evaluations: list[Evaluated]
    comparisons: list[Comparison]
    searched: list[str]
    best: Best | None
    budget: Budget
    evaluation: dict[str, Any]
    settings: dict[str, Any]
    versions: dict[str, str]
    command: str
    total_kimg: float | None
    identity: dict[str, Any] = field(default_factory=dict)
    cause: str | None = None
    contest: ComparisonResult | None = None
    finalists: ComparisonResult | None = None
    rescoring: Rescoring | None = None
    assessed: Assessed | None = None

    @property
    def spaces(self) -> dict[str, dict[str, Any]]:
        """Recipe → parameter → what is searched: {"low", "high", "log"}, or a list of values."""
        return spaces_of(self.identity)

    @property
    def counts(self) -> dict[str, int]:
        """How many trials are in each state."""
        return dict(Counter(row.state for row in self.rows))

    @property
    def leaderboard(self) -> list[Row]:
        """The trials that exist: ranked ones first, then those without an evaluation."""
        made = (row for row in self.rows if row.recipe is not None)
        return sorted(made, key=lambda row: (row.rank is None, row.rank or 0))

    @property
    def winner(self) -> Row | None:
        return next((row for row in self.rows if row.rank == 1), None)

    @property
    def metric(self) -> str:
        """What the distances are called in full; only that of the reference Inception network is FID."""
        return metric_of(self.evaluation)

    @property
    def metric_short(self) -> str:
        return short_name(self.metric)


def grid_path(trial: str, kimg: float) -> str:
    """Return where, in the run, a trial keeps the samples of its evaluation at `kimg`."""
    return f"trials/{trial}/samples/{round(kimg * 1000):09d}.png"


def spaces_of(identity: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return recipe → parameter → what is searched of it, as sweep.yaml tells."""
    recipes = identity.get("recipes")
    if not isinstance(recipes, dict):
        return {}
    spaces = {name: recipe.get("space") for name, recipe in recipes.items() if isinstance(recipe, dict)}
    return {str(name): space for name, space in spaces.items() if isinstance(space, dict)}
