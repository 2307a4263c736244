"""What watching a sweep costs its driver: the live screen, the event files, the copy of the study.

    python benchmarks/trackers.py                      # 1,000 trials of 12 reports, 64 at once
    python benchmarks/trackers.py --trials 100 --json

The trials are made up: settings are drawn from the shipped recipes, distances follow a simple law. Measured is
the processor time of the whole process, unless it says otherwise.

- screen: the share of one core that the live screen takes, while trials report twice a second.
- events: milliseconds to write one report to TensorBoard's event files, with its sample grid of half a
  megabyte, against `torch.utils.tensorboard`, which decodes and encodes the grid again.
- study: seconds of processor and wall-clock time to write all reports to the copy of the study.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from gan.recipe.recipe import load_recipe
from gan.settings import Range
from gan.storage.storage import Storage
from gan.tensors.images import encode_png
from search.plan.spec import DEFAULTS
from search.run.record import SweepRecord, TrialRecord
from search.run.run_folder import write_settings
from search.trackers.study import FILE, open_file
from search.trackers.tensorboard import TensorBoard
from search.trackers.terminal import Progress

KIMG, REPORTS, AT_ONCE = 60.0, 12, 64
SCREEN_SECONDS = 20.0
EVENTS_PER_SECOND = 2.0
GRIDS = 40
BATCH = 10
"""Events between two updates of the study."""


def made_up(trials: int) -> Iterator[tuple[str, TrialRecord]]:
    """Yield the events of a sweep of so many trials, `AT_ONCE` of them at a time."""
    recipes = {name: load_recipe(name) for name in DEFAULTS}
    chance = random.Random(0)
    running: list[TrialRecord] = []
    made = 0
    while running or made < trials:
        while len(running) < AT_ONCE and made < trials:
            trial = _new_trial(made, recipes, chance)
            made += 1
            yield "trial", trial
            trial.state = "running"
            yield "start", trial
            running.append(trial)
        trial = running.pop(0)
        _report(trial, chance)
        yield "report", trial
        if len(trial.reports) == REPORTS or (trial.source == "sampled" and chance.random() < 0.2):
            trial.state = "finished" if len(trial.reports) == REPORTS else chance.choice(["stopped", "diverged"])
            trial.reason = None if trial.state == "finished" else "rung 10 kimg: 93.1 is worse than the cut-off 81.2"
            yield "verdict", trial
        else:
            running.append(trial)


def _new_trial(index: int, recipes: dict[str, Any], chance: random.Random) -> TrialRecord:
    recipe = recipes[DEFAULTS[index % len(DEFAULTS)]]
    params: dict[str, Any] = {}
    if index >= len(recipes):
        for name, (_, space) in recipe.searchable().items():
            if isinstance(space, Range):
                value = chance.uniform(space.low, space.high)
                params[name] = round(value) if space.integer else value
            else:
                params[name] = chance.choice(space.values)
    source = "sampled" if params else "published"
    settings = recipe.settings | params
    return TrialRecord(f"t{index:04d}", recipe.name, recipe.part_names["objective"], source, params, settings, index)


def _report(trial: TrialRecord, chance: random.Random) -> None:
    step = len(trial.reports) + 1
    kimg, fid = step * KIMG / REPORTS, 40 + 200 / step * chance.uniform(0.8, 1.2)
    best = min(fid, trial.best_fid or fid)
    curve = [[kimg - KIMG / REPORTS * (8 - point) / 9, 1.0, 0.7] for point in range(8)]
    told = {"fid": fid, "best_fid": best, "best_kimg": kimg, "score": best, "g_loss": 1.0, "d_loss": 0.7}
    told |= {"penalty": 0.0, "diverged": 0, "images_per_second": 2000.0, "eval_seconds": 1.0, "spread": 0.9}
    told |= {"grad_norm_g": 1.0, "grad_norm_d": 1.0, "seconds": 30.0 * step}
    trial.add_report({"kimg": kimg, **told, "curve": curve})


def a_record() -> SweepRecord:
    return SweepRecord(settings={"name": "made up", "kimg": KIMG}, evaluation={"features": "random-conv"})


def begin(folder: str) -> Storage:
    """Write sweep.yaml into a run's folder."""
    run = Storage(folder)
    run.make_dirs()
    recipes = map(load_recipe, DEFAULTS)
    identity = {recipe.name: {"settings": recipe.settings, "space": recipe.space_as_dict()} for recipe in recipes}
    write_settings(run, {}, {"recipes": identity}, {})
    return run


def screen(trials: int) -> float:
    """Return the share of a core that the screen takes."""
    record = a_record()
    progress = Progress(record, trials + trials // 10)
    progress._console = Console(file=io.StringIO(), force_terminal=True, width=120, height=40)
    events = made_up(trials)
    for event, trial in events:
        record.trials[trial.id] = trial
        if event == "report" and len(record.trials) >= trials:
            break
    with progress:
        began, spent = time.monotonic(), time.process_time()
        while time.monotonic() - began < SCREEN_SECONDS:
            for _ in range(round(EVENTS_PER_SECOND)):
                for event, trial in events:
                    progress(event, trial)
                    if event == "report":
                        break
            time.sleep(1.0)
        return (time.process_time() - spent) / (time.monotonic() - began)


def a_grid() -> bytes:
    """Return a sample grid of 64 images of 64×64 with as much detail as photographs: half a megabyte."""
    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 255, (132, 132, 3), np.uint8))
    noise = np.random.default_rng(1).integers(-6, 6, (530, 530, 3))
    pixels = np.asarray(smooth.resize((530, 530), Image.Resampling.BICUBIC), np.int16) + noise
    return encode_png(pixels.clip(0, 255).astype(np.uint8))


def events(run: Storage) -> tuple[float, float, int]:
    """Return milliseconds a report takes, ours and torch's, and the bytes of its sample grid."""
    from torch.utils.tensorboard import SummaryWriter

    png = a_grid()
    reports: list[tuple[TrialRecord, dict[str, Any]]] = []
    for event, trial in made_up(AT_ONCE):
        if event == "report" and len(reports) < GRIDS:
            reports.append((trial, trial.last))
            run.write_bytes(f"trials/{trial.id}/samples/{round(trial.kimg * 1000):09d}.png", png)
    ours = TensorBoard(run, a_record())
    spent = time.process_time()
    for trial, report in reports:
        trial.reports = [report]
        ours("report", trial)
    mine = time.process_time() - spent
    assert run.local_path is not None
    spent = time.process_time()
    with SummaryWriter(str(run.local_path / "peer"), max_queue=1000) as writer:
        for step, (_, report) in enumerate(reports):
            for name, value in report.items():
                if isinstance(value, float):
                    writer.add_scalar(name, value, step)
            picture = np.asarray(Image.open(io.BytesIO(png)))
            writer.add_image("samples", picture, step, dataformats="HWC")
            writer.flush()
    theirs = time.process_time() - spent
    return 1000 * mine / GRIDS, 1000 * theirs / GRIDS, len(png)


def study(run: Storage, trials: int) -> dict[str, float]:
    record = a_record()
    assert run.local_path is not None
    file = run.local_path / FILE
    copy = open_file(file, run, record)
    began, spent = time.monotonic(), time.process_time()
    for number, (_, trial) in enumerate(made_up(trials)):
        record.trials[trial.id] = trial
        if number % BATCH == 0:
            copy.update(record, driven=True)
    return {
        "processor_seconds": time.process_time() - spent,
        "seconds": time.monotonic() - began,
        "megabytes": file.stat().st_size / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        share = screen(given.trials)
        ours, theirs, size = events(begin(f"{folder}/events"))
        copy = study(begin(f"{folder}/study"), given.trials)
    figures = {
        "trials": given.trials,
        "screen_share_of_a_core": share,
        "event_milliseconds": ours,
        "event_milliseconds_torch": theirs,
        "grid_bytes": size,
        "study": copy,
    }
    if given.json:
        json.dump(figures, sys.stdout)
        return
    print(f"screen   {share:.2%} of a core, {given.trials} trials, {EVENTS_PER_SECOND:g} reports a second")
    print(f"events   {ours:.1f} ms a report with a grid of {size / 1e3:.0f} kB; torch's writer {theirs:.1f} ms")
    print(
        f"study    {copy['processor_seconds']:.1f} s of processor and {copy['seconds']:.0f} s in all for {given.trials}"
        f" trials ({copy['megabytes']:.1f} MB)"
    )


if __name__ == "__main__":
    main()
