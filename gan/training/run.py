"""One training with its evaluation, failure detection, checkpoints and best generator.

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
from gan.errors import InputError
from gan.evaluation.evaluator import Evaluator
from gan.plots.plots import plot_vectors
from gan.settings import parameters, to_images
from gan.storage.storage import Storage
from gan.tensors.images import encode_png, grid
from gan.tensors.latents import fixed_latents
from gan.training.checkpoints import Checkpoints
from gan.training.divergence import FailureDetector
from gan.training.report import DIVERGED_SCORE, Report
from gan.training.state import cpu_copy, length_of, load_state_dict, state_dict
from gan.training.trainer import COLUMNS, CycleStats, Trainer
from gan.versions import versions

LOSS_CHECKS = 4
"""Times per report interval that the losses are checked."""

GRID, VECTORS = 64, 1000
"""Images in a sample grid, and rows in a plot of vectors (it draws 64 of them and counts all)."""

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
        # Whole images: the sum of twelve twelfths of a length in kimg need not equal the length.
        self.total = to_images(total_kimg)
        self.interval = to_images(interval_kimg)
        trainer.total_images = self.total
        self.provenance = provenance or {}
        self.best: _Best | None = None
        self.seconds = 0.0
        self._failure: str | None = None
        self._last_report: dict[str, Any] | None = None
        self._begin = 0
        self._best_bundles: set[str] = set()
        self._detector = FailureDetector(trainer.recipe.objective, trainer.data.shape, evaluator.single_image_fid)
        self._checkpoints = Checkpoints(storage.child("checkpoints"))
        settings = trainer.recipe.training
        seed = evaluator.identity.latent_seed
        self._latents = fixed_latents(settings.latent, evaluator.samples, settings.latent_dim, seed)

    @property
    def kimg(self) -> float:
        return self.trainer.target_images / 1000

    @property
    def bundle(self) -> str | None:
        """Where the bundle of the best generator so far is."""
        return None if self.best is None else self.storage.child(f"best-{_stem(self.best.kimg)}").uri

    def resume(self, origin: Storage | None = None) -> float | None:
        """Restore the newest undamaged checkpoint; return its kimg, or None if there is none.

        Args:
            origin: the folder of a shorter training. If this one has no checkpoint yet, it begins with the last of
                that one. Rates that follow a schedule then follow that of the new length.

        Raises:
            InputError: the checkpoint is of another training, or the shorter training has none.
        """
        latest = self._checkpoints.latest()
        if latest is None and origin is not None:
            latest = Checkpoints(origin.child("checkpoints")).latest()
            if latest is None:
                raise InputError(f"{origin.uri}: its checkpoint is gone, so it cannot be trained on")
        if latest is None:
            return None
        kimg, state = latest
        if origin is not None:
            state["trainer"] |= length_of(self.trainer)
        load_state_dict(self.trainer, state["trainer"])
        self._detector.load_state_dict(state["monitor"])
        self.seconds = state["seconds"]
        self._failure = state["lost"]
        self._last_report = state["report"]
        self._claim()
        if state["best"] is not None:
            self.best = _Best(**state["best"])
            self._write_best()
        return kimg

    def reports(self) -> Iterator[Report]:
        """Train on, yielding a report at every multiple of the interval and at the end.

        Checkpoint and bundle are on storage before a report is yielded. After a resume, the report of the checkpoint
        comes again first. A report with `diverged` is the last one. From now on, another process that still trains
        this may not write here.

        Raises:
            Superseded: another process has resumed this training meanwhile.
        """
        if self._last_report is not None:
            # The receiver may have ended before it got this report.
            yield Report(**self._last_report)
        self._claim()
        while self._unfinished:
            yield self._interval()

    @property
    def _unfinished(self) -> bool:
        return self._failure is None and self.trainer.target_images < self.total

    def _claim(self) -> None:
        """Make this process the folder's owner, if anything is left to write."""
        if self._unfinished and not self._checkpoints.claimed:
            self._checkpoints.claim()
            self._best_bundles = {name for name in self.storage.list() if name.startswith("best-")}

    # ---- one interval

    def _interval(self) -> Report:
        start, self._begin = time.perf_counter(), self.trainer.images
        target = min(self.total, (self.trainer.target_images // self.interval + 1) * self.interval)
        stats, self._failure = self._train_to(target)
        trained = time.perf_counter()
        fid, spread = None, None
        if self._failure is None:
            fid, spread, self._failure = self._evaluate()
        else:
            # FID would mean nothing, but people want to see the samples of a failed training.
            self._write_samples()
        evaluated = time.perf_counter()
        self.seconds += evaluated - start
        report = self._report(
            stats, fid=fid, spread=spread, train_seconds=trained - start, eval_seconds=evaluated - trained
        )
        self._save(report)
        checkpoint_seconds = time.perf_counter() - evaluated
        self.seconds += checkpoint_seconds
        return dataclasses.replace(report, checkpoint_seconds=checkpoint_seconds, seconds=self.seconds)

    def _train_to(self, target: int) -> tuple[list[CycleStats], str | None]:
        """Train, checking the losses on the way; return the statistics, and why the training has failed, if it has."""
        stats: list[CycleStats] = []
        begin, images = self.trainer.target_images, target - self.trainer.target_images
        for check in range(LOSS_CHECKS):
            next_check = begin + images * (check + 1) // LOSS_CHECKS
            stats.append(self.trainer.advance(next_check - self.trainer.target_images))
            failure = self._detector.check_losses(stats[-1]) if len(stats[-1].history) else None
            if failure:
                return stats, failure
        return stats, None

    def _evaluate(self) -> tuple[float | None, float | None, str | None]:
        """Evaluate the samples; return FID, spread, and why the training has failed, if it has."""
        result = self.evaluator.evaluate(self._sample)
        fid = result.fid
        if fid is not None and (self.best is None or fid < self.best.fid):
            self.best = _Best(fid, self.kimg, cpu_copy(self.trainer.sampler))
            self._write_best()
        self._write_samples()
        return fid, result.pixel_spread, self._detector.check_samples(self.kimg, fid, result.pixel_spread)

    def _sample(self, start: int, count: int) -> Tensor:
        return self.trainer.sample(self._latents[start : start + count])

    # ---- what is written

    def _save(self, report: Report) -> None:
        best = self.best
        self._checkpoints.save(
            self.kimg,
            {
                "trainer": state_dict(self.trainer),
                "monitor": self._detector.state_dict(),
                "best": None if best is None else {"fid": best.fid, "kimg": best.kimg, "weights": best.weights},
                "seconds": self.seconds,
                "lost": self._failure,
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
        """Write the best generator as a bundle, then delete older ones that this process wrote or found."""
        assert self.best is not None
        name = f"best-{_stem(self.best.kimg)}"
        self._require_mine()
        write_bundle(self.storage.child(name), self.best.weights, self._config(self.best))
        self._require_mine()
        for other in self._best_bundles - {name}:
            self.storage.delete(other)
        self._best_bundles = {name}

    def _require_mine(self) -> None:
        if self._checkpoints.claimed:
            self._checkpoints.require_mine()

    def _config(self, best: _Best) -> dict[str, Any]:
        recipe, data = self.trainer.recipe, self.trainer.data
        name = public_name(data.uri)
        return {
            "network": recipe.part_names["network"],
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

    def _report(self, stats: list[CycleStats], *, fid: float | None, spread: float | None, **seconds: float) -> Report:
        best, objective = self.best, self.trainer.recipe.objective
        last = stats[-1]
        rates = [each.images_per_second for each in stats if each.images_per_second]
        history = np.concatenate([each.history for each in stats])
        means: dict[str, Any] = dict.fromkeys(COLUMNS)
        if len(history):  # a short interval has no cycle of its own if the last one overshot it
            means = {column: _finite(mean) for column, mean in zip(COLUMNS, history.mean(axis=0), strict=True)}
        d_loss = means["d_loss"]
        return Report(
            kimg=self.kimg,
            fid=fid,
            best_fid=None if best is None else best.fid,
            best_kimg=None if best is None else best.kimg,
            score=DIVERGED_SCORE if self._failure or best is None else best.fid,
            diverged=int(self._failure is not None),
            reason=self._failure,
            images_per_second=float(np.median(rates)) if rates else None,
            seconds=self.seconds,
            spread=spread,
            grad_norm_g=_finite(last.grad_norm_g),
            grad_norm_d=_finite(last.grad_norm_d),
            curve=_curve(history, self._begin, last.images),
            wasserstein=-d_loss if objective.estimates_wasserstein and d_loss is not None else None,
            **means,
            **seconds,
        )


def _stem(kimg: float) -> str:
    """Return a file name that sorts by training time: the number of images."""
    return f"{round(kimg * 1000):09d}"


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _curve(history: np.ndarray, begin: int, end: int) -> list[list[float]]:
    """Return the losses between two image counts as a few points [kimg, g_loss, d_loss], each a mean over cycles."""
    if not len(history):
        return []
    points = []
    per_cycle = (end - begin) / len(history)
    for part in np.array_split(np.arange(len(history)), min(_CURVE_POINTS, len(history))):
        values = history[part].mean(axis=0)
        if np.isfinite(values).all():
            kimg = (begin + per_cycle * (part[-1] + 1)) / 1000
            g_loss, d_loss = (float(f"{values[COLUMNS.index(name)]:.5g}") for name in ("g_loss", "d_loss"))
            points.append([round(float(kimg), 3), g_loss, d_loss])
    return points
