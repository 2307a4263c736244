"""GANs to train, judge and sample. Needs PyTorch; never imports Ray.

>>> from gan import load_bundle
>>> images = load_bundle("results/demo/best/1").sample(16, seed=0)   # uint8, 16×H×W×C
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gan.bundle import Bundle, load_bundle
    from gan.errors import InputError
    from gan.recipe import Recipe, load_recipe
    from gan.trainer import Trainer

__version__ = "0.1.0"
__all__ = ["Bundle", "InputError", "Recipe", "Trainer", "load_bundle", "load_recipe"]

_HOMES = {
    "Bundle": "gan.bundle",
    "InputError": "gan.errors",
    "Recipe": "gan.recipe",
    "Trainer": "gan.trainer",
    "load_bundle": "gan.bundle",
    "load_recipe": "gan.recipe",
}


def __getattr__(name: str) -> Any:
    # Imported when asked for: `gan-search --help` must not wait for PyTorch.
    if name not in _HOMES:
        raise AttributeError(f"module 'gan' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
