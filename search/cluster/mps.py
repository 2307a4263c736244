"""CUDA's Multi-Process Service: with it, a GPU runs the kernels of several processes side by side, not in turns."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gan.storage.lock import lock, locked_file
from gan.terminal import note

if TYPE_CHECKING:
    from search.plan.spec import RunSpec

CONTROL = "nvidia-cuda-mps-control"
PIPES, LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
USUAL_PIPES = "/tmp/nvidia-mps"

_FOLDERS = "gan-search-mps-"
_HOLD = "hold"
"""File of a service's folder that is locked as long as the process that started it lives."""
_SECONDS = 60
_SECONDS_TO_QUIT = 5
_NONE_THERE = "Cannot find MPS control daemon"
_OPEN_GPU = """
import ctypes
cuda, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p()
raise SystemExit(bool(cuda.cuInit(0) or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)))
"""


def runs() -> bool:
    """Tell whether processes that start on this machine find the service."""
    try:
        if not (Path(os.environ.get(PIPES, USUAL_PIPES)) / "control").exists():
            return False
    except OSError:  # Another user's, and not to be reached.
        return False
    # One that was killed leaves its files. In a container only they may be there, and the tool that asks is not.
    return shutil.which(CONTROL) is None or _NONE_THERE not in _told("get_server_list", os.environ)


def wanted(spec: RunSpec) -> bool:
    """Tell whether trials are to share a GPU."""
    return spec.device != "cpu" and (spec.gpus_per_trial == "auto" or 0 < spec.gpus < 1)


@contextmanager
def service() -> Iterator[None]:
    """Run the service for the processes that are started meanwhile, where the driver brings it.

    One that runs already serves as well. Where none can be had, processes take turns on the GPU, as they do anyway.
    """
    if shutil.which(CONTROL) is None or runs():
        yield
        return
    _end_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=_FOLDERS))
    with _held(folder):
        places = _places(folder)
        for place in places.values():
            Path(place).mkdir()
        before = {name: os.environ.get(name) for name in places}
        try:
            if _starts(os.environ | places):
                os.environ.update(places)
            else:
                note(f"{CONTROL} does not serve here: trials that share a GPU take turns")
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            _quit(folder)


def _places(folder: Path) -> dict[str, str]:
    return {PIPES: f"{folder}/pipe", LOGS: f"{folder}/log"}


def _starts(environment: dict[str, str]) -> bool:
    # Whoever it serves counts devices among those that it sees itself: it must see all, for their numbers to hold.
    all_devices = {name: value for name, value in environment.items() if name != "CUDA_VISIBLE_DEVICES"}
    return _succeeds([CONTROL, "-d"], all_devices) and _succeeds([sys.executable, "-c", _OPEN_GPU], environment)


def _quit(folder: Path) -> None:
    """End the service of a folder; keep the folder, for the next to find, where it does not end."""
    there = os.environ | _places(folder)
    _told(f"quit -t {_SECONDS_TO_QUIT}", there)
    if _NONE_THERE in _told("get_server_list", there):
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder, until this process ends in whatever way."""
    with locked_file(folder / "unheld"):
        (folder / "unheld").rename(folder / _HOLD)
        yield


def _end_abandoned() -> None:
    """End the services whose processes were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDERS}*"):
        with suppress(OSError), (folder / _HOLD).open("r+") as file:
            lock(file, wait=False)
            _quit(folder)


def _succeeds(command: list[str], environment: dict[str, str]) -> bool:
    try:
        return not subprocess.run(command, env=environment, capture_output=True, timeout=_SECONDS).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


def _told(command: str, environment: Mapping[str, str]) -> str:
    """Tell the service something; return what it, or who did not find it, says: nothing if that takes too long."""
    try:
        said = subprocess.run(
            [CONTROL], env=environment, input=f"{command}\n", text=True, capture_output=True, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout + said.stderr
