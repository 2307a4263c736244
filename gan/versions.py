"""The versions of this program and of its packages, which are saved with results."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version

__version__ = "0.1.0"

COMPARED = ("gan-search", "python", "ray", "torch")
"""Versions that must agree between machines, because their processes exchange pickled objects."""

_PACKAGES = ("torch", "torchvision", "ray", "optuna", "numpy", "scipy", "pyarrow", "torch-fidelity")


def versions() -> dict[str, str]:
    """Return the version of this program, of Python and of the packages that results depend on."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    # Cached, because every trial asks, and looking up installed packages takes ten milliseconds.
    installed = {"gan-search": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):  # gan/ alone runs without Ray and Optuna.
            installed[package] = version(package)
    return installed


def differing(mine: Mapping[str, str], theirs: Mapping[str, str]) -> str | None:
    """Return how another machine's versions differ from those of the driver; None if those of `COMPARED` agree."""
    for name in COMPARED:
        if mine.get(name) != theirs.get(name):
            return f"it has {name} {theirs.get(name, 'missing')}, the driver {mine.get(name, 'missing')}"
    return None
