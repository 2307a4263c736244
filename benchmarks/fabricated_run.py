"""A run folder as a long sweep leaves it, without the hours: settings are sampled from the shipped recipes, curves
follow a simple law of them, ASHA judges them, and some diverge. What is measured on it is the report, never a GAN.

    python benchmarks/fabricated_run.py results/fabricated --trials 1000
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from gan.data.sources.faces import draw
from gan.recipe.recipe import Recipe, load_recipe
from gan.settings import Range
from gan.tensors.images import encode_png, grid
from search.algorithm.asha import Asha
from search.plan.spec import DEFAULTS
from search.run.journal import FORMAT

KIMG, REPORTS = 60.0, 12
SIZE, GRID = 32, 64
SLOTS = 8
POINTS = 8
EVALUATION = {
    "features": "random-conv",
    "weights_sha256": "5e" * 32,
    "resize": "none",
    "samples": 5000,
    "reference_samples": 5000,
    "reference_seed": 0,
    "latent_seed": 0,
    "data": "faces",
    "data_hash": "fa" * 32,
    "size": SIZE,
}


@dataclass
class _Trial:
    """A trial under way, with the law that its distances follow."""

    id: str
    recipe: Recipe
    source: str
    settings: dict[str, Any]
    floor: float
    pace: float
    lost_at: int | None
    step: int = 0
    best: float | None = None
    best_kimg: float | None = None
    seconds: float = 0.0


@dataclass
class _Run:
    """Writes the journal as time passes in `SLOTS` places at once."""

    folder: Path
    random: random.Random
    asha: Asha
    lines: list[str] = field(default_factory=list)
    now: float = 1_790_000_000.0
    pictures: list[Path] = field(default_factory=list)

    def event(self, event: str, **fields: Any) -> None:
        self.lines.append(json.dumps({"event": event, "time": round(self.now, 3), **fields}))


def fabricate(folder: Path, trials: int, *, seed: int = 0, lost: float = 0.08, name: str = "fabricated") -> None:
    """Write a finished run of `trials` trials into a new folder.

    Args:
        lost: chance that a trial diverges, where its settings do not make it certain; 1: all of them
            do, before their first evaluation.
    """
    recipes = {recipe: load_recipe(recipe).with_settings({"width_g": 16, "width_d": 16}) for recipe in DEFAULTS}
    settings = {"name": name, "recipes": list(recipes), "data": "faces", "size": SIZE, "kimg": KIMG, "trials": trials}
    settings |= {"samples": 5000, "features": "random-conv", "seed": seed, "top_k": 3}
    identity = {
        "recipes": {
            recipe: {"settings": known.settings, "space": known.space_as_dict()} for recipe, known in recipes.items()
        }
    }
    versions = {"gan-search": "0.1.0", "torch": "2.14.1"}
    folder.mkdir(parents=True)
    content = {"identity": identity, "settings": settings, "versions": versions}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    run = _Run(folder, random.Random(seed), Asha([10.0, 30.0], 3.0))
    command = f"gan-search sweep --data faces --size {SIZE} --trials {trials} --kimg {KIMG:g} --name {name}"
    run.event("sweep", format=FORMAT, settings=settings, evaluation=EVALUATION, versions=versions, command=command)
    _train(run, [_new_trial(run, index, recipes, lost) for index in range(trials)])
    run.event("end", state="finished")
    (folder / "journal.jsonl").write_text("".join(line + "\n" for line in run.lines))


def _new_trial(run: _Run, index: int, recipes: dict[str, Recipe], lost: float) -> _Trial:
    published = index < len(recipes)
    recipe = list(recipes.values())[index] if published else run.random.choice(list(recipes.values()))
    params = {} if published else {name: _sample(run.random, space) for name, (_, space) in recipe.searchable().items()}
    settings = recipe.settings | params
    rates = abs(math.log10(settings["lr_g"] / 4e-4)) + 0.7 * abs(math.log10(settings["lr_d"] / 3e-4))
    floor = 35 + 45 * rates + 40 * settings["dropout"] + run.random.gauss(0, 8)
    if "clip" in settings:
        floor += 40 * abs(math.log10(settings["clip"] / 0.03))
    wild = settings["lr_d"] > 4e-3 or (settings.get("clip", 0) > 0.2 and settings["lr_d"] > 1e-3)
    dies = lost >= 1 or (not published and run.random.random() < (0.8 if wild else lost))
    lost_at = (1 if lost >= 1 else run.random.randint(1, REPORTS)) if dies else None
    source = "published" if published else "sampled"
    return _Trial(f"t{index:04d}", recipe, source, settings, max(18.0, floor), run.random.uniform(0.05, 0.2), lost_at)


def _sample(chance: random.Random, space: Any) -> Any:
    if not isinstance(space, Range):
        return chance.choice(space.values)
    if space.integer:
        return chance.randint(int(space.low), int(space.high))
    if space.log:
        return math.exp(chance.uniform(math.log(space.low), math.log(space.high)))
    return chance.uniform(space.low, space.high)


def _train(run: _Run, waiting: list[_Trial]) -> None:
    """Let trials take turns, `SLOTS` at a time, until all have ended."""
    running: list[_Trial] = []
    while waiting or running:
        while waiting and len(running) < SLOTS:
            running.append(waiting.pop(0))
            _begin(run, running[-1])
        for trial in list(running):
            run.now += run.random.uniform(2, 4)
            if not _report(run, trial):
                running.remove(trial)


def _begin(run: _Run, trial: _Trial) -> None:
    params = {name: trial.settings[name] for name in trial.recipe.searchable()}
    run.event(
        "trial",
        trial=trial.id,
        recipe=trial.recipe.name,
        objective=trial.recipe.part_names["objective"],
        source=trial.source,
        params={} if trial.source == "published" else params,
        settings=trial.settings,
        seed=int(trial.id[1:]),
    )
    run.event("start", trial=trial.id)


def _report(run: _Run, trial: _Trial) -> bool:
    """Write a trial's next report, and its verdict if that is its last; tell whether it goes on."""
    trial.step += 1
    kimg = KIMG * trial.step / REPORTS
    lost = trial.step == trial.lost_at
    fid = None if lost else trial.floor + 420 * math.exp(-trial.pace * kimg) + run.random.gauss(0, 4)
    if fid is not None and (trial.best is None or fid < trial.best):
        trial.best, trial.best_kimg = fid, kimg
    trial.seconds += run.random.uniform(18, 30)
    curve = _curve(run.random, trial, kimg, lost)
    run.event(
        "report",
        trial=trial.id,
        kimg=kimg,
        fid=fid,
        best_fid=trial.best,
        best_kimg=trial.best_kimg,
        score=1e9 if lost else trial.best,
        g_loss=curve[-1][1],
        d_loss=curve[-1][2],
        penalty=0.0,
        diverged=int(lost),
        images_per_second=run.random.uniform(200, 900),
        eval_seconds=1.2,
        checkpoint_seconds=0.05,
        train_seconds=20.0,
        seconds=trial.seconds,
        spread=None if lost else min(0.95, 0.04 * kimg),
        real_score=1.0,
        fake_score=-1.0,
        grad_norm_g=run.random.uniform(5, 20),
        grad_norm_d=run.random.uniform(5, 20),
        curve=curve,
        host="a-machine",
        pid=4242,
    )
    if not lost:
        _picture(run, trial, kimg)
    verdict = _verdict(run, trial, kimg, lost)
    if verdict is not None:
        run.event("verdict", trial=trial.id, state=verdict[0], reason=verdict[1])
    return verdict is None


def _verdict(run: _Run, trial: _Trial, kimg: float, lost: bool) -> tuple[str, str | None] | None:
    if lost:
        return "diverged", f"exploding: d_loss is {run.random.uniform(2e3, 9e6):.3g}, beyond ±1109"
    stopped = run.asha.report(trial.id, kimg, float(trial.best or 0.0))
    if stopped and trial.source != "published":
        return "stopped", stopped
    return ("finished", None) if trial.step == REPORTS else None


def _curve(chance: random.Random, trial: _Trial, kimg: float, lost: bool) -> list[list[float]]:
    def points() -> Iterator[list[float]]:
        for index in range(POINTS):
            at = kimg - KIMG / REPORTS * (1 - (index + 1) / POINTS)
            blown = 10 ** (index * 0.9) if lost else 1.0
            yield [at, (1 + at / 30 + chance.gauss(0, 0.08)) * blown, (0.7 + chance.gauss(0, 0.05)) * blown]

    return list(points())


def _picture(run: _Run, trial: _Trial, kimg: float) -> None:
    """Put a sample grid where a trial keeps it: drawings under less and less noise, the same for all trials."""
    if not run.pictures:
        faces = draw(np.arange(GRID), SIZE).astype(np.float32)
        noise = np.random.default_rng(0).normal(0, 90, faces.shape)
        for step in range(REPORTS):
            noisy = np.clip(faces + noise * (1 - step / (REPORTS - 1)), 0, 255).astype(np.uint8)
            run.pictures.append(run.folder / f"picture-{step}.png")
            run.pictures[-1].write_bytes(encode_png(grid(noisy)))
    path = run.folder / "trials" / trial.id / "samples" / f"{round(kimg * 1000):09d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    os.link(run.pictures[trial.step - 1], path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the run is written; must not exist")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--lost", type=float, default=0.08, help="share of trials that diverge; 1: all, at once")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    fabricate(options.folder, options.trials, seed=options.seed, lost=options.lost, name=options.folder.name)


if __name__ == "__main__":
    main()
