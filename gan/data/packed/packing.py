"""From sources to packed sets: packing one, and opening those on this disk, on an object store or in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import numpy as np

from gan.data.dataset import DataSet, PartedSource, Source
from gan.data.packed.cache import cache_folder, key_of, locked, make_room, open_held
from gan.data.packed.packed import Header, Writer, check_content, open_file
from gan.data.packed.parts import Parts, folder_beside
from gan.data.packed.workers import available_processes
from gan.errors import InputError
from gan.storage.storage import Storage, replace, split_file, writing

Progress = Callable[[int, int], None]
"""Called now and then with the rows packed so far, and how many there will be at most."""


def pack(
    source: Source, destination: str | Path, progress: Progress | None = None, processes: int | None = None
) -> DataSet:
    """Pack a source into one file on storage, which appears whole or not at all, and open it.

    The order of rows is the source's, and memory is bounded whatever its length. A packing that was
    interrupted or killed goes on where it was, if the source can be read in pieces; until it is done
    it takes twice the room.

    Args:
        source: what to pack.
        destination: a local path, or a URI of scheme file, s3 or gs.
        progress: told of the packing.
        processes: how many read images; by default one a core. The result is the same.

    Raises:
        InputError: the destination exists or cannot be written, or the source cannot be read.
    """
    place, name = split_file(destination)
    _require_new(place, name, destination)
    if place.local_path is not None:
        path = place.local_path / name
        with _folder_made(place.local_path):
            write(source, path, progress, processes)
        return open_file(path, f"packed:{destination}")
    folder = cache_folder()
    with _in_cache(source, source.uri, folder, progress, processes) as (path, _):
        with writing(destination):
            place.put(path, name)
        with locked(folder, _remote_key(place, name, str(destination))) as kept, suppress(OSError):
            kept.hardlink_to(path)  # What was sent need not be fetched.
    return open_packed(str(destination))


def _require_new(place: Storage, name: str, destination: str | Path) -> None:
    with writing(destination):
        if place.exists(name):
            raise InputError(f"{destination} exists: remove it, or pack to another name")


@contextmanager
def _folder_made(folder: Path) -> Iterator[None]:
    """Make a folder and those above it; bad input leaves none of them behind."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except InputError:
        for place in missing:
            with suppress(OSError):
                place.rmdir()
        raise


def _bytes(source: Source) -> int:
    return len(source) * int(np.prod(source.shape)) * np.dtype(source.dtype).itemsize


def write(source: Source, path: Path, progress: Progress | None = None, processes: int | None = None) -> None:
    """Write a source's rows, shape and origin to a packed set on this machine's disk."""
    if hasattr(source, "part_reader"):
        _write_parts(cast(PartedSource, source), path, progress, processes or available_processes())
    else:
        _write_rows(source, path, progress)


def _write_parts(source: PartedSource, path: Path, progress: Progress | None, processes: int) -> None:
    """Write a source that can be read in pieces: in parts first, by several processes."""
    with folder_beside(path) as folder, writing(path.parent):
        parts = Parts(source, folder)
        parts.make(processes, progress)
        held_out = source.held_out
        if held_out is not None:
            held_out = range(parts.place_of(held_out.start), parts.place_of(held_out.stop))
        with Writer(path, _header(source, held_out)) as writer:
            for rows in parts:
                writer.add(rows)
            _finish(writer, source, parts.skipped.values())


def _write_rows(source: Source, path: Path, progress: Progress | None) -> None:
    with Writer(path, _header(source, source.held_out)) as writer:
        done = 0
        for rows in _batches(source):
            writer.add(rows)
            done += len(rows)
            if progress is not None:
                progress(done, len(source))
        _finish(writer, source, getattr(source, "skipped", ()))


def _header(source: Source, held_out: range | None) -> Header:
    return Header(
        shape=tuple(source.shape),
        dtype=np.dtype(source.dtype).name,
        source=source.uri,
        default_features=source.default_features,
        crop=getattr(source, "crop", None),
        held_out=None if held_out is None else (held_out.start, held_out.stop),
    )


def _finish(writer: Writer, source: Source, skipped: Any) -> None:
    if not writer.count:
        raise InputError(f"{source.uri}: there is nothing in it to pack")
    writer.finish(skipped)


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

    The copy is checked against the set's content hash before anyone gets it.

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
    folder = cache_folder(cache_dir)
    with locked(folder, _remote_key(place, name, location)) as path:
        if not path.exists():
            _fetch(place, name, location, path)
        return open_held(path, f"packed:{location}")


def _remote_key(place: Storage, name: str, location: str) -> str:
    """Return what a set on an object store is called in the cache; it changes when the object does."""
    try:
        info = place.filesystem.get_file_info(f"{place.root}/{name}")
    except OSError as error:
        raise InputError(f"{location}: cannot be read: {error}") from error
    if not info.is_file:
        raise InputError(f"{location}: no such file")
    return key_of(location, info.size, str(info.mtime_ns))


def _fetch(place: Storage, name: str, location: str, path: Path) -> None:
    """Copy a set from an object store to `path`, which appears once the copy is known to be right."""
    arriving = path.with_name(f".{path.name}.arriving.tmp")
    try:
        make_room(path.parent, place.filesystem.get_file_info(f"{place.root}/{name}").size or 0)
        place.fetch(name, arriving)
        check_content(arriving)
        replace(arriving, path)
    except OSError as error:
        raise InputError(f"{location}: cannot be fetched to {path.parent}: {error}") from error
    except InputError as error:
        raise InputError(f"{location}: {str(error).removeprefix(f'{arriving}: ')}") from error
    finally:
        arriving.unlink(missing_ok=True)


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
    with _in_cache(source, uri, cache_folder(cache_dir), progress) as (_, data):
        return data


@contextmanager
def _in_cache(
    source: Source, uri: str, folder: Path, progress: Progress | None = None, processes: int | None = None
) -> Iterator[tuple[Path, DataSet]]:
    """Yield a source's set in the cache, and its file, which no other process has meanwhile."""
    key = key_of(source.uri, list(source.shape), getattr(source, "crop", None), source.fingerprint())
    with locked(folder, key) as path:
        try:
            data = open_held(path, uri) if path.exists() else None
        except InputError:
            path.unlink()  # Damaged on this disk; the source is still there to pack again.
            data = None
        if data is None:
            make_room(folder, _bytes(source))
            write(source, path, progress, processes)
            data = open_held(path, uri)
        yield path, data
