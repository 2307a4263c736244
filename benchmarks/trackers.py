"""What watching a sweep costs its driver: the live screen, the event files, the copy of the study.

    python benchmarks/trackers.py                      # 1,000 trials of 12 reports, 64 at once
    python benchmarks/trackers.py --trials 100 --json

The trials are made up: settings are drawn from the shipped recipes, distances follow a simple law. What
is measured is processor time, of the whole process unless it says otherwise.

- screen: the share of one core that the live screen takes, while trials report twice a second.
- events: milliseconds to write what one report says to TensorBoard's event files, its sample grid of half
  a megabyte included, against `torch.utils.tensorboard`, which decodes and encodes it again.
- study: microseconds that the driver's own thread takes to hand one report to the copy of the study, and the
  seconds of processor and wall-clock time that it takes the copy's thread to write all of them.
- check: seconds to check all event files before `gan-search tensorboard` shows them.
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

from gan.data.sources.faces import draw
from gan.recipe.recipe import load_recipe
from gan.settings import Range
from gan.storage.storage import Storage
from gan.tensors.images import encode_png, grid
from search.plan.spec import DEFAULTS
from search.run.record import SweepRecord, TrialRecord
from search.trackers.event_files import event_files, is_whole
from search.trackers.study import FILE, StudyFile
from search.trackers.tensorboard import FOLDER, TensorBoard
from search.trackers.terminal import Progress

KIMG, REPORTS, AT_ONCE = 60.0, 12, 64
SCREEN_SECONDS = 20.0
EVENTS_PER_SECOND = 2.0
GRIDS = 40


def made_up(trials: int) -> Iterator[tuple[str, TrialRecord]]:
    """Yield what a driver tells its listeners in a sweep of so many trials, `AT_ONCE` of them at a time."""
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
    return TrialRecord(f"t{index:04d}", recipe.name, recipe.objective_name, source, params, settings, index)


def _report(trial: TrialRecord, chance: random.Random) -> None:
    step = len(trial.reports) + 1
    kimg, fid = step * KIMG / REPORTS, 40 + 200 / step * chance.uniform(0.8, 1.2)
    best = min(fid, trial.best_fid or fid)
    curve = [[kimg - KIMG / REPORTS * (8 - point) / 9, 1.0, 0.7] for point in range(8)]
    told = {"fid": fid, "best_fid": best, "best_kimg": kimg, "score": best, "g_loss": 1.0, "d_loss": 0.7}
    told |= {"penalty": 0.0, "diverged": 0, "images_per_second": 2000.0, "eval_seconds": 1.0, "spread": 0.9}
    told |= {"grad_norm_g": 1.0, "grad_norm_d": 1.0, "seconds": 30.0 * step}
    trial.add_report({"kimg": kimg, **told, "curve": curve})


def a_record(run: Storage) -> tuple[SweepRecord, dict[str, Any]]:
    settings = {"name": "made up", "kimg": KIMG}
    recipes = {
        name: {"settings": recipe.settings, "space": recipe.space_as_dict()}
        for name, recipe in ((name, load_recipe(name)) for name in DEFAULTS)
    }
    return SweepRecord(settings=settings, evaluation={"features": "random-conv"}), recipes


def screen(trials: int) -> float:
    """Return the share of a core that the screen takes."""
    record, _ = a_record(Storage("."))
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

    record, recipes = a_record(run)
    png = a_grid()
    reports = []
    for event, trial in made_up(AT_ONCE):
        if event == "report" and len(reports) < GRIDS:
            reports.append((trial, trial.last))
            run.write_bytes(f"trials/{trial.id}/samples/{round(trial.kimg * 1000):09d}.png", png)
    ours = TensorBoard(run, recipes, record)
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
    record, recipes = a_record(run)
    run.make_dirs()
    copy = StudyFile(run, "made up", recipes, record)
    in_driver, count = 0.0, 0
    began, spent = time.monotonic(), time.process_time()
    for event, trial in made_up(trials):
        record.trials[trial.id] = trial
        before = time.perf_counter()
        copy(event, trial)
        in_driver += time.perf_counter() - before
        count += 1
        # As fast as no driver is, but so that each change is written by itself.
        while copy._changed:
            time.sleep(0.0005)
    copy.close()
    assert run.local_path is not None
    return {
        "microseconds_in_driver": 1e6 * in_driver / count,
        "processor_seconds": time.process_time() - spent,
        "seconds": time.monotonic() - began,
        "megabytes": (run.local_path / FILE).stat().st_size / 1e6,
    }


def check(run: Storage, trials: int, png: bytes) -> dict[str, float]:
    record, recipes = a_record(run)
    board = TensorBoard(run, recipes, record)
    for event, trial in made_up(trials):
        if event == "report":
            run.write_bytes(f"trials/{trial.id}/samples/{round(trial.kimg * 1000):09d}.png", png)
        board(event, trial)
    assert run.local_path is not None
    files = [file for trial in (run.local_path / FOLDER).iterdir() for file in event_files(trial)]
    spent = time.process_time()
    assert all(map(is_whole, files))
    return {
        "processor_seconds": time.process_time() - spent,
        "megabytes": sum(file.stat().st_size for file in files) / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        share = screen(given.trials)
        ours, theirs, size = events(Storage(f"{folder}/events"))
        copy = study(Storage(f"{folder}/study"), given.trials)
        checked = check(Storage(f"{folder}/check"), given.trials, a_grid()[:] if given.trials <= 100 else drawn_grid())
    found = {
        "trials": given.trials,
        "screen_share_of_a_core": share,
        "event_milliseconds": ours,
        "event_milliseconds_torch": theirs,
        "grid_bytes": size,
        "study": copy,
        "check": checked,
    }
    if given.json:
        json.dump(found, sys.stdout)
        return
    print(f"screen   {share:.2%} of a core, {given.trials} trials, {EVENTS_PER_SECOND:g} reports a second")
    print(f"events   {ours:.1f} ms a report with a grid of {size / 1e3:.0f} kB; torch's writer {theirs:.1f} ms")
    print(
        f"study    {copy['microseconds_in_driver']:.0f} µs a report in the driver's thread;"
        f" {copy['processor_seconds']:.1f} s of processor and {copy['seconds']:.0f} s in all for {given.trials} trials"
        f" ({copy['megabytes']:.1f} MB)"
    )
    print(f"check    {checked['processor_seconds']:.1f} s for {checked['megabytes']:.0f} MB of event files")


def drawn_grid() -> bytes:
    """Return a grid of 64 drawn faces of 32×32."""
    return encode_png(grid(draw(np.arange(64), 32), columns=8))


if __name__ == "__main__":
    main()
