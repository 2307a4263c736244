"""The registry of data sources, and opening the source that a URI names."""

from __future__ import annotations

import inspect
from collections.abc import Container
from pathlib import Path, PurePosixPath

from gan.data.dataset import Source
from gan.data.sources.subset import limited
from gan.data.uri import PACKED, DataUri
from gan.errors import InputError, nearest
from gan.registry import Registry
from gan.settings import LARGEST_SIDE, SMALLEST_SIDE

SOURCES = Registry(
    "data source",
    "gan_search.data",
    {
        "faces": "gan.data.sources.faces:Faces",
        "curves": "gan.data.sources.curves:Curves",
        "mnist": "gan.data.sources.idx:Mnist",
        "fashion-mnist": "gan.data.sources.idx:FashionMnist",
        "celeba": "gan.data.sources.celeba:Celeba",
        "folder": "gan.data.sources.folder:Folder",
    },
)


def absolute_uri(uri: str) -> str:
    """Return a data URI with its local path, if it has one, made absolute."""
    parsed = DataUri.parse(uri)
    return parsed.absolute() if parsed.scheme == PACKED or parsed.scheme in SOURCES else uri


def public_name(uri: str) -> str:
    """Return a name of the data that is safe to publish: without the folders or the bucket that hold it.

    >>> public_name("folder:/home/me/photos?limit=500")
    'folder:photos?limit=500'
    """
    parsed = DataUri.parse(uri)
    if parsed.path is None:
        return uri
    # The text after the question mark of a packed set tells how to reach its store.
    path = parsed.path.partition("?")[0] if parsed.scheme == PACKED else parsed.path
    return parsed.with_path(PurePosixPath(path).name)


def open_source(uri: str, size: int | None = None, crop: str | None = None) -> Source:
    """Return the source that a URI names; see `open_data` for the arguments.

    Raises:
        InputError: an unknown scheme, or an argument that this source lacks or does not take.
    """
    parsed = DataUri.parse(uri)
    scheme = parsed.scheme
    if scheme not in SOURCES:
        raise InputError(_unknown(uri, parsed))
    if size is not None and not SMALLEST_SIDE <= size <= LARGEST_SIDE:
        raise InputError(f"size: {size} is out of range, it must be from {SMALLEST_SIDE} to {LARGEST_SIDE}")
    kind = SOURCES[scheme]
    takes = inspect.signature(kind).parameters
    given = {"path": parsed.path, "size": size, "crop": crop, "channels": parsed.channels}
    for name, value in given.items():
        if value is not None and name not in takes:
            raise InputError(f"{scheme} takes no {name}, but '{value}' was given" + _usage(scheme, takes))
        needed = name in takes and takes[name].default is inspect.Parameter.empty
        if needed and (value is None or value == ""):
            advice = ": give --size" if name == "size" else _usage(scheme, takes)
            raise InputError(f"{scheme} needs a {name}{advice}")
    source: Source = kind(**{name: value for name, value in given.items() if value is not None})
    return limited(source, parsed.limit)


def takes(uri: str, option: str) -> bool:
    """Return whether the source that a URI names takes an option, "size" or "crop". A packed set takes its size."""
    scheme = DataUri.parse(uri).scheme
    return option in inspect.signature(SOURCES[scheme]).parameters if scheme in SOURCES else option == "size"


def _usage(scheme: str, takes: Container[str]) -> str:
    return f": use {scheme}:PATH" if "path" in takes else f": use {scheme}"


def _unknown(uri: str, parsed: DataUri) -> str:
    """Return the message for a URI of an unknown scheme."""
    scheme = parsed.scheme
    for path in filter(None, (uri, scheme if parsed.path is None else "")):
        if Path(path).is_dir():
            return f"'{path}' is a folder: use folder:{uri}"
    if scheme.lower().endswith(".zip") and Path(scheme).is_file():
        return f"'{uri}' has no kind of data before it: for the archive of CelebA use celeba:{uri}"
    if Path(uri).is_file() or "://" in uri:
        return f"'{uri}' has no kind of data before it: for a packed set use packed:{uri}"
    known = sorted([*SOURCES, PACKED])
    close = nearest(scheme, known)
    others = "" if close.startswith("there is") else f" (there is {', '.join(known)})"
    return f"unknown data source '{scheme}': {close}{others}"
