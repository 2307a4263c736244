"""This machine's cache of packed sets: one file a set, shared by processes, bounded in size."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gan.data.dataset import DataSet
from gan.data.packed.packed import FORMAT_VERSION, open_file
from gan.errors import InputError
from gan.storage.lock import lock, locked_file
from gan.storage.storage import writing

LIMIT = "GAN_SEARCH_CACHE_LIMIT"
"""Environment variable: what all packed sets here may take together, such as 200G."""
DEFAULT_LIMIT = "64G"
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def cache_folder(given: Path | None = None) -> Path:
    """Return the folder of cached packed sets; see `open_data` for where it is."""
    named = given or os.environ.get("GAN_SEARCH_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return (Path(named) if named else Path(home) / "gan-search") / "packed"


def cache_limit() -> int:
    """Return what packed sets in the cache may take together, in bytes.

    Raises:
        InputError: the environment variable is not a size.
    """
    said = os.environ.get(LIMIT) or DEFAULT_LIMIT
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", said.strip(), re.IGNORECASE)
    if match is None:
        raise InputError(f"{LIMIT}: '{said}' is not a size: use bytes, or a number with K, M, G or T, such as 200G")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def key_of(*parts: object) -> str:
    """Return the name in the cache of what these values identify."""
    said = json.dumps([FORMAT_VERSION, *parts], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:32]


@contextmanager
def locked(folder: Path, key: str) -> Iterator[Path]:
    """Yield the path of one file in the cache, which no other process has meanwhile."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / f"{key}.lock").open("a")
    with file:
        lock(file)
        os.utime(file.fileno())  # When it was used last: the least recently used sets make room.
        path = folder / f"{key}.arrow"
        for leftover in folder.glob(f".{path.name}.*.tmp"):
            leftover.unlink(missing_ok=True)  # Of a process that was killed while it packed.
        yield path


def open_held(path: Path, uri: str) -> DataSet:
    """Open a set in the cache, which stays there for as long as any process has it open.

    Call it with the set `locked`.
    """
    with writing(path):
        hold = path.open("rb")
        lock(hold, shared=True)
    return open_file(path, uri, hold)


def make_room(folder: Path, wanted: int) -> None:
    """Remove the least recently used sets until `wanted` more bytes fit under the limit.

    Sets that are being packed, fetched or used are left alone, whatever the limit.

    Raises:
        InputError: the limit is not a size.
    """
    limit = cache_limit()
    entries = sorted(_entries(folder), key=lambda entry: entry.used)
    total = sum(entry.size for entry in entries)
    for entry in entries:
        if total + wanted <= limit:
            return
        if _remove(folder, entry.key):
            total -= entry.size


@dataclass(frozen=True)
class _Entry:
    """All that is in the cache of one set, what an interrupted packing has left included."""

    key: str
    size: int
    used: float


def _entries(folder: Path) -> Iterator[_Entry]:
    keys = {path.name.lstrip(".").partition(".")[0] for path in folder.glob("*.arrow*")}
    for key in keys:
        files = [file for path in _paths(folder, key) for file in (path.rglob("*") if path.is_dir() else [path])]
        used = [_stat(path)[1] for path in [folder / f"{key}.lock", *files]]
        yield _Entry(key, sum(_stat(file)[0] for file in files), used[0] or max(used))


def _paths(folder: Path, key: str) -> list[Path]:
    return [*folder.glob(f"{key}.arrow"), *folder.glob(f".{key}.arrow.*")]


def _stat(path: Path) -> tuple[int, float]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0.0  # Somebody else has just removed it.
    return stat.st_size, stat.st_mtime


def _remove(folder: Path, key: str) -> bool:
    """Remove a set from the cache; return False if a process has it."""
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
        return False  # It is locked; or not ours to remove.
    return True
