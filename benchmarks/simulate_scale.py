"""What one driver bears: thousands of trials on simulated slots: `python benchmarks/simulate_scale.py`.

    python benchmarks/simulate_scale.py faces --trials 1000 --slots 100
    python benchmarks/simulate_scale.py faces --trials 10000 --slots 1000

The real searcher and scheduler decide; the trials are made up by a model of recorded ones (`emulated.py`), since there
are not that many. So the best FID says nothing beyond the recordings; time to best, cost and the driver's seconds are
what to read. Driver seconds are processor time of proposing, deciding
and learning; Ray, the journal on a disk and checkpoints are not in them (`sweep_overhead.py` measures a whole sweep).
"""

from __future__ import annotations

import os

# Before NumPy is imported: processor time of threads that wait for each other would be billed too.
os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import math
import time
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from contenders import NoJournal, Ours, Running
from emulated import EmulatedPool, Emulator
from replay import simulate
from traces import TraceSet, read_joined

from search.plan.spec import make_spec
from search.trials.searcher import StudySearcher


@dataclass
class Bill:
    """What the driver has spent.

    Attributes:
        begin, report: seconds of each trial handed out, and of each report.
    """

    begin: list[float]
    report: list[float]


class Billed(Ours):
    """This project's search, whose driver is timed: the searcher is the sweep's own, with nothing of replay in it."""

    def __init__(self, traces: TraceSet, seed: int, **settings: Any) -> None:
        super().__init__(traces, seed, EmulatedPool(traces, Emulator(traces), seed), **settings)
        spec = make_spec({**self.settings, **settings, "seed": seed})
        self.searcher = StudySearcher(spec, spec.load_recipes(), self.record, NoJournal())  # type: ignore[assignment]
        self.bill = Bill([], [])

    def begin(self) -> Running | None:
        start = time.process_time()
        config = self.searcher.suggest("")
        self.bill.begin.append(time.process_time() - start)
        if not isinstance(config, dict):
            return None
        trial = self.searcher.trials[config["trial"]]
        self.record.trials[trial.id] = trial
        published = trial.source == "published"
        trace = self.pool.published(trial.recipe) if published else self.pool.nearest(trial.recipe, trial.params)
        return self.pool.running(trace, trial, judged=True)

    def report(self, running: Running, kimg: float, fid: float | None) -> bool:
        start = time.process_time()
        goes_on = super().report(running, kimg, fid)
        self.bill.report.append(time.process_time() - start)
        return goes_on


def measure(traces: TraceSet, trials: int, slots: int, seed: int) -> dict[str, Any]:
    contender = Billed(traces, seed, trials=trials)
    history = simulate(contender, slots, math.inf)
    begin, report = contender.bill.begin[:trials], contender.bill.report
    full = trials * fmean(trace.seconds for trace in traces.traces if trace.source == "sampled")
    tenth = max(1, trials // 10)
    return {
        "data": traces.common["data"],
        "trials": history.trials,
        "slots": slots,
        "wall_seconds": history.spent / slots,
        "share_of_full_training": history.busy / full,
        "best": history.best[-1],
        "best_at": history.seconds[-1] / history.spent,
        "within_5_percent_at": history.reaches(1.05 * history.best[-1]) / history.spent,
        "driver_seconds_a_trial": (sum(begin) + sum(report)) / history.trials,
        "first_tenth": fmean(begin[:tenth]),
        "last_tenth": fmean(begin[-tenth:]),
        "median_report": median(report),
    }


def show(found: dict[str, Any]) -> None:
    print(f"{found['data']}: {found['trials']} trials on {found['slots']} slots")
    print(f"  trial-seconds: {found['share_of_full_training']:.0%} of training all in full")
    print(
        f"  best {found['best']:.1f} at {found['best_at']:.0%} of the time; within 5% of it at"
        f" {found['within_5_percent_at']:.0%}"
    )
    print(
        f"  driver: {found['driver_seconds_a_trial']:.4f} s a trial; proposing {found['first_tenth']:.4f} s in the"
        f" first tenth, {found['last_tenth']:.4f} s in the last; a report {found['median_report'] * 1e6:.0f} µs"
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="faces+faces-2+faces-near", help="recordings or files")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--slots", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    args = parse()
    found = measure(read_joined(args.data), args.trials, args.slots, args.seed)
    print(json.dumps(found)) if args.json else show(found)


if __name__ == "__main__":
    main()
