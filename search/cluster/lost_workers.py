"""A worker that is lost costs its trial a retry, whatever the cause.

Tune 2.60 expects one kind of loss: `RayActorError`. It takes any other error of Ray (the memory monitor ended the
process, a node went down with the object that held the result) for a fault of its own, and ends the whole sweep
(`RayActorManager._actor_task_failed`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError

from search.run.outcome import Outcome

_OUT_OF_MEMORY = "out of memory: Ray ended the process as its machine's memory ran low"
_RAY_ON_MEMORY = ("running low on memory", "address the out of memory issue")
"""Parts of Ray's message about an actor whose process its memory monitor ended; the error has no type of its own."""


class WorkerOutOfMemory(RayActorError):  # type: ignore[misc]
    """Ray ended a worker because its node ran out of memory."""

    outcome = Outcome.NODE_OUT_OF_MEMORY

    def __init__(self) -> None:
        super().__init__(error_msg=_OUT_OF_MEMORY)


@contextmanager
def lost_workers_are_retried() -> Iterator[None]:
    """Have Tune treat every error of Ray's own as the loss of the worker that it came from."""
    manager: Any = RayActorManager
    original = manager._actor_task_failed

    def failed(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        original(self, tracked_actor_task, as_lost_worker(exception))

    manager._actor_task_failed = failed
    try:
        yield
    finally:
        manager._actor_task_failed = original


def as_lost_worker(error: Exception) -> Exception:
    """Return an error that Tune can recover from. Errors that it knows, or that are not Ray's, stay as they are."""
    if not isinstance(error, RayError) or isinstance(error, (RayActorError, RayTaskError)):
        return error
    if isinstance(error, OutOfMemoryError):
        return WorkerOutOfMemory()
    first = (str(error).strip().splitlines() or [""])[0]
    return RayActorError(error_msg=f"{type(error).__name__}: {first}")


def describe_failure(error: Exception | None, text: str) -> tuple[Outcome, str]:
    """Return the outcome of a trial whose process failed, and the reason in one line.

    Args:
        error: as Tune keeps it; None if it kept none. An error may name its outcome by an attribute.
        text: the tracebacks that Tune keeps of all attempts. The last line tells about any other error.
    """
    last = text.rpartition("Failure # ")[2]
    # The task's error wraps the one that the worker raised.
    cause = error.cause if isinstance(error, RayTaskError) else error
    # Tune keeps only errors of Ray's actors and tasks: after another failure, the error is that of an earlier attempt.
    if last and str(cause).partition("\n")[0] not in last:
        error = cause = None
    # Tune keeps no error of a process that ended before its first task.
    if not isinstance(error, RayTaskError) and any(part in last for part in _RAY_ON_MEMORY):
        cause = WorkerOutOfMemory()
    outcome = getattr(cause, "outcome", None)
    if isinstance(outcome, Outcome):
        return outcome, str(cause)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return Outcome.FAILED, lines[-1][:300] if lines else "its process ended"
