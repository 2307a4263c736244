"""Time to build and to load the report of a long sweep, against a plain styled table of the same trials.

    python benchmarks/report.py                   # 1,000 fabricated trials
    python benchmarks/report.py --trials 300 --repeats 5 --json

The run is fabricated once (`fabricated_run.py`). Ours is the whole command `gan-search report`: leaderboard, plots and
page. The peer is a typical script: it reads the journal with pandas, and writes each trial's last report and settings
as a styled HTML table, with bars under the distances; no charts, no pictures. Both start fresh processes, in turns.

Loading is measured if there is a Chromium: from the start of navigation until everything has loaded and all charts are
drawn, on a desktop and on a phone with a processor four times slower. Beside each time stands the processor time: of
the whole process, or of the page's main thread. On a busy machine, compare processor times.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# For the browser of the tests.
sys.path += [str(ROOT), str(ROOT / "tests")]  # tests/gan must not pass for the package.

TARGETS = {"build_seconds": 10.0, "load_seconds": 3.0, "megabytes": 10.0}
SCREENS = {"desktop": (1280, 900, 1), "phone": (390, 844, 4)}
"""Width, height, and factor by which the processor is slowed down."""

DRAWN = """new Promise((done) => {
  const wait = () => performance.getEntriesByName("charts-drawn").length ? done() : requestAnimationFrame(wait);
  wait();
})"""
"""Resolves once the page's charts are on the screen."""

PEER = """
import json, sys
import pandas
events = [json.loads(line) for line in open(sys.argv[1])]
trials = {}
for e in events:
    if e["event"] == "trial":
        trials[e["trial"]] = {"trial": e["trial"], "recipe": e["recipe"], **e["settings"]}
    elif e["event"] == "report":
        trials[e["trial"]] |= {name: e[name] for name in ("kimg", "fid", "best_fid", "best_kimg", "seconds")}
    elif e["event"] == "verdict":
        trials[e["trial"]] |= {"state": e["state"], "reason": e["reason"]}
table = pandas.DataFrame(trials.values()).sort_values("best_fid")
open(sys.argv[2], "w").write(table.style.format(precision=4, na_rep="").bar(subset=["best_fid"]).to_html())
"""


Timing = tuple[float, float]
"""Wall seconds, and processor seconds."""


def timed(command: list[str]) -> Timing:
    start, busy = time.perf_counter(), os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    used = after.children_user + after.children_system - busy.children_user - busy.children_system
    return time.perf_counter() - start, used


def build(run: Path, repeats: int) -> tuple[list[Timing], list[Timing]]:
    """Return the times of ours and of the peer, in turns."""
    ours = [sys.executable, "-m", "search", "report", str(run), "--json"]
    peer = [sys.executable, "-c", PEER, str(run / "journal.jsonl"), str(run / "peer.html")]
    times: tuple[list[Timing], list[Timing]] = ([], [])
    for _ in range(repeats):
        for own, command in zip(times, (ours, peer), strict=True):
            own.append(timed(command))
    return times


def load(page: Path, repeats: int) -> dict[str, list[Timing]]:
    """Return screen → seconds until the page has loaded and all its charts are drawn."""
    from chromium import Browser, find_chromium

    if find_chromium() is None:
        return {}
    times: dict[str, list[Timing]] = {}
    with Browser() as browser:
        browser.send("Performance.enable", timeDomain="threadTicks")
        for name, (width, height, slower) in SCREENS.items():
            browser.resize(width, height, phone=name == "phone")
            browser.send("Emulation.setCPUThrottlingRate", rate=slower)
            times[name] = []
            for _ in range(repeats):
                browser.open("about:blank")
                before = busy(browser)
                browser.open(page.resolve().as_uri())
                browser.js(DRAWN)
                # Each page may have a process of its own, whose clock begins at zero.
                after = busy(browser)
                passed = browser.js("performance.now()") / 1000
                times[name].append((passed, after - before if after >= before else after))
            if browser.messages:
                raise RuntimeError(f"the page did not draw its charts: {browser.messages}")
    return times


def busy(browser: Any) -> float:
    metrics = {metric["name"]: metric["value"] for metric in browser.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


def measure(trials: int, repeats: int) -> dict[str, Any]:
    from fabricated_run import fabricate

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        fabricate(run, trials)
        ours, peer = build(run, repeats)
        loads = load(run / "report.html", repeats)
        size, peer_size = ((run / name).stat().st_size / 1e6 for name in ("report.html", "peer.html"))
    return {
        "benchmark": "report",
        "machine": f"{platform.machine()}, {platform.system()}",
        "date": datetime.now(UTC).date().isoformat(),
        "trials": trials,
        "build": timings(ours),
        "peer": timings(peer),
        "ratio_to_peer": summary([one[0] / other[0] for one, other in zip(ours, peer, strict=True)]),
        "load": {name: timings(times) for name, times in loads.items()},
        "megabytes": round(size, 2),
        "peer_megabytes": round(peer_size, 2),
        "targets": TARGETS,
    }


def timings(times: list[Timing]) -> dict[str, list[float]]:
    passed, used = zip(*times, strict=True)
    return {"seconds": summary(passed), "busy_seconds": summary(used)}


def summary(values: Sequence[float]) -> list[float]:
    """Return median, minimum and maximum."""
    return [round(value, 2) for value in (median(values), min(values), max(values))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement; prints median, minimum, maximum")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    options = parser.parse_args()
    result = measure(options.trials, options.repeats)
    if options.json:
        print(json.dumps(result))
        return
    times = {"build": result["build"], "peer": result["peer"]}
    times |= {f"load on a {name}": known for name, known in result["load"].items()}
    for name, known in times.items():
        print("{}: {} s ({} to {}); busy {} s ({} to {})".format(name, *known["seconds"], *known["busy_seconds"]))
    if not result["load"]:
        print("load: not measured, there is no Chromium here")
    print("build against the peer: {} ({} to {})".format(*result["ratio_to_peer"]))
    print(f"size: {result['megabytes']} MB (peer: {result['peer_megabytes']} MB)")


if __name__ == "__main__":
    main()
