"""CUDA's Multi-Process Service, with which a GPU runs the kernels of several processes side by side, not in turns."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from gan.storage.lock import lock, locked_file
from gan.terminal import note
from search.plan.spec import RunSpec

CONTROL = "nvidia-cuda-mps-control"
PIPES, LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
USUAL_PIPES = "/tmp/nvidia-mps"

_FOLDERS = "gan-search-mps-"
_HOLD = "hold"
"""File in a service's folder, locked while the process that started it lives."""
_SECONDS = 60
_SECONDS_TO_QUIT = 5
_NOT_RUNNING = "Cannot find MPS control daemon"
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
    except OSError:  # It belongs to another user.
        return False
    # A service that was killed leaves its files. In a container there may be the files only, without the control tool.
    return shutil.which(CONTROL) is None or _NOT_RUNNING not in _control("get_server_list", os.environ)


def wanted(spec: RunSpec) -> bool:
    """Tell whether trials are to share a GPU."""
    return spec.device != "cpu" and (spec.gpus_per_trial == "auto" or 0 < spec.gpus < 1)


@contextmanager
def service() -> Iterator[None]:
    """Run the service, if the driver brings it, for the processes that are started meanwhile.

    A service that runs already is used. Without one, processes take turns on the GPU.
    """
    if shutil.which(CONTROL) is None or runs():
        yield
        return
    _end_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=_FOLDERS))
    with _locked(folder):
        variables = _variables(folder)
        for path in variables.values():
            Path(path).mkdir()
        before = {name: os.environ.get(name) for name in variables}
        try:
            if _starts(os.environ | variables):
                os.environ.update(variables)
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


def _variables(folder: Path) -> dict[str, str]:
    return {PIPES: f"{folder}/pipe", LOGS: f"{folder}/log"}


def _starts(environment: dict[str, str]) -> bool:
    # Processes number the devices among those that the service sees: it must see all of them.
    all_devices = {name: value for name, value in environment.items() if name != "CUDA_VISIBLE_DEVICES"}
    return _succeeds([CONTROL, "-d"], all_devices) and _succeeds([sys.executable, "-c", _OPEN_GPU], environment)


def _quit(folder: Path) -> None:
    """End the service of a folder. If it does not end, the folder stays for the next process to find."""
    environment = os.environ | _variables(folder)
    _control(f"quit -t {_SECONDS_TO_QUIT}", environment)
    if _NOT_RUNNING in _control("get_server_list", environment):
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a folder until this process ends, even if it is killed."""
    with locked_file(folder / "unlocked"):
        (folder / "unlocked").rename(folder / _HOLD)
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


def _control(command: str, environment: Mapping[str, str]) -> str:
    """Give the service a command; return the control tool's output, or "" if that takes too long."""
    try:
        done = subprocess.run(
            [CONTROL], env=environment, input=f"{command}\n", text=True, capture_output=True, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr
