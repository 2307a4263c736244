"""Starts Ray on this machine, or joins a cluster; handles Ctrl-C meanwhile."""

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
_log = logging.getLogger(__name__)

OnShutdown = Callable[[Callable[[], None]], object]
"""Takes a function that is called after Ray has ended."""


@contextmanager
def connected(spec: RunSpec) -> Iterator[tuple[RunSpec, OnShutdown]]:
    """Connect to the cluster, or start Ray on this machine alone.

    Yields the spec with GPUs filled in, and a function that takes functions to be called after Ray has ended.

    Raises:
        InputError: the cluster cannot be reached, or lacks what a trial takes.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    owned = not ray.is_initialized()
    alone = owned and spec.address is None
    # Ray prints messages about lost nodes to stdout, where programs expect nothing but JSON.
    with _signals() as set_handlers, redirect_stdout(sys.stderr), ExitStack() as on_shutdown:
        if alone and mps.wanted(spec):
            # Workers find the service through the environment that they inherit.
            on_shutdown.enter_context(mps.service())
        try:
            if owned:
                _connect(spec)
            _log.info("connected to Ray: %s", ray.cluster_resources())
            # Ray sets signal handlers of its own when it starts, and again when it ends.
            set_handlers()
            _await_a_node(spec)
            yield _fill_gpus(spec, alone), on_shutdown.callback
        finally:
            # No signal may break off the shutdown.
            set_handlers(ignored=True)
            try:
                if owned:
                    ray.shutdown()
                    _log.info("Ray has ended")
            finally:
                set_handlers(ignored=True)


_ENVIRONMENT = {
    # We keep our own record: Tune's loggers would write each trial's history three more times.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # No sweep is resumed from Tune's snapshots.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    # We handle Ctrl-C: it ends Ray, and the user is told how to resume.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # The journal says in one line why a trial was tried again or failed.
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    # Workers start side by side, and the planner limits how many trials wait. Tune alone would start them one by one,
    # some seconds apart.
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


def _connect(spec: RunSpec) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if spec.address is None:
        # "local" starts our own Ray, even if a stale or foreign cluster is advertised.
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
    """Have Ray listen on 127.0.0.1 only, as it does on Windows and macOS anyway.

    With `_node_ip_address="127.0.0.1"` it would still use the address that other machines see.
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
    """Raise `InputError` unless something listens at host:port. Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        # Ray looks up "auto" and the like.
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise InputError(f"--address {address}: nothing answers there ({error})") from None


def _await_a_node(spec: RunSpec) -> None:
    """Ask the cluster's autoscaler for a node that holds a trial, and wait for it.

    Tune asks too, but only once trials wait, and a trial's share of a GPU must be known before.
    """
    if spec.address is None or not spec.wait_for_nodes:
        return
    from ray.autoscaler.sdk import request_resources

    end, asked = time.monotonic() + spec.wait_for_nodes, False
    while not any(node["Alive"] and holds_a_trial(node["Resources"], spec) for node in ray.nodes()):
        if time.monotonic() >= end:
            break  # The next checks name what is missing.
        if not asked:
            note(f"no node holds a trial yet: waiting up to {spec.wait_for_nodes:,.0f} s for one")
            request_resources(bundles=[{"CPU": spec.cpus_per_trial, "GPU": spec.gpus}])
            asked = True
        time.sleep(_LOOK_SECONDS)
    if asked:
        request_resources(bundles=[])  # From here on, waiting trials ask for nodes.


def _fill_gpus(spec: RunSpec, alone: bool) -> RunSpec:
    """Fill in how many GPUs a trial takes.

    Args:
        alone: whether trials run on this machine only.
    """
    resources = ray.cluster_resources()
    gpus = resources.get("GPU", 0.0)
    wanted = min(1.0, gpus) if spec.gpus_per_trial in (None, "auto") else spec.gpus
    for name, need, have in (("gpus", wanted, gpus), ("cpus", spec.cpus_per_trial, resources.get("CPU", 0.0))):
        if need > have:
            hint = "" if spec.address is None else ", or wait for an autoscaler's (--wait-for-nodes 15m)"
            flag = f"--{name}-per-trial {need:g}"
            raise InputError(f"{flag}: the cluster has {have:g}; ask for less, or add a node{hint}")
    if wanted and alone and spec.device == "auto" and choose_device().type == "cpu":
        raise InputError(
            f"Ray finds {gpus:g} GPUs on this machine and PyTorch none: install a build of PyTorch for them, or"
            " train on the CPU (--device cpu --gpus-per-trial 0)"
        )
    return spec.model_copy(update={"gpus_per_trial": wanted})


@contextmanager
def _signals() -> Iterator[Callable[..., object]]:
    """Treat SIGTERM like Ctrl-C, and ignore the second signal.

    Yields a function that sets these handlers again, in case others have replaced them, or that ignores all signals.
    """
    ignoring = False

    def interrupt(*_: object) -> None:
        # A second signal must not break off the clean-up that the first one began.
        set_handlers(ignored=True)
        raise KeyboardInterrupt

    def set_handlers(ignored: bool = False) -> dict[int, Any]:
        nonlocal ignoring
        ignoring = ignoring or ignored
        handler = signal.SIG_IGN if ignoring else interrupt
        return {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}

    try:
        before = set_handlers()
    except ValueError:
        # This is not the main thread: the caller handles signals.
        yield lambda ignored=False: None
        return
    try:
        yield set_handlers
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
