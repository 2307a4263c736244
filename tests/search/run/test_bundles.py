"""Which bundles stay in a run's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gan.storage.storage import Storage
from search.run.bundles import apply_retention, by_generator, trial_bundle
from search.run.record import SweepRecord, TrialRecord


@pytest.fixture
def run(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "run"))


def trial(record: SweepRecord, run: Storage, name: str, fid: float, state: str = "finished") -> TrialRecord:
    made = TrialRecord(name, "dcgan", "non-saturating", "sampled", {}, {}, 0, state=state)
    made.reports = [{"kimg": 8.0, "best_fid": fid}]
    record.trials[name] = made
    run.write_bytes(f"trials/{name}/best-000008000/config.json", f'{{"fid": {fid}}}'.encode())
    for other in ("generator.safetensors", "README.md"):
        run.write_bytes(f"trials/{name}/best-000008000/{other}", b"x")
    run.write_bytes(f"trials/{name}/checkpoints/000008000.pt", b"x" * 1000)
    run.write_bytes(f"trials/{name}/samples/000008000.png", b"x")
    return made


def test_only_the_best_of_the_whole_sweep_and_running_trials_keep_their_bundles(run: Storage) -> None:
    record = SweepRecord()
    running = trial(record, run, "t9", 1.0, "running")
    for number, fid in enumerate([50.0, 40.0, 60.0, 30.0, 45.0]):
        apply_retention(run, record, trial(record, run, f"t{number}", fid), top_k=2)
    assert sorted(run.list("best")) == ["t1", "t3"]
    assert run.read_bytes("best/t3/config.json") == b'{"fid": 30.0}'
    for number in range(5):
        assert run.list(f"trials/t{number}") == ["samples"]
    assert trial_bundle(run, "t9") == "trials/t9/best-000008000"
    assert trial_bundle(run, "t3") == "best/t3"
    assert trial_bundle(run, "t0") is None
    assert running.state == "running"


def test_checkpoints_stay_with_the_best_that_did_not_fail(run: Storage) -> None:
    record = SweepRecord()
    for number, (fid, state) in enumerate(
        [(50.0, "finished"), (40.0, "stopped"), (30.0, "diverged"), (45.0, "finished")]
    ):
        made = trial(record, run, f"t{number}", fid, state)
        apply_retention(run, record, made, top_k=2, checkpoints=True)
    assert sorted(run.list("best")) == ["t1", "t2"]
    assert [name for name in record.trials if run.list(f"trials/{name}/checkpoints")] == ["t1"]


def test_a_generator_of_further_training_comes_first_if_it_is_the_best(run: Storage) -> None:
    record = SweepRecord()
    for name, fid in (("t0", 30.0), ("t1", 40.0), ("t2", 50.0)):
        trial(record, run, name, fid)
    journals = {"t1": 35.0, "t2": 60.0}

    def order() -> list[tuple[str, float | None]]:
        for name, fid in journals.items():
            begun = {"trial": name, "recipe": "dcgan", "objective": "", "source": "", "params": {}, "settings": {}}
            events = [
                {"event": "sweep", "format": 1, "settings": {}, "evaluation": {}, "versions": {}, "command": ""},
                {"event": "trial", "seed": 0, **begun},
                {"event": "report", "trial": name, "kimg": 16.0, "best_fid": fid},
            ]
            content = "".join(json.dumps(event) + "\n" for event in events)
            run.write_bytes(f"extended/{name}/journal.jsonl", content.encode())
        return [(found.id, found.best_fid) for _, found in by_generator(run, record)]

    assert order() == [("t0", 30.0), ("t1", 35.0), ("t2", 50.0)]
    journals["t2"] = 20.0
    assert order() == [("t2", 20.0), ("t0", 30.0), ("t1", 35.0)]


def test_the_bundle_that_is_kept_is_the_one_whose_distance_the_journal_holds(run: Storage) -> None:
    """A process that was cut off may have written another, which nobody ever heard of."""
    record = SweepRecord()
    ended = trial(record, run, "t0", 50.0)
    ended.reports[-1]["best_kimg"] = 8.0
    for name in ("config.json", "generator.safetensors", "README.md"):
        run.write_bytes(f"trials/t0/best-000009000/{name}", b'{"fid": 1.0}')
    run.write_bytes("trials/t0/best-of mine/config.json", b"{}")  # Somebody's copy is in nobody's way.
    assert trial_bundle(run, "t0", 8.0) == "trials/t0/best-000008000"
    apply_retention(run, record, ended, top_k=1)
    assert run.read_bytes("best/t0/config.json") == b'{"fid": 50.0}'
    assert run.list("trials/t0") == ["samples"]


def test_applying_it_again_after_being_killed_in_between_ends_well(run: Storage) -> None:
    record = SweepRecord()
    winner = trial(record, run, "t0", 10.0)
    # Killed after half of the copy: no config.json yet, so it is not a bundle.
    run.write_bytes("best/t0/generator.safetensors", b"half")
    apply_retention(run, record, winner, top_k=1)
    apply_retention(run, record, winner, top_k=1)
    assert run.exists("best/t0/config.json")
    assert run.list("trials/t0") == ["samples"]
