"""The choice of the device and of the precision of a training, and the device's free memory."""

from __future__ import annotations

from pathlib import Path

import torch

from gan.errors import InputError

PRECISIONS = ("auto", "fp32", "bf16")


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called `name`; "auto" takes a GPU if there is one.

    Raises:
        InputError: no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError(f"--device {name}: this machine has no such device; use auto or cpu") from None
    return device


def gpu_count(name: str = "auto") -> int:
    """Return how many GPUs trainings on the device `name` find on this machine."""
    return torch.cuda.device_count() if name == "auto" or name.startswith("cuda") else 0


def has_bf16(device: torch.device) -> bool:
    """Return whether the device multiplies in bfloat16 natively (emulation is slower than float32)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def choose_precision(name: str, device: torch.device, *, images: bool = True) -> str:
    """Return "fp32" or "bf16"; "auto" takes bf16 for images if the hardware supports it.

    Images have 256 levels. The coordinates of other data may need more than bfloat16's eight bits, and their
    networks are small, so bf16 would gain little.

    Raises:
        InputError: an unknown precision.
    """
    if name not in PRECISIONS:
        raise InputError(f"--precision {name}: choose one of {', '.join(PRECISIONS)}")
    if name == "auto":
        return "bf16" if images and has_bf16(device) else "fp32"
    return name


def free_memory(device: torch.device) -> int | None:
    """Return the free bytes on a device (for the CPU: in the machine), or None if the system does not say.

    On a GPU, memory that PyTorch keeps but does not use counts as free. If this process has a share of the GPU, the
    result is at most what remains of it.
    """
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        free, total = torch.cuda.mem_get_info(index)
        used, reserved = torch.cuda.memory_allocated(index), torch.cuda.memory_reserved(index)
        share = int(torch.cuda.get_per_process_memory_fraction(index) * total)
        return max(0, min(free + reserved - used, share - used))
    meminfo = Path("/proc/meminfo")
    lines = meminfo.read_text().splitlines() if device.type == "cpu" and meminfo.exists() else []
    kilobytes = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return None if kilobytes is None else int(kilobytes) * 1024
