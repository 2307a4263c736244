"""The divergence rule, judged on recorded trials: `python benchmarks/judge_divergence.py`.

The trials were trained to their full length whatever the rule would have said, so it is known what became of those that
it ends. Each is given to the real `gan.training.divergence.FailureDetector`, as a trial would.

- *top quarter*: among the sampled trials of its recordings, by the best FID over the full length.
- *false kill*: a trial of the top quarter that the rule ends before it has reached its best FID.
- *lost*: one that ends up in the worst quarter although it was trained to the end. A *sign* is a stretch of training or
  evaluation that the rule counts against a trial. It is lost *from* the first sign after which it was never better than
  before: others, it got over. Where that is one of the last two reports, nothing could be ended two reports later, and
  it is left out.
- *delay*: reports from that sign, or from the first of all, to the one that ends the trial.

Thresholds of the rule about a winning discriminator are tried on one half of the trials; those shipped and chosen are
then judged on the other. Those shipped are judged once more on recordings made after they were chosen (`--since`), and
on trials at rates and clips beyond the default space, at which most are lost (`--beyond`): their quarters are those of
the ordinary trials on the same data.
Intervals are exact ones of Clopper and Pearson (95%); for shares of seconds, bootstraps over trials.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from scipy.stats import binomtest
from traces import Trace, TracedReport, TraceSet, Verdict, read_named

from gan.training import divergence

Thresholds = tuple[int, float]
"""`gan.training.divergence.DOMINATED_CHECKS` and `LEARNT`."""

EARLIER: Thresholds = (6, 0.0)
"""What was shipped before: whoever had learnt was ended as well."""

CANDIDATES: list[Thresholds] = [(checks, learnt) for learnt in (0.0, 1.0) for checks in (2, 4, 6, 8, 12)]


@contextmanager
def in_force(thresholds: Thresholds) -> Iterator[None]:
    """Give the rule other thresholds for a while."""
    before = shipped()
    divergence.DOMINATED_CHECKS, divergence.LEARNT = thresholds
    try:
        yield
    finally:
        divergence.DOMINATED_CHECKS, divergence.LEARNT = before


def shipped() -> Thresholds:
    return divergence.DOMINATED_CHECKS, divergence.LEARNT


@dataclass(frozen=True)
class Case:
    """One trial under the rule.

    Attributes:
        top, better: whether it belongs to the top quarter, or the better half, of its data set.
        lost: whether it ends in the worst quarter; not finite is worst of all.
        signs: the reports with one.
        reports: of a training in full; a trial's own are fewer where nothing was finite any more.
        verdict: of the rule.
        spoilt: whether the rule ended it before it was at its best.
    """

    trace: Trace
    top: bool
    better: bool
    lost: bool
    signs: list[int]
    reports: int
    verdict: Verdict | None

    @property
    def lost_from(self) -> int | None:
        """The first sign after which it was never better than before; None without one, or only at the end."""
        fids = [math.inf if report.fid is None else report.fid for report in self.trace.reports]
        lasting = (at for at in self.signs if min(fids[at:]) >= min(fids[:at], default=math.inf))
        first = next(lasting, None)
        return None if first is None or first + 2 >= self.reports else first

    @property
    def spoilt(self) -> bool:
        if self.verdict is None or self.trace.best_fid is None:
            return False
        seen = self.trace.reports[: self.verdict.report + self.verdict.judged]
        return min((r.fid for r in seen if r.fid is not None), default=math.inf) > self.trace.best_fid


def cases(traces: TraceSet, thresholds: Thresholds, standard: TraceSet | None = None) -> list[Case]:
    """Judge every sampled trial of a data set, its quarters being those of a standard: another set, or itself."""
    sampled = [trace for trace in traces.traces if trace.source == "sampled"]
    best = best_fids(traces)
    good, middle, bad = np.percentile(best_fids(standard or traces), [25, 50, 75], method="nearest")
    reports = round(traces.kimg / traces.interval)
    with in_force(thresholds):
        return [
            Case(trace, fid <= good, fid <= middle, fid >= bad, signs(traces, trace), reports, traces.verdict(trace))
            for trace, fid in zip(sampled, best, strict=True)
        ]


def best_fids(traces: TraceSet) -> list[float]:
    """Return the best of each sampled trial over its full length; infinite if none was finite."""
    fids = [trace.best_fid for trace in traces.traces if trace.source == "sampled"]
    return [math.inf if fid is None else fid for fid in fids]


def signs(traces: TraceSet, trace: Trace) -> list[int]:
    """Return the reports in which something speaks against a trial, before it must persist."""
    objective = traces.objective(trace)
    limit = objective.loss_limit(traces.shape)

    def speaks_against(index: int, report: TracedReport) -> bool:
        if report.fid is None or report.spread is None:
            return True
        old = traces.interval * (index + 1) >= divergence.YOUNG_KIMG
        if old and report.spread < divergence.COLLAPSED_SPREAD:
            return True
        for part in report.stretches:
            losses = (part.d_loss, part.g_loss)
            if not part.finite or None in losses or max(map(abs, losses)) > limit:  # type: ignore[arg-type]
                return True
            if objective.dominated(*losses):  # type: ignore[arg-type]
                return True
        return False

    return [index for index, report in enumerate(trace.reports) if speaks_against(index, report)]


def judge(found: list[Case]) -> dict[str, Any]:
    """Put cases in figures."""
    ended = [case for case in found if case.verdict is not None]
    top = [case for case in found if case.top]
    false = [case for case in top if case.spoilt]
    lost = [case for case in found if case.lost]
    delays = {
        "from_a_sign": [delay(case, case.lost_from) for case in lost if case.lost_from is not None],
        "from_the_first": [delay(case, case.signs[0]) for case in lost if case.signs],
    }
    spent = [case.trace.seconds_until(case.verdict) for case in found]
    full = [case.trace.seconds for case in found]
    return {
        "trials": len(found),
        "ended": len(ended),
        "reasons": Counter(case.verdict.reason.partition(":")[0] for case in ended if case.verdict),
        "ended_of_worst_quarter": sum(case.lost for case in ended),
        "ended_of_better_half": sum(case.better for case in ended),
        "top": len(top),
        "false_kills": interval(len(false), len(top)),
        "lost_ended_within_2": {
            name: interval(sum(each <= 2 for each in measured), len(measured)) for name, measured in delays.items()
        },
        "delays": {name: sorted(each for each in measured if each < math.inf) for name, measured in delays.items()},
        "saved": saved(spent, full),
    }


def delay(case: Case, sign: int | None) -> float:
    """Return the reports from a sign to the end by the rule; infinite if it never came."""
    return math.inf if case.verdict is None or sign is None else case.verdict.report - sign


def interval(hits: int, of: int) -> dict[str, Any]:
    if not of:
        return {"count": 0, "of": 0, "share": None, "low": None, "high": None}
    bounds = binomtest(hits, of).proportion_ci(method="exact")
    return {"count": hits, "of": of, "share": hits / of, "low": float(bounds.low), "high": float(bounds.high)}


def saved(spent: list[float], full: list[float]) -> dict[str, float]:
    """Return the share of all trial-seconds that is not spent, with its interval."""
    a, b = np.array(spent), np.array(full)
    picks = np.random.default_rng(0).integers(len(a), size=(5000, len(a)))
    low, high = np.percentile(1 - a[picks].sum(1) / b[picks].sum(1), [2.5, 97.5])
    return {"seconds": float((b - a).sum()), "share": float(1 - a.sum() / b.sum()), "low": low, "high": high}


def fit(sets: list[TraceSet]) -> tuple[Thresholds, dict[Thresholds, dict[str, Any]]]:
    """Choose on one half of the trials: as few false kills as can be, then as many seconds saved."""
    tried = {thresholds: judge(half(sets, thresholds, 0)) for thresholds in CANDIDATES}
    return min(tried, key=lambda each: (tried[each]["false_kills"]["count"], -tried[each]["saved"]["share"])), tried


def half(sets: list[TraceSet], thresholds: Thresholds, which: int) -> list[Case]:
    """Return every other trial, of each recipe and data set alike."""
    return [
        case
        for traces in sets
        for case in cases(traces, thresholds)
        if case.trace.trial // len(traces.common["recipes"]) % 2 == which
    ]


def show(title: str, found: dict[str, Any]) -> None:
    def share(value: dict[str, Any]) -> str:
        if value["share"] is None:
            return "none"
        return f"{value['count']} of {value['of']} ({value['low']:.1%} to {value['high']:.1%})"

    reasons = ", ".join(f"{name} {count}" for name, count in found["reasons"].items()) or "nothing"
    saved = found["saved"]
    print(f"\n{title}: {found['trials']} trials, {found['ended']} ended ({reasons})")
    print(f"  false kills in the top quarter: {share(found['false_kills'])}")
    print(
        f"  of the ended, {found['ended_of_worst_quarter']} would have been in the worst quarter,"
        f" {found['ended_of_better_half']} in the better half"
    )
    within, delays = found["lost_ended_within_2"], found["delays"]["from_a_sign"]
    print(f"  lost from a sign on, and ended within 2 reports of it: {share(within['from_a_sign'])}")
    print(f"  of the worst quarter, ended within 2 reports of the first sign of all: {share(within['from_the_first'])}")
    print(
        f"  mean delay in reports, from when it was lost: {round(fmean(delays), 1) if delays else 'none ended'};"
        f" trial-seconds saved"
        f" {saved['share']:.1%} ({saved['low']:.1%} to {saved['high']:.1%})"
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", default=["faces", "fashion-mnist"], help="names of recordings, or files")
    parser.add_argument("--since", nargs="*", default=["faces-2", "fashion-mnist-2"], help="likewise, only judged on")
    parser.add_argument(
        "--beyond", nargs="*", default=["faces-beyond"], help="likewise, judged by the first ones' quarters"
    )
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    args = parse()
    sets, since, beyond = (list(map(read_named, names)) for names in (args.data, args.since, args.beyond))
    chosen, tried = fit(sets)
    # The shipped one is judged without its exemption as well.
    kinds = list(dict.fromkeys((EARLIER, (shipped()[0], 0.0), chosen, shipped())))
    others = {each: judge([*half(sets, each, 1), *judged(since, each)]) for each in kinds}
    whole = {traces.common["data"]: judge(cases(traces, shipped())) for traces in sets}
    standards = {traces.common["data"]: traces for traces in sets}
    wild = {each: judge(judged(beyond, each, standards)) for each in kinds} if beyond else {}
    if args.json:
        result = {"shipped": shipped(), "chosen": chosen, "whole": whole, "fitted_on": named(tried)}
        json.dump({**result, "judged_on": named(others), "beyond": named(wild)}, sys.stdout)
        return
    for thresholds, found in tried.items():
        show(f"one half, {words(thresholds)}", found)
    print(f"\nchosen on that half: {words(chosen)}; shipped: {words(shipped())}")
    for thresholds, found in others.items():
        show(f"the other half and those recorded since, {words(thresholds)}", found)
    for name, found in whole.items():
        show(f"{name}, both halves, as shipped", found)
    for thresholds, found in wild.items():
        show(f"rates and clips beyond the space, {words(thresholds)}", found)


def judged(sets: list[TraceSet], thresholds: Thresholds, standards: dict[str, TraceSet] | None = None) -> list[Case]:
    """Judge all trials of several sets, each by its own quarters or by those of a standard on the same data."""
    found = [(traces, standards[traces.common["data"]] if standards else None) for traces in sets]
    return [case for traces, standard in found for case in cases(traces, thresholds, standard)]


def words(thresholds: Thresholds) -> str:
    return f"{thresholds[0]} checks, learnt below {thresholds[1]:g} of a single image"


def named(found: dict[Thresholds, Any]) -> dict[str, Any]:
    return {words(thresholds): value for thresholds, value in found.items()}


if __name__ == "__main__":
    main()
