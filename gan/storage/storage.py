"""Files in a local folder or on an object store, behind one small interface."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from gan.errors import InputError

SCHEMES = ("file", "s3", "gs")
_TEMPORARY = ".tmp"
_COPIED_BYTES = 16 << 20
"""Bytes read at a time when a file is copied."""


class Unreachable(InputError, OSError):
    """No connection to a store. Before a run begins this is bad input; later it is an error that may be transient."""


@dataclass(frozen=True)
class _Location:
    """A parsed URI. `path` is absolute for files; on an object store it begins with the bucket."""

    scheme: str
    path: str
    query: str = ""

    @classmethod
    def parse(cls, uri: str) -> Self:
        if not uri or "\0" in uri:
            raise InputError(f"{uri!r} is not a path or URI")
        if "://" not in uri:
            return cls("file", str(Path(uri).expanduser().absolute()))
        try:
            parts = urlsplit(uri)
        except ValueError as error:
            raise InputError(f"'{uri}' is malformed: {error}") from error
        if parts.scheme not in SCHEMES:
            known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            raise InputError(f"unknown storage '{parts.scheme}://' in '{uri}': use a local path, {known}")
        if parts.scheme == "file":
            if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
                raise InputError(f"'{uri}' is malformed: a file URI is file:///absolute/path")
            return cls("file", os.path.normpath(unquote(parts.path)))
        if "@" in parts.netloc:
            # URIs are written to journals and reports.
            raise InputError(f"a {parts.scheme}:// URI must not hold credentials: set them in the environment")
        folder = unquote(parts.path).strip("/")
        if not parts.netloc or ".." in folder.split("/"):
            raise InputError(f"'{uri}' is malformed: use {parts.scheme}://BUCKET/PATH")
        return cls(parts.scheme, f"{parts.netloc}/{folder}".rstrip("/"), parts.query)

    def uri(self, path: str) -> str:
        """Return the URI of another path on the same filesystem."""
        if self.scheme == "file":
            return path
        return f"{self.scheme}://{quote(path)}" + (f"?{self.query}" if self.query else "")

    def connect(self) -> fs.FileSystem:
        if self.scheme == "file":
            return fs.LocalFileSystem()
        bucket = self.uri(self.path.partition("/")[0])
        try:
            if self.scheme == "gs" and not self.query:
                # By default it retries for a quarter of an hour when the store cannot be reached.
                return fs.GcsFileSystem(retry_time_limit=timedelta(minutes=1))
            return fs.FileSystem.from_uri(bucket)[0]
        except OSError as error:
            raise Unreachable(f"cannot open storage '{bucket}': {_one_line(error)}") from error
        except (ValueError, pa.ArrowException, ImportError) as error:
            raise InputError(f"cannot open storage '{bucket}': {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def split_file(uri: str | Path) -> tuple[Storage, str]:
    """Return the storage of the folder that a file is in, and the file's name in it.

    Raises:
        InputError: the URI is malformed, or does not name a file.
    """
    location = _Location.parse(str(uri))
    folder, _, name = location.path.rpartition("/")
    if not name or (not folder and location.scheme != "file"):
        raise InputError(f"'{uri}' does not name a file")
    return Storage(location.uri(folder or "/")), name


class Storage:
    """A folder on a local or remote filesystem. Names of files are relative to it and cannot leave it.

    It can be pickled and sent to other processes. It connects when it is first used.

    Args:
        uri: a local path, or a URI of scheme file, s3 or gs. Options of PyArrow's filesystems may follow a
            question mark: "s3://bucket/folder?endpoint_override=localhost:9000&scheme=http".
        filesystem: the filesystem to use instead of the one that `uri` names.

    Raises:
        InputError: `uri` is malformed or its scheme is unknown. The first use raises it also if the store
            cannot be reached.
    """

    def __init__(self, uri: str | Path, filesystem: fs.FileSystem | None = None) -> None:
        self._location = _Location.parse(str(uri))
        self._given = filesystem

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.uri, self._given)

    def __repr__(self) -> str:
        return f"Storage({self.uri!r})"

    @cached_property
    def filesystem(self) -> fs.FileSystem:
        """The PyArrow filesystem, connected at first use."""
        return self._location.connect() if self._given is None else self._given

    @property
    def root(self) -> str:
        """The folder's path within the filesystem."""
        return self._location.path

    @property
    def uri(self) -> str:
        """The location: a plain path if it is local, else a URI. `Storage(uri)` opens it again."""
        return self._location.uri(self.root)

    @property
    def local_path(self) -> Path | None:
        """The folder on this machine's disk, or None if it is on an object store."""
        local = self._given is None or isinstance(self._given, fs.LocalFileSystem)
        return Path(self.root) if local and self._location.scheme == "file" else None

    def child(self, path: str) -> Self:
        """Return the storage of a folder below this one, without creating it."""
        return type(self)(self._location.uri(self._inside(path)), self._given)

    def above(self, path: str) -> Self:
        """Return the folder that this one is `path` of, or this one itself if its path does not end so."""
        root = self.root.removesuffix("/" + "/".join(PurePosixPath(path).parts))
        return type(self)(self._location.uri(root or "/"), self._given)

    def _inside(self, path: str) -> str:
        """Return the full path of a name in this folder.

        Raises:
            InputError: the name leads out of the folder.
        """
        parts = PurePosixPath(path).parts
        if path.startswith("/") or ".." in parts or "\0" in path:
            raise InputError(f"'{path}' leads out of {self.uri}: a name in it is relative and has no '..'")
        return "/".join([self.root.rstrip("/"), *parts]) or "/"

    def read_bytes(self, path: str) -> bytes:
        """Return a file's content.

        Raises:
            FileNotFoundError: there is none.
        """
        with self.filesystem.open_input_stream(self._inside(path), compression=None) as stream:
            return bytes(stream.read())

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a file completely or not at all, replacing an existing one; folders are made as needed."""
        full = self._inside(path)
        if self.local_path is not None:
            Path(full).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(Path(full), data)
            return
        # A stream that Ctrl-C closes early would create the file with incomplete content, most often none.
        # Copying is one call of PyArrow, which Ctrl-C does not interrupt.
        with _as_file(data) as name:
            _copy(name, full, fs.LocalFileSystem(), self.filesystem)

    def exists(self, path: str = "") -> bool:
        """Return whether there is a file or folder of this name. An object store has no empty folders."""
        kind = self._type(path)
        if kind == fs.FileType.Directory and self.local_path is None:
            return self._holds_files(self._inside(path))
        return bool(kind != fs.FileType.NotFound)

    def is_folder(self, path: str = "") -> bool:
        """Return whether there is a folder of this name. An object store has no empty folders."""
        return bool(self._type(path) == fs.FileType.Directory) and self.exists(path)

    def _holds_files(self, folder: str) -> bool:
        """Return whether a folder on an object store has a file at any depth.

        PyArrow leaves empty objects there in place of folders, even after it deletes the last file of one.
        """
        infos = self.filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True))
        return any(info.is_file for info in infos) or any(
            self._holds_files(info.path) for info in infos if info.type == fs.FileType.Directory
        )

    def _type(self, path: str) -> fs.FileType:
        return self.filesystem.get_file_info(self._inside(path)).type

    def list(self, path: str = "") -> list[str]:
        """Return the sorted names of the files and folders in a folder; an empty list if it does not exist."""
        full = self._inside(path)
        local = self.local_path is not None
        # On an object store, folders exist only by the files in them: see `_holds_files`.
        selector = fs.FileSelector(full, allow_not_found=True, recursive=not local)
        infos = (info for info in self.filesystem.get_file_info(selector) if local or info.is_file)
        names = {info.path.removeprefix(full).lstrip("/").partition("/")[0] for info in infos}
        return sorted(name for name in names if not (name.startswith(".") and name.endswith(_TEMPORARY)))

    def delete(self, path: str) -> None:
        """Remove a file, or a folder with all its content; nothing happens if it does not exist."""
        full = self._inside(path)
        if full == self._inside(""):
            raise ValueError("a storage does not delete itself; delete it by name from its parent")
        kind = self._type(path)
        with suppress(FileNotFoundError):  # Another process has just removed it.
            if kind == fs.FileType.Directory:
                self.filesystem.delete_dir(full)
            elif kind != fs.FileType.NotFound:
                self.filesystem.delete_file(full)

    def make_dirs(self, path: str = "") -> None:
        """Make a local folder and its parents; object stores have no folders to make."""
        if self.local_path is not None:
            Path(self._inside(path)).mkdir(parents=True, exist_ok=True)

    def fetch(self, path: str, to: Path) -> None:
        """Copy a file to this machine's disk; `to` appears complete or not at all."""
        temporary = temporary_name(to)
        try:
            _copy(self._inside(path), str(temporary), self.filesystem, fs.LocalFileSystem())
            replace(temporary, to)
        finally:
            temporary.unlink(missing_ok=True)

    def put(self, local: Path, path: str) -> None:
        """Copy a file from this machine's disk to here."""
        if self.local_path is not None:
            Storage(local.parent).fetch(local.name, Path(self._inside(path)))
        else:
            _copy(str(local), self._inside(path), fs.LocalFileSystem(), self.filesystem)


def _copy(source: str, destination: str, of: fs.FileSystem, to: fs.FileSystem) -> None:
    # By default PyArrow copies one megabyte at a time, and each costs an object store a round trip.
    fs.copy_files(source, destination, of, to, chunk_size=_COPIED_BYTES)


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """Yield a path at which bytes can be read: in memory where the system supports that, as a disk may be full."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("gan-search"), "wb") as file:
            file.write(data)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile() as named:
            named.write(data)
            named.flush()
            yield named.name


def temporary_name(path: Path) -> Path:
    """Return a new name beside `path`, for a file that is later renamed to `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{_TEMPORARY}")


def replace(temporary: Path, path: Path) -> None:
    """Rename a file written under a temporary name, so that a power cut leaves the old file or the new one."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def writing(place: str | Path) -> Iterator[None]:
    """Turn an `OSError` into an `InputError` that says that `place` cannot be written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or _one_line(error)
        raise InputError(f"{place}: cannot be written: {reason}; free space there or choose another place") from error


def require_empty(folder: Storage) -> Storage:
    """Return a folder that was named by --out; raise `InputError` if it is a file or holds something."""
    if folder.exists() and (not folder.is_folder() or folder.list()):
        raise InputError(f"--out {folder.uri}: is not an empty folder; choose another")
    return folder


def write_atomically(path: Path, data: bytes) -> None:
    """Write a local file completely or not at all, replacing an existing one."""
    temporary = temporary_name(path)
    try:
        temporary.write_bytes(data)
        replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
