"""Hyperparameters are declared once: as fields of the dataclass that uses them.

`parameter(...)` makes a dataclass field with a help text, the valid values and the range that a search samples by
default. Command-line help, validation, `recipes show` and the search space are derived from that one line.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from gan.errors import InputError, nearest

Value = float | int | str | bool
T = TypeVar("T")

SMALLEST_SIDE, LARGEST_SIDE = 4, 4096
"""Limits of an image's side, in pixels."""
MOST_THREADS = 1024
"""Largest number of threads of a training."""


@dataclass(frozen=True)
class Range:
    """An interval to search: on a logarithmic scale if `log`, over integers if both bounds are `int`."""

    low: float
    high: float
    log: bool = False

    @property
    def integer(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def __contains__(self, value: Value) -> bool:
        return not isinstance(value, str) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{_shown(self.low)} to {_shown(self.high)}" + (", log" if self.log else "")


@dataclass(frozen=True)
class Choices:
    """A set of values to search."""

    values: tuple[Value, ...]

    def __contains__(self, value: Value) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return ", ".join(map(_shown, self.values))


Space = Range | Choices


def _shown(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Parameter:
    """The declaration of one hyperparameter.

    Attributes:
        kind: the type of its values.
        default: the value if none is given.
        help: one line for the user, with the unit.
        minimum, maximum: inclusive limits of valid values.
        above: exclusive lower limit.
        choices: the valid values of a parameter of type `str`.
        search: what a search samples by default; None keeps the parameter fixed.
        needs: conditions "name=value" on other parameters; this one has an effect only if one of them holds.
    """

    kind: type
    default: Any
    help: str
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    choices: tuple[str, ...] | None = None
    search: Space | None = None
    needs: tuple[str, ...] = ()

    def check(self, name: str, value: Any) -> Value:
        """Return `value` converted to this parameter's type.

        Raises:
            InputError: the type is wrong or the value is not valid; the message names the parameter.
        """
        converted = self._convert(name, value)
        if self.choices is not None and converted not in self.choices:
            raise InputError(f"{name}: '{value}' is not one of {', '.join(self.choices)}")
        if not isinstance(converted, str):
            self._check_bounds(name, converted)
        return converted

    def _check_bounds(self, name: str, value: float) -> None:
        for bound, ok, words in (
            (self.minimum, self.minimum is None or value >= self.minimum, "at least"),
            (self.maximum, self.maximum is None or value <= self.maximum, "at most"),
            (self.above, self.above is None or value > self.above, "above"),
        ):
            if not ok:
                raise InputError(f"{name}: {value:g} is out of range, it must be {words} {bound:g}")

    def _convert(self, name: str, value: Any) -> Value:
        if self.kind is bool:
            flags: dict[Any, bool] = {True: True, False: False, "true": True, "false": False}
            key = value.lower() if isinstance(value, str) else value
            if isinstance(key, (bool, str)) and key in flags:
                return flags[key]
        elif self.kind is str and isinstance(value, str):
            return value
        elif self.kind in (int, float) and not isinstance(value, bool):
            try:
                number = float(value)
            except (TypeError, ValueError, OverflowError):
                number = math.nan
            if math.isfinite(number) and (self.kind is float or number.is_integer()):
                return number if self.kind is float else int(number)
        expected = {bool: "true or false", str: "a name", int: "a whole number", float: "a number"}[self.kind]
        raise InputError(f"{name}: '{value}' is not {expected}")


def parameter(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] | None = None,
    search: Space | None = None,
    needs: tuple[str, ...] = (),
) -> Any:
    """Declare a hyperparameter as a dataclass field; see `Parameter` for the arguments."""
    declared = Parameter(type(default), default, help, minimum, maximum, above, choices, search, needs)
    return dataclasses.field(default=default, metadata={"parameter": declared})


def parameters(owner: Any) -> dict[str, Parameter]:
    """Return the hyperparameters that a dataclass, or an instance of one, declares, in order."""
    return {
        field.name: field.metadata["parameter"] for field in dataclasses.fields(owner) if "parameter" in field.metadata
    }


def build(owner: type[T], values: dict[str, Any]) -> T:
    """Check values and build a settings dataclass from them.

    Raises:
        InputError: a name that `owner` does not declare, or a value that is not valid.
    """
    declared = parameters(owner)
    for name in values:
        if name not in declared:
            raise InputError(f"unknown setting '{name}': {nearest(name, declared)}")
    return owner(**{name: declared[name].check(name, value) for name, value in values.items()})


@dataclass(frozen=True)
class Part:
    """A replaceable part of a training: a network, an objective, a penalty, an augmentation, a schedule.

    A subclass is a frozen dataclass. Its fields, made by `parameter`, are its hyperparameters.

    Class attributes:
        defaults: training settings that replace the common defaults if this part is used.
        network_defaults: likewise for settings of the network, if it has them.
        cuda_graph_safe: whether every cycle does the same work on the device, so that a CUDA graph can replay it.
            Set it to False for a part that reads a Python number which changes during training, or that replaces
            one tensor by another.
        scheduled: its numbers that follow the training's schedule, if there is one. They are then tensors on the
            device, which the trainer sets before every cycle.
    """

    defaults: ClassVar[dict[str, Any]] = {}
    network_defaults: ClassVar[dict[str, Any]] = {}
    cuda_graph_safe: ClassVar[bool] = True
    scheduled: ClassVar[tuple[str, ...]] = ()


def to_images(kimg: float) -> int:
    """Return thousands of images as a number of images, at least one."""
    return max(1, round(kimg * 1000))
