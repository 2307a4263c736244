"""Data URIs: "SCHEME" or "SCHEME:PATH", optionally followed by options such as `?limit=N` or `?channels=1`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from gan.errors import InputError, nearest

PACKED = "packed"
OPTIONS = ("limit", "channels")
_OPTIONS = re.compile(r"(?s)(.*)\?([a-z_]+=.*)")


@dataclass(frozen=True)
class DataUri:
    """A parsed data URI.

    Attributes:
        scheme: a data source's name, or "packed".
        path: the text after the colon; None if there is no colon.
        limit: the largest number of images to use; None for all.
        channels: 1 for grey; None for the source's default.
    """

    scheme: str
    path: str | None = None
    limit: int | None = None
    channels: int | None = None

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Parse a data URI.

        Raises:
            InputError: an unknown option, an invalid value, or an option that packed sets do not take.
        """
        scheme, colon, path = uri.partition(":")
        match = _OPTIONS.fullmatch(uri)
        if scheme == PACKED:
            for name in (option.partition("=")[0] for option in match[2].split("&")) if match else ():
                if name in OPTIONS:
                    raise InputError(f"{uri}: a packed set takes no {name}; give it when packing")
            match = None  # The text after the question mark is for the storage; see `Storage`.
        if match is None:
            return cls(scheme, path if colon else None)
        scheme, colon, path = match[1].partition(":")
        options = dict(option.partition("=")[::2] for option in match[2].split("&"))
        for name in options:
            if name not in OPTIONS:
                raise InputError(f"{uri}: data has no option '{name}': {nearest(name, OPTIONS)}")
        limit = _positive(uri, options["limit"]) if "limit" in options else None
        if options.get("channels", "1") != "1":
            raise InputError(f"{uri}: channels: can only be 1, which makes images grey; leave it out for colour")
        return cls(scheme, path if colon else None, limit, 1 if "channels" in options else None)

    def absolute(self) -> str:
        """Return the URI with its local path, if it has one, made absolute."""
        path = self.path
        if path and "://" not in path:
            path = str(Path(path).expanduser().absolute())
        return self.with_path(path)

    def with_path(self, path: str | None) -> str:
        """Return the URI with another path."""
        uri = self.scheme + ("" if path is None else f":{path}")
        for name in OPTIONS:
            uri = with_option(uri, name, getattr(self, name))
        return uri


def with_option(uri: str, name: str, value: int | None) -> str:
    """Return a URI with one more option after it, or unchanged if `value` is None."""
    if value is None:
        return uri
    return f"{uri}{'&' if _OPTIONS.fullmatch(uri) else '?'}{name}={value}"


def _positive(uri: str, value: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,11}", value):
        raise InputError(f"{uri}: limit: '{value}' is not a number of images above 0")
    return int(value)
