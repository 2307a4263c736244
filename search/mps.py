"""CUDA's Multi-Process Service: with it, a GPU runs the kernels of several processes side by side, not in turns."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gan.terminal import note

if TYPE_CHECKING:
    from search.spec import RunSpec

CONTROL = "nvidia-cuda-mps-control"
PIPES, LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
USUAL_PIPES = "/tmp/nvidia-mps"

_SECONDS = 60
_SECONDS_TO_QUIT = 5
_OPEN_GPU = """
import ctypes
cuda, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p()
raise SystemExit(bool(cuda.cuInit(0) or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)))
"""


def runs() -> bool:
    """Tell whether processes that start on this machine find the service."""
    return (Path(os.environ.get(PIPES, USUAL_PIPES)) / "control").exists()


def wanted(spec: RunSpec) -> bool:
    """Tell whether trials are to share a GPU."""
    return spec.device != "cpu" and (spec.gpus_per_trial == "auto" or 0 < spec.gpus < 1)


@contextmanager
def service() -> Iterator[None]:
    """Run the service for the processes that are started meanwhile, where the driver brings it.

    One that runs already serves as well. Where none can be had, processes take turns on the GPU, as they do anyway.
    """
    if runs() or shutil.which(CONTROL) is None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="gan-search-mps-", ignore_cleanup_errors=True) as folder:
        places = {PIPES: f"{folder}/pipe", LOGS: f"{folder}/log"}
        for place in places.values():
            Path(place).mkdir()
        with_it = os.environ | places
        served = _succeeds([CONTROL, "-d"], with_it) and _succeeds([sys.executable, "-c", _OPEN_GPU], with_it)
        if served:
            os.environ.update(places)
        else:
            note(f"{CONTROL} does not serve here: trials that share a GPU take turns")
        try:
            yield
        finally:
            if served:
                for name in places:
                    del os.environ[name]
            _succeeds([CONTROL], with_it, f"quit -t {_SECONDS_TO_QUIT}\n")


def _succeeds(command: list[str], environment: dict[str, str], said: str = "") -> bool:
    try:
        return not subprocess.run(
            command, env=environment, input=said, text=True, capture_output=True, timeout=_SECONDS
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False
