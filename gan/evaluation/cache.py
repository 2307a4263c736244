"""Reference statistics on disk: computed once per identity, however many processes ask."""

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
    """Return the arrays kept under `key` in `folder`, computing and keeping them where there are none.

    A kept file that cannot be read, or in which `check` finds fault (InputError), is computed anew.
    Where the folder cannot be written, nothing is kept, with a warning.
    """
    path = folder / f"{key}.npz"
    with ExitStack() as lock:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.enter_context(locked_file(folder / f"{key}.lock"))
        except OSError as error:
            log.warning("%s: cannot keep reference statistics there (%s)", folder, error)
            return compute()
        return _kept(path, check) or _keep(path, compute())


def _kept(path: Path, check: Callable[[Arrays], object]) -> Arrays | None:
    if not path.exists():
        return None
    try:
        arrays = read_npz(path)
        check(arrays)
    except InputError as error:
        log.warning("computing anew what the cache holds damaged: %s", error)
        return None
    return arrays


def _keep(path: Path, arrays: Arrays) -> Arrays:
    try:
        write_npz(path, arrays)
    except OSError as error:  # a full disk costs the cache, not the result
        log.warning("%s: cannot keep reference statistics there (%s)", path, error)
    return arrays
