"""The files of a bundle, for code that copies bundles without loading them or PyTorch."""

from __future__ import annotations

import json
from typing import Any

from gan.bundle.model_card import model_card
from gan.storage.storage import Storage

WEIGHTS, CONFIG, SAMPLES, CARD = "generator.safetensors", "config.json", "samples.png", "README.md"
CONVERTED = ("generator.onnx", "generator.pt2")
"""Files of a generator in other formats; see `gan.bundle.portable`."""


def is_bundle(folder: Storage) -> bool:
    """Return whether a folder holds a complete bundle: its configuration is written last."""
    return folder.exists(CONFIG)


def copy_bundle(source: Storage, destination: Storage, facts: dict[str, Any] | None = None) -> None:
    """Copy a bundle, its configuration last, so that an interrupted copy is not a bundle. It replaces another one.

    Args:
        facts: further facts for the configuration and the model card of the copy.

    Raises:
        FileNotFoundError: a file is missing; a run in progress may have replaced its best bundle meanwhile.
    """
    content = {CARD: source.read_bytes(CARD), CONFIG: source.read_bytes(CONFIG)}
    if facts:
        config = json.loads(content[CONFIG]) | facts
        content = {CARD: model_card(config).encode(), CONFIG: json.dumps(config, indent=2).encode()}
    for name in (CONFIG, SAMPLES, *CONVERTED):  # Those of another bundle must not lie beside this one.
        destination.delete(name)
    for name in (WEIGHTS, SAMPLES, CARD, CONFIG):
        # Only bundles of images have samples.png.
        if name != SAMPLES or source.exists(name):
            destination.write_bytes(name, content.get(name) or source.read_bytes(name))
