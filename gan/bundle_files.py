"""The files of a bundle, for those who move bundles about without loading them (and PyTorch)."""

from __future__ import annotations

from gan.storage import Storage

WEIGHTS, CONFIG, SAMPLES, CARD = "generator.safetensors", "config.json", "samples.png", "README.md"


def is_bundle(folder: Storage) -> bool:
    """Tell whether a folder holds a whole bundle: its configuration is what is written last."""
    return folder.exists(CONFIG)


def copy_bundle(source: Storage, destination: Storage) -> None:
    """Copy a bundle, its configuration last: a copy cut short is no bundle.

    Raises:
        FileNotFoundError: a file is missing; a run that goes on may have replaced its best meanwhile.
    """
    for name in (WEIGHTS, SAMPLES, CARD, CONFIG):
        # Data that is not images has no samples.png.
        if name != SAMPLES or source.exists(name):
            destination.write_bytes(name, source.read_bytes(name))
