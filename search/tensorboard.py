"""Event files for TensorBoard, written by the driver from what trials report."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from gan.errors import InputError
from gan.recipe import Recipe
from gan.storage import Storage
from search.journal import TrialRecord
from search.space import columns

FOLDER = "tensorboard"
INACTIVE = -1.0
"""Shown for a parameter that has no effect in a trial: TensorBoard takes its columns from the first."""

_SCALARS = {
    "fid": "quality/fid",
    "best_fid": "quality/best_fid",
    "spread": "quality/pixel_spread",
    "g_loss": "loss/generator",
    "d_loss": "loss/discriminator",
    "penalty": "loss/penalty",
    "grad_norm_g": "gradient/generator",
    "grad_norm_d": "gradient/discriminator",
    "images_per_second": "speed/images_per_second",
    "eval_seconds": "speed/eval_seconds",
    "diverged": "state/diverged",
}


class TensorBoard:
    """A listener that writes one run of event files per trial; the step is images shown.

    Args:
        run: the run's folder; event files go to `tensorboard/<trial>/` in it.
        folder: the same place on this machine.
        recipes: by name; their searched parameters are the HPARAMS columns.
    """

    def __init__(self, run: Storage, folder: Path, recipes: dict[str, Recipe]) -> None:
        self._run = run
        self._folder = folder
        self._columns = columns(recipes)
        self._recipes = recipes
        self._writers: dict[str, SummaryWriter] = {}

    def __call__(self, event: str, trial: TrialRecord) -> None:
        if event == "report":
            self._scalars(trial)
            self._images(trial)
        if event in ("start", "verdict"):
            self._hparams(trial)
        if event == "verdict":
            self._writers.pop(trial.id).close()
        elif trial.id in self._writers:
            self._writers[trial.id].flush()

    def close(self) -> None:
        """Write out what is still held back."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, trial: TrialRecord) -> SummaryWriter:
        if trial.id not in self._writers:
            self._writers[trial.id] = SummaryWriter(str(self._folder / trial.id), max_queue=1000, flush_secs=30)
        return self._writers[trial.id]

    def _scalars(self, trial: TrialRecord) -> None:
        writer, step = self._writer(trial), round(trial.kimg * 1000)
        for name, tag in _SCALARS.items():
            if trial.last.get(name) is not None:
                writer.add_scalar(tag, trial.last[name], step)
        if trial.objective.startswith("wgan") and trial.last.get("d_loss") is not None:
            # The critic's loss, negated, estimates the distance between real and generated images.
            writer.add_scalar("loss/wasserstein_estimate", -trial.last["d_loss"], step)

    def _images(self, trial: TrialRecord) -> None:
        images = round(trial.kimg * 1000)
        path = f"trials/{trial.id}/samples/{images:09d}.png"
        if self._run.exists(path):
            picture = np.asarray(Image.open(io.BytesIO(self._run.read_bytes(path))))
            formats = "HWC" if picture.ndim == 3 else "HW"
            self._writer(trial).add_image("samples", picture, images, dataformats=formats)

    def _hparams(self, trial: TrialRecord) -> None:
        """Write the trial's row of the HPARAMS table, as it starts: every trial has one, however it ends."""
        values: dict[str, Any] = {"recipe": trial.recipe, "source": trial.source}
        used = self._recipes[trial.recipe].searchable()
        for name in self._columns:
            value = trial.settings[name] if name in used else INACTIVE
            values[name] = value if isinstance(value, str) else float(value)
        file_writer = self._writer(trial).file_writer
        assert file_writer is not None
        # The metric's value is the last scalar of that tag; here only its name is told.
        for summary in hparams(values, {"quality/best_fid": 0.0}):
            file_writer.add_summary(summary)


def serve(run: Storage, port: int) -> None:
    """Run a TensorBoard server over a run's event files until it is interrupted; 0 takes a free port.

    Raises:
        InputError: the run has no event files on this machine.
    """
    folder = run.local_path
    if folder is None or not (folder / FOLDER).is_dir():
        raise InputError(f"{run.uri}: there are no event files here (fetch the run's {FOLDER}/ folder first)")
    from tensorboard import program

    server = program.TensorBoard()
    server.configure(argv=[None, "--logdir", str(folder / FOLDER), "--host", "127.0.0.1", "--port", str(port)])
    print(f"TensorBoard at {server.launch()} (Ctrl-C ends it)", flush=True)  # noqa: T201
    threading.Event().wait()
