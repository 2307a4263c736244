"""One training with everything round it: evaluation, divergence, checkpoints, the best generator.

`gan-search train` and every trial of a sweep go through `TrainingRun`.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from gan.bundle.bundle import write_bundle
from gan.data.dataset import some_rows
from gan.data.sources.opening import public_name
from gan.evaluation.evaluator import Evaluator
from gan.plots.vector_plot import plot_vectors
from gan.settings import parameters, to_images
from gan.storage.storage import Storage
from gan.tensors.images import encode_png, grid
from gan.tensors.latents import fixed_latents
from gan.training.checkpoints import Checkpoints
from gan.training.divergence import FailureDetector
from gan.training.report import DIVERGED_SCORE, Report
from gan.training.state import cpu_copy, load_state_dict, state_dict
from gan.training.trainer import COLUMNS, CycleStats, Trainer
from gan.versions import versions

WINDOWS = 4
"""Stretches of a report interval after each of which the losses are judged."""

GRID, VECTORS = 64, 1000
"""Images of a sample grid; rows in a plot of vectors, which draws 64 of them and counts all."""

_CURVE_POINTS = 8


@dataclass
class _Best:
    """The best generator so far."""

    fid: float
    kimg: float
    weights: dict[str, Tensor]


class TrainingRun:
    """Trains to `total_kimg`, reporting every `interval_kimg`, into a folder.

    The folder holds `checkpoints/`, `samples/<images>.png` and `best-<images>/` (a bundle).

    Args:
        trainer: a fresh trainer.
        evaluator: judges its samples.
        storage: the folder.
        total_kimg, interval_kimg: thousands of real images.
        provenance: further fields for the bundle's config.json (run, trial, command, …).
    """

    def __init__(
        self,
        trainer: Trainer,
        evaluator: Evaluator,
        storage: Storage,
        *,
        total_kimg: float,
        interval_kimg: float,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        self.trainer = trainer
        self.evaluator = evaluator
        self.storage = storage
        # Whole images: a twelfth of a length in kimg has no end, and would never quite be reached.
        self.total = to_images(total_kimg)
        self.interval = to_images(interval_kimg)
        trainer.total_images = self.total
        self.provenance = provenance or {}
        self.best: _Best | None = None
        self.seconds = 0.0
        self._lost: str | None = None
        self._last: dict[str, Any] | None = None
        self._begin = 0
        self._bests: set[str] = set()
        self._monitor = FailureDetector(trainer.recipe.objective, trainer.data.shape, evaluator.single_image_fid)
        self._checkpoints = Checkpoints(storage.child("checkpoints"))
        settings = trainer.recipe.training
        seed = evaluator.identity.latent_seed
        self._latents = fixed_latents(settings.latent, evaluator.samples, settings.latent_dim, seed)

    @property
    def kimg(self) -> float:
        return self.trainer.target_images / 1000

    @property
    def bundle(self) -> str | None:
        """Where the best generator so far is, as a bundle."""
        return None if self.best is None else self.storage.child(f"best-{_stem(self.best.kimg)}").uri

    def resume(self) -> float | None:
        """Go back to the newest whole checkpoint; return its kimg, or None if there is none."""
        found = self._checkpoints.latest()
        if found is None:
            return None
        kimg, state = found
        load_state_dict(self.trainer, state["trainer"])
        self._monitor.load_state_dict(state["monitor"])
        self.seconds = state["seconds"]
        self._lost = state["lost"]
        self._last = state["report"]
        self._claim()
        if state["best"] is not None:
            self.best = _Best(**state["best"])
            self._write_best()
        return kimg

    def reports(self) -> Iterator[Report]:
        """Train on, yielding a report at every multiple of the interval and at the end.

        Checkpoint and bundle are on storage before a report is yielded. After a resume the report of
        the checkpoint comes first, once more. After a report with `diverged` there is no other. Whoever
        trained this before, and still does out of reach, may not write here from now on.

        Raises:
            Superseded: another process has resumed this training meanwhile.
        """
        if self._last is not None:
            # Whoever was to hear of it may have been gone before it did.
            yield Report(**self._last)
        self._claim()
        while self._goes_on:
            yield self._interval()

    @property
    def _goes_on(self) -> bool:
        return self._lost is None and self.trainer.target_images < self.total

    def _claim(self) -> None:
        """Make the folder this process's, if there is anything left to write."""
        if self._goes_on and not self._checkpoints.claimed:
            self._checkpoints.claim()
            self._bests = {name for name in self.storage.list() if name.startswith("best-")}

    # ---- one interval

    def _interval(self) -> Report:
        start, self._begin = time.perf_counter(), self.trainer.images
        target = min(self.total, (self.trainer.target_images // self.interval + 1) * self.interval)
        windows, lost = self._train_to(target)
        trained = time.perf_counter()
        fid, spread = None, None
        if lost is None:
            fid, spread, lost = self._judge()
        else:
            # Not worth judging, but people want to see what a lost training had come to.
            self._write_samples()
        judged = time.perf_counter()
        self._lost = lost
        self.seconds += judged - start
        report = self._report(
            windows, fid=fid, spread=spread, train_seconds=trained - start, eval_seconds=judged - trained
        )
        self._save(report)
        spent = time.perf_counter() - judged
        self.seconds += spent
        return dataclasses.replace(report, checkpoint_seconds=spent, seconds=self.seconds)

    def _train_to(self, target: int) -> tuple[list[CycleStats], str | None]:
        """Train in `WINDOWS` stretches, ending at once where the losses say that all is lost."""
        windows: list[CycleStats] = []
        begin, images = self.trainer.target_images, target - self.trainer.target_images
        for stretch in range(WINDOWS):
            due = begin + images * (stretch + 1) // WINDOWS
            window = self.trainer.advance(due - self.trainer.target_images)
            windows.append(window)
            lost = self._monitor.losses(window) if len(window.history) else None
            if lost:
                return windows, lost
        return windows, None

    def _judge(self) -> tuple[float | None, float | None, str | None]:
        """Evaluate the samples; return FID, spread and why the training is lost, if it is."""
        result = self.evaluator.evaluate(self._sample)
        fid = result.fid
        if fid is not None and (self.best is None or fid < self.best.fid):
            self.best = _Best(fid, self.kimg, cpu_copy(self.trainer.sampler))
            self._write_best()
        self._write_samples()
        return fid, result.pixel_spread, self._monitor.samples(self.kimg, fid, result.pixel_spread)

    def _sample(self, start: int, count: int) -> Tensor:
        return self.trainer.sample(self._latents[start : start + count])

    # ---- what is written

    def _save(self, report: Report) -> None:
        best = self.best
        self._checkpoints.save(
            self.kimg,
            {
                "trainer": state_dict(self.trainer),
                "monitor": self._monitor.state_dict(),
                "best": None if best is None else {"fid": best.fid, "kimg": best.kimg, "weights": best.weights},
                "seconds": self.seconds,
                "lost": self._lost,
                "report": report.metrics(),
            },
        )

    def _write_samples(self) -> None:
        data = self.trainer.data
        if data.is_image:
            content = encode_png(grid(self._sample(0, GRID).cpu().numpy(), columns=8))
        else:
            content = plot_vectors(self._sample(0, VECTORS).cpu().numpy(), some_rows(data.train, VECTORS))
        self._require_mine()
        self.storage.write_bytes(f"samples/{_stem(self.kimg)}.png", content)

    def _write_best(self) -> None:
        """Write the best generator as a bundle, then drop what it replaces of what this process wrote or found."""
        assert self.best is not None
        name = f"best-{_stem(self.best.kimg)}"
        self._require_mine()
        write_bundle(self.storage.child(name), self.best.weights, self._config(self.best))
        self._require_mine()
        for other in self._bests - {name}:
            self.storage.delete(other)
        self._bests = {name}

    def _require_mine(self) -> None:
        if self._checkpoints.claimed:
            self._checkpoints.require_mine()

    def _config(self, best: _Best) -> dict[str, Any]:
        recipe, data = self.trainer.recipe, self.trainer.data
        name = public_name(data.uri)
        return {
            "network": recipe.network_name,
            "network_settings": {name: getattr(recipe.network, name) for name in parameters(recipe.network)},
            "latent": recipe.training.latent,
            "latent_dim": recipe.training.latent_dim,
            "shape": list(data.shape),
            "recipe": recipe.name,
            "source": recipe.source,
            "fid": best.fid,
            "metric": self.evaluator.identity.metric,
            "kimg": best.kimg,
            "evaluation": {**self.evaluator.identity.as_dict(), "data": name},
            "settings": recipe.settings,
            "seed": self.trainer.seed,
            "data": name,
            "data_hash": data.content_hash,
            "versions": versions(),
            **self.provenance,
        }

    def _report(
        self, windows: list[CycleStats], *, fid: float | None, spread: float | None, **seconds: float
    ) -> Report:
        best, objective = self.best, self.trainer.recipe.objective
        last = windows[-1]
        rates = [window.images_per_second for window in windows if window.images_per_second]
        history = np.concatenate([window.history for window in windows])
        # An interval shorter than what the last cycle overshot it by has no step of its own.
        means = [_number(mean) for mean in history.mean(axis=0)] if len(history) else [None] * len(COLUMNS)
        return Report(
            kimg=self.kimg,
            fid=fid,
            best_fid=None if best is None else best.fid,
            best_kimg=None if best is None else best.kimg,
            score=DIVERGED_SCORE if self._lost or best is None else best.fid,
            d_loss=means[0],
            penalty=means[1],
            g_loss=means[2],
            real_score=means[3],
            fake_score=means[4],
            diverged=int(self._lost is not None),
            reason=self._lost,
            images_per_second=float(np.median(rates)) if rates else None,
            seconds=self.seconds,
            spread=spread,
            grad_norm_g=_number(last.grad_norm_g),
            grad_norm_d=_number(last.grad_norm_d),
            checkpoint_seconds=0.0,
            curve=_curve(history, self._begin, last.images),
            wasserstein=-means[0] if objective.estimates_wasserstein and means[0] is not None else None,
            **seconds,
        )


def _stem(kimg: float) -> str:
    """A file name that sorts by training time: the number of images."""
    return f"{round(kimg * 1000):09d}"


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _curve(history: np.ndarray, begin: int, end: int) -> list[list[float]]:
    """Thin the losses between two image counts to a few points [kimg, g_loss, d_loss], each a mean."""
    if not len(history):
        return []
    points = []
    per_cycle = (end - begin) / len(history)
    for part in np.array_split(np.arange(len(history)), min(_CURVE_POINTS, len(history))):
        values = history[part].mean(axis=0)
        if np.isfinite(values).all():
            kimg = (begin + per_cycle * (part[-1] + 1)) / 1000
            points.append([round(float(kimg), 3), float(f"{values[2]:.5g}"), float(f"{values[0]:.5g}")])
    return points
