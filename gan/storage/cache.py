"""The folder of this user's caches."""

from __future__ import annotations

import os
from pathlib import Path


def default_cache() -> Path:
    """Return $GAN_SEARCH_CACHE, else $XDG_CACHE_HOME/gan-search, else ~/.cache/gan-search."""
    own, shared = os.environ.get("GAN_SEARCH_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own).expanduser()
    return (Path(shared) if shared else Path.home() / ".cache") / "gan-search"
