"""Which errors count as the loss of a worker."""

from __future__ import annotations

import pytest
from ray import cloudpickle
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, RayTaskError

from search.cluster.lost_workers import WorkerOutOfMemory, as_lost_worker, describe_failure, lost_workers_are_retried
from search.run.outcome import Outcome
from search.trials.trial import NodeOutOfMemory, NoGpu


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


LOW = "The actor died: killed due to the node running low on memory.\nsee https://…"
ADVICE = "The actor died: Memory on the node …\nRefer to the documentation on how to address the out of memory issue: …"
KILLED = "out of memory: Ray ended the process as its machine's memory ran low"


def raised_by_a_worker(error: Exception) -> Exception:
    """Return an error as the driver gets it from Ray."""
    task_error: Exception = RayTaskError("train", f"Traceback …\n{type(error).__name__}: {error}", error)
    return task_error.as_instanceof_cause()  # type: ignore[attr-defined, no-any-return]


OF_NODE, OF_GPU = raised_by_a_worker(NodeOutOfMemory("none left")), raised_by_a_worker(NoGpu("node a: none"))


@pytest.mark.parametrize(
    ("error", "text", "outcome", "reason"),
    [
        (
            raised_by_a_worker(ValueError("batch 0")),
            "Traceback …\n  line\nValueError: batch 0\n\n",
            "failed",
            "ValueError: batch 0",
        ),
        (None, "TuneError: a fault of Tune", "failed", "TuneError: a fault of Tune"),
        (None, "", "failed", "its process ended"),
        (RayActorError(error_msg="SIGKILL"), "The actor died\nSIGKILL", "failed", "SIGKILL"),
        (RayActorError(error_msg=LOW), LOW, "node-out-of-memory", KILLED),
        (RayActorError(error_msg=ADVICE), ADVICE, "node-out-of-memory", KILLED),
        (None, f"Failure # 1\nSIGKILL\nFailure # 2\n{ADVICE}", "node-out-of-memory", KILLED),
        (WorkerOutOfMemory(), KILLED, "node-out-of-memory", KILLED),
        (OF_NODE, str(OF_NODE), "node-out-of-memory", "none left"),
        (OF_GPU, f"Failure # 1\n{OF_GPU}", "halt", "node a: none"),
        (OF_GPU, "", "halt", "node a: none"),
        # Tune keeps the error of an earlier attempt if the last failure was of another kind.
        (OF_GPU, f"Failure # 1\n{OF_GPU}\nFailure # 2\nTuneError: a fault", "failed", "TuneError: a fault"),
        (OF_GPU, f"Failure # 1\n{OF_GPU}\nFailure # 2\n{LOW}", "node-out-of-memory", KILLED),
        # An earlier failure of the same trial, in Tune's text, is not the last.
        (RayActorError(error_msg="SIGKILL"), f"Failure # 1\n{LOW}\nFailure # 2\nSIGKILL", "failed", "SIGKILL"),
    ],
)
def test_the_failure_of_a_process_has_an_outcome_and_a_reason_of_one_line(
    error: Exception | None, text: str, outcome: str, reason: str
) -> None:
    # Tune pickles the error.
    assert describe_failure(cloudpickle.loads(cloudpickle.dumps(error)), text) == (Outcome(outcome), reason)
