"""The event files beside a running sweep, read back with TensorBoard's own reader."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from fabricated import RECIPES, Fabricated, fabricate, picture, tell
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from gan.recipe.recipe import load_recipe
from gan.storage.storage import Storage
from search.run.record import SweepRecord, read_record
from search.run.run_folder import write_settings
from search.trackers.tensorboard import FOLDER, TensorBoard


@pytest.fixture
def run(tmp_path: Path) -> Storage:
    """A run that was cut off, with its event files."""
    run = Storage(tmp_path / "run")
    fabricate(run)
    tell(run, TensorBoard(run, SweepRecord(evaluation={"features": "random-conv"})))
    return run


def read(run: Storage, trial: str) -> EventAccumulator:
    events = EventAccumulator(str(Path(run.root) / FOLDER / trial), size_guidance={"images": 0, "scalars": 0})
    events.Reload()
    return events


def columns(run: Storage, trial: str) -> set[str]:
    """Return the columns that a trial declares."""
    content = read(run, trial).summary_metadata[metadata.EXPERIMENT_TAG].plugin_data.content
    return {info.name for info in metadata.parse_experiment_plugin_data(content).hparam_infos}


def continue_run(run: Storage) -> None:
    """Let another driver report once more of the trial that was running."""
    made = Fabricated(run, begin=False)
    board = TensorBoard(run, made.record)
    board("start", made.record.trials["t0008"])
    board("report", made.record.trials["t0008"])  # From the checkpoint, once more.
    made.report("t0008", 4.0, 100.0)
    board("report", made.record.trials["t0008"])


def require_whole(run: Storage) -> None:
    events = read(run, "t0008")
    assert [event.step for event in events.Scalars("quality/fid")] == [1000, 2000, 3000, 4000]
    images = [(event.step, event.encoded_image_string) for event in events.Images("samples")]
    assert images == [(1000 * kimg, picture("t0008", kimg)) for kimg in range(1, 5)]


def test_a_resumed_run_goes_on_behind_what_is_there(run: Storage) -> None:
    before = {path: path.read_bytes() for path in Path(run.root, FOLDER).glob("*/*")}
    continue_run(run)
    require_whole(run)
    assert {path: path.read_bytes() for path in before} == before


def test_half_a_record_of_a_killed_driver_hides_nothing(run: Storage) -> None:
    (file,) = Path(run.root, FOLDER, "t0008").iterdir()
    with file.open("ab") as torn:
        torn.write(os.urandom(7))
    continue_run(run)
    require_whole(run)


def test_files_that_are_gone_are_made_again(run: Storage) -> None:
    shutil.rmtree(Path(run.root) / FOLDER)
    continue_run(run)
    require_whole(run)
    assert [event.step for event in read(run, "t0003").Scalars("quality/fid")] == [1000 * n for n in range(1, 7)]
    assert read(run, "t0003").Tensors("verdict")


def test_all_trials_declare_the_same_columns_after_a_run_has_grown(run: Storage) -> None:
    """TensorBoard takes the columns of whichever trial it reads first."""
    before = columns(run, "t0000")
    grown = {name: load_recipe(name) for name in (*RECIPES, "cheng-96-wgan-gp")}
    identity = {name: {"settings": each.settings, "space": each.space_as_dict()} for name, each in grown.items()}
    write_settings(run, {"name": "fabricated"}, {"recipes": identity}, {})
    continue_run(run)
    require_whole(run)
    after = [columns(run, trial) for trial in read_record(run).trials]
    assert after == [after[0]] * len(after)
    assert before < after[0]
