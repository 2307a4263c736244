"""Checks of what training needs of a machine: PyTorch, devices, data, weights, disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gan.data.workers import usable_cores
from gan.errors import InputError

GB = 10**9
LEAST_DISK, LITTLE_DISK = 1 * GB, 10 * GB
LITTLE_MEMORY = 2 * GB


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: what was checked.
        state: "ok"; "note" if a sweep can do without it; "missing" if it cannot.
        found: the result, in a few words.
        fix: what to do about it, if anything.
    """

    name: str
    state: str
    found: str
    fix: str | None = None


def examine() -> Iterator[Check]:
    """Yield one check after the other; none of them raises."""
    for name, check in (
        ("torch", _torch),
        ("gpu", _gpu),
        ("bf16", _bf16),
        ("memory", _memory),
        ("data", _data),
        ("inception", _inception),
    ):
        yield attempt(name, check)


def attempt(name: str, check: Callable[[], Check]) -> Check:
    """Return the result of `check`; an error of any kind becomes a result too."""
    try:
        return check()
    except ImportError as error:
        package = error.name or name
        return Check(name, "missing", f"cannot be imported: {error}", f"pip install {package}")
    except InputError as error:
        return Check(name, "missing", str(error))
    except Exception as error:
        return Check(name, "missing", f"{type(error).__name__}: {error}", "see the message; reinstalling may help")


def require_package(package: str, module: str | None = None) -> str:
    """Return the version of a package that can be imported.

    Raises:
        ImportError: it cannot.
    """
    import_module(module or package)
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown version"


def existing(place: Path) -> Path:
    """Return the nearest folder above a place that exists."""
    return next(parent for parent in (place, *place.absolute().parents) if parent.exists())


def disk(name: str, place: Path) -> Check:
    """Check the free space where `place` is, or would be."""
    free = shutil.disk_usage(existing(place)).free
    summary = f"{free / GB:,.1f} GB free in {existing(place)}"
    if free < LEAST_DISK:
        return Check(name, "missing", summary, f"free at least {LEAST_DISK / GB:g} GB there, or choose another place")
    if free < LITTLE_DISK:
        return Check(name, "note", summary, "enough for a small sweep; checkpoints of running trials need room")
    return Check(name, "ok", summary)


def _torch() -> Check:
    torch_version = require_package("torch")
    vision = version("torchvision")  # Installed is enough: to import it takes as long as PyTorch itself.
    return Check("torch", "ok", f"{torch_version}, torchvision {vision}; {usable_cores()} CPU cores")


def _gpu() -> Check:
    import torch

    if torch.cuda.is_available():
        cards = (torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count()))
        return Check("gpu", "ok", ", ".join(f"{card.name} ({card.total_memory / GB:.0f} GB)" for card in cards))
    if Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi"):
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "for CPUs alone"
        fix = "install a build of PyTorch that fits the driver, or update the driver (see nvidia-smi)"
        return Check("gpu", "note", f"there is one, but PyTorch (built {built}) cannot use it", fix)
    return Check("gpu", "note", "none: trials train on the CPU")


def _bf16() -> Check:
    from gan.tensors.device import choose_device, has_bf16

    device = choose_device()
    if has_bf16(device):
        return Check("bf16", "ok", f"the {device.type} multiplies in bfloat16")
    return Check("bf16", "ok", f"not in the {device.type}'s hardware: trials train in float32")


def _memory() -> Check:
    values = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (int(values[key].split()[0]) * 1024 for key in ("MemTotal", "MemAvailable"))
    summary = f"{free / GB:.1f} of {total / GB:.1f} GB free"
    if free < LITTLE_MEMORY:
        fix = "end other programs, or run fewer trials at once (--concurrent 1): a process takes about 1 GB"
        return Check("memory", "note", summary, fix)
    return Check("memory", "ok", summary)


def _data() -> Check:
    from gan.storage.cache import default_cache
    from gan.storage.storage import writing

    folder = default_cache()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    sets = [path.stat().st_size for path in (folder / "packed").glob("*.arrow")]
    packed = f"{len(sets)} packed sets, {sum(sets) / GB:.1f} GB" if sets else "nothing packed yet"
    room = disk("data", folder)
    return Check("data", room.state, f"faces and curves are built in; cache {folder}: {packed}, {room.found}", room.fix)


def _inception() -> Check:
    from gan.evaluation.features.inception import InceptionFeatures
    from gan.evaluation.features.inception_weights import find_weights

    try:
        InceptionFeatures(find_weights(None, fetch=False))
    except ImportError as error:
        return Check("inception", "note", f"cannot be used: {error}", "pip install torch-fidelity")
    except InputError as error:
        return Check("inception", "note", "no weights: FID as published cannot be measured", str(error))
    return Check("inception", "ok", "weights of the standard Inception network are here")
