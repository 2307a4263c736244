"""The weights of the 2015 Inception network: a file that the user names, or one checked download.

The weights are downloaded once per cache folder, under a lock. Weights with another hash than the one below
are used only if the user names their file.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from gan.errors import InputError
from gan.metric import REFERENCE_INCEPTION
from gan.storage.cache import default_cache
from gan.storage.lock import locked_file
from gan.storage.storage import replace, temporary_name
from gan.terminal import Progress, one_line, progress_bar

FILE = "pt_inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}"
SHA256 = REFERENCE_INCEPTION
BYTES = 95_628_359

WEIGHTS = "GAN_SEARCH_INCEPTION_WEIGHTS"
"""Environment variable: path of a file of weights, used if no option names one."""
OFFLINE = "GAN_SEARCH_OFFLINE"
"""Environment variable: if it is 1, nothing is downloaded."""

TIMEOUT = 5.0
"""Seconds without an answer after which the download fails, so that checks never hang."""
_CHUNK = 1 << 20


class _DownloadFailed(Exception):
    """The network failed; the message says how."""


def find_weights(given: Path | None, *, fetch: bool = True, check: bool = True) -> Path:
    """Return the file of weights: `given`, else the one that the environment names, else the one in the user's cache.

    If the cache has none, they are downloaded, unless `fetch` is false. The file in the cache must be the reference,
    unless `check` is false because the caller checks the hash itself.

    Raises:
        InputError: there is no such file; the message says what to download, where to put it, and the alternative.
    """
    if given is not None:
        return _existing(given, "--inception-weights")
    if os.environ.get(WEIGHTS):
        return _existing(Path(os.environ[WEIGHTS]), WEIGHTS)
    path = default_cache() / FILE
    if path.is_file():
        if check:
            _require_reference(path)
        return path
    if not fetch:
        raise InputError(f"the Inception weights are missing: they are fetched when needed, or {_advice(path)}")
    if os.environ.get(OFFLINE, "") not in ("", "0"):
        raise InputError(f"the Inception weights are missing, and {OFFLINE} is set: {_advice(path)}")
    _fetch(path)
    return path


def _existing(path: Path, origin: str) -> Path:
    path = path.expanduser()
    if not path.is_file():
        raise InputError(f"{origin}: there is no file {path}; get it from {URL}, or use --features random-conv")
    return path


def _require_reference(path: Path) -> None:
    """Raise `InputError` unless the file in the cache is the reference; the user must name other weights explicitly."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:
        raise InputError(
            f"{path} has sha256 {digest[:8]}…, not the reference's: remove it, to have it fetched again, or name it"
            " with --inception-weights if you want these weights"
        )


def _advice(path: Path) -> str:
    return (
        f"download {URL} to {path} (or name your copy with --inception-weights), or use --features random-conv,"
        " which needs none"
    )


def _fetch(path: Path) -> None:
    """Download the weights to `path`, unless another process does so meanwhile."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        bar = progress_bar("downloading the Inception weights, MB")
        with locked_file(path.with_name(f"{FILE}.lock")), bar as progress:
            if not path.is_file():
                _download(path, progress)
    except _DownloadFailed as error:
        raise InputError(f"the Inception weights cannot be downloaded ({error}): {_advice(path)}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"{path}: the Inception weights cannot be kept there ({reason}): free space there, set"
            " GAN_SEARCH_CACHE to another folder, or use --features random-conv"
        ) from error


def _download(path: Path, progress: Progress) -> None:
    """Download the file under a temporary name, check its hash, and rename it to `path`.

    Not by `torch.hub.download_url_to_file`: it has no time limit, reads without bound, and reports a broken
    connection as a wrong hash.

    Raises:
        _DownloadFailed: the network failed.
        InputError: the server sent another file.
    """
    temporary = temporary_name(path)
    digest = hashlib.sha256()
    try:
        with temporary.open("wb") as file:
            for chunk in _received():
                file.write(chunk)
                digest.update(chunk)
                progress(file.tell() // 1_000_000, BYTES // 1_000_000)
        if digest.hexdigest() != SHA256:
            raise InputError(
                f"{URL}: the download has sha256 {digest.hexdigest()}, not {SHA256}, and was deleted: it is not the"
                f" reference network; {_advice(path)}"
            )
        replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _received() -> Iterator[bytes]:
    """Yield the content of the file as it arrives, at most `BYTES` of it.

    Raises:
        _DownloadFailed: the server cannot be reached, refuses, or the connection breaks.
    """
    received = 0
    try:
        request = urllib.request.Request(URL, headers={"User-Agent": "gan-search"})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            while chunk := answer.read(min(_CHUNK, BYTES - received)):
                received += len(chunk)
                yield chunk
    except urllib.error.HTTPError as error:
        raise _DownloadFailed(f"HTTP {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = one_line(getattr(error, "reason", None) or error)
        raise _DownloadFailed(reason or type(error).__name__) from error
    if received < BYTES:
        raise _DownloadFailed(f"it ended after {received:,} of {BYTES:,} bytes")
