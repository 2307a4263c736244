"""The function that Tune runs for each trial: `gan.training.run.TrainingRun`, its reports handed to Tune."""

from __future__ import annotations

import gc
import os
import socket
import traceback
from dataclasses import dataclass
from typing import Any

import ray
import torch
from ray import tune

from gan.data.packed.opening import open_data
from gan.errors import InputError, OutOfMemory
from gan.evaluation.evaluator import Evaluator
from gan.recipe.recipe import Recipe
from gan.storage.storage import Storage
from gan.tensors.device import free_memory
from gan.training.report import Report
from gan.training.run import TrainingRun
from gan.training.trainer import Trainer
from gan.versions import differing, versions
from search.run.outcome import Outcome
from search.run.run_folder import SETTINGS

NODE_SHORT = 0.05
"""Share of a node's memory: with less free memory, the node is short of it. Ray ends processes at the same point."""


class NoGpu(RuntimeError):
    """PyTorch finds no GPU in a process that was given one.

    Another process, or node, may well find its own, so the trial is tried again. If that does not help, the run halts.
    """

    outcome = Outcome.HALT


class NodeOutOfMemory(RuntimeError):
    """The node has no memory left, although this trial has freed its own."""

    outcome = Outcome.NODE_OUT_OF_MEMORY


@dataclass(frozen=True)
class TrialContext:
    """What all trials of a sweep have in common; sent to each worker once.

    Attributes:
        recipes: by name.
        data, size, crop: as `open_data` takes them.
        evaluator: with the reference statistics, computed once.
        run: the run's folder.
        gpus: a trial's share of a GPU, and of its memory.
        versions: of the driver.
        provenance: further fields for bundles.
        origin: folder of the shorter training that the one trial goes on with; None if trials begin anew.
    """

    recipes: dict[str, Recipe]
    data: str
    size: int | None
    crop: str | None
    evaluator: Evaluator
    run: Storage
    total_kimg: float
    interval_kimg: float
    threads: int
    device: str
    gpus: float
    precision: str
    provenance: dict[str, Any]
    versions: dict[str, str]
    origin: Storage | None = None


def train_trial(config: dict[str, Any], context: TrialContext) -> None:
    """Train one trial, from its last checkpoint if it has one, and report until it ends.

    A trial whose settings do not fit into memory ends with an outcome of its own: a retry would fail again. If storage
    or data fail, the trial is not to blame: the sweep halts, and can be resumed once they are fixed.

    Raises:
        NoGpu, NodeOutOfMemory: the node is to blame; Tune tries the trial again.
    """
    # A reused worker process has the thread count of its last trial.
    torch.set_num_threads(context.threads)
    on_gpu = context.gpus > 0 and (context.device == "auto" or context.device.startswith("cuda"))
    try:
        if on_gpu:
            _require_gpu(context.gpus)
            # An allocation beyond the share fails, instead of taking memory from the neighbours.
            torch.cuda.set_per_process_memory_fraction(min(1.0, context.gpus))
        _train(config, context)
    except (MemoryError, RuntimeError) as error:
        out_of_memory = _as_out_of_memory(error)
        if out_of_memory is None:
            raise
        # A GPU's memory is the trial's own share. A CPU's is the node's, and its neighbours may have filled it.
        if not isinstance(out_of_memory, (OutOfMemory, torch.OutOfMemoryError) if on_gpu else torch.OutOfMemoryError):
            _require_node_memory(error)
        _give_up(config, Outcome.INFEASIBLE, f"out of memory: {_first_line(out_of_memory)}")
    except (InputError, OSError) as error:
        _give_up(config, Outcome.HALT, _first_line(error))
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _require_gpu(share: float) -> None:
    """Raise `NoGpu` if this process would train on the CPU instead of the GPU that it was given."""
    if not torch.cuda.is_available():
        raise NoGpu(
            f"node {ray.util.get_node_ip_address()}: PyTorch finds no GPU in a process that was given {share:g} of one;"
            " does nvidia-smi find it, and does CUDA MPS, if it was started there, still run?"
        )


def _as_out_of_memory(error: Exception) -> Exception | None:
    """Return an error that means out of memory; None for others. On the CPU PyTorch raises a plain RuntimeError."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return error
    return MemoryError(*error.args) if "can't allocate memory" in str(error) else None


def _require_node_memory(error: Exception) -> None:
    """Raise `NodeOutOfMemory` if the node still lacks memory after the failed trial has freed its own."""
    traceback.clear_frames(error.__traceback__)
    gc.collect()
    free = free_memory(torch.device("cpu"))
    if free is not None and free < NODE_SHORT * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
        raise NodeOutOfMemory(
            f"out of memory: node {ray.util.get_node_ip_address()} has {free / 2**30:.1f} GiB left without this trial"
        ) from None


def _train(config: dict[str, Any], context: TrialContext) -> None:
    # This function owns what is on the GPU: after its return the process can train another trial.
    _require_fit(context)
    run = _training_run(config, context)
    run.resume(context.origin)
    for report in run.reports():
        _report(config, report, Outcome.DIVERGED if report.diverged else None)


def _require_fit(context: TrialContext) -> None:
    """Raise `InputError` if this node cannot serve the run; it may have joined after the others were checked.

    Nobody would find the checkpoints and best generators in a folder that only looks like the run's.
    """
    problem = differing(context.versions, versions())
    if problem is None and not context.run.exists(SETTINGS):
        problem = f"it does not see the run's folder {context.run.uri}; mount there what the other nodes share"
    if problem is not None:
        raise InputError(f"node {ray.util.get_node_ip_address()}: {problem}")


def _training_run(config: dict[str, Any], context: TrialContext) -> TrainingRun:
    recipe = context.recipes[config["recipe"]].with_settings(config["settings"])
    data = open_data(context.data, context.size, crop=context.crop)
    if data.content_hash != context.evaluator.identity.data_hash:
        raise InputError(f"{context.data}: its images are not those that this sweep began with")
    trainer = Trainer(recipe, data, seed=config["seed"], device=context.device, precision=context.precision)
    return TrainingRun(
        trainer,
        context.evaluator.to(trainer.device),
        context.run.child(f"trials/{config['trial']}"),
        total_kimg=context.total_kimg,
        interval_kimg=context.interval_kimg,
        provenance={**context.provenance, "trial": config["trial"]},
    )


def _report(config: dict[str, Any], report: Report, outcome: Outcome | None) -> None:
    """Report to Tune, with the same fields each time: Tune ends a sweep over a missing one."""
    tune.report(
        {
            **report.metrics(),
            "trial": config["trial"],
            "source": config["source"],
            "outcome": outcome,
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
    )


def _give_up(config: dict[str, Any], outcome: Outcome, reason: str) -> None:
    _report(config, Report(reason=reason), outcome)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
