"""The lines of a journal that a report can use: those whose well-known fields have the right types.

Only this program writes journals, but they are read wherever they have been copied to. A damaged line, or one to which
a newer version gives another meaning, must not make the report of all other trials fail.
"""

from __future__ import annotations

import math
from typing import Any, TypeGuard

_TEXT = {"trial", "recipe", "objective", "source", "provenance", "state", "command", "reason", "cause"}
_MEASURED = {"fid", "best_fid", "best_kimg", "g_loss", "d_loss", "spread"}
_MEASURED |= {"seconds", "train_seconds", "eval_seconds", "checkpoint_seconds"}
_NUMBER = {"time", "kimg", "format"} | _MEASURED
_MAPPING = {"params", "settings", "versions", "evaluation"}
_NULLABLE = {"provenance", "reason", "cause", "evaluation"} | _MEASURED


def fits_schema(event: dict[str, Any]) -> bool:
    """Tell whether a report can use an event."""
    return all(_fits(name, value) for name, value in event.items())


def _fits(name: str, value: Any) -> bool:
    if value is None and name in _NULLABLE:
        return True
    if name in _TEXT:
        return isinstance(value, str)
    if name in _NUMBER:
        return is_number(value)
    if name in _MAPPING:
        return isinstance(value, dict)
    return name != "curve" or (isinstance(value, list) and all(map(_is_point, value)))


def is_number(value: Any) -> TypeGuard[float]:
    """Tell whether a value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(item is None or is_number(item) for item in value)
