"""Storage that outlives trouble which passes: a network folder that hangs up, an object store that is busy."""

from __future__ import annotations

import errno
import time
from builtins import list as names
from collections.abc import Callable
from typing import Any, TypeVar

from gan.storage.storage import Storage
from gan.terminal import warn

RETRY_SECONDS = 45.0
"""How long an operation is tried again: longer than most servers take to start anew, and shorter than the minute after
which a run whose driver gives no sign of life may be taken over."""

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 5.0
_LASTING = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOSPC, errno.EDQUOT}
_LASTING |= {errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENAMETOOLONG}
"""Errors that do not pass by themselves; who waits for a full disk only learns of it later."""

Result = TypeVar("Result")


def with_retries(operation: Callable[[], Result], what: str, seconds: float = RETRY_SECONDS) -> Result:
    """Do something with storage, again and again while it fails, for some time.

    Args:
        operation: may be done twice.
        what: names it to the user.
        seconds: after which its error is raised.
    """
    begin, wait = time.monotonic(), _FIRST_WAIT
    while True:
        try:
            return operation()
        except OSError as error:
            left = begin + seconds - time.monotonic()
            if error.errno in _LASTING or isinstance(error, FileNotFoundError) or left <= 0:
                raise
            if wait == _FIRST_WAIT:
                reason = " ".join(str(error).split())
                warn(f"{what}: {reason}; trying again for {seconds:.0f} s")
            time.sleep(min(wait, left))
            wait = min(2 * wait, _LONGEST_WAIT)


class RetryingStorage(Storage):
    """A storage whose single operations are tried again for `RETRY_SECONDS`; those on whole trees are not.

    For what has begun and must not be lost. Where nothing has begun yet, a plain `Storage` tells at once what is wrong.
    """

    @classmethod
    def of(cls, storage: Storage) -> RetryingStorage:
        """Return a storage of the same place."""
        return cls(storage.uri, storage._given)

    def read_bytes(self, path: str) -> bytes:
        return self._patiently(super().read_bytes, path)

    def write_bytes(self, path: str, data: bytes) -> None:
        self._patiently(super().write_bytes, path, data)

    def delete(self, path: str) -> None:
        self._patiently(super().delete, path)

    def list(self, path: str = "") -> names[str]:
        return self._patiently(super().list, path)

    def exists(self, path: str = "") -> bool:
        return self._patiently(super().exists, path)

    def _patiently(self, operation: Callable[..., Result], path: str, *more: Any) -> Result:
        return with_retries(lambda: operation(path, *more), f"{self.uri}/{path}")
