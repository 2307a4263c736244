"""Data sets by URI: the registry of sources, and `open_data`, the one door to all of them."""

from __future__ import annotations

import inspect
from collections.abc import Container
from pathlib import Path

from gan.data.batches import Batches
from gan.data.dataset import DataSet, Rows, Source, describe
from gan.data.packing import Progress, open_cached, open_packed, pack
from gan.errors import InputError, nearest
from gan.registry import Registry

__all__ = ["SOURCES", "Batches", "DataSet", "Rows", "Source", "describe", "open_data", "open_packed"]
__all__ += ["absolute_uri", "open_source", "pack"]

SOURCES = Registry(
    "data source",
    "gan_search.data",
    {
        "faces": "gan.data.faces:Faces",
        "curves": "gan.data.curves:Curves",
        "mnist": "gan.data.idx:Mnist",
        "fashion-mnist": "gan.data.idx:FashionMnist",
        "folder": "gan.data.folder:Folder",
    },
)

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
        uri: "SCHEME" or "SCHEME:PATH" with a name in `SOURCES`, or "packed:URI".
        size: pixels a side; None takes what the data has by itself, if it has a size.
        crop: for sources that crop: "center" or "center-N", N pixels a side.
        cache_dir: where the cache is, if not in the usual place.
        progress: called with the rows packed so far, and the number of all.

    Raises:
        InputError: an unknown scheme, data that is missing, empty or unreadable, or another size.

    Example:
        >>> open_data("faces", 32).shape
        (32, 32, 3)
    """
    scheme, _, path = uri.partition(":")
    if scheme != "packed":
        return open_cached(open_source(uri, size, crop), uri, cache_dir, progress)
    if crop is not None:
        raise InputError(f"{uri}: a packed set cannot be cropped; give the crop when packing it")
    if not path:
        raise InputError("packed: needs a path or URI: packed:PATH")
    dataset = open_packed(path, cache_dir)
    if size is not None and any(side != size for side in dataset.shape[:2]):
        packed = "×".join(str(side) for side in dataset.shape[:2])
        raise InputError(f"{uri}: was packed at size {packed}, not {size}: ask for that, or pack it again")
    return dataset


def absolute_uri(uri: str) -> str:
    """Return a data URI whose local path, if it has one, is absolute: the same from any folder."""
    scheme, colon, path = uri.partition(":")
    if not path or "://" in path or (scheme != "packed" and scheme not in SOURCES):
        return uri
    return f"{scheme}{colon}{Path(path).expanduser().absolute()}"


def open_source(uri: str, size: int | None = None, crop: str | None = None) -> Source:
    """Return the source that a URI names, ready to be packed; see `open_data` for the arguments.

    Raises:
        InputError: an unknown scheme, or something that this source needs or does not take.
    """
    scheme, colon, path = uri.partition(":")
    if scheme not in SOURCES:
        raise InputError(_unknown(uri, scheme))
    if size is not None and not 4 <= size <= _LARGEST:
        raise InputError(f"size: {size} is out of range, it must be from 4 to {_LARGEST}")
    kind = SOURCES[scheme]
    takes = inspect.signature(kind).parameters
    given = {"path": path if colon else None, "size": size, "crop": crop}
    for name, value in given.items():
        if value is not None and name not in takes:
            raise InputError(f"{scheme} takes no {name}, but '{value}' was given" + _usage(scheme, takes))
        needed = name in takes and takes[name].default is inspect.Parameter.empty
        if needed and (value is None or value == ""):
            how = ": give --size" if name == "size" else _usage(scheme, takes)
            raise InputError(f"{scheme} needs a {name}{how}")
    source: Source = kind(**{name: value for name, value in given.items() if value is not None})
    return source


def _usage(scheme: str, takes: Container[str]) -> str:
    return f": use {scheme}:PATH" if "path" in takes else f": use {scheme}"


def _unknown(uri: str, scheme: str) -> str:
    """Say what is wrong with a URI of no known scheme."""
    if uri and Path(uri).is_dir():
        return f"'{uri}' is a folder: use folder:{uri}"
    if Path(uri).is_file() or "://" in uri:
        return f"'{uri}' has no kind of data before it: for a packed set use packed:{uri}"
    known = sorted([*SOURCES, "packed"])
    close = nearest(scheme, known)
    every = "" if close.startswith("there is") else f" (there is {', '.join(known)})"
    return f"unknown data source '{scheme}': {close}{every}"
