"""This machine's cache of packed sets: one file per set, shared by processes, bounded in size."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gan.data.dataset import DataSet
from gan.data.packed.packed import FORMAT_VERSION, open_file
from gan.errors import InputError
from gan.storage.cache import default_cache
from gan.storage.lock import lock, locked_file
from gan.storage.storage import writing

LIMIT = "GAN_SEARCH_CACHE_LIMIT"
"""Environment variable: largest total size of the packed sets in the cache, such as 200G."""
DEFAULT_LIMIT = "64G"
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def cache_folder(cache_dir: Path | None = None) -> Path:
    """Return the folder of packed sets in a cache, by default in the user's; see `default_cache`."""
    return (cache_dir or default_cache()) / "packed"


def cache_limit() -> int:
    """Return the largest total size of the packed sets in the cache, in bytes.

    Raises:
        InputError: the environment variable is not a size.
    """
    size = os.environ.get(LIMIT) or DEFAULT_LIMIT
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", size.strip(), re.IGNORECASE)
    if match is None:
        raise InputError(f"{LIMIT}: '{size}' is not a size: use bytes, or a number with K, M, G or T, such as 200G")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def key_of(*values: object) -> str:
    """Return the cache key of a set that is identified by these values."""
    identity = json.dumps([FORMAT_VERSION, *values], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


@contextmanager
def locked(folder: Path, key: str) -> Iterator[Path]:
    """Yield the path of a set in the cache, locked against other processes; the file need not exist yet."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / f"{key}.lock").open("a")
    with file:
        lock(file)
        os.utime(file.fileno())  # The time of last use: the least recently used sets are removed first.
        path = folder / f"{key}.arrow"
        for leftover in folder.glob(f".{path.name}.*.tmp"):
            leftover.unlink(missing_ok=True)  # Left by a process that was killed while it packed.
        yield path


def open_held(path: Path, uri: str) -> DataSet:
    """Open a set in the cache with a shared lock, so that nobody removes it while it is open.

    The caller must hold the set's `locked`.
    """
    with writing(path):
        hold = path.open("rb")
        lock(hold, shared=True)
    return open_file(path, uri, hold)


def make_room(folder: Path, needed: int) -> None:
    """Remove the least recently used sets until `needed` more bytes fit under the limit.

    Sets that are being packed, fetched or used are never removed.

    Raises:
        InputError: the limit is not a size.
    """
    limit = cache_limit()
    sets = sorted(_sets(folder))
    total = sum(size for _, size, _ in sets)
    for _, size, key in sets:
        if total + needed <= limit:
            return
        if _remove(folder, key):
            total -= size


def _sets(folder: Path) -> Iterator[tuple[float, int, str]]:
    """Yield when each set was last used, its size in bytes, an interrupted packing included, and its key."""
    keys = {path.name.lstrip(".").partition(".")[0] for path in folder.glob("*.arrow*")}
    for key in keys:
        files = [file for path in _paths(folder, key) for file in (path.rglob("*") if path.is_dir() else [path])]
        times = [_stat(path)[1] for path in [folder / f"{key}.lock", *files]]
        yield times[0] or max(times), sum(_stat(file)[0] for file in files), key


def _paths(folder: Path, key: str) -> list[Path]:
    return [*folder.glob(f"{key}.arrow"), *folder.glob(f".{key}.arrow.*")]


def _stat(path: Path) -> tuple[int, float]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0.0  # Another process has just removed it.
    return stat.st_size, stat.st_mtime


def _remove(folder: Path, key: str) -> bool:
    """Remove a set from the cache; return False if a process uses it."""
    try:
        with locked_file(folder / f"{key}.lock", wait=False):
            with suppress(FileNotFoundError), (folder / f"{key}.arrow").open("r+b") as used:
                lock(used, wait=False)
            for path in _paths(folder, key):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
    except OSError:
        return False  # It is locked, or belongs to another user.
    return True
