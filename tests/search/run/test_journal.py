"""The sweep's own record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from object_store import S3
from pyarrow import fs

from gan.errors import InputError
from gan.storage.storage import Storage
from search.run.journal import FORMAT, JOURNAL, Journal, read_events
from search.run.record import fold, read_record
from search.sweep import Sweep

TRIAL = {"recipe": "wgan", "objective": "wgan", "source": "sampled", "params": {"clip": 0.1}, "settings": {}, "seed": 3}
LAUNCH = {"format": FORMAT, "command": "gan-search sweep", "settings": {}, "evaluation": {}, "versions": {}}


@pytest.fixture
def run(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


def write(run: Storage, *events: tuple[str, dict]) -> None:
    journal = Journal(run)
    for kind, fields in events:
        journal.append(kind, **fields)


def test_events_come_back_in_order(run: Storage) -> None:
    write(run, ("sweep", LAUNCH), ("trial", {"trial": "t0", **TRIAL}), ("start", {"trial": "t0"}))
    assert [event["event"] for event in read_events(run)] == ["sweep", "trial", "start"]
    assert read_record(run).trials["t0"].state == "running"


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_line_cut_short_loses_only_itself(run: Storage, tmp_path: Path, cut: int) -> None:
    report = {"trial": "t0", "kimg": 1.0, "best_fid": 50.0}
    write(run, ("sweep", LAUNCH), ("trial", {"trial": "t0", **TRIAL}), ("report", report))
    path = tmp_path / JOURNAL
    path.write_bytes(path.read_bytes()[:-cut])
    if cut > 1:
        assert read_record(run).trials["t0"].reports == []
    # The next writer starts on a line of its own.
    write(run, ("report", {**report, "kimg": 2.0}))
    assert read_record(run).trials["t0"].last["kimg"] == 2.0


def test_what_is_reported_again_after_a_resume_replaces_the_first(run: Storage) -> None:
    reports = [("report", {"trial": "t0", "kimg": k, "best_fid": f}) for k, f in ((1, 90), (2, 80), (3, 70), (2, 81))]
    write(run, ("sweep", LAUNCH), ("trial", {"trial": "t0", **TRIAL}), *reports)
    assert [(r["kimg"], r["best_fid"]) for r in read_record(run).trials["t0"].reports] == [(1, 90), (2, 81)]


def test_a_verdict_is_final(run: Storage) -> None:
    verdicts = [("verdict", {"trial": "t0", "state": state, "reason": None}) for state in ("stopped", "finished")]
    write(run, ("sweep", LAUNCH), ("trial", {"trial": "t0", **TRIAL}), *verdicts, ("start", {"trial": "t0"}))
    assert read_record(run).trials["t0"].state == "stopped"


def test_a_new_launch_puts_unfinished_trials_back_to_pending(run: Storage) -> None:
    write(run, ("sweep", LAUNCH), ("trial", {"trial": "t0", **TRIAL}), ("start", {"trial": "t0"}), ("sweep", LAUNCH))
    assert read_record(run).trials["t0"].state == "pending"


def test_a_report_and_its_verdict_are_written_at_once(run: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the disk takes a few bytes at a time; where it takes no more, that is not hidden."""
    import os

    write(run, ("sweep", LAUNCH), ("trial", {"trial": "t0", **TRIAL}))
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: real(descriptor, content[:7]))
    report = ("report", {"trial": "t0", "kimg": 1.0, "best_fid": 5.0})
    Journal(run).append_all([report, ("verdict", {"trial": "t0", "state": "finished", "reason": None})])
    monkeypatch.undo()
    assert (read_record(run).trials["t0"].state, read_record(run).trials["t0"].best_fid) == ("finished", 5.0)

    def full(descriptor: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        Journal(run).append("problem")


def test_a_write_that_fails_half_way_leaves_nothing(run: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is there once."""
    import os

    write(run, ("sweep", LAUNCH), ("trial", {"trial": "t0", **TRIAL}))
    real, calls = os.fsync, 0

    def slow_disk(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError(5, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", slow_disk)
    monkeypatch.setattr("gan.storage.retrying.time.sleep", lambda seconds: None)
    Journal(run).append("verdict", trial="t0", state="finished", reason=None)
    assert calls == 2
    assert [event["event"] for event in read_events(run)] == ["sweep", "trial", "verdict"]


def test_on_an_object_store_an_event_costs_no_more_as_the_journal_grows(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.run.journal.SEGMENT_BYTES", 1000)
    run, written = Storage(s3.uri("run")), []
    whole = Storage.write_bytes

    def weigh(self: Storage, path: str, data: bytes) -> None:
        written.append(len(data))
        whole(self, path, data)

    monkeypatch.setattr(Storage, "write_bytes", weigh)
    write(run, ("sweep", LAUNCH), ("trial", {"trial": "t0", **TRIAL}))
    for kimg in range(40):
        write(run, ("report", {"trial": "t0", "kimg": kimg, "best_fid": 5.0}))
    assert max(written) < 1300
    assert len(run.list("journal")) >= 3
    assert [event["kimg"] for event in read_events(run) if event["event"] == "report"] == list(range(40))


def test_an_answer_that_was_lost_doubles_nothing(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    run, whole, calls = Storage(s3.uri("run")), Storage.write_bytes, 0

    def lose_the_answer(self: Storage, path: str, data: bytes) -> None:
        nonlocal calls
        whole(self, path, data)
        calls += 1
        if calls == 1:
            raise OSError("connection reset")

    monkeypatch.setattr(Storage, "write_bytes", lose_the_answer)
    monkeypatch.setattr("gan.storage.retrying.time.sleep", lambda seconds: None)
    write(run, ("sweep", LAUNCH), ("problem", {"reason": "one"}))
    assert [event["event"] for event in read_events(run)] == ["sweep", "problem"]


def test_who_may_no_longer_write_does_not_even_after_an_outage(run: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked before every attempt: the run may have been taken over while the storage did not answer."""
    answers = [OSError("no answer"), PermissionError(1, "taken over")]

    def allowed() -> None:
        raise answers.pop(0)

    monkeypatch.setattr("gan.storage.retrying.time.sleep", lambda seconds: None)
    with pytest.raises(OSError, match=r"the journal cannot be written: .*taken over"):
        Journal(run, allowed).append("problem")
    assert answers == [] and not run.exists(JOURNAL)


def test_nothing_is_written_in_the_place_of_what_has_vanished(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Storage(s3.uri("runs/a"))
    journal = Journal(run)
    monkeypatch.setattr("search.run.journal.SEGMENT_BYTES", 10)
    for state in ("one", "two"):
        journal.append("node", node="a", state=state)
    run.write_bytes(JOURNAL, b"")
    with pytest.raises(OSError, match="have vanished"):
        journal.append_all([("node", {"node": "a", "state": "three"})], retry_seconds=0)
    assert run.read_bytes(JOURNAL) == b""
    with pytest.raises(InputError, match="a part of its journal is missing"):
        read_events(run)


def test_a_missing_part_of_a_journal_is_named(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.run.journal.SEGMENT_BYTES", 100)
    run = Storage(s3.uri("run"))
    write(run, ("sweep", LAUNCH), ("problem", {"reason": "one"}))
    run.delete("journal")
    with pytest.raises(InputError, match="a part of its journal is missing"):
        read_events(run)


@pytest.mark.parametrize("head", [b'{"event": "continues"}', b'{"event": "continues", "segments": "x"}', b"[]"])
def test_a_damaged_first_line_is_passed_over_like_any_other(run: Storage, head: bytes) -> None:
    write(run, ("sweep", LAUNCH))
    run.write_bytes(JOURNAL, head + b"\n" + run.read_bytes(JOURNAL))
    assert [event["event"] for event in read_events(run) if event["event"] != "continues"] == ["sweep"]


def test_a_folder_in_the_journals_place_is_no_run(run: Storage, tmp_path: Path) -> None:
    (tmp_path / JOURNAL).mkdir()
    with pytest.raises(InputError, match="not a run"):
        read_events(run)


def test_a_driver_killed_between_segment_and_end_doubles_nothing(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.run.journal.SEGMENT_BYTES", 100)
    run = Storage(s3.uri("run"))
    write(run, ("sweep", LAUNCH), ("problem", {"reason": "one"}))
    end = run.read_bytes(JOURNAL)
    write(run, ("problem", {"reason": "two" * 50}), ("problem", {"reason": "lost"}))
    assert len(run.list("journal")) == 2
    run.write_bytes(JOURNAL, end)  # Segments were written, the end that counts them was not.
    assert [event.get("reason") for event in read_events(run)] == [None, "one"]
    write(run, ("problem", {"reason": "three"}))
    assert [event.get("reason") for event in read_events(run)] == [None, "one", "three"]


def test_a_run_copied_from_an_object_store_goes_on_from_a_disk(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.run.journal.SEGMENT_BYTES", 100)
    far, near = Storage(s3.uri("run")), Storage(tmp_path / "copy")
    write(far, ("sweep", LAUNCH), ("problem", {"reason": "one"}), ("problem", {"reason": "two"}))
    near.make_dirs()
    fs.copy_files(far.root, near.root, far.filesystem, near.filesystem)
    write(near, ("problem", {"reason": "three"}))
    assert [event.get("reason") for event in read_events(near)] == [None, "one", "two", "three"]


def test_numbers_that_json_lacks_are_refused(run: Storage) -> None:
    with pytest.raises(ValueError, match="JSON"):
        Journal(run).append("report", trial="t0", fid=float("nan"))
    assert not run.exists(JOURNAL)


def test_a_newer_format_is_refused_in_one_line(run: Storage) -> None:
    write(run, ("sweep", {**LAUNCH, "format": FORMAT + 1}))
    with pytest.raises(InputError, match="newer"):
        read_record(run)


def test_no_journal_is_no_run(run: Storage) -> None:
    with pytest.raises(InputError, match="not a run"):
        read_record(run)


def test_wall_seconds_leave_out_the_time_between_launches() -> None:
    times = [("sweep", 100.0), ("problem", 130.0), ("sweep", 1000.0), ("end", 1005.0)]
    events = [{"event": kind, "time": time, **LAUNCH, "state": "finished"} for kind, time in times]
    assert fold(events).wall_seconds == 35.0


def test_unknown_events_and_fields_do_not_disturb(run: Storage, tmp_path: Path) -> None:
    write(run, ("sweep", LAUNCH), ("novelty", {"trial": "t0"}), ("trial", {"trial": "t0", "more": 1, **TRIAL}))
    with (tmp_path / JOURNAL).open("a") as file:
        file.write(json.dumps([1, 2]) + "\n\x00\x00\n" + json.dumps({"event": "trial", "trial": "t1"}) + "\n")
    assert {name: trial.params for name, trial in read_record(run).trials.items()} == {"t0": {"clip": 0.1}}


@pytest.mark.parametrize("left", [None, b""])
def test_a_run_whose_journal_is_gone_is_not_begun_anew(left: bytes | None, tmp_path: Path) -> None:
    """It would overwrite what the journal told of."""
    sweep = Sweep.__new__(Sweep)
    sweep.run_storage = Storage(tmp_path)
    assert sweep._read_record().trials == {}, "a run that has not begun"
    (tmp_path / "trials" / "t0000").mkdir(parents=True)
    if left is not None:
        (tmp_path / JOURNAL).write_bytes(left)
    with pytest.raises(InputError, match="bring the journal back"):
        sweep._read_record()


def test_a_journal_that_vanishes_under_its_writer_is_not_begun_anew(tmp_path: Path) -> None:
    journal = Journal(Storage(tmp_path))
    journal.append("node", node="a", state="one")
    (tmp_path / JOURNAL).unlink()
    with pytest.raises(OSError, match="No such file"):
        journal.append("node", node="a", state="two")
    assert not (tmp_path / JOURNAL).exists()
