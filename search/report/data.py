"""What there is to say of a run: one object, made from its journal, for terminal, JSON and page."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gan.errors import InputError
from gan.storage import Storage
from search.journal import AFTERWARDS, JOURNAL, Rescore, SweepRecord, TrialRecord, fold, read_events
from search.report.contest import Contest, contest_of
from search.report.rescoring import Rescoring, rescoring_of
from search.report.soundness import is_sound
from search.retention import trial_bundle
from search.run_folder import FINALISTS, SETTINGS, is_alive, read_owner, read_settings

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
        trial_seconds: training and evaluation, over all trials.
        wall_seconds: that drivers have spent, over all launches.
        kimg: thousands of images shown, over all trials.
        saved_fraction: of the kimg of the ended trials at full length, the share that was not spent;
            None until a trial has ended.
    """

    trial_seconds: float
    wall_seconds: float
    kimg: float
    saved_fraction: float | None


@dataclass(frozen=True)
class ReportData:
    """A run, as far as it has come.

    Attributes:
        name, uri: of the run.
        state: running, interrupted or finished.
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
    contest: Contest | None = None
    finalists: Contest | None = None
    rescoring: Rescoring | None = None

    @property
    def spaces(self) -> dict[str, dict[str, Any]]:
        """Recipe → parameter → what is searched: {"low", "high", "log"}, or a list of values."""
        return _spaces(self.identity)

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
        """What the distances are called in full; only those of Inception features are FID."""
        features = self.evaluation["features"]
        return "FID" if features == "inception" else f"Fréchet distance ({features or 'unknown'} features)"

    @property
    def metric_short(self) -> str:
        return "FID" if self.evaluation["features"] == "inception" else "FD"


def collect(run: Storage) -> ReportData:
    """Read a run, whatever state it is in.

    Raises:
        InputError: this is no run, or one of a newer version.
    """
    events = _read_events(run)
    record = fold(events, run.uri)
    saved = _saved_settings(run)
    settings = record.settings or saved.get("settings", {})
    state = _state(run, record)
    identity = saved.get("identity")
    identity = identity if isinstance(identity, dict) else {}
    spaces = _spaces(identity)
    rows = _rows(record, state, spaces, _planned(settings))
    total = settings.get("kimg")
    contest = contest_of(record, run.uri, state)
    return ReportData(
        name=str(settings.get("name") or run.root.rpartition("/")[2]),
        uri=run.uri,
        state=state,
        rows=rows,
        curves={trial.id: _curve(trial) for trial in record.trials.values() if trial.reports},
        evaluations=_evaluations(events),
        # In a comparison, all are compared with all.
        comparisons=[] if contest is not None else _comparisons(record),
        searched=_searched(spaces, rows),
        best=_best(run, record),
        budget=_budget(record, total),
        evaluation=dict.fromkeys(EVALUATION) | (record.evaluation or {}),
        settings=settings,
        versions=record.versions or saved.get("versions", {}),
        command=record.command,
        total_kimg=total,
        identity=identity,
        contest=contest,
        finalists=finalists_of(run),
        rescoring=rescoring_of(record),
    )


def grid_path(trial: str, kimg: float) -> str:
    """Return where, in the run, a trial keeps the samples of its evaluation at `kimg`."""
    return f"trials/{trial}/samples/{round(kimg * 1000):09d}.png"


def finalists_of(run: Storage) -> Contest | None:
    """Return what a sweep's finalists have shown so far; None if it has none."""
    folder = run.child(FINALISTS)
    if not folder.exists(JOURNAL):
        return None
    record = fold(read_events(folder), folder.uri)
    return contest_of(record, folder.uri, _state(folder, record))


def _read_events(run: Storage) -> list[dict[str, Any]]:
    # A driver killed between its first two files leaves settings alone: a run, with nothing in it yet.
    if run.exists(SETTINGS) and not run.exists(JOURNAL):
        return []
    return [event for event in read_events(run) if is_sound(event)]


def _saved_settings(run: Storage) -> dict[str, Any]:
    """Return what sweep.yaml holds, or nothing: the journal alone makes a report."""
    try:
        return read_settings(run)
    except InputError:
        return {}


def _state(run: Storage, record: SweepRecord) -> str:
    if record.ended == "finished":
        return "finished"
    owner = read_owner(run)
    return "running" if owner is not None and is_alive(owner) else "interrupted"


def _planned(settings: dict[str, Any]) -> int:
    """Return how many trials a run is to have: a comparison trains each recipe on each seed."""
    return int(settings.get("trials") or len(settings.get("recipes", ())) * settings.get("seeds", 0))


# ---- trials


def _rows(record: SweepRecord, state: str, spaces: dict[str, dict[str, Any]], planned: int) -> list[Row]:
    ranks = {trial.id: rank for rank, trial in enumerate(record.by_evidence(), start=1)}
    rows = [_row(trial, record.rescored(trial), ranks.get(trial.id), state, spaces) for trial in record.trials.values()]
    names = (f"t{index:04d}" for index in range(planned))
    missing = [Row(name) for name in names if name not in record.trials]
    return rows + missing[: max(0, planned - len(rows))]


def _row(
    trial: TrialRecord, rescore: Rescore | None, rank: int | None, state: str, spaces: dict[str, dict[str, Any]]
) -> Row:
    last = trial.last
    fids = (report.get("fid") for report in reversed(trial.reports))
    return Row(
        id=trial.id,
        rank=rank,
        recipe=trial.recipe,
        objective=trial.objective,
        source=trial.source,
        # A driver that was killed did not say that its trials stopped running.
        state="pending" if trial.state == "running" and state != "running" else trial.state,
        params=_params(trial, spaces),
        kimg=last.get("kimg"),
        fid=next((fid for fid in fids if fid is not None), None),
        best_fid=trial.best_fid,
        best_kimg=last.get("best_kimg"),
        reason=trial.reason,
        seconds=last.get("seconds"),
        spread=_spread(trial),
        seed=trial.seed,
        rescored_fid=None if rescore is None else rescore.fid,
        rescored_std=None if rescore is None else rescore.std,
    )


def _spread(trial: TrialRecord) -> float | None:
    best = trial.last.get("best_kimg")
    return next((report.get("spread") for report in trial.reports if report["kimg"] == best), None)


def _params(trial: TrialRecord, spaces: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what was sampled; for published settings, their values of what the recipe searches."""
    if trial.source != "published":
        return trial.params
    return {name: trial.settings[name] for name in spaces.get(trial.recipe, ()) if name in trial.settings}


def _spaces(identity: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return recipe → parameter → what is searched of it, as sweep.yaml tells."""
    recipes = identity.get("recipes")
    if not isinstance(recipes, dict):
        return {}
    spaces = {name: recipe.get("space") for name, recipe in recipes.items() if isinstance(recipe, dict)}
    return {str(name): space for name, space in spaces.items() if isinstance(space, dict)}


def _searched(spaces: dict[str, dict[str, Any]], rows: Iterable[Row]) -> list[str]:
    sampled = [name for row in rows for name in row.params or ()]
    return list(dict.fromkeys([*itertools.chain.from_iterable(spaces.values()), *sampled]))


def _curve(trial: TrialRecord) -> Curve:
    def points(name: str) -> list[tuple[float, float]]:
        return [(report["kimg"], report[name]) for report in trial.reports if report.get(name) is not None]

    batch, n_critic = trial.settings.get("batch"), trial.settings.get("n_critic", 1)
    return Curve(points("fid"), points("best_fid"), _losses(trial.reports), batch * n_critic if batch else None)


def _losses(reports: list[dict[str, Any]]) -> list[tuple[float, float, float]]:
    points: list[tuple[float, float, float]] = []
    for report in reports:
        mean = (report["kimg"], report.get("g_loss"), report.get("d_loss"))
        for kimg, generator, discriminator in report.get("curve") or [mean]:
            if generator is not None and discriminator is not None:
                points.append((kimg, generator, discriminator))
    return points


# ---- the sweep


def _evaluations(events: list[dict[str, Any]]) -> list[Evaluated]:
    found = []
    spent = 0.0
    begun = seen = None
    for event in events:
        now = float(event.get("time", 0.0))
        if event["event"] == "sweep":
            spent += seen - begun if begun is not None and seen is not None else 0.0
            begun = now
        elif event["event"] == "report" and event.get("fid") is not None and begun is not None:
            found.append(Evaluated(spent + now - begun, event["trial"], event["fid"]))
        seen = seen if event["event"] in AFTERWARDS else now
    return found


def _comparisons(record: SweepRecord) -> list[Comparison]:
    published = [trial for trial in record.trials.values() if trial.source == "published"]
    return [_compare(trial, record) for trial in published]


def _compare(published: TrialRecord, record: SweepRecord) -> Comparison:
    """Compare at the kimg that both have reached: training on would have helped either."""
    sampled = (trial for trial in record.ranked() if trial.source != "published")
    found = next((trial for trial in sampled if trial.recipe == published.recipe), None)
    if found is None:
        kimg = published.kimg or None
        return Comparison(published.recipe, published.id, None, kimg, published.best_fid, None)
    kimg = min(published.kimg, found.kimg)
    fids = published.best_fid_at(kimg), found.best_fid_at(kimg)
    return Comparison(published.recipe, published.id, found.id, kimg, *fids)


def _best(run: Storage, record: SweepRecord) -> Best | None:
    for trial in record.by_evidence()[:1]:
        bundle, rescore = trial_bundle(run, trial.id), record.rescored(trial)
        assert trial.best_fid is not None
        place = run.child(bundle).uri if bundle else None
        return Best(trial.id, trial.best_fid, place, None if rescore is None else rescore.fid)
    return None


def _budget(record: SweepRecord, total_kimg: float | None) -> Budget:
    trials = record.trials.values()
    ended = [trial.kimg for trial in trials if trial.final]
    saved = max(0.0, 1 - sum(ended) / (len(ended) * total_kimg)) if ended and total_kimg else None
    return Budget(
        trial_seconds=sum(trial.last.get("seconds") or 0.0 for trial in trials),
        wall_seconds=record.wall_seconds,
        kimg=sum(trial.kimg for trial in trials),
        saved_fraction=saved,
    )
