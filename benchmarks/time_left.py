"""How far the time left that a sweep shows is from what it then took, at each report of recorded runs.

python benchmarks/time_left.py RUN...

Each run must have been driven to its end without an interruption. Reports in the first fifth of its time do not count.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from typing import Any

from gan.storage.storage import Storage
from search.run.journal import read_events
from search.run.record import SweepRecord, apply, timed
from search.trackers.remaining_time import RemainingTime

SKIPPED = 0.2
WITHIN = 0.3
ENOUGH = 0.8


def ratios(run: Storage) -> list[float]:
    """Return the estimate over what was left, at each report after the first fifth of the run's time."""
    events = list(timed(read_events(run)))
    first = next(seconds for event, seconds in events if event["event"] == "start")
    end = max(seconds for event, seconds in events if event["event"] == "verdict")
    record, found = SweepRecord(), []
    for event, seconds in events:
        apply(record, event)
        elapsed = seconds - first
        if event["event"] != "report" or elapsed < SKIPPED * (end - first) or seconds >= end:
            continue
        trials = list(record.trials.values())
        shown = sum(trial.kimg for trial in trials)
        planned = int(record.settings["trials"])
        estimate = RemainingTime(trials, planned, record.settings["kimg"]).seconds(shown, elapsed)
        if estimate is not None:
            found.append(max(estimate, 1e-3) / (end - seconds))
    return found


def judge(name: str) -> dict[str, Any]:
    """Return how a run's estimates compare with what was left."""
    found = ratios(Storage(name))
    within = sum(1 / (1 + WITHIN) <= ratio <= 1 + WITHIN for ratio in found) / len(found)
    spread = math.exp(statistics.pstdev(map(math.log, found)))
    return {
        "run": name,
        "reports": len(found),
        "within": within,
        "median": statistics.median(found),
        "spread": spread,
    }


def main() -> None:
    """Print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    judged = [judge(name) for name in args.runs]
    if args.json:
        print(json.dumps(judged))
        return
    for run in judged:
        told = "{run}: within 30% at {within:.0%} of {reports} reports; in the median {median:.2f} times what was left"
        print(told.format(**run) + f", spread {run['spread']:.2f}")
    good = sum(run["within"] >= ENOUGH for run in judged)
    print(f"within 30% at four fifths of their reports: {good} of {len(judged)} runs")


if __name__ == "__main__":
    main()
