"""The copy of the study: what Optuna's own tools find in it, and that nothing depends on it."""

from __future__ import annotations

import json
import shutil
import time
import warnings
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from fabricated import KIMG, REASON, STATES, Fabricated, fabricate, tell
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from gan.storage.storage import Storage
from search.run.record import SweepRecord, read_record
from search.trackers import study
from search.trackers.study import FILE, StudyCopy, StudyFile, distributions


@pytest.fixture
def run(tmp_path: Path) -> Storage:
    """Where a run is to be."""
    return Storage(tmp_path / "run")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was cut off, with the copy that its driver left."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run = Storage(folder)
    fabricate(run)
    record = SweepRecord(settings={"name": "fabricated"})
    copy = StudyFile(run, record)
    record.trials = tell(run, copy).trials
    copy.close()
    return folder


@pytest.fixture
def copied(whole: Path, run: Storage) -> Storage:
    """That run, for a test to change."""
    shutil.copytree(whole, run.root)
    return run


def follow_up(run: Storage) -> StudyFile:
    """The copy of a driver that goes on with a run."""
    return StudyFile(run, read_record(run))


def load(run: Storage) -> dict[str, FrozenTrial]:
    """Read the copy as Optuna does; return its trials by our names."""
    assert run.local_path is not None
    storage = JournalStorage(JournalFileBackend(str(run.local_path / FILE)))
    trials = optuna.load_study(study_name=None, storage=storage).trials
    return {trial.user_attrs["trial"]: trial for trial in trials}


def states(trials: dict[str, FrozenTrial]) -> dict[str, str]:
    return {name: trial.state.name for name, trial in trials.items()}


def test_states_values_and_marks(whole: Path) -> None:
    trials = load(Storage(whole))
    told = {"finished": "COMPLETE", "stopped": "PRUNED", "diverged": "PRUNED", "failed": "FAIL", "running": "WAITING"}
    assert states(trials) == {name: told[state] for name, state in STATES.items()}
    for name, trial in trials.items():
        if STATES[name] != "running":
            assert trial.user_attrs["verdict"] == STATES[name]
            assert trial.user_attrs["diverged"] == (STATES[name] == "diverged")
    assert trials["t0003"].value == pytest.approx(60 + 100 / KIMG)
    assert trials["t0002"].user_attrs["reason"] == REASON
    assert (trials["t0002"].user_attrs["source"], trials["t0003"].user_attrs["source"]) == ("published", "sampled")
    # Its best is kept, though it diverged; one that was lost before it was judged has none.
    assert trials["t0002"].value == pytest.approx(140 + 100 / 2)
    assert trials["t0007"].value is None
    assert trials["t0003"].intermediate_values == {1000 * n: pytest.approx(60 + 100 / n) for n in range(1, 7)}


def test_published_settings_are_parameters_like_sampled_ones(whole: Path) -> None:
    trials = load(Storage(whole))
    assert trials["t0002"].params["recipe"] == "wgan"
    assert trials["t0002"].params["clip"] == 0.01
    assert trials["t0002"].params["lr_g"] == 5e-5
    assert "beta1" not in trials["t0002"].params
    assert trials["t0000"].params["beta1"] == 0.5
    assert trials["t0005"].params == {"recipe": "wgan", "lr_g": 1e-4 * 7, "lr_d": 3e-4, "clip": 0.1, "n_critic": 2}


def test_one_distribution_for_all_recipes_holds_what_is_published() -> None:
    recipes = {
        "a": {"settings": {"lr": 1.0, "batch": 100, "steps": 7, "name": "x"}, "space": {}},
        "b": {"settings": {"lr": 1e-3, "batch": 64, "steps": 1, "name": "y"}, "space": {}},
    }
    recipes["a"]["space"] = {"lr": {"low": 1e-4, "high": 1e-2, "log": True}, "batch": [32, 64], "name": ["x", "z"]}
    recipes["b"]["space"] = {"lr": {"low": 1e-5, "high": 1e-3, "log": True}}
    recipes["b"]["space"] |= {"steps": {"low": 1, "high": 5, "log": False}}
    assert distributions(recipes) == {
        "recipe": CategoricalDistribution(["a", "b"]),
        "lr": FloatDistribution(1e-5, 1.0, log=True),
        "batch": CategoricalDistribution([32, 64, 100]),
        "steps": IntDistribution(1, 7),
        "name": CategoricalDistribution(["x", "z", "y"]),
    }


def test_it_goes_on_where_it_was_and_a_dashboard_that_reads_it_may_stay_open(copied: Storage) -> None:
    file = Path(copied.root) / FILE
    reader = JournalStorage(JournalFileBackend(str(file)))
    (name,) = (known.study_name for known in reader.get_all_studies())
    before = file.read_bytes()
    made = Fabricated(copied, begin=False)
    record = made.record
    resumed = StudyFile(copied, record)
    record.trials["t0008"].state = "running"
    resumed("start", record.trials["t0008"])
    made.report("t0008", 4.0, 100.0)
    made.end("t0008", "finished")
    record.trials |= made.record.trials
    resumed("verdict", record.trials["t0008"])
    resumed.close()
    assert file.read_bytes().startswith(before)
    told = {each.user_attrs["trial"]: each for each in optuna.load_study(study_name=name, storage=reader).trials}
    assert len(told) == len(STATES)
    assert told["t0008"].state == TrialState.COMPLETE
    assert told["t0008"].intermediate_values[4000] == pytest.approx(125.0)


def damage(content: bytes, how: str) -> bytes:
    half = len(content) // 2
    return {
        "torn": content[:-7],
        "torn and gone on": content[:half] + content[half + 9 :],
        "rubbish": b"\x00\xff rubbish\n" * 50,
        "empty": b"",
        "another study": content.replace(b"fabricated", b"somebody's"),
        "trials of another run": content.replace(b'"t0003"', b'"t9999"'),
    }[how]


@pytest.mark.parametrize(
    "how",
    [
        "torn",
        "torn and gone on",
        "rubbish",
        "empty",
        "another study",
        "trials of another run",
    ],
)
def test_a_copy_that_is_damaged_or_disagrees_is_made_again(how: str, whole: Path, copied: Storage) -> None:
    file = Path(copied.root) / FILE
    file.write_bytes(damage(file.read_bytes(), how))
    follow_up(copied).close()
    assert states(load(copied)) == states(load(Storage(whole)))


def test_a_lock_that_a_killed_process_has_left_is_passed(copied: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "_LOCK_SECONDS", 1)
    file = Path(copied.root) / FILE
    file.unlink()
    file.with_name(f"{FILE}.lock").symlink_to(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna finds a second short.
        follow_up(copied).close()
    assert len(load(copied)) == len(STATES)


def test_what_cannot_be_written_is_told_once_and_tried_again(copied: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "_RETRY_SECONDS", 0.3)
    file = Path(copied.root) / FILE
    file.unlink()
    file.mkdir()
    made = follow_up(copied)
    trial = read_record(copied).trials["t0008"]
    told = []
    for _ in range(50):
        try:
            made("report", trial)
        except OSError as error:
            told.append(str(error))
            break
        time.sleep(0.1)
    assert len(told) == 1
    assert told[0].startswith("study.journal could not be written: ")
    file.rmdir()
    made.close()
    assert len(load(copied)) == len(STATES)


def test_a_driver_that_lost_its_run_writes_no_more(copied: Storage) -> None:
    """Unlike one that ends in order, it does not say that what ran is to wait."""
    made = Fabricated(copied, begin=False)
    record = made.record
    record.trials["t0008"].state = "running"
    copy = StudyFile(copied, record)
    for _ in range(100):
        if load(copied)["t0008"].state == TrialState.RUNNING:
            break
        time.sleep(0.1)
    copy.close(abandon=True)
    copy("verdict", replace(record.trials["t0008"], state="finished"))
    time.sleep(0.3)
    assert load(copied)["t0008"].state == TrialState.RUNNING


def test_names_of_any_kind(run: Storage) -> None:
    recipes = {"mein Rezept/ü": "dcgan", "名前": "l2", "w g a n": "wgan"}
    fabricate(run, name="été", recipes=recipes)
    follow_up(run).close()
    assert {trial.params["recipe"] for trial in load(run).values()} == set(recipes)


def test_a_run_whose_settings_are_damaged_is_told_from_its_trials(copied: Storage) -> None:
    copied.write_bytes("sweep.yaml", b"identity: {recipes: {dcg")
    record = read_record(copied)
    storage = InMemoryStorage()
    StudyCopy(storage, copied, record).update(record, driven=False)
    known = {trial.user_attrs["trial"]: trial.params for trial in storage.get_all_trials(0)}
    assert known["t0005"] == {"recipe": "wgan", "lr_g": 1e-4 * 7, "lr_d": 3e-4, "clip": 0.1, "n_critic": 2}


def test_times_are_those_of_the_journal(copied: Storage) -> None:
    Path(copied.root, FILE).unlink()
    events = [json.loads(line) for line in copied.read_bytes("journal.jsonl").splitlines()]
    for index, event in enumerate(events):
        event["time"] = 1e9 + index
    copied.write_bytes("journal.jsonl", "".join(json.dumps(event) + "\n" for event in events).encode())
    follow_up(copied).close()
    trial = load(copied)["t0003"]
    moments = {event["event"]: event["time"] for event in events if event.get("trial") == "t0003"}
    assert trial.datetime_start is not None and trial.datetime_complete is not None
    assert trial.datetime_start.timestamp() == moments["start"]
    assert trial.datetime_complete.timestamp() == moments["verdict"]


def test_a_trial_that_was_never_judged_is_no_complete_one(run: Storage) -> None:
    made = Fabricated(run)
    name = made.begin("dcgan", "published")
    made.end(name, "finished")
    follow_up(run).close()
    assert load(run)[name].state == TrialState.FAIL
    assert load(run)[name].user_attrs["verdict"] == "finished"
