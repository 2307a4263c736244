"""How users name data: "SCHEME", "SCHEME:PATH", either with "?limit=N" behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from gan.errors import InputError, nearest

PACKED = "packed"
OPTIONS = ("limit",)
_OPTIONS = re.compile(r"(?s)(.*)\?([a-z_]+=.*)")


@dataclass(frozen=True)
class DataUri:
    """A data URI taken apart.

    Attributes:
        scheme: a data source's name, or "packed".
        path: what follows the colon; None without one.
        limit: how many images are wanted at most; None for all.
    """

    scheme: str
    path: str | None = None
    limit: int | None = None

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Take a data URI apart.

        Raises:
            InputError: an option that there is not, a limit that is none, or one for a packed set.
        """
        scheme, colon, path = uri.partition(":")
        match = _OPTIONS.fullmatch(uri)
        if scheme == PACKED:
            if match and "limit" in (option.partition("=")[0] for option in match[2].split("&")):
                raise InputError(f"{uri}: a packed set takes no limit; give it when packing")
            match = None  # What follows the question mark is for the storage; see `gan.storage.resolve`.
        if match is None:
            return cls(scheme, path if colon else None)
        scheme, colon, path = match[1].partition(":")
        options = dict(option.partition("=")[::2] for option in match[2].split("&"))
        for name in options:
            if name not in OPTIONS:
                raise InputError(f"{uri}: data has no option '{name}': {nearest(name, OPTIONS)}")
        return cls(scheme, path if colon else None, _positive(uri, options["limit"]))

    def absolute(self) -> str:
        """Return the URI with an absolute path, where it has a local one: the same from any folder."""
        path = self.path
        if path and "://" not in path:
            path = str(Path(path).expanduser().absolute())
        return self.scheme + ("" if path is None else f":{path}") + limit_suffix(self.limit)


def limit_suffix(limit: int | None) -> str:
    """Return how a limit is written behind a URI."""
    return "" if limit is None else f"?limit={limit}"


def _positive(uri: str, value: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,11}", value):
        raise InputError(f"{uri}: limit: '{value}' is not a number of images above 0")
    return int(value)
