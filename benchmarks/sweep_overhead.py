"""What a sweep costs beyond training, from its journal: `python benchmarks/sweep_overhead.py results/demo`.

Turnover: on one worker process, from the last report of a trial to the moment that the next trial
begins to train. The peer is a cold start: the first trial of each process, from the driver's order to
its first step, which is what every trial would cost without reused workers.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import defaultdict
from statistics import median
from typing import Any

from gan.storage.storage import Storage
from search.run.journal import read_events

Event = dict[str, Any]


def began(report: Event) -> float:
    """Return when the stretch of training that a report closes began, in seconds since 1970."""
    return float(report["time"] - report["train_seconds"] - report["eval_seconds"] - report["checkpoint_seconds"])


def turnovers(events: list[Event]) -> tuple[list[float], list[float]]:
    """Return seconds between trials on warm processes, and from order to first step on cold ones."""
    starts = {event["trial"]: event["time"] for event in reversed(events) if event["event"] == "start"}
    by_process: dict[tuple[str, int], list[Event]] = defaultdict(list)
    for event in events:
        if event["event"] == "report":
            by_process[event["host"], event["pid"]].append(event)
    warm, cold = [], []
    for reports in by_process.values():
        cold.append(began(reports[0]) - starts[reports[0]["trial"]])
        for before, after in itertools.pairwise(reports):
            if before["trial"] != after["trial"]:
                warm.append(began(after) - before["time"])
    return warm, cold


def shares(events: list[Event]) -> dict[str, float]:
    """Return the share of the trials' own time that is training, evaluation, checkpoints, and neither."""
    reports = [event for event in events if event["event"] == "report"]
    spent = {name: sum(report[f"{name}_seconds"] for report in reports) for name in ("train", "eval", "checkpoint")}
    last: dict[str, Event] = {}
    idle = 0.0
    for report in reports:
        if report["trial"] in last:
            idle += max(0.0, began(report) - last[report["trial"]]["time"])
        last[report["trial"]] = report
    total = sum(spent.values()) + idle
    return {name: seconds / total for name, seconds in {**spent, "reporting": idle}.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", help="a run's folder")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    events = read_events(Storage(args.run))
    warm, cold = turnovers(events)
    result = {
        "warm_turnover_seconds": {"median": median(warm), "max": max(warm), "count": len(warm)} if warm else None,
        "cold_start_seconds": {"median": median(cold), "count": len(cold)},
        "share_of_trial_time": shares(events),
    }
    if args.json:
        print(json.dumps(result))
        return
    if warm:
        print(f"warm turnover   {median(warm):.2f} s (at most {max(warm):.2f} s, {len(warm)} trials)")
    print(f"cold start      {median(cold):.2f} s ({len(cold)} processes)")
    for name, share in result["share_of_trial_time"].items():
        print(f"{name:14}  {share:.1%}")


if __name__ == "__main__":
    main()
