"""Packing sources, and opening packed sets from this disk, from an object store or from the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

import numpy as np

from gan.data.dataset import DataSet, PartedSource, Source, reported, stacked
from gan.data.packed.cache import cache_folder, key_of, locked, make_room, open_held
from gan.data.packed.packed import Header, Writer, check_content, open_file
from gan.data.packed.parts import Parts, parts_folder
from gan.data.workers import available_processes
from gan.errors import InputError
from gan.storage.storage import Storage, replace, split_file, writing

Progress = Callable[[int, int], None]
"""Called from time to time with the number of rows packed so far and the largest possible number."""


def pack(
    source: Source, destination: str | Path, progress: Progress | None = None, processes: int | None = None
) -> DataSet:
    """Pack a source into one file on storage, which appears complete or not at all, and open it.

    The rows keep the source's order, and memory is bounded. If the source has `part_reader`, a packing that
    was interrupted or killed resumes; until it is done it takes twice the disk space.

    Args:
        source: the source to pack.
        destination: a local path, or a URI of scheme file, s3 or gs.
        progress: called with the progress of the packing.
        processes: number of processes that read images, one per core by default. The result is the same.

    Raises:
        InputError: the destination exists or cannot be written, or the source cannot be read.
    """
    storage, name = split_file(destination)
    with writing(destination):
        if storage.exists(name):
            raise InputError(f"{destination} exists: remove it, or pack to another name")
    if storage.local_path is not None:
        path = storage.local_path / name
        with _new_folder(storage.local_path):
            write(source, path, progress, processes)
        return open_file(path, f"packed:{destination}")
    folder = cache_folder()
    with _in_cache(source, source.uri, folder, progress, processes) as (path, _):
        with writing(destination):
            storage.put(path, name)
        with locked(folder, _remote_key(storage, name, str(destination))) as cached, suppress(OSError):
            cached.hardlink_to(path)  # The uploaded file need not be fetched again.
    return open_packed(str(destination))


@contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    """Make a folder and its parents, and remove those that it made if the input is bad."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except InputError:
        for path in missing:
            with suppress(OSError):
                path.rmdir()
        raise


def write(source: Source, path: Path, progress: Progress | None = None, processes: int | None = None) -> None:
    """Write a source's rows, shape and origin to a packed set on this machine's disk."""
    if hasattr(source, "part_reader"):
        with parts_folder(path) as folder, writing(path.parent):
            parts = Parts(cast(PartedSource, source), folder)
            parts.make(processes or available_processes(), progress)
            _write(source, path, parts, parts)
    else:
        # Some sources make many rows at once.
        batches = source.batches() if hasattr(source, "batches") else stacked(source, 256)
        _write(source, path, reported(batches, len(source), progress))


def _write(source: Source, path: Path, batches: Iterable[np.ndarray], parts: Parts | None = None) -> None:
    """Write a packed set from batches of a source's rows, which are its `parts` if it has been read in parts."""
    held_out = source.held_out
    if held_out is not None and parts is not None:
        held_out = range(parts.packed_index(held_out.start), parts.packed_index(held_out.stop))
    header = Header(
        shape=tuple(source.shape),
        dtype=np.dtype(source.dtype).name,
        source=source.uri,
        default_features=source.default_features,
        crop=getattr(source, "crop", None),
        held_out=None if held_out is None else (held_out.start, held_out.stop),
    )
    with Writer(path, header) as writer:
        for rows in batches:
            writer.add(rows)
        if not writer.count:
            raise InputError(f"{source.uri}: there is nothing in it to pack")
        writer.finish(getattr(source, "skipped", ()) if parts is None else parts.skipped.values())


def open_packed(uri: str, cache_dir: Path | None = None) -> DataSet:
    """Open a packed set. A set on an object store is first copied into this machine's cache, once.

    The copy is checked against the set's content hash before it is used.

    Args:
        uri: a local path, or a URI of scheme file, s3 or gs; "packed:" before it is optional.
        cache_dir: the cache folder, if not the default.

    Raises:
        InputError: no such file, or a packed set that is damaged or written by a newer version.
    """
    location = uri.removeprefix("packed:")
    storage, name = split_file(location)
    if storage.local_path is not None:
        return open_file(storage.local_path / name, f"packed:{location}")
    folder = cache_folder(cache_dir)
    with locked(folder, _remote_key(storage, name, location)) as path:
        if not path.exists():
            _fetch(storage, name, location, path)
        return open_held(path, f"packed:{location}")


def _remote_key(storage: Storage, name: str, location: str) -> str:
    """Return the cache key of a set on an object store; it changes when the object does."""
    try:
        info = storage.filesystem.get_file_info(f"{storage.root}/{name}")
    except OSError as error:
        raise InputError(f"{location}: cannot be read: {error}") from error
    if not info.is_file:
        raise InputError(f"{location}: no such file")
    return key_of(location, info.size, str(info.mtime_ns))


def _fetch(storage: Storage, name: str, location: str, path: Path) -> None:
    """Copy a set from an object store to `path`, which appears after the copy was checked."""
    temporary = path.with_name(f".{path.name}.arriving.tmp")
    try:
        make_room(path.parent, storage.filesystem.get_file_info(f"{storage.root}/{name}").size or 0)
        storage.fetch(name, temporary)
        check_content(temporary)
        replace(temporary, path)
    except OSError as error:
        raise InputError(f"{location}: cannot be fetched to {path.parent}: {error}") from error
    except InputError as error:
        raise InputError(f"{location}: {str(error).removeprefix(f'{temporary}: ')}") from error
    finally:
        temporary.unlink(missing_ok=True)


def open_cached(source: Source, uri: str, cache_dir: Path | None = None, progress: Progress | None = None) -> DataSet:
    """Open a source from this machine's cache, and pack it into the cache if it is not there.

    Args:
        source: the source to open.
        uri: the URI that the user gave.
        cache_dir: the cache folder, if not the default.
        progress: called with the progress of the packing.

    Raises:
        InputError: the source cannot be read, or the cache cannot be written.
    """
    with _in_cache(source, uri, cache_folder(cache_dir), progress) as (_, data):
        return data


@contextmanager
def _in_cache(
    source: Source, uri: str, folder: Path, progress: Progress | None = None, processes: int | None = None
) -> Iterator[tuple[Path, DataSet]]:
    """Yield a source's file in the cache and its data set; the file is locked meanwhile."""
    key = key_of(source.uri, list(source.shape), getattr(source, "crop", None), source.fingerprint())
    with locked(folder, key) as path:
        try:
            data = open_held(path, uri) if path.exists() else None
        except InputError:
            path.unlink()  # The file is damaged, but the source can be packed again.
            data = None
        if data is None:
            make_room(folder, len(source) * int(np.prod(source.shape)) * np.dtype(source.dtype).itemsize)
            write(source, path, progress, processes)
            data = open_held(path, uri)
        yield path, data
