"""Locks between the processes of one machine. The system frees a lock when its process ends, however it ends."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


def lock(file: IO[Any], *, shared: bool = False, wait: bool = True) -> None:
    """Lock an open file until it is closed.

    Raises:
        BlockingIOError: another process holds the lock, and `wait` is false.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    fcntl.flock(file, kind if wait else kind | fcntl.LOCK_NB)


@contextmanager
def locked_file(path: Path, *, wait: bool = True) -> Iterator[IO[bytes]]:
    """Hold the exclusive lock of a file, which is made if it is missing; see `lock`."""
    with path.open("ab") as file:
        lock(file, wait=wait)
        yield file
