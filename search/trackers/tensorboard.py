"""A run as TensorBoard sees it: event files, written from what trials report.

The driver writes them into the run's folder as it goes, where that is a folder of this machine; from the
journal they can be made again at any time, anywhere (see `search.trackers.serving`).
"""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

from PIL import Image
from tensorboard.compat.proto import summary_pb2, tensor_pb2, types_pb2
from tensorboard.plugins.text import metadata as text_metadata

from gan.storage.storage import Storage
from search.report.data.report_data import grid_path
from search.run.active_parameters import Recipes
from search.run.record import SweepRecord, TrialRecord
from search.trackers.event_files import EventFolder, Value
from search.trackers.hparams import Table

FOLDER = "tensorboard"

_SCALARS = {
    "fid": "quality/fid",
    "best_fid": "quality/best_fid",
    "spread": "quality/pixel_spread",
    "penalty": "loss/penalty",
    "wasserstein": "loss/wasserstein_estimate",
    "grad_norm_g": "gradient/generator",
    "grad_norm_d": "gradient/discriminator",
    "images_per_second": "speed/images_per_second",
    "eval_seconds": "speed/eval_seconds",
    "diverged": "state/diverged",
}
_LOSSES = {"g_loss": "loss/generator", "d_loss": "loss/discriminator"}
_COLORS = {"L": 1, "RGB": 3}
"""PIL's modes, as TensorBoard numbers its colour spaces."""


class EventLog:
    """Writes a TensorBoard run for each trial; the step is images shown.

    Args:
        folder: where event files go, those of a trial in a folder of its name.
        table: of the HPARAMS page.
        record: what an earlier log in this folder was told.
    """

    def __init__(self, folder: Path, table: Table, record: SweepRecord | None = None) -> None:
        self._folder = folder
        self._table = table
        self._told = {trial.id: trial.kimg for trial in record.trials.values()} if record else {}
        self._trials: dict[str, EventFolder] = {}

    def begin(self, trial: TrialRecord, at: float) -> None:
        """Tell a trial's parameters, as it starts: so every trial has its row, however it ends."""
        self._of(trial).write([(0, [self._table.head(), self._table.row(trial, at)])], at)

    def report(self, trial: TrialRecord, at: float) -> bool:
        """Write the numbers of a trial's last report; tell whether they are new.

        A trial that goes on from a checkpoint reports again what it had reported by then.
        """
        report = trial.last
        if report["kimg"] <= self._told.get(trial.id, 0.0):
            return False
        self._told[trial.id] = report["kimg"]
        numbers = [(tag, report[name]) for name, tag in _SCALARS.items() if report.get(name) is not None]
        points = [*_losses(report), (report["kimg"], numbers)]
        self._of(trial).write(
            [(_step(kimg), [Value(tag=tag, simple_value=number) for tag, number in told]) for kimg, told in points], at
        )
        return True

    def picture(self, trial: TrialRecord, kimg: float, png: bytes | None, at: float) -> None:
        """Write the sample grid of one evaluation, as the file it is; one that is damaged or not there is left out."""
        if png is None:
            return
        try:
            with Image.open(io.BytesIO(png)) as image:
                (width, height), colors = image.size, _COLORS[image.mode]
                image.verify()
        except (OSError, SyntaxError, KeyError):
            return
        shown = summary_pb2.Summary.Image(width=width, height=height, colorspace=colors, encoded_image_string=png)
        self._of(trial).write([(_step(kimg), [Value(tag="samples", image=shown)])], at)

    def end(self, trial: TrialRecord, at: float) -> None:
        """Write a trial's verdict."""
        said = f"**{trial.state}** at {trial.kimg:g} kimg" + (f": {trial.reason}" if trial.reason else "")
        self._of(trial).write([(_step(trial.kimg), [self._table.end(trial, at), _text("verdict", said)])], at)
        self._trials.pop(trial.id)

    def _of(self, trial: TrialRecord) -> EventFolder:
        if trial.id not in self._trials:
            self._trials[trial.id] = EventFolder(self._folder / trial.id)
        return self._trials[trial.id]


class TensorBoard:
    """A listener that keeps the event files in a run's folder up to date while it is driven.

    Args:
        run: the run's folder, which must be on this machine.
        recipes: that it searches over.
        record: what the journal tells of earlier launches, and of the evaluation.
    """

    def __init__(self, run: Storage, recipes: Recipes, record: SweepRecord) -> None:
        folder = run.local_path
        assert folder is not None
        self._run = run
        self._log = EventLog(folder / FOLDER, table_of(recipes, record), record)

    def __call__(self, event: str, trial: TrialRecord) -> None:
        now = time.time()
        if event == "start":
            self._log.begin(trial, now)
        elif event == "report":
            if self._log.report(trial, now):
                self._log.picture(trial, trial.kimg, read_picture(self._run, trial.id, trial.last), now)
        elif event == "verdict":
            self._log.end(trial, now)


def table_of(recipes: Recipes, record: SweepRecord) -> Table:
    """Return the HPARAMS page of a run."""
    return Table(recipes, record.evaluation)


def read_picture(run: Storage, trial: str, report: dict[str, Any]) -> bytes | None:
    """Return the sample grid that goes with a report, as PNG; None if there is none."""
    if report.get("fid") is None and report.get("spread") is None:
        return None
    try:
        return run.read_bytes(grid_path(trial, report["kimg"]))
    except OSError:
        return None


def _step(kimg: float) -> int:
    return round(kimg * 1000)


def _losses(report: dict[str, Any]) -> list[tuple[float, list[tuple[str, float]]]]:
    """Return (kimg, [(tag, loss), …]) of the points between two reports, else of the report's own means."""
    tags = list(_LOSSES.values())
    if report.get("curve"):
        return [(kimg, list(zip(tags, losses, strict=True))) for kimg, *losses in report["curve"]]
    known = [(tag, report[name]) for name, tag in _LOSSES.items() if report.get(name) is not None]
    return [(report["kimg"], known)] if known else []


def _text(tag: str, said: str) -> Value:
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[said.encode()])
    return Value(tag=tag, metadata=text_metadata.create_summary_metadata(tag, ""), tensor=tensor)
