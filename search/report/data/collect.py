"""Read a run's journal and settings, in whatever state they are, into `ReportData`."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from collections.abc import Iterable
from typing import Any

from gan.errors import InputError
from gan.evaluation.assessment.lines import JSON, lines
from gan.storage.storage import Storage
from search.algorithm.forecast import forecast
from search.report.data.comparison import ComparisonResult, comparison_result
from search.report.data.report_data import (
    EVALUATION,
    Assessed,
    Best,
    Budget,
    Curve,
    Evaluated,
    Expected,
    Extended,
    Improvement,
    Promise,
    ReportData,
    Rescoring,
    Row,
    spaces_of,
)
from search.run.bundles import by_generator, trial_bundle
from search.run.event_schema import fits_schema
from search.run.journal import JOURNAL, read_events
from search.run.owner import is_driven
from search.run.record import Rescore, SweepRecord, TrialRecord, fold, read_extensions, timed
from search.run.run_folder import EVIDENCE, FINALISTS, SETTINGS, read_settings


def collect(run: Storage) -> ReportData:
    """Read a run, whatever state it is in.

    Raises:
        InputError: this is no run, or one of a newer version.
    """
    events = _read_events(run)
    record = fold(events, run.uri)
    try:
        saved = read_settings(run)
    except InputError:
        saved = {}  # The journal alone makes a report.
    settings = record.settings or saved.get("settings", {})
    state = _state(run, record)
    identity = saved.get("identity")
    identity = identity if isinstance(identity, dict) else {}
    spaces = spaces_of(identity)
    rows = _rows(record, state, spaces, _planned(settings))
    total = settings.get("kimg")
    comparison = comparison_result(record, run.uri, state)
    extended = _extended(run)
    return ReportData(
        name=str(settings.get("name") or run.root.rpartition("/")[2]),
        uri=run.uri,
        state=state,
        cause=record.cause,
        rows=rows,
        curves={trial.id: _curve(trial) for trial in record.trials.values() if trial.reports},
        evaluations=_evaluations(events),
        # In a comparison, all are compared with all.
        improvements=[] if comparison is not None else _improvements(record),
        expected_published=None if comparison is not None else _expected_published(record),
        promise=_promise(record) if not extended else None,
        extended=extended,
        searched=_searched(spaces, rows),
        best=_best(run, record),
        budget=_budget(record, total),
        evaluation=dict.fromkeys(EVALUATION) | (record.evaluation or {}),
        settings=settings,
        versions=record.versions or saved.get("versions", {}),
        command=record.command,
        total_kimg=total,
        identity=identity,
        comparison=comparison,
        finalists=finalists_of(run),
        rescoring=_rescoring(record),
        assessed=read_assessment(run),
    )


def finalists_of(run: Storage) -> ComparisonResult | None:
    """Return the result of a sweep's finalists so far; None if it has none."""
    folder = run.child(FINALISTS)
    if not folder.exists(JOURNAL):
        return None
    record = fold(read_events(folder), folder.uri)
    return comparison_result(record, folder.uri, _state(folder, record))


def read_assessment(run: Storage) -> Assessed | None:
    """Return what is known of the run's winner beyond its distance; None if it was not evaluated."""
    try:
        values = json.loads(run.read_bytes(f"{EVIDENCE}/{JSON}"))
        return Assessed(str(values["trial"]), lines(values), values)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # Missing or damaged: a report does without.


def _rescoring(record: SweepRecord) -> Rescoring | None:
    """Return how the last re-scoring measured; None if there was none, or it is out of date."""
    rescores = [rescore for rescore in map(record.rescored, record.trials.values()) if rescore is not None]
    if not rescores:
        return None
    first, draws = rescores[0], max(len(rescore.fids) for rescore in rescores)
    return Rescoring(first.metric, first.evaluation, len(rescores), draws)


def _read_events(run: Storage) -> list[dict[str, Any]]:
    # A driver that was killed between its first two files leaves only the settings: a run without trials.
    if run.exists(SETTINGS) and not run.exists(JOURNAL):
        return []
    return [event for event in read_events(run) if fits_schema(event)]


def _state(run: Storage, record: SweepRecord) -> str:
    if record.ended == "finished":
        return "finished"
    return "running" if is_driven(run) else "interrupted"


def _planned(settings: dict[str, Any]) -> int:
    """Return how many trials are planned: a comparison trains each recipe on each seed."""
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
    rates = [rate for report in trial.reports if (rate := report.get("images_per_second"))]
    return Row(
        id=trial.id,
        rank=rank,
        recipe=trial.recipe,
        objective=trial.objective,
        source=trial.source,
        # A driver that was killed did not record that its trials stopped.
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
        provenance=trial.provenance,
        images_per_second=statistics.median(rates) if rates else None,
    )


def _spread(trial: TrialRecord) -> float | None:
    best = trial.last.get("best_kimg")
    return next((report.get("spread") for report in trial.reports if report["kimg"] == best), None)


def _params(trial: TrialRecord, spaces: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the sampled parameters; for published settings, their values of the recipe's searched parameters."""
    if trial.source != "published":
        return trial.params
    return {name: trial.settings[name] for name in spaces.get(trial.recipe, ()) if name in trial.settings}


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
    return [
        Evaluated(seconds, event["trial"], event["fid"])
        for event, seconds in timed(events)
        if event["event"] == "report" and event.get("fid") is not None
    ]


def _improvements(record: SweepRecord) -> list[Improvement]:
    published = [trial for trial in record.trials.values() if trial.source == "published"]
    return [_improvement(trial, record) for trial in published]


def _improvement(published: TrialRecord, record: SweepRecord) -> Improvement:
    """Compare with the best sampled trial at equal kimg, the most that both have: more training helps either."""
    sampled = [trial for trial in record.ranked() if (trial.recipe, trial.source) == (published.recipe, "sampled")]
    kimg = min(published.kimg, max((trial.kimg for trial in sampled), default=0.0))
    reached = [(trial.best_fid_at(kimg), trial.id) for trial in sampled if trial.kimg >= kimg]
    known = [(fid, trial) for fid, trial in reached if fid is not None]
    full = published.state == "finished"
    if not known:
        return Improvement(published.recipe, published.id, None, published.kimg or None, published.best_fid, None, full)
    fid, best = min(known)
    return Improvement(published.recipe, published.id, best, kimg, published.best_fid_at(kimg), fid, full)


def _expected_published(record: SweepRecord) -> Expected | None:
    """Return what the best published settings would have come to, if all were stopped.

    The trials that were trained in full tell how far the logarithm of a score falls from a kimg to the end. The
    published score is expected to fall as far, if it lies among theirs at that kimg. Of one that is worse than all of
    them they tell nothing: they are there because they were good.
    """
    trials = list(record.trials.values())
    published = [trial for trial in trials if trial.source == "published" and trial.best_fid]
    if any(trial.state == "finished" for trial in published):
        return None
    full = [trial for trial in trials if trial.state == "finished" and trial.best_fid]
    expected = []
    for trial in published:
        known = [(other.best_fid, other.best_fid_at(trial.kimg)) for other in full]
        fall = forecast([math.log(end / then) for end, then in known if end and then])
        among = trial.best_fid is not None and trial.best_fid <= max((then for _, then in known if then), default=0.0)
        if trial.state == "stopped" and trial.best_fid and among and fall is not None:
            fid, low, high = (trial.best_fid * ratio for ratio in fall[:3])
            expected.append(Expected(trial.recipe, fid, low, high, fall.level))
    return min(expected, key=lambda each: each.fid, default=None)


def _promise(record: SweepRecord) -> Promise | None:
    """Return what was foreseen for the winner when the run ended; None if another trial leads by now."""
    winner = next(iter(record.by_evidence()), None)
    try:
        told = record.promise or {}
        numbers = [float(told[name]) for name in ("kimg", "ratio", "low", "high", "level")]
        return Promise(winner.id, *numbers) if winner is not None and told["trial"] == winner.id else None
    except (KeyError, TypeError, ValueError):
        return None  # There is none, or it is damaged, or of a newer version.


def _best(run: Storage, record: SweepRecord) -> Best | None:
    for folder, trial in by_generator(run, record)[:1]:
        extended = folder is not run
        rescore = None if extended else record.rescored(trial)
        assert trial.best_fid is not None
        bundle = _bundle_of(folder, trial)
        return Best(trial.id, trial.best_fid, bundle, None if rescore is None else rescore.fid, extended)
    return None


def _bundle_of(run: Storage, trial: TrialRecord) -> str | None:
    bundle = trial_bundle(run, trial.id, trial.last.get("best_kimg"))
    return run.child(bundle).uri if bundle else None


def _extended(run: Storage) -> list[Extended]:
    """Return the trials that were trained on, those whose training has reported."""
    extended = []
    for name, (folder, record) in read_extensions(run).items():
        trial, state = record.trials[name], _state(folder, record)
        curve, first = _curve(trial), next(iter(trial.reports), {})
        if trial.best_fid is None or first.get("best_fid") is None:
            continue
        extended.append(
            Extended(
                trial=name,
                recipe=trial.recipe,
                uri=folder.uri,
                from_kimg=first["kimg"],
                from_fid=first["best_fid"],
                kimg=trial.kimg,
                planned_kimg=float(record.settings.get("kimg", trial.kimg)),
                best_fid=trial.best_fid,
                best_kimg=trial.last["best_kimg"],
                state=trial.state if trial.final else state,
                reason=trial.reason,
                bundle=_bundle_of(folder, trial),
                fid=curve.fid,
                best_fids=curve.best_fid,
            )
        )
    return extended


def _budget(record: SweepRecord, total_kimg: float | None) -> Budget:
    trials = record.trials.values()
    ended = [trial.kimg for trial in trials if trial.final]
    saved = max(0.0, 1 - sum(ended) / (len(ended) * total_kimg)) if ended and total_kimg else None
    return Budget(
        trial_seconds=sum(trial.last.get("seconds") or 0.0 for trial in trials),
        wall_seconds=record.wall_seconds,
        kimg=sum(trial.kimg for trial in trials),
        saved_fraction=saved,
        overhead_fraction=_overhead(record),
    )


def _overhead(record: SweepRecord) -> float | None:
    reports = [report for trial in record.trials.values() for report in trial.reports]
    names = ("train_seconds", "eval_seconds", "checkpoint_seconds")
    training, *others = (sum(report.get(name) or 0.0 for report in reports) for name in names)
    return sum(others) / (sum(others) + training) if sum(others) + training else None


def best_finalist(run: Storage) -> dict[str, Any] | None:
    """Return the finalist of a sweep with the lowest mean over fresh seeds; None if that is not known.

    {"name", "mean", "std_over_seeds", "low", "high", "seeds", "bundle"}: the bundle is the path of the
    best generator from its trainings on these seeds.
    """
    comparison = finalists_of(run)
    winner = comparison.winner if comparison is not None else None
    if winner is None or winner.best_fid is None:
        return None
    folder = run.child(FINALISTS)
    best = min((seed for seed in winner.seeds if seed.best_fid is not None), key=lambda seed: seed.best_fid or 0.0)
    bundle = trial_bundle(folder, best.trial)
    place = folder.child(bundle).uri if bundle else None
    return {"name": winner.name, **winner.best_fid.as_dict(), "bundle": place}
