"""Which versions made a result."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("torch", "torchvision", "ray", "optuna", "numpy", "scipy", "pyarrow", "torch-fidelity")


def versions() -> dict[str, str]:
    """Return the version of this program, of Python and of the packages that results depend on."""
    from gan import __version__

    found = {"gan-search": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            # gan/ alone runs without Ray and Optuna.
            continue
    return found
