"""Kept arrays: computed once however many ask, and computed anew when damaged."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest

from gan.errors import InputError
from gan.evaluation.cache import Arrays, cached
from gan.storage.cache import default_cache


def accept(arrays: Arrays) -> None:
    if "x" not in arrays:
        raise InputError("no x")


def ask(folder: Path, barrier: object) -> None:
    def compute() -> Arrays:
        (folder / f"computed-by-{os.getpid()}").touch()
        time.sleep(0.2)  # leave the others time to come in
        return {"x": np.arange(3)}

    barrier.wait()  # type: ignore[attr-defined]
    assert cached(folder, "key", compute, accept)["x"].tolist() == [0, 1, 2]


def test_eight_processes_compute_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(8)
    processes = [context.Process(target=ask, args=(tmp_path, barrier)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 8
    assert len(list(tmp_path.glob("computed-by-*"))) == 1
    assert not list(tmp_path.glob("*.tmp")) and not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize("damage", ["empty", "cut", "other"])
def test_damaged_files_are_computed_anew(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "key.npz"
    cached(tmp_path, "key", lambda: {"x": np.arange(1000)}, accept)
    if damage == "other":
        np.savez(path, y=np.zeros(2))
    else:
        path.write_bytes(path.read_bytes()[: 0 if damage == "empty" else 500])
    for expected in (5, 5):  # the second time from the mended file
        arrays = cached(tmp_path, "key", lambda: {"x": np.full(1, 5)}, accept)
        assert arrays["x"] == expected
    with np.load(path) as archive:
        assert archive["x"] == 5


def test_a_failed_computation_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> Arrays:
        raise InputError("no")

    with pytest.raises(InputError):
        cached(tmp_path, "key", fail, accept)
    assert not list(tmp_path.glob("*.npz"))


def test_a_folder_that_cannot_be_made_costs_only_the_cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    assert cached(tmp_path / "file" / "cache", "key", lambda: {"x": np.ones(1)}, accept)["x"] == 1
    assert "cannot keep" in caplog.text


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_SEARCH_CACHE", "/own")
    monkeypatch.setenv("XDG_CACHE_HOME", "/shared")
    assert default_cache() == Path("/own")
    monkeypatch.delenv("GAN_SEARCH_CACHE")
    assert default_cache() == Path("/shared/gan-search")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache/gan-search"
