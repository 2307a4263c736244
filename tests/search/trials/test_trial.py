"""How a worker's trial ends: which errors end the trial, the attempt, or the run."""

from __future__ import annotations

import weakref
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gan.errors import InputError, OutOfMemory
from search.run.outcome import Outcome
from search.trials import trial

CONFIG = {"trial": "t0000", "source": "sampled"}
CPU_ALLOCATION = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes\nmore")


def context(gpus: float = 0.0, device: str = "cpu") -> Any:
    return SimpleNamespace(gpus=gpus, device=device, threads=torch.get_num_threads())


def train(
    monkeypatch: pytest.MonkeyPatch, error: Exception, free: int | None = 1 << 50, gpus: float = 0.0
) -> dict[str, Any]:
    """Return the last report of a trial whose training raises an error on a node with so much free memory."""
    reports: list[dict[str, Any]] = []

    def fail(config: dict[str, Any], context: Any) -> None:
        raise error

    monkeypatch.setattr(trial, "_train", fail)
    monkeypatch.setattr(trial.tune, "report", reports.append)
    monkeypatch.setattr(trial, "free_memory", lambda device: free)
    monkeypatch.setattr(trial.ray.util, "get_node_ip_address", lambda: "10.0.0.7")
    monkeypatch.setattr(trial, "_require_gpu", lambda share: None)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share: None)
    trial.train_trial(CONFIG, context(gpus, "auto" if gpus else "cpu"))
    (report,) = reports
    return report


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("CUDA out of memory\nadvice"), "out of memory: CUDA out of memory"),
        (OutOfMemory("the weights take 9 GiB"), "out of memory: the weights take 9 GiB"),
        (MemoryError(), "out of memory: MemoryError"),
        (CPU_ALLOCATION, "out of memory: DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_settings_that_do_not_fit_are_infeasible(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = train(monkeypatch, error)
    assert (report["outcome"], report["reason"]) == (Outcome.INFEASIBLE, reason)
    assert report["score"] == 1e9 and report["kimg"] == 0


@pytest.mark.parametrize("error", [MemoryError(), CPU_ALLOCATION, OutOfMemory("the weights take 9 GiB")])
def test_a_node_without_memory_is_not_the_settings_fault(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(trial.NodeOutOfMemory, match=r"node 10\.0\.0\.7 has 0\.5 GiB left"):
        train(monkeypatch, error, free=1 << 29)
    assert train(monkeypatch, error, free=None)["outcome"] == Outcome.INFEASIBLE


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA"), OutOfMemory("the weights take 9 GiB")])
def test_the_nodes_memory_says_nothing_about_a_gpus(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(monkeypatch, error, free=0, gpus=0.5)["outcome"] == Outcome.INFEASIBLE


def test_a_trial_frees_its_memory_before_the_nodes_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    class Weights:
        pass

    alive: list[Any] = []

    def fail(config: dict[str, Any], context: Any) -> None:
        weights = Weights()
        alive.append(weakref.ref(weights))
        raise MemoryError

    def look(device: torch.device) -> int:
        assert alive[0]() is None
        return 0

    monkeypatch.setattr(trial, "_train", fail)
    monkeypatch.setattr(trial, "free_memory", look)
    monkeypatch.setattr(trial.ray.util, "get_node_ip_address", lambda: "10.0.0.7")
    with pytest.raises(trial.NodeOutOfMemory):
        trial.train_trial(CONFIG, context())


@pytest.mark.parametrize("error", [InputError("faces: no such"), OSError(28, "No space left on device")])
def test_data_and_storage_that_fail_halt_the_run(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(monkeypatch, error)["outcome"] == Outcome.HALT


def test_any_other_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="a fault of the program"):
        train(monkeypatch, RuntimeError("a fault of the program"))


@pytest.mark.parametrize(
    ("gpus", "device", "capped"),
    [(0.25, "auto", 0.25), (2.0, "cuda", 1.0), (0.5, "cuda:0", 0.5), (0.25, "cpu", None), (0.0, "auto", None)],
)
def test_a_trial_allocates_no_more_than_its_share(
    gpus: float, device: str, capped: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", given.append)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(trial, "_train", lambda config, context: given.append(-1.0))
    trial.train_trial({}, context(gpus, device))
    assert given == [*([] if capped is None else [capped]), -1.0]


def test_a_trial_that_was_given_a_gpu_does_not_train_without(monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(trial.ray.util, "get_node_ip_address", lambda: "10.0.0.7")
    monkeypatch.setattr(trial, "_train", lambda config, context: trained.append(context.device))
    for gpus, device in ((0.25, "auto"), (1.0, "cuda")):
        with pytest.raises(trial.NoGpu, match=r"node 10\.0\.0\.7: PyTorch finds no GPU in a process that was given"):
            trial.train_trial({}, context(gpus, device))
    for gpus, device in ((0.0, "cpu"), (0.25, "cpu")):
        trial.train_trial({}, context(gpus, device))
    assert trained == ["cpu", "cpu"]
