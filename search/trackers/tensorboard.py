"""A run as TensorBoard sees it: event files, written from the events of its trials.

`EventFiles` writes them. The driver feeds it as the run goes on, into the run's folder if that is on this machine;
`gan-search tensorboard` feeds it from the journal, into a temporary folder.
"""

from __future__ import annotations

import functools
import io
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image
from tensorboard.compat.proto import summary_pb2, tensor_pb2, types_pb2
from tensorboard.plugins.text import metadata as text_metadata

from gan.storage.storage import Storage
from search.report.data.report_data import grid_path
from search.run.active_parameters import recipes_of
from search.run.record import Follower, SweepRecord, TrialRecord
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
"""PIL's modes → TensorBoard's numbers of colour spaces."""

_READERS = 8
"""Sample grids that are read at once: an object store takes its time for each."""


class EventFiles:
    """Writes a TensorBoard run for each trial; the step is real images shown.

    Args:
        run: the run's folder, where the sample grids are.
        folder: where event files go, those of a trial in a subfolder of its name.
        record: of the run. Its recipes and its evaluation decide the columns of the HPARAMS page.
        written: trial → kimg up to which its reports are in the folder already.
    """

    def __init__(self, run: Storage, folder: Path, record: SweepRecord, written: Mapping[str, float] = {}) -> None:
        self._run = run
        self._folder = folder
        self._record = record
        self._written = dict(written)
        self._trials: dict[str, EventFolder] = {}
        self._grids: list[tuple[TrialRecord, dict[str, Any], float]] = []

    @functools.cached_property
    def _table(self) -> Table:
        return Table(recipes_of(self._run, self._record), self._record.evaluation)

    def write(self, event: str, trial: TrialRecord, at: float) -> None:
        """Write one event of a trial, except for its sample grid (see `write_grids`).

        The row in the HPARAMS page is written at the start, so that every trial has one, however it ends.

        Args:
            at: when it happened, in seconds since 1970.
        """
        if event == "start":
            self._append(trial, [(0, [self._table.head(), self._table.row(trial, at)])], at)
        # A trial that goes on from a checkpoint repeats reports.
        elif event == "report" and trial.kimg > self._written.get(trial.id, 0.0):
            self._written[trial.id] = trial.kimg
            self._append(trial, _points(trial.last), at)
            self._grids.append((trial, trial.last, at))
        elif event == "verdict":
            text = f"**{trial.state}** at {trial.kimg:g} kimg" + (f": {trial.reason}" if trial.reason else "")
            self._append(trial, [(_step(trial.kimg), [self._table.end(trial, at), _text("verdict", text)])], at)

    def write_grids(self) -> None:
        """Write the sample grids of the reports written since the last call.

        A grid that is missing or damaged is left out. They are written in order: TensorBoard drops what it has read
        of a tag when the steps go back.
        """
        with ThreadPoolExecutor(_READERS) as pool:
            while self._grids:
                grids, self._grids = self._grids[:_READERS], self._grids[_READERS:]
                images = pool.map(lambda grid: _read_grid(self._run, grid[0].id, grid[1]), grids)
                for (trial, report, at), image in zip(grids, images, strict=True):
                    if image is not None:
                        self._append(trial, [(_step(report["kimg"]), [image])], at)

    def _append(self, trial: TrialRecord, events: list[tuple[int, list[Value]]], at: float) -> None:
        self._trials.setdefault(trial.id, EventFolder(self._folder / trial.id)).write(events, at)


class TensorBoard:
    """A listener that keeps the event files in a run's folder up to date while it is driven.

    All trials must declare the same columns: TensorBoard takes those of whichever trial it reads first. So the files
    are made again from the journal when the run has gained a recipe, and when they are gone.

    Args:
        run: the run's folder, which must be on this machine.
        record: of the run, as it was when this launch began.
    """

    def __init__(self, run: Storage, record: SweepRecord) -> None:
        assert run.local_path is not None
        self._run = run
        self._folder = run.local_path / FOLDER
        self._record = record
        trials = record.trials.values()
        self._files = EventFiles(run, self._folder, record, {trial.id: trial.kimg for trial in trials})
        gained = recipes_of(run, record).keys() - {trial.recipe for trial in trials}
        self._outdated = bool(trials) and (bool(gained) or not self._folder.exists())

    def __call__(self, event: str, trial: TrialRecord) -> None:
        if self._outdated:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._files = EventFiles(self._run, self._folder, self._record)
            # The journal has this event already.
            for past in Follower(self._run).news():
                self._files.write(*past)
            self._outdated = False
        else:
            self._files.write(event, trial, time.time())
        self._files.write_grids()


def _read_grid(run: Storage, trial: str, report: dict[str, Any]) -> Value | None:
    """Return the sample grid that goes with a report, the PNG file as it is; None if it is missing or damaged."""
    if report.get("fid") is None and report.get("spread") is None:
        return None
    try:
        png = run.read_bytes(grid_path(trial, report["kimg"]))
        with Image.open(io.BytesIO(png)) as image:
            (width, height), colors = image.size, _COLORS[image.mode]
            image.verify()
    except (OSError, SyntaxError, KeyError):
        return None
    image = summary_pb2.Summary.Image(width=width, height=height, colorspace=colors, encoded_image_string=png)
    return Value(tag="samples", image=image)


def _step(kimg: float) -> int:
    return round(kimg * 1000)


def _points(report: dict[str, Any]) -> list[tuple[int, list[Value]]]:
    """Return the numbers of a report as (step, values): the losses in finer steps, where it has them."""
    numbers = [(tag, report[name]) for name, tag in _SCALARS.items() if report.get(name) is not None]
    if report.get("curve"):
        losses = [(kimg, list(zip(_LOSSES.values(), means, strict=True))) for kimg, *means in report["curve"]]
    else:
        known = [(tag, report[name]) for name, tag in _LOSSES.items() if report.get(name) is not None]
        losses = [(report["kimg"], known)] if known else []
    return [
        (_step(kimg), [Value(tag=tag, simple_value=value) for tag, value in scalars])
        for kimg, scalars in (*losses, (report["kimg"], numbers))
    ]


def _text(tag: str, text: str) -> Value:
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[text.encode()])
    return Value(tag=tag, metadata=text_metadata.create_summary_metadata(tag, ""), tensor=tensor)
