"""Storage that retries after transient errors, such as a network folder that hangs or a busy object store."""

from __future__ import annotations

import errno
import time
from builtins import list as names
from collections.abc import Callable
from typing import Any, TypeVar

from gan.storage.storage import Storage
from gan.terminal import one_line, warn

RETRY_SECONDS = 45.0
"""How long an operation is retried. It is longer than most servers take to restart, and shorter than the minute after
which another driver may take over a run whose driver gives no sign of life."""

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 5.0
_PERMANENT = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOSPC, errno.EDQUOT}
_PERMANENT |= {errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENAMETOOLONG}
"""Errors that are raised at once, because waiting does not help. A full disk is one: the user must learn of it."""

Result = TypeVar("Result")


def with_retries(operation: Callable[[], Result], name: str, seconds: float = RETRY_SECONDS) -> Result:
    """Run an operation on storage, and retry it while it fails with a transient error.

    Args:
        operation: it may run several times.
        name: its name in the warning to the user.
        seconds: how long it is retried before its error is raised.
    """
    begin, wait = time.monotonic(), _FIRST_WAIT
    while True:
        try:
            return operation()
        except OSError as error:
            remaining = begin + seconds - time.monotonic()
            if error.errno in _PERMANENT or isinstance(error, FileNotFoundError) or remaining <= 0:
                raise
            if wait == _FIRST_WAIT:
                warn(f"{name}: {one_line(error)}; trying again for {seconds:.0f} s")
            time.sleep(min(wait, remaining))
            wait = min(2 * wait, _LONGEST_WAIT)


class RetryingStorage(Storage):
    """A storage that retries its operations on single files for `RETRY_SECONDS`.

    It is for work in progress that must not be lost. Before the work begins, a plain `Storage` reports errors at once.
    """

    @classmethod
    def of(cls, storage: Storage) -> RetryingStorage:
        """Return a retrying storage of the same folder."""
        return cls(storage.uri, storage._given)

    def read_bytes(self, path: str) -> bytes:
        return self._retried(super().read_bytes, path)

    def write_bytes(self, path: str, data: bytes) -> None:
        self._retried(super().write_bytes, path, data)

    def delete(self, path: str) -> None:
        self._retried(super().delete, path)

    def list(self, path: str = "") -> names[str]:
        return self._retried(super().list, path)

    def exists(self, path: str = "") -> bool:
        return self._retried(super().exists, path)

    def _retried(self, operation: Callable[..., Result], path: str, *arguments: Any) -> Result:
        return with_retries(lambda: operation(path, *arguments), f"{self.uri}/{path}")
