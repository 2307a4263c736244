"""Finding the weights of the 2015 Inception network: a file of the user's, or one checked download.

A download is made once per cache folder, under a lock; what was received before it broke off is kept
and continued. Nothing is used whose hash is not the one below, unless the user names a file by path.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gan.errors import InputError
from gan.metric import REFERENCE_INCEPTION
from gan.storage.cache import default_cache
from gan.storage.lock import locked_file
from gan.storage.storage import replace

FILE = "pt_inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}"
SHA256 = REFERENCE_INCEPTION
BYTES = 95_628_359

WEIGHTS = "GAN_SEARCH_INCEPTION_WEIGHTS"
"""Environment variable: path of a file of weights, used where no option names one."""
OFFLINE = "GAN_SEARCH_OFFLINE"
"""Environment variable: set to 1, nothing is downloaded."""

PATIENCE = 5.0
"""Seconds without an answer after which the network counts as not there: checks must not hang on it."""
ATTEMPTS = 3
"""Times a download that breaks off is taken up again at once."""

_CHUNK = 1 << 20

Progress = Callable[[int, int | None], None]


class _Broken(Exception):
    """A download did not come to its end; the message says why."""


def find_weights(given: Path | None, *, fetch: bool = True, check: bool = True) -> Path:
    """Return the weights file: `given`, else named by the environment, else in the user's cache.

    The cache is filled by a download where it holds none, if `fetch`. What it holds must be the reference, unless the
    caller knows which weights it wants (not `check`).

    Raises:
        InputError: there is none; the message says what to download, where to put it, and what else
            can be done.
    """
    if given is not None:
        return _existing(given, "--inception-weights")
    if os.environ.get(WEIGHTS):
        return _existing(Path(os.environ[WEIGHTS]), WEIGHTS)
    path = default_cache() / FILE
    if path.is_file():
        if check:
            _require_hash(path)
        return path
    if not fetch:
        raise InputError(
            f"the Inception weights are missing: they are fetched when they are needed, or {_ways_out(path)}"
        )
    if os.environ.get(OFFLINE, "") not in ("", "0"):
        raise InputError(f"the Inception weights are missing, and {OFFLINE} is set: {_ways_out(path)}")
    _fetch(path)
    return path


def _existing(path: Path, origin: str) -> Path:
    path = path.expanduser()
    if not path.is_file():
        raise InputError(f"{origin}: there is no file {path}; get it from {URL}, or use --features random-conv")
    return path


def _require_hash(path: Path) -> None:
    """Raise `InputError` unless the cache holds the reference weights: other ones are the user's to name."""
    found = _hash_of(path)
    if found != SHA256:
        raise InputError(
            f"{path} has sha256 {found[:8]}…, not the reference's: remove it, to have it fetched again, or name it with"
            " --inception-weights if it is meant"
        )


def _ways_out(path: Path) -> str:
    return (
        f"download {URL} to {path} (or name your copy with --inception-weights), or use --features random-conv,"
        " which needs none"
    )


def _fetch(path: Path) -> None:
    """Download the weights to `path` unless another process does so meanwhile."""
    from gan.terminal import progress_bar

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        bar = progress_bar("downloading the Inception weights, MB")
        with locked_file(path.with_name(f"{FILE}.lock")), bar as progress:
            if not path.is_file():
                _download(path, progress)
    except _Broken as error:
        raise InputError(f"the Inception weights cannot be downloaded ({error}): {_ways_out(path)}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"{path}: the Inception weights cannot be kept there ({reason}): free space there, set"
            " GAN_SEARCH_CACHE to another folder, or use --features random-conv"
        ) from error


def _download(path: Path, progress: Progress) -> None:
    """Receive the file, beginning where an earlier attempt broke off, and check it.

    Raises:
        _Broken: the network failed; what has come stays for the next attempt.
        InputError: it came whole, and is another file.
    """
    part = path.with_name(f"{FILE}.part")
    continued = part.exists()
    for attempt in range(ATTEMPTS):
        before = part.stat().st_size if part.exists() else 0
        try:
            _receive(part, progress)
            break
        except _Broken:
            if part.stat().st_size == 0:
                part.unlink()
                raise
            # Where not a byte came, trying again at once would only wait as long once more.
            if attempt == ATTEMPTS - 1 or part.stat().st_size <= before:
                raise
    found = _hash_of(part)
    if found == SHA256:
        replace(part, path)
        return
    part.unlink()
    if continued:  # what lay there before may have been of another file: once more, from the start
        return _download(path, progress)
    raise InputError(
        f"{URL}: what came has sha256 {found}, not {SHA256}, and was thrown away: it is not the reference network;"
        f" {_ways_out(path)}"
    )


def _receive(part: Path, progress: Progress) -> None:
    """Append to `part` what is missing of the file.

    Raises:
        _Broken: it did not all come.
        OSError: it cannot be written.
    """
    with part.open("ab") as file:
        if file.tell() >= BYTES:
            _empty(file)
        request = urllib.request.Request(URL, headers={"User-Agent": "gan-search"})
        if file.tell():
            request.add_header("Range", f"bytes={file.tell()}-")
        with _answer(request, file) as answer:
            if answer.status != http.client.PARTIAL_CONTENT:
                _empty(file)  # the server sends it from the start, whatever was asked for
            _copy(answer, file, progress)


def _empty(file: IO[bytes]) -> None:
    file.truncate(0)
    file.seek(0)  # a position past the end would be taken for what is there


@contextmanager
def _answer(request: urllib.request.Request, file: IO[bytes]) -> Iterator[http.client.HTTPResponse]:
    try:
        answer = urllib.request.urlopen(request, timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            _empty(file)
        raise _Broken(f"HTTP {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(_reason(error)) from error
    with answer:
        yield answer


def _copy(answer: http.client.HTTPResponse, file: IO[bytes], progress: Progress) -> None:
    """Copy an answer's body to the end of the file; never more than the file should have."""
    while file.tell() < BYTES:
        try:
            chunk = answer.read(min(_CHUNK, BYTES - file.tell()))
        except (OSError, http.client.HTTPException) as error:
            raise _Broken(f"{_reason(error)} after {file.tell():,} of {BYTES:,} bytes") from error
        if not chunk:
            raise _Broken(f"it ended after {file.tell():,} of {BYTES:,} bytes")
        file.write(chunk)
        progress(file.tell() // 1_000_000, BYTES // 1_000_000)


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split()) or type(error).__name__


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
