"""How far the time left that a sweep shows is from what it then took, at each report of recorded runs.

python benchmarks/time_left.py RUN...

Each run must have been driven to its end without an interruption. Reports in the first fifth of its time do not count.
"""

from __future__ import annotations

import argparse
import math
import statistics

from gan.storage.storage import Storage
from search.run.journal import read_events
from search.run.record import SweepRecord, apply, timed
from search.trackers.remaining_time import RemainingTime

SKIPPED = 0.2
WITHIN = 0.3


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


def main() -> None:
    """Print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    good = 0
    runs = parser.parse_args().runs
    for name in runs:
        found = ratios(Storage(name))
        within = sum(1 / (1 + WITHIN) <= ratio <= 1 + WITHIN for ratio in found) / len(found)
        spread = statistics.pstdev(map(math.log, found))
        good += within >= 0.8
        print(f"{name}: within 30% at {within:.0%} of {len(found)} reports; median {statistics.median(found):.2f}"
              f" times what was left, spread {math.exp(spread):.2f}")  # fmt: skip
    print(f"within 30% at four fifths of their reports: {good} of {len(runs)} runs")


if __name__ == "__main__":
    main()
