"""A run as a driver leaves it, without the driver: written through the real journal, to any storage."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from gan.recipe.recipe import load_recipe
from gan.storage.storage import Storage
from search.run.journal import FORMAT, Journal, read_events
from search.run.record import SweepRecord, apply, read_record
from search.run.run_folder import write_settings
from search.trackers.trackers import Listener

KIMG, INTERVAL = 6.0, 1.0
RECIPES = ("dcgan", "l2", "wgan")
REASON = "exploding: |d_loss| 2.1e+06 is beyond what this objective can mean, 554.3"
TRIALS = [  # recipe, source, state, reports, FID that it tends to
    ("dcgan", "published", "finished", 6, 90.0),
    ("l2", "published", "finished", 6, 110.0),
    ("wgan", "published", "diverged", 3, 140.0),
    ("dcgan", "sampled", "finished", 6, 60.0),
    ("l2", "sampled", "stopped", 2, 170.0),
    ("wgan", "sampled", "finished", 6, 75.0),
    ("dcgan", "sampled", "failed", 0, 0.0),
    ("wgan", "sampled", "diverged", 1, 0.0),
    ("l2", "sampled", "running", 3, 120.0),
]
STATES = {f"t{index:04d}": trial[2] for index, trial in enumerate(TRIALS)}


class Fabricated:
    """Writes a run.

    Args:
        run: its folder, of any storage.
        name: of the sweep.
        recipes: name in the run → shipped recipe.
        begin: whether it is to be begun, or goes on.
    """

    def __init__(
        self, run: Storage, name: str = "fabricated", recipes: dict[str, str] | None = None, begin: bool = True
    ) -> None:
        self.run = run
        named = recipes or dict(zip(RECIPES, RECIPES, strict=True))
        self.recipes = {mine: load_recipe(shipped) for mine, shipped in named.items()}
        self._journal = Journal(run)
        self._made = 0
        if begin:
            self._begin_run(name)

    def _begin_run(self, name: str) -> None:
        self.run.make_dirs()
        settings = {"name": name, "trials": len(TRIALS), "kimg": KIMG}
        identity = {
            "recipes": {
                each: {"settings": recipe.settings, "space": recipe.space_as_dict()}
                for each, recipe in self.recipes.items()
            }
        }
        write_settings(self.run, settings, identity, {})
        evaluation = {"features": "random-conv", "samples": 500, "size": 16}
        self._journal.append("sweep", format=FORMAT, command="", settings=settings, evaluation=evaluation, versions={})

    def trial(self, recipe: str, source: str, state: str, reports: int, fid: float) -> str:
        """Write a trial from its making to its verdict; return its name."""
        name = self.begin(recipe, source)
        for step in range(1, reports + 1):
            self.report(name, step * INTERVAL, fid, lost=state == "diverged" and step == reports)
        if state != "running":
            reason = {"diverged": REASON, "failed": "out of memory: 3 GiB", "stopped": "rung 2 kimg: too far behind"}
            self.end(name, state, reason.get(state))
        return name

    def begin(self, recipe: str, source: str) -> str:
        name, self._made = f"t{self._made:04d}", self._made + 1
        made = self.recipes[recipe]
        params: dict[str, Any] = {}
        if source == "sampled":
            params = {"lr_g": 1e-4 * (self._made + 1), "lr_d": 3e-4}
            params |= {"clip": 0.1, "n_critic": 2} if "clip" in made.settings else {"beta1": 0.25}
        settings = made.with_settings(params).settings
        about = {"recipe": recipe, "objective": made.part_names["objective"], "source": source, "seed": self._made}
        self._journal.append("trial", trial=name, **about, params=params, settings=settings)
        self._journal.append("start", trial=name)
        return name

    def report(self, name: str, kimg: float, fid: float, *, lost: bool = False) -> None:
        trial = self.record.trials[name]
        now = None if lost else fid + 100 / kimg
        known = [each for each in (trial.best_fid, now) if each is not None]
        best = min(known) if known else None
        told: dict[str, Any] = {
            "fid": now,
            "best_fid": best,
            "best_kimg": None if best is None else kimg,
            "score": 1e9 if lost or best is None else best,
            "g_loss": None if lost else 1.0 + kimg / 10,
            "d_loss": None if lost else -2.0,
            "wasserstein": 2.0 if "clip" in trial.settings and not lost else None,
            "curve": [] if lost else [[kimg - 0.5, 1.0, -1.5], [kimg, 1.0 + kimg / 10, -2.0]],
            "penalty": 0.0,
            "diverged": int(lost),
            "images_per_second": 1000.0,
            "eval_seconds": 0.5,
            "grad_norm_g": 0.25,
            "grad_norm_d": 0.75,
            "spread": None if lost else 0.9,
            "seconds": 10 * kimg,
        }
        if not lost:  # As trials do: the picture lies there before the driver hears of it.
            self.run.write_bytes(f"trials/{name}/samples/{round(kimg * 1000):09d}.png", picture(name, kimg))
        self._journal.append("report", trial=name, kimg=kimg, **told)

    def end(self, name: str, state: str, reason: str | None = None) -> None:
        self._journal.append("verdict", trial=name, state=state, reason=reason)

    @property
    def record(self) -> SweepRecord:
        return read_record(self.run)


def picture(name: str, kimg: float) -> bytes:
    """Return a picture of its own for each trial and moment."""
    pixels = np.random.default_rng([int(name[1:]), round(kimg * 1000)]).integers(0, 255, (36, 36, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def fabricate(run: Storage, **options: Any) -> Fabricated:
    """Write a run of nine trials in every state, that was cut off."""
    made = Fabricated(run, **options)
    recipes = list(made.recipes)
    for recipe, *rest in TRIALS:
        made.trial(recipes[RECIPES.index(recipe)], *rest)
    return made


def tell(run: Storage, *listeners: Listener) -> SweepRecord:
    """Tell listeners what a driver would have told them."""
    record = SweepRecord()
    for event in read_events(run):
        apply(record, event)
        trial = record.trials.get(str(event.get("trial")))
        if trial is not None and event["event"] in ("trial", "start", "report", "retry", "verdict"):
            for listener in listeners:
                listener(event["event"], trial)
    return record
