"""The one kind of error that is the user's to mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

RENAMED: dict[str, str] = {}
"""Former name of a setting, or of a field of a recipe's or sweep's file → its name today."""


class InputError(Exception):
    """Bad input: a flag, file, field or value that the user can put right.

    The message is one line that names what is wrong and what to do. The command line prints it and
    exits with status 2; nothing has been written by then.
    """


class OutOfMemory(InputError, MemoryError):
    """Settings of which it is certain, before anything is allocated, that they do not fit into memory."""


class TooFew(InputError):
    """Fewer than two rows, where a covariance is wanted."""


class NotFinite(InputError):
    """NaN or infinity where numbers are needed: samples or features of a training that was lost."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown `word`: its new name, else the closest known one, else the list of all."""
    names = sorted(known)
    if RENAMED.get(word) in names:
        return f"it is called '{RENAMED[word]}' now"
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"there is {', '.join(names) or 'none'}"
