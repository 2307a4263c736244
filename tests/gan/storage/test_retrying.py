"""Storage that fails for a while is tried again; what lasts is told at once."""

from __future__ import annotations

import errno
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from gan.errors import InputError
from gan.storage import retrying as patience
from gan.storage.retrying import RetryingStorage, with_retries
from gan.storage.storage import Storage, Unreachable


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were slept; nobody waits."""
    slept: list[float] = []
    monkeypatch.setattr(patience.time, "sleep", slept.append)
    monkeypatch.setattr(patience.time, "monotonic", lambda: sum(slept))
    return slept


def failing(times: int, error: OSError) -> Callable[[], str]:
    left = [error] * times

    def operation() -> str:
        if left:
            raise left.pop()
        return "done"

    return operation


def test_what_passes_is_waited_for(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    assert with_retries(failing(6, OSError(errno.EROFS, "read-only")), "runs/x") == "done"
    assert clock == [0.5, 1, 2, 4, 5, 5]
    assert capsys.readouterr().err.count("runs/x") == 1, "told once"


def test_a_store_that_cannot_be_connected_to_is_trouble_that_passes(clock: list[float]) -> None:
    """And what the user is told in one line, where nothing has begun yet."""
    error = Unreachable("cannot open storage 's3://runs': no route to host")
    assert isinstance(error, InputError)
    assert with_retries(failing(2, error), "runs/x") == "done"
    assert clock == [0.5, 1]


def test_patience_ends(clock: list[float]) -> None:
    with pytest.raises(OSError, match="busy"):
        with_retries(failing(1000, OSError("busy")), "runs/x", seconds=20)
    assert sum(clock) == 20


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), FileNotFoundError("gone"), IsADirectoryError(errno.EISDIR, "a folder")]
)
def test_what_lasts_is_told_at_once(clock: list[float], error: OSError) -> None:
    with pytest.raises(OSError) as raised:
        with_retries(failing(1, error), "runs/x")
    assert raised.value is error
    assert clock == []


def test_a_retrying_storage_is_one_in_its_children_and_in_other_processes(tmp_path: Path) -> None:
    storage = RetryingStorage.of(Storage(tmp_path))
    for again in (storage.child("trials/t0"), pickle.loads(pickle.dumps(storage))):
        assert type(again) is RetryingStorage
    storage.write_bytes("a/b", b"c")
    assert (storage.list("a"), storage.exists("a/b"), storage.read_bytes("a/b")) == (["b"], True, b"c")
    storage.delete("a")
    assert storage.list() == []


def test_every_operation_of_it_is_tried_again(
    tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    Storage(tmp_path).write_bytes("a", b"b")
    storage = RetryingStorage(tmp_path)
    operations: dict[str, Callable[[], object]] = {
        "read_bytes": lambda: storage.read_bytes("a"),
        "write_bytes": lambda: storage.write_bytes("a", b"c"),
        "exists": lambda: storage.exists("a"),
        "list": lambda: storage.list(),
        "delete": lambda: storage.delete("a"),
    }
    for name, operation in operations.items():
        whole = getattr(Storage, name)
        first = [OSError("busy")]

        def once(*arguments: object, whole: Callable[..., object] = whole, first: list[OSError] = first) -> object:
            if first:
                raise first.pop()
            return whole(*arguments)

        monkeypatch.setattr(Storage, name, once)
        operation()
        monkeypatch.undo()
        monkeypatch.setattr(patience.time, "sleep", clock.append)
    assert clock == [0.5] * len(operations)
