"""Which errors count as the loss of a worker."""

from __future__ import annotations

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError

from search.cluster.lost_workers import as_lost_worker, lost_workers_are_retried, why


@pytest.mark.parametrize("error", [RayActorError(error_msg="gone"), RuntimeError("a fault of the program")])
def test_what_tune_knows_or_is_not_rays_stays(error: Exception) -> None:
    assert as_lost_worker(error) is error


def test_other_errors_of_ray_become_lost_workers_with_one_line_of_reason() -> None:
    low = as_lost_worker(OutOfMemoryError("a page\nof advice"))
    assert isinstance(low, RayActorError)
    assert str(low).startswith("out of memory: ")
    assert "\n" not in str(low)
    assert str(as_lost_worker(NodeDiedError("node 7 is gone\nmore"))) == "NodeDiedError: node 7 is gone"


def test_tune_takes_them_for_lost_actors_only_while_a_sweep_runs() -> None:
    """Against Tune's own code: without us it raises, with us it calls the trial's error handler."""

    class Tracked:
        actor_id = "a"
        _on_error = None

    class Task:
        _tracked_actor = Tracked()
        seen: list[Exception] = []  # noqa: RUF012

        def _on_error(self, actor: object, error: Exception) -> None:
            self.seen.append(error)

    class Manager(RayActorManager):  # type: ignore[misc]
        def __init__(self) -> None:
            self._failed_actor_ids: set[str] = set()

        def _cleanup_actor(self, tracked_actor: object) -> None:
            pass

    task, error = Task(), OutOfMemoryError("low")
    with lost_workers_are_retried():
        Manager()._actor_task_failed(tracked_actor_task=task, exception=error)
    assert [str(seen)[:14] for seen in task.seen] == ["out of memory:"]
    with pytest.raises(RuntimeError, match="low"):
        Manager()._actor_task_failed(tracked_actor_task=task, exception=error)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Traceback …\n  line\nValueError: batch 0\n\n", "ValueError: batch 0"),
        ("ray.exceptions.…: killed due to the node running low on memory.\nsee https://…", "out of memory: Ray ended"),
        ("", "its process ended"),
    ],
)
def test_why_a_process_failed_is_one_line(text: str, reason: str) -> None:
    assert why(text).startswith(reason)
