"""From sources to packed sets: packing one, and keeping them in this machine's cache."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gan.data.dataset import DataSet, Source
from gan.data.packed import FORMAT_VERSION, Header, Writer, open_file
from gan.errors import InputError
from gan.storage import split_file, writing

Progress = Callable[[int, int], None]
"""Called now and then with the rows packed so far, and how many there will be at most."""


def pack(source: Source, destination: str | Path, progress: Progress | None = None) -> DataSet:
    """Pack a source into one file on storage, which appears whole or not at all, and open it.

    The order of rows is the source's, and memory is bounded whatever its length.

    Raises:
        InputError: the destination exists or cannot be written, or the source cannot be read.
    """
    place, name = split_file(destination)
    with writing(destination):
        if place.exists(name):
            raise InputError(f"{destination} exists: remove it, or pack to another name")
    if place.local_path is not None:
        with writing(place.local_path):
            place.make_dirs()
        path = place.local_path / name
        write(source, path, progress)
        return open_file(path, f"packed:{destination}")
    with locked(_cache_folder(None), _key(str(destination))) as path:
        path.unlink(missing_ok=True)
        write(source, path, progress)
        with writing(destination):
            place.put(path, name)
        path.unlink()
    return open_packed(str(destination))


def write(source: Source, path: Path, progress: Progress | None = None) -> None:
    """Write a source's rows, shape and origin to a packed set on this machine's disk."""
    held_out = None if source.held_out is None else (source.held_out.start, source.held_out.stop)
    header = Header(
        shape=tuple(source.shape),
        dtype=np.dtype(source.dtype).name,
        source=source.uri,
        default_features=source.default_features,
        crop=getattr(source, "crop", None),
        held_out=held_out,
    )
    with Writer(path, header) as writer:
        done = 0
        for rows in _batches(source):
            writer.add(rows)
            done += len(rows)
            if progress is not None:
                progress(done, len(source))
        if not done:
            raise InputError(f"{source.uri}: there is nothing in it to pack")
        writer.finish(getattr(source, "skipped", ()))


def _batches(source: Source) -> Iterator[np.ndarray]:
    """Yield a source's rows as arrays [n, *shape], in the groups it makes itself where it does."""
    many = getattr(source, "batches", None)
    if many is not None:
        yield from many()
        return
    group: list[np.ndarray] = []
    for row in source:
        group.append(row)
        if len(group) == 256:
            yield np.stack(group)
            group = []
    if group:
        yield np.stack(group)


def open_packed(uri: str, cache_dir: Path | None = None) -> DataSet:
    """Open a packed set; one on an object store is first copied into this machine's cache, once.

    Args:
        uri: a local path, or a URI of scheme file, s3 or gs; "packed:" before it may be left out.
        cache_dir: where the cache is, if not in the usual place.

    Raises:
        InputError: there is none, it is damaged, or a newer version wrote it.
    """
    location = uri.removeprefix("packed:")
    place, name = split_file(location)
    if place.local_path is not None:
        return open_file(place.local_path / name, f"packed:{location}")
    try:
        info = place.filesystem.get_file_info(f"{place.root}/{name}")
        if not info.is_file:
            raise InputError(f"{location}: no such file")
        key = _key(location, info.size, str(info.mtime_ns))
        with locked(_cache_folder(cache_dir), key) as path:
            if not path.exists():
                place.fetch(name, path)
    except OSError as error:
        raise InputError(f"{location}: cannot be read: {error}") from error
    return open_file(path, f"packed:{location}")


def open_cached(source: Source, uri: str, cache_dir: Path | None = None, progress: Progress | None = None) -> DataSet:
    """Open a source by way of this machine's cache, packing it there if no process has done so yet.

    Args:
        source: what to pack.
        uri: how the user named it.
        cache_dir: where the cache is, if not in the usual place.
        progress: told of the packing.

    Raises:
        InputError: the source cannot be read, or the cache cannot be written.
    """
    key = _key(source.uri, list(source.shape), getattr(source, "crop", None), source.fingerprint())
    with locked(_cache_folder(cache_dir), key) as path:
        if path.exists():
            try:
                return open_file(path, uri)
            except InputError:
                path.unlink()  # Damaged on this disk; the source is still there to pack again.
        write(source, path, progress)
        return open_file(path, uri)


def _cache_folder(given: Path | None) -> Path:
    """Return the folder of cached packed sets; see `open_data` for where it is."""
    named = given or os.environ.get("GAN_SEARCH_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return (Path(named) if named else Path(home) / "gan-search") / "packed"


def _key(*parts: object) -> str:
    said = json.dumps([FORMAT_VERSION, *parts], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:32]


@contextmanager
def locked(folder: Path, key: str) -> Iterator[Path]:
    """Yield the path of one file in the cache, which no other process has meanwhile."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / f"{key}.lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Released with the file, also when the process is killed.
        path = folder / f"{key}.arrow"
        for leftover in folder.glob(f".{path.name}.*"):
            leftover.unlink(missing_ok=True)  # Of a process that was killed while it packed.
        yield path
