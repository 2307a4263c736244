"""`open_data`: the one door to all data sets."""

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
    """Open a data set, memory-mapped; one that is not packed yet is packed into this machine's cache.

    The cache is in `$GAN_SEARCH_CACHE`, else `$XDG_CACHE_HOME/gan-search`, else `~/.cache/gan-search`.
    Processes that open the same data at the same time pack it once.

    Args:
        uri: "SCHEME" or "SCHEME:PATH" with a name in `SOURCES`, or "packed:URI". All but packed sets may
            have "?limit=N" behind it: N images, chosen evenly by a fixed seed, are then the whole set. Folders
            and CelebA may have "?channels=1": their images are then grey, of one channel.
        size: pixels a side; None takes what the data has by itself, if it has a size.
        crop: for sources that crop: "center", "center-N" of N pixels a side, or "top-bottom-N", which
            cuts N rows off at either end first.
        cache_dir: where the cache is, if not in the usual place.
        progress: called with the rows packed so far, and the number of all.

    Raises:
        InputError: an unknown scheme, data that is missing, empty or unreadable, or another size.

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
