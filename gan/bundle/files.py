"""The files of a bundle, for those who move bundles about without loading them (and PyTorch)."""

from __future__ import annotations

import json
from typing import Any

from gan.bundle.model_card import model_card
from gan.storage.storage import Storage

WEIGHTS, CONFIG, SAMPLES, CARD = "generator.safetensors", "config.json", "samples.png", "README.md"


def is_bundle(folder: Storage) -> bool:
    """Tell whether a folder holds a whole bundle: its configuration is what is written last."""
    return folder.exists(CONFIG)


def copy_bundle(source: Storage, destination: Storage, facts: dict[str, Any] | None = None) -> None:
    """Copy a bundle, its configuration last: a copy cut short is no bundle.

    Args:
        facts: what has become known of it since, for the copy's configuration and model card.

    Raises:
        FileNotFoundError: a file is missing; a run that goes on may have replaced its best meanwhile.
    """
    content = {CARD: source.read_bytes(CARD), CONFIG: source.read_bytes(CONFIG)}
    if facts:
        config = json.loads(content[CONFIG]) | facts
        content = {CARD: model_card(config).encode(), CONFIG: json.dumps(config, indent=2).encode()}
    for name in (WEIGHTS, SAMPLES, CARD, CONFIG):
        # Data that is not images has no samples.png.
        if name != SAMPLES or source.exists(name):
            destination.write_bytes(name, content.get(name) or source.read_bytes(name))
