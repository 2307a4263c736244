"""GANs to train, judge and sample. Needs PyTorch; never imports Ray.

>>> from gan import load_bundle
>>> images = load_bundle("results/demo/best/1").sample(16, seed=0)   # uint8, 16×H×W×C
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gan.versions import __version__

if TYPE_CHECKING:
    from gan.bundle.bundle import Bundle, load_bundle
    from gan.data.packed.opening import open_data
    from gan.errors import InputError
    from gan.recipe.recipe import Recipe, load_recipe
    from gan.training.trainer import Trainer

__all__ = ["Bundle", "InputError", "Recipe", "Trainer", "__version__", "load_bundle", "load_recipe", "open_data"]

_HOMES = {
    "Bundle": "gan.bundle.bundle",
    "InputError": "gan.errors",
    "Recipe": "gan.recipe.recipe",
    "Trainer": "gan.training.trainer",
    "load_bundle": "gan.bundle.bundle",
    "open_data": "gan.data.packed.opening",
    "load_recipe": "gan.recipe.recipe",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: `gan-search --help` must not wait for PyTorch.
    if name not in _HOMES:
        raise AttributeError(f"module 'gan' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
