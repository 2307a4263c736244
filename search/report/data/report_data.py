"""All that a report says about a run: one object, for terminal, JSON, tables, plots and page. `collect` makes it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from gan.evaluation.assessment.lines import Line
from gan.metric import metric_of, short_name
from search.report.data.comparison import ComparisonResult

EVALUATION = ("features", "weights_sha256", "samples", "reference_samples", "data", "data_hash", "size")
"""Fields of the evaluation's identity that a report always has, null where not known yet."""

ENDED = ("finished", "stopped", "diverged", "failed")

DIVERGED_SHOWN, PUBLISHED_SHOWN = 3, 5
"""How many trials of a kind have their losses shown."""


@dataclass(frozen=True)
class Row:
    """One trial.

    Attributes:
        rank: 1 for the lowest best FID; None before the first evaluation.
        state: pending, running, finished, stopped, diverged or failed.
        params: its values of the searched parameters; also for published settings.
        kimg: thousands of real images shown, None before the first report.
        fid: of its last evaluation.
        seconds: training and evaluation so far, across restarts.
        spread: pixel spread of its best samples divided by that of real images; near zero, all
            samples are the same image.
        seed: of its training.
        rescored_fid, rescored_std: FID of its best generator by re-scoring (mean and standard
            deviation over draws of latents), if it took part; see `ReportData.rescoring`.
        provenance: as `search.run.record.TrialRecord` has it.
        images_per_second: real images shown in training; the median over its reports.
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
    provenance: str | None = None
    images_per_second: float | None = None


@dataclass(frozen=True)
class Curve:
    """The curves of one trial.

    Attributes:
        fid: points (kimg, FID) of its evaluations.
        best_fid: points (kimg, best FID so far).
        losses: points (kimg, generator's loss, discriminator's loss), finer than the reports.
        images_per_iteration: real images per generator step, over all discriminator steps; None if
            the settings do not say.
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
class Improvement:
    """A recipe's published settings and the best that the search found, at equal kimg.

    Attributes:
        published, found: the trials; `found` is None if there is none to compare with.
        kimg: the most that both have reached.
        published_fid, found_fid: the best of each within that.
        full: whether the published settings were trained to their full length; of several, whether any were.
    """

    recipe: str
    published: str
    found: str | None
    kimg: float | None
    published_fid: float | None
    found_fid: float | None
    full: bool

    @property
    def gain(self) -> float | None:
        """How far the search lowered the distance, as a fraction; negative if it did not."""
        if not self.published_fid or self.found_fid is None:
            return None
        return 1 - self.found_fid / self.published_fid


@dataclass(frozen=True)
class Expected:
    """What published settings that were not trained in full would have come to: an estimate, never a measurement.

    Attributes:
        recipe: whose settings they are.
        fid: the expected best FID at full length.
        low, high: the interval that holds it with the probability `level`.
    """

    recipe: str
    fid: float
    low: float
    high: float
    level: float


@dataclass(frozen=True)
class Best:
    """The trial with the best generator; see `search.run.bundles.by_generator`.

    Attributes:
        best_fid: as measured in training.
        bundle: path or URI of its generator, if it is still kept.
        rescored_fid: as measured by re-scoring.
        extended: whether it comes from further training, beyond the sweep's length.
    """

    trial: str
    best_fid: float
    bundle: str | None
    rescored_fid: float | None = None
    extended: bool = False


@dataclass(frozen=True)
class Budget:
    """The cost of the run.

    Attributes:
        trial_seconds: training, evaluation and checkpoints, over all trials.
        wall_seconds: time of the driver, over all launches.
        kimg: thousands of images shown, over all trials.
        saved_fraction: kimg not spent by the ended trials, divided by their kimg at full length; None
            until a trial has ended.
        overhead_fraction: share of `trial_seconds` spent on evaluation, checkpoints and pictures
            instead of training; None before the first report.
    """

    trial_seconds: float
    wall_seconds: float
    kimg: float
    saved_fraction: float | None
    overhead_fraction: float | None


@dataclass(frozen=True)
class Rescoring:
    """How the best trials were judged again after the search.

    Attributes:
        metric: full name of the distance.
        evaluation: identity of the measurement, as `ReportData.evaluation`.
        trials: how many took part.
        draws: of latents, for each.
    """

    metric: str
    evaluation: dict[str, Any]
    trials: int
    draws: int

    @property
    def metric_short(self) -> str:
        return short_name(self.metric)


@dataclass(frozen=True)
class Assessed:
    """What `search.rescore` has measured of the winner beyond its distance: collapse, copies.

    Attributes:
        trial: the winner at that time.
        lines: the figures, for people.
        values: all of `Assessment.as_dict()`.
    """

    trial: str
    lines: list[Line]
    values: dict[str, Any]


@dataclass(frozen=True)
class Promise:
    """What recordings of other images foresee for the winner's settings, trained longer.

    Attributes:
        kimg: that longer length.
        ratio, low, high: its best distance there over that at its own length, and the interval that holds it with the
            probability `level`.
    """

    trial: str
    kimg: float
    ratio: float
    low: float
    high: float
    level: float


@dataclass(frozen=True)
class Extended:
    """A trial that was trained on, beyond the length of its sweep.

    Attributes:
        uri: of that training, a run of its own.
        from_kimg, from_fid: where it began: the trial's length, and its best FID until then.
        kimg, planned_kimg: its length in all so far, and as planned.
        state: running, interrupted, finished, stopped, diverged or failed.
        bundle: path or URI of its best generator.
        fid, best_fids: points (kimg, FID) and (kimg, best FID so far), from `from_kimg` on.
    """

    trial: str
    recipe: str
    uri: str
    from_kimg: float
    from_fid: float
    kimg: float
    planned_kimg: float
    best_fid: float
    best_kimg: float
    state: str
    reason: str | None
    bundle: str | None
    fid: list[tuple[float, float]]
    best_fids: list[tuple[float, float]]


@dataclass(frozen=True)
class ReportData:
    """A run, as far as it has come.

    Attributes:
        name, uri: of the run.
        state: running, interrupted or finished.
        cause: `TIME_BUDGET` if that interrupted the run.
        rows: every trial by id, those still to come included.
        curves: by trial, for those that have reported.
        evaluations: in order of time.
        improvements: one for each recipe whose published settings ran.
        searched: every parameter that any of the recipes searches.
        evaluation: identity of the FID's measurement, with at least the keys in `EVALUATION`.
        total_kimg: length of a full trial.
        identity: the identity stored in sweep.yaml; empty if that file is damaged.
        comparison: the result, if the run is a comparison.
        finalists: result of a sweep's finalists on fresh seeds, if it has any.
        rescoring: how the best trials were judged again, if they were; it decides the ranks first.
        assessed: whether the winner collapsed or copied, if that was measured.
        expected_published: of the best published settings, where none were trained in full and an estimate is known.
        promise: of the winner, trained longer, if the prior knows its recipe.
        extended: the trials that were trained on.
    """

    name: str
    uri: str
    state: str
    rows: list[Row]
    curves: dict[str, Curve]
    evaluations: list[Evaluated]
    improvements: list[Improvement]
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
    comparison: ComparisonResult | None = None
    finalists: ComparisonResult | None = None
    rescoring: Rescoring | None = None
    assessed: Assessed | None = None
    expected_published: Expected | None = None
    promise: Promise | None = None
    extended: list[Extended] = field(default_factory=list)

    @property
    def spaces(self) -> dict[str, dict[str, Any]]:
        """Recipe → parameter → its search space: {"low", "high", "log"}, or a list of values."""
        return spaces_of(self.identity)

    @property
    def counts(self) -> dict[str, int]:
        """State → number of trials."""
        return dict(Counter(row.state for row in self.rows))

    @property
    def leaderboard(self) -> list[Row]:
        """The trials that exist: ranked ones first, then those without an evaluation."""
        started = (row for row in self.rows if row.recipe is not None)
        return sorted(started, key=lambda row: (row.rank is None, row.rank or 0))

    def row(self, trial: str | None) -> Row | None:
        """Return a trial by id."""
        return next((row for row in self.rows if row.id == trial), None)

    @property
    def winner(self) -> Row | None:
        return next((row for row in self.rows if row.rank == 1), None)

    @property
    def best_extended(self) -> Extended | None:
        """The further training that came to the best generator of all; None if a trial of the sweep has the best."""
        if self.best is None or not self.best.extended:
            return None
        return next((each for each in self.extended if each.trial == self.best.trial), None)

    @property
    def over_published(self) -> Improvement | None:
        """The winner beside the best published settings, whatever their recipe, at the kimg that both have reached.

        None if either is missing, if published settings are the winner, or if the run is a comparison.

        If no published settings were trained in full, those that were trained longest stand for all: a good start does
        not always end well.
        """
        winner = self.winner
        published = [row for row in self.rows if row.source == "published" and row.best_fid is not None]
        if winner is None or winner.source == "published" or not published or self.comparison is not None:
            return None
        full = any(row.state == "finished" for row in published)
        longest = max(row.kimg or 0.0 for row in published)
        candidates = published if full else [row for row in published if row.kimg == longest]
        best = min(candidates, key=lambda row: row.best_fid or 0.0)
        kimg = min(winner.kimg or 0.0, best.kimg or 0.0)
        found, reference = (self.curves[row.id].best_at(kimg) for row in (winner, best))
        if found is None or reference is None:
            return None
        return Improvement(str(best.recipe), best.id, winner.id, kimg, reference, found, full)

    @property
    def recipe_names(self) -> list[str]:
        """The recipes that have trials, in the order of their first trials: the order of their colours."""
        return list(dict.fromkeys(row.recipe for row in self.rows if row.recipe is not None))

    @property
    def loss_panels(self) -> list[tuple[str, Row]]:
        """The trials whose losses are shown, each with the reason: "winner", "published" or "diverged"."""
        rows = [row for row in self.rows if row.id in self.curves and self.curves[row.id].losses]
        groups = {
            "winner": [row for row in rows if row.rank == 1],
            "published": [row for row in rows if row.source == "published"][:PUBLISHED_SHOWN],
            "diverged": [row for row in rows if row.state == "diverged"][-DIVERGED_SHOWN:],
        }
        reasons: dict[str, tuple[str, Row]] = {}
        for reason, group in groups.items():
            for row in group:
                reasons.setdefault(row.id, (reason, row))
        return list(reasons.values())

    @property
    def ended(self) -> dict[str, tuple[int, float]]:
        """State → (trials, kimg spent), for the states in which trials have ended."""
        spent = {state: [row.kimg or 0.0 for row in self.rows if row.state == state] for state in ENDED}
        return {state: (len(kimgs), sum(kimgs)) for state, kimgs in spent.items() if kimgs}

    @property
    def metric(self) -> str:
        """The full name of the distances; only features of the reference Inception network give FID."""
        return metric_of(self.evaluation)

    @property
    def metric_short(self) -> str:
        return short_name(self.metric)


def grid_path(trial: str, kimg: float) -> str:
    """Return the path, in the run, of a trial's samples from its evaluation at `kimg`."""
    return f"trials/{trial}/samples/{round(kimg * 1000):09d}.png"


def spaces_of(identity: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return recipe → parameter → its search space, from the identity in sweep.yaml."""
    recipes = identity.get("recipes")
    if not isinstance(recipes, dict):
        return {}
    spaces = {name: recipe.get("space") for name, recipe in recipes.items() if isinstance(recipe, dict)}
    return {str(name): space for name, space in spaces.items() if isinstance(space, dict)}
