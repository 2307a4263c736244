"""A worker that is lost costs its trial a retry, however it was lost.

Tune 2.60 knows one way: `RayActorError`. Any other error of Ray's own (its memory monitor ended the
process, a node went with the object that held the result) it takes for a fault of its own, and ends
the whole sweep (`RayActorManager._actor_task_failed`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError

OUT_OF_MEMORY = "out of memory: Ray ended the process as its machine's memory ran low"


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


def as_lost_worker(exception: Exception) -> Exception:
    """Return an error that Tune knows how to recover from; what it knows already, or is no error of Ray's, stays."""
    if not isinstance(exception, RayError) or isinstance(exception, (RayActorError, RayTaskError)):
        return exception
    if isinstance(exception, OutOfMemoryError):
        return RayActorError(error_msg=OUT_OF_MEMORY)
    first = (str(exception).strip().splitlines() or [""])[0]
    return RayActorError(error_msg=f"{type(exception).__name__}: {first}")


def why(text: str) -> str:
    """Return, in one line, why a trial's process failed, from the traceback that Tune keeps."""
    if "running low on memory" in text:
        # Ray follows it up with a page of advice.
        return OUT_OF_MEMORY
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "its process ended"
