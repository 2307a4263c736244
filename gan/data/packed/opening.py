"""`open_data`, which opens any data set."""

from __future__ import annotations

from pathlib import Path

from gan.data.dataset import DataSet
from gan.data.packed.packing import Progress, open_cached, open_packed
from gan.data.sources.opening import open_source
from gan.data.uri import PACKED, DataUri
from gan.errors import InputError


def open_data(
    uri: str,
    size: int | None = None,
    *,
    crop: str | None = None,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> DataSet:
    """Open a data set, memory-mapped. Data that are not packed yet are packed into this machine's cache.

    The cache is in `$GAN_SEARCH_CACHE`, else `$XDG_CACHE_HOME/gan-search`, else `~/.cache/gan-search`.
    Processes that open the same data at the same time pack it once.

    Args:
        uri: "SCHEME" or "SCHEME:PATH" with a name in `SOURCES`, or "packed:URI". All but packed sets take
            "?limit=N", which uses only N images, chosen evenly by a fixed seed. Folders and CelebA take
            "?channels=1", which makes images grey, of one channel.
        size: pixels a side; None takes the size that the data have themselves, if any.
        crop: for sources that crop: "center", "center-N" of N pixels a side, or "top-bottom-N", which
            first cuts off N rows at the top and at the bottom.
        cache_dir: the cache folder, if not the default.
        progress: called with the number of rows packed so far and the number of all rows.

    Raises:
        InputError: an unknown scheme, data that are missing, empty or unreadable, or the wrong size.

    Example:
        >>> open_data("faces", 32).shape
        (32, 32, 3)
    """
    parsed = DataUri.parse(uri)
    if parsed.scheme != PACKED:
        return open_cached(open_source(uri, size, crop), uri, cache_dir, progress)
    if crop is not None:
        raise InputError(f"{uri}: a packed set cannot be cropped; give the crop when packing it")
    if not parsed.path:
        raise InputError("packed: needs a path or URI: packed:PATH")
    dataset = open_packed(parsed.path, cache_dir)
    if size is not None and any(side != size for side in dataset.shape[:2]):
        packed = "×".join(str(side) for side in dataset.shape[:2])
        raise InputError(f"{uri}: was packed at size {packed}, not {size}: ask for that, or pack it again")
    return dataset
