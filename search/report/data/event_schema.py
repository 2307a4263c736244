"""Which lines of a journal a report can be made of: those whose well-known fields hold what they should.

A journal is written by this program alone, but read wherever it has been copied to. A line that is damaged, or that a
newer version means otherwise, must not take the other trials' report with it.
"""

from __future__ import annotations

import math
from typing import Any

_TEXT = frozenset({"trial", "recipe", "objective", "source", "state", "command"})
_TEXT_OR_NONE = frozenset({"reason", "cause"})
_NUMBER = frozenset({"time", "kimg", "format"})
_NUMBER_OR_NONE = frozenset({"fid", "best_fid", "best_kimg", "seconds", "g_loss", "d_loss", "spread"})
_MAPPING = frozenset({"params", "settings", "versions"})
_MAPPING_OR_NONE = frozenset({"evaluation"})


def fits_schema(event: dict[str, Any]) -> bool:
    """Tell whether an event can be folded and shown."""
    return all(_fits(name, value) for name, value in event.items())


def _fits(name: str, value: Any) -> bool:
    if name in _TEXT or name in _TEXT_OR_NONE:
        return isinstance(value, str) or (value is None and name in _TEXT_OR_NONE)
    if name in _NUMBER or name in _NUMBER_OR_NONE:
        return _is_number(value) or (value is None and name in _NUMBER_OR_NONE)
    if name in _MAPPING or name in _MAPPING_OR_NONE:
        return isinstance(value, dict) or (value is None and name in _MAPPING_OR_NONE)
    if name == "curve":
        return isinstance(value, list) and all(map(_is_point, value))
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(item is None or _is_number(item) for item in value)
