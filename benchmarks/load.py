"""What a thousand trials cost the driver, and how that grows: `python benchmarks/load.py --trials 1000`.

A real sweep through the whole stack (Ray, Optuna, ASHA, journal, checkpoints, trackers) whose trials train next to
nothing: points of the toy task `curves`, one report each. What is left is overhead. The driver's memory and processor
time are read from the system as verdicts come (of the driver's process, without Ray's own); a line through the
memory and a parabola through the time of the later half say what 10,000 trials would take, if all goes on so. There is
no peer: the goal is 0.5 s of driver a trial, and that the last hundred cost what the first did.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from gan.storage.storage import Storage
from search.run.record import Follower

FAR = 10_000
TICK = os.sysconf("SC_CLK_TCK")
TINY = ["--set", "width_g=4", "--set", "width_d=4", "--set", "batch=32", "--samples", "500"]


@dataclass(frozen=True)
class Point:
    """The driver after a number of verdicts.

    Attributes:
        wall: seconds since the first verdict.
        processor: seconds the driver has computed.
        memory: resident bytes of the driver.
        journal: bytes of the journal.
    """

    trials: int
    wall: float
    processor: float
    memory: int
    journal: int


def watch(trials: int, concurrent: int, folder: Path) -> list[Point]:
    """Run the sweep; return the driver at the start and after every verdict."""
    command = [sys.executable, "-m", "search", "sweep", "--recipe", "curves", "--data", "curves", "--name", "load"]
    command += ["--trials", str(trials), "--kimg", "0.1", "--storage", str(folder), "--concurrent", str(concurrent)]
    command += ["--interval-kimg", "0.1", *TINY, "--json"]
    log = (folder / "log").open("w+")
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
    run = Storage(folder / "load")
    follower, ended, points, began = Follower(run), 0, [], None
    try:
        while driver.poll() is None:
            time.sleep(0.5)
            ended += sum(event == "verdict" for event, _, _ in follower.news()) if run.exists("journal.jsonl") else 0
            if ended and (not points or ended > points[-1].trials):
                began = began or time.perf_counter()
                point = _look(driver.pid, ended, time.perf_counter() - began, folder / "load" / "journal.jsonl")
                points += [point] if point.memory else []  # It has just ended.
    finally:
        driver.kill()
    if driver.returncode:
        log.seek(0)
        raise SystemExit(f"the sweep failed: {log.read()[-2000:]}")
    return points


def _look(pid: int, ended: int, wall: float, journal: Path) -> Point:
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return Point(ended, wall, (int(stat[11]) + int(stat[12])) / TICK, resident, journal.stat().st_size)


def parts(points: list[Point], width: int) -> list[dict[str, Any]]:
    """Return what trials cost, stretch by stretch."""
    marks = [points[0]]
    for point in points:
        if point.trials - marks[-1].trials >= width:
            marks.append(point)
    found = []
    for before, after in pairwise(marks):
        trials = after.trials - before.trials
        found.append(
            {
                "to": after.trials,
                "wall_seconds_a_trial": (after.wall - before.wall) / trials,
                "driver_seconds_a_trial": (after.processor - before.processor) / trials,
                "driver_mib": after.memory / 2**20,
                "journal_bytes_a_trial": (after.journal - before.journal) / trials,
            }
        )
    return found


def extrapolate(points: list[Point], to: int) -> dict[str, float]:
    """Return memory (by a line) and processor time (by a parabola) after many more trials, from the later half."""
    later = [point for point in points if point.trials >= points[-1].trials / 2]
    trials = np.array([point.trials for point in later], float)
    memory = np.polyfit(trials, [point.memory / 2**20 for point in later], 1)
    processor = np.polyfit(trials, [point.processor for point in later], 2)
    return {
        "trials": to,
        "driver_mib": float(np.polyval(memory, to)),
        "driver_hours": float(np.polyval(processor, to)) / 3600,
        "driver_seconds_a_trial_there": float(2 * processor[0] * to + processor[1]),
    }


def show(stretches: list[dict[str, Any]], far: dict[str, float]) -> None:
    head = ("trials", "wall s a trial", "driver s a trial", "driver MiB", "journal bytes a trial")
    print("{:>8} {:>15} {:>17} {:>11} {:>22}".format(*head))
    for part in stretches:
        print(
            f"{part['to']:>8} {part['wall_seconds_a_trial']:>15.3f} {part['driver_seconds_a_trial']:>17.3f}"
            f" {part['driver_mib']:>11.0f} {part['journal_bytes_a_trial']:>22,.0f}"
        )
    print(
        f"extrapolated to {far['trials']:,}: {far['driver_mib']:,.0f} MiB, {far['driver_hours']:.1f} h of driver,"
        f" {far['driver_seconds_a_trial_there']:.2f} s a trial there"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--concurrent", type=int, default=2)
    parser.add_argument("--stretch", type=int, default=100, help="trials of a line of the table")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gan-load-") as folder:
        points = watch(args.trials, args.concurrent, Path(folder))
    stretches, far = parts(points, args.stretch), extrapolate(points, FAR)
    if args.json:
        print(json.dumps({"stretches": stretches, "extrapolated": far, "last": asdict(points[-1])}))
    else:
        show(stretches, far)


if __name__ == "__main__":
    main()
