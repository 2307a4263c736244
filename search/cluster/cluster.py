"""Ray: starting it on this machine alone or joining a cluster, and what Ctrl-C does meanwhile."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import Any

import ray
from ray._private import ray_constants
from ray.exceptions import RayError

from gan.errors import InputError
from gan.tensors.device import choose_device
from gan.terminal import note
from search.cluster import mps
from search.cluster.nodes import holds_a_trial
from search.plan.spec import RunSpec

_LOOK_SECONDS = 2.0

OnShutdown = Callable[[Callable[[], None]], object]
"""Takes what is to be done once Ray has ended."""


@contextmanager
def connected(spec: RunSpec) -> Iterator[tuple[RunSpec, OnShutdown]]:
    """Connect to the cluster, or start Ray on this machine alone.

    Yields the spec with GPUs filled in, and a function that takes what is to be done once Ray has ended.

    Raises:
        InputError: the cluster cannot be reached, or lacks what a trial takes.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    mine = not ray.is_initialized()
    # What Ray has to say of lost nodes it prints to stdout, where programs expect nothing but JSON.
    with _signals() as ours, redirect_stdout(sys.stderr), ExitStack() as on_shutdown:
        if mine and spec.address is None and mps.wanted(spec):
            # Workers find it by what they inherit.
            on_shutdown.enter_context(mps.service())
        try:
            if mine:
                _connect(spec)
            # Ray sets signal handlers of its own as it starts, and others as it ends.
            ours()
            _await_a_node(spec)
            yield _fill_gpus(spec, here=mine and spec.address is None), on_shutdown.callback
        finally:
            # What is begun now is brought to its end.
            ours(ignored=True)
            try:
                if mine:
                    ray.shutdown()
            finally:
                ours(ignored=True)


_ENVIRONMENT = {
    # We keep our own record: Tune's loggers would write each trial's history three more times.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Its snapshots are not what a sweep is resumed from.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    # Ctrl-C is ours: it ends Ray, and says how to resume.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # Why a trial was tried again or failed is in the journal, in one line.
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    # Workers start side by side; how many trials wait for one is the planner's to say. Left to itself, Tune would start
    # one after the other, each some seconds after the last.
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


def _connect(spec: RunSpec) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if spec.address is None:
        # "local" starts a Ray of our own even where a stale or foreign cluster is advertised.
        with _on_loopback():
            ray.init(address="local", include_dashboard=False, object_store_memory=256 * 2**20, **quiet)
        return
    _require_answer(spec.address)
    try:
        ray.init(address=spec.address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"--address {spec.address}: it cannot be joined ({reason})") from None


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Have Ray listen at 127.0.0.1 alone, as it does by itself on Windows and macOS.

    Told `_node_ip_address="127.0.0.1"`, it takes the address that other machines see instead.
    """
    name = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    before = os.environ.get(name), ray_constants.ENABLE_RAY_CLUSTER
    os.environ[name], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before[1]
        if before[0] is None:
            del os.environ[name]
        else:
            os.environ[name] = before[0]


def _require_answer(address: str) -> None:
    """Raise `InputError` unless something listens at host:port: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        # "auto" and the like are Ray's to look up.
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise InputError(f"--address {address}: nothing answers there ({error})") from None


def _await_a_node(spec: RunSpec) -> None:
    """Wait for a node that holds a trial, having asked the cluster's autoscaler for one.

    Tune asks by itself, but only once trials wait, and what a trial takes of the GPUs is settled before.
    """
    if spec.address is None or not spec.wait_for_nodes:
        return
    from ray.autoscaler.sdk import request_resources

    end, told = time.monotonic() + spec.wait_for_nodes, False
    while not any(node["Alive"] and holds_a_trial(node["Resources"], spec) for node in ray.nodes()):
        if time.monotonic() >= end:
            break  # What is missing is told by the checks that follow.
        if not told:
            note(f"no node holds a trial yet: waiting up to {spec.wait_for_nodes:,.0f} s for one")
            request_resources(bundles=[{"CPU": spec.cpus_per_trial, "GPU": spec.gpus}])
            told = True
        time.sleep(_LOOK_SECONDS)
    if told:
        request_resources(bundles=[])  # From here on waiting trials ask for nodes.


def _fill_gpus(spec: RunSpec, here: bool) -> RunSpec:
    """Settle how much of a GPU a trial takes; `here` says that trials run on this machine alone."""
    there = ray.cluster_resources()
    gpus = there.get("GPU", 0.0)
    wanted = min(1.0, gpus) if spec.gpus_per_trial in (None, "auto") else spec.gpus
    for name, need, have in (("gpus", wanted, gpus), ("cpus", spec.cpus_per_trial, there.get("CPU", 0.0))):
        if need > have:
            hint = (
                "add a node"
                if spec.address is None
                else "add a node, or wait for an autoscaler's (--wait-for-nodes 15m)"
            )
            raise InputError(f"--{name}-per-trial {need:g}: the cluster has {have:g}; ask for less, or {hint}")
    if wanted and here and spec.device == "auto" and choose_device().type == "cpu":
        raise InputError(
            f"Ray finds {gpus:g} GPUs on this machine and PyTorch none: install a build of PyTorch for them, or"
            " train on the CPU (--device cpu --gpus-per-trial 0)"
        )
    return spec.model_copy(update={"gpus_per_trial": wanted})


@contextmanager
def _signals() -> Iterator[Callable[..., object]]:
    """Treat SIGTERM as Ctrl-C, and the second signal as none.

    Yields what sets these handlers once more, where others may have been set meanwhile, or has signals ignored.
    """
    ignoring = False

    def interrupt(*_: object) -> None:
        # A second signal must not break off the clearing up that the first has begun.
        ours(ignored=True)
        raise KeyboardInterrupt

    def ours(ignored: bool = False) -> dict[int, Any]:
        nonlocal ignoring
        ignoring = ignoring or ignored
        handler = signal.SIG_IGN if ignoring else interrupt
        return {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}

    try:
        before = ours()
    except ValueError:
        # Not the main thread: signals are the caller's.
        yield lambda ignored=False: None
        return
    try:
        yield ours
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
