"""Which versions made a result."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version

__version__ = "0.1.0"

COMPARED = ("gan-search", "python", "ray", "torch")
"""Versions that must agree: with another of these, what a process sends may mean something else to the other."""

_PACKAGES = ("torch", "torchvision", "ray", "optuna", "numpy", "scipy", "pyarrow", "torch-fidelity")


def versions() -> dict[str, str]:
    """Return the version of this program, of Python and of the packages that results depend on."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    # Every trial asks, and looking through what is installed takes ten milliseconds.
    found = {"gan-search": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            # gan/ alone runs without Ray and Optuna.
            continue
    return found


def differing(mine: Mapping[str, str], theirs: Mapping[str, str]) -> str | None:
    """Return which of another machine's versions differs, and how; None if none does that matters."""
    for name in COMPARED:
        if mine.get(name) != theirs.get(name):
            return f"it has {name} {theirs.get(name, 'missing')}, the driver {mine.get(name, 'missing')}"
    return None
