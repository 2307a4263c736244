"""The function that Tune runs for each trial: `gan.training.run.TrainingRun`, its reports handed to Tune."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Any

import ray
import torch
from ray import tune

from gan.data.packed.opening import open_data
from gan.errors import InputError
from gan.evaluation.evaluator import Evaluator
from gan.recipe.recipe import Recipe
from gan.storage.storage import Storage
from gan.training.report import DIVERGED_SCORE, Report
from gan.training.run import TrainingRun
from gan.training.trainer import Trainer
from gan.versions import differing, versions
from search.run.run_folder import SETTINGS

INFEASIBLE, DIVERGED, HALT = "infeasible", "diverged", "halt"
NO_GPU = "PyTorch finds no GPU"
"""Said in an error that the node is to blame for, not the trial."""
"""How a trial ends itself; HALT: for a reason that would end every other trial as well."""


@dataclass(frozen=True)
class TrialContext:
    """What all trials of a sweep have in common; sent to each worker once.

    Attributes:
        recipes: by name.
        data, size, crop: as `open_data` takes them.
        evaluator: with the reference statistics, computed once.
        run: the run's folder.
        gpus: a trial's share of one; of its memory it gets no more.
        versions: of the driver.
        provenance: further fields for bundles.
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


def train_trial(config: dict[str, Any], shared: TrialContext) -> None:
    """Train one trial, from its last checkpoint if it has one, reporting until it ends itself.

    Running out of memory ends it with an outcome of its own: tried again it would fail again. Where
    storage or data fail, the trial is not to blame: the sweep halts, to be resumed when they are mended.
    """
    # A reused worker process carries the thread count of its last trial.
    torch.set_num_threads(shared.threads)
    try:
        if shared.gpus and (shared.device == "auto" or shared.device.startswith("cuda")):
            _require_gpu(shared.gpus)
            # What PyTorch allocates beyond its share fails there, and does not take it from the neighbours.
            torch.cuda.set_per_process_memory_fraction(min(1.0, shared.gpus))
        _train(config, shared)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        _give_up(config, INFEASIBLE, f"out of memory: {_first_line(error)}")
    except (InputError, OSError) as error:
        _give_up(config, HALT, _first_line(error))
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _require_gpu(share: float) -> None:
    """Raise `RuntimeError` where this process, which was given a GPU, would train on the CPU and hardly be noticed.

    Another process, or node, may well open its own: the trial is tried again, and if that does not help either, the
    sweep halts.
    """
    if not torch.cuda.is_available():
        raise RuntimeError(
            f"node {ray.util.get_node_ip_address()}: PyTorch finds no GPU in a process that was given {share:g} of one;"
            " does nvidia-smi find it, and does CUDA MPS, if it was started there, still run?"
        )


def _train(config: dict[str, Any], shared: TrialContext) -> None:
    # What lies on the GPU is this function's: when it has returned, the process can go on with another trial.
    _require_fit(shared)
    run = _make(config, shared)
    run.resume()
    for report in run.reports():
        _report(config, report.metrics(), DIVERGED if report.diverged else "")


def _require_fit(shared: TrialContext) -> None:
    """Raise `InputError` where this node cannot serve the run; it may have joined after the others were checked.

    A folder that only looks like the run's would take checkpoints and best generators that nobody finds again.
    """
    problem = differing(shared.versions, versions())
    if problem is None and not shared.run.exists(SETTINGS):
        problem = f"it does not see the run's folder {shared.run.uri}; mount there what the other nodes share"
    if problem is not None:
        raise InputError(f"node {ray.util.get_node_ip_address()}: {problem}")


def _make(config: dict[str, Any], shared: TrialContext) -> TrainingRun:
    recipe = shared.recipes[config["recipe"]].with_settings(config["settings"])
    data = open_data(shared.data, shared.size, crop=shared.crop)
    if data.content_hash != shared.evaluator.identity.data_hash:
        raise InputError(f"{shared.data}: its images are not those that this sweep began with")
    trainer = Trainer(recipe, data, seed=config["seed"], device=shared.device, precision=shared.precision)
    return TrainingRun(
        trainer,
        shared.evaluator.to(trainer.device),
        shared.run.child(f"trials/{config['trial']}"),
        total_kimg=shared.total_kimg,
        interval_kimg=shared.interval_kimg,
        provenance={**shared.provenance, "trial": config["trial"]},
    )


def _report(config: dict[str, Any], metrics: dict[str, Any], outcome: str) -> None:
    tune.report(
        {
            **metrics,
            "trial": config["trial"],
            "source": config["source"],
            "outcome": outcome,
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
    )


def _give_up(config: dict[str, Any], outcome: str, reason: str) -> None:
    """Report once more, with the same fields as ever: Tune ends a sweep over a missing one."""
    _report(config, empty_report(reason).metrics(), outcome)


def empty_report(reason: str) -> Report:
    """Return a report that tells nothing but why there is none."""
    return Report(
        kimg=0.0,
        fid=None,
        best_fid=None,
        best_kimg=None,
        score=DIVERGED_SCORE,
        g_loss=None,
        d_loss=None,
        penalty=None,
        diverged=0,
        reason=reason,
        images_per_second=None,
        eval_seconds=0.0,
        checkpoint_seconds=0.0,
        train_seconds=0.0,
        seconds=0.0,
        spread=None,
        real_score=None,
        fake_score=None,
        grad_norm_g=None,
        grad_norm_d=None,
    )


def _is_out_of_memory(error: Exception) -> bool:
    # On the CPU PyTorch raises a plain RuntimeError.
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
