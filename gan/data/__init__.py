"""Data sets by URI: the registry of sources, and `open_data`, the one door to all of them."""

from __future__ import annotations

import inspect
from collections.abc import Container
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from gan.data.dataset import DataSet, Rows, Source, describe
from gan.data.packing import Progress, open_cached, open_packed, pack
from gan.data.subset import limited
from gan.data.uri import PACKED, DataUri
from gan.errors import InputError, nearest
from gan.registry import Registry

if TYPE_CHECKING:
    from gan.data.batches import Batches

__all__ = ["SOURCES", "Batches", "DataSet", "Rows", "Source", "describe", "open_data", "open_packed"]
__all__ += ["absolute_uri", "open_source", "pack", "public_name", "takes"]

SOURCES = Registry(
    "data source",
    "gan_search.data",
    {
        "faces": "gan.data.faces:Faces",
        "curves": "gan.data.curves:Curves",
        "mnist": "gan.data.idx:Mnist",
        "fashion-mnist": "gan.data.idx:FashionMnist",
        "celeba": "gan.data.celeba:Celeba",
        "folder": "gan.data.folder:Folder",
    },
)


def __getattr__(name: str) -> Any:
    # Imported when asked for: processes that decode images must not wait for PyTorch.
    if name != "Batches":
        raise AttributeError(f"module 'gan.data' has no attribute '{name}'")
    from gan.data.batches import Batches

    return Batches


_LARGEST = 4096


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


def absolute_uri(uri: str) -> str:
    """Return a data URI whose local path, if it has one, is absolute: the same from any folder."""
    parsed = DataUri.parse(uri)
    return parsed.absolute() if parsed.scheme == PACKED or parsed.scheme in SOURCES else uri


def public_name(uri: str) -> str:
    """Return what to call data in a file for others: without the folders or the bucket that it is in.

    >>> public_name("folder:/home/me/photos?limit=500")
    'folder:photos?limit=500'
    """
    parsed = DataUri.parse(uri)
    if parsed.path is None:
        return uri
    # What follows the question mark of a packed set tells how to reach its store.
    path = parsed.path.partition("?")[0] if parsed.scheme == PACKED else parsed.path
    return parsed.with_path(PurePosixPath(path).name)


def open_source(uri: str, size: int | None = None, crop: str | None = None) -> Source:
    """Return the source that a URI names, ready to be packed; see `open_data` for the arguments.

    Raises:
        InputError: an unknown scheme, or something that this source needs or does not take.
    """
    parsed = DataUri.parse(uri)
    scheme = parsed.scheme
    if scheme not in SOURCES:
        raise InputError(_unknown(uri, parsed))
    if size is not None and not 4 <= size <= _LARGEST:
        raise InputError(f"size: {size} is out of range, it must be from 4 to {_LARGEST}")
    kind = SOURCES[scheme]
    takes = inspect.signature(kind).parameters
    given = {"path": parsed.path, "size": size, "crop": crop, "channels": parsed.channels}
    for name, value in given.items():
        if value is not None and name not in takes:
            raise InputError(f"{scheme} takes no {name}, but '{value}' was given" + _usage(scheme, takes))
        needed = name in takes and takes[name].default is inspect.Parameter.empty
        if needed and (value is None or value == ""):
            how = ": give --size" if name == "size" else _usage(scheme, takes)
            raise InputError(f"{scheme} needs a {name}{how}")
    source: Source = kind(**{name: value for name, value in given.items() if value is not None})
    return limited(source, parsed.limit)


def takes(uri: str, what: str) -> bool:
    """Tell whether the source that a URI names takes a `size` or a `crop`; a packed set can be asked its size."""
    scheme = DataUri.parse(uri).scheme
    return what in inspect.signature(SOURCES[scheme]).parameters if scheme in SOURCES else what == "size"


def _usage(scheme: str, takes: Container[str]) -> str:
    return f": use {scheme}:PATH" if "path" in takes else f": use {scheme}"


def _unknown(uri: str, parsed: DataUri) -> str:
    """Say what is wrong with a URI of no known scheme."""
    scheme = parsed.scheme
    for place in filter(None, (uri, scheme if parsed.path is None else "")):
        if Path(place).is_dir():
            return f"'{place}' is a folder: use folder:{uri}"
    if scheme.lower().endswith(".zip") and Path(scheme).is_file():
        return f"'{uri}' has no kind of data before it: for the archive of CelebA use celeba:{uri}"
    if Path(uri).is_file() or "://" in uri:
        return f"'{uri}' has no kind of data before it: for a packed set use packed:{uri}"
    known = sorted([*SOURCES, PACKED])
    close = nearest(scheme, known)
    every = "" if close.startswith("there is") else f" (there is {', '.join(known)})"
    return f"unknown data source '{scheme}': {close}{every}"
