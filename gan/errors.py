"""Errors that the user can correct."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

RENAMED: dict[str, str] = {}
"""Former name of a setting, or of a field in a recipe or sweep file → its current name."""


class InputError(Exception):
    """Bad input: a flag, file, field or value that the user can correct.

    The message is one line that says what is wrong and what to do. The command line prints it and exits with status 2,
    before anything is written.
    """


class OutOfMemory(InputError, MemoryError):
    """Settings that certainly do not fit into memory; raised before anything is allocated."""


class TooFew(InputError):
    """Fewer than two rows: a covariance needs two."""


class NotFinite(InputError):
    """NaN or infinity in samples or features, as a failed training produces."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown `word`: its new name, else the closest known one, else all known ones."""
    names = sorted(known)
    if RENAMED.get(word) in names:
        return f"it is called '{RENAMED[word]}' now"
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"there is {', '.join(names) or 'none'}"
