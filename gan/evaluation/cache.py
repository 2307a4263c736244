"""Reference statistics on disk: computed once per identity, for any number of processes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from gan.errors import InputError
from gan.evaluation.statistics import read_npz, write_npz
from gan.storage.lock import locked_file

log = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]


def cached(folder: Path, key: str, compute: Callable[[], Arrays], check: Callable[[Arrays], object]) -> Arrays:
    """Return the arrays cached under `key` in `folder`; compute and cache them if there are none.

    They are computed again if the cached file cannot be read, or if `check` raises `InputError` for it.
    If the folder cannot be written, nothing is cached and a warning is logged.
    """
    path = folder / f"{key}.npz"
    with ExitStack() as lock:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.enter_context(locked_file(folder / f"{key}.lock"))
        except OSError as error:
            log.warning("%s: cannot keep reference statistics there (%s)", folder, error)
            return compute()
        return _read(path, check) or _write(path, compute())


def _read(path: Path, check: Callable[[Arrays], object]) -> Arrays | None:
    if not path.exists():
        return None
    try:
        arrays = read_npz(path)
        check(arrays)
    except InputError as error:
        log.warning("computing reference statistics again, as the cached file is damaged: %s", error)
        return None
    return arrays


def _write(path: Path, arrays: Arrays) -> Arrays:
    try:
        write_npz(path, arrays)
    except OSError as error:  # Without a cache the result is still valid.
        log.warning("%s: cannot keep reference statistics there (%s)", path, error)
    return arrays
