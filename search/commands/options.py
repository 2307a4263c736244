"""Options of `sweep` and `compare`, made from the fields of their specs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_args

import typer
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from gan.commands.options import Json as Json
from gan.commands.options import Settings as Settings
from gan.commands.options import parse_settings
from gan.errors import InputError
from search.plan.spec import RunSpec

DryRun = Annotated[bool, typer.Option("--dry-run", help="check everything, show the plan, start nothing")]

_NO_FLAG = {"kind", "space", "points", "grace_kimg", "reduction_factor", "futility"}
_NO_FLAG |= {"minimum_share", "published", "retries"}
"""Fields that only a sweep's file sets."""
_DECLARED = {"recipes", "settings"}
"""Fields whose flags the commands declare themselves."""


def flags_of(spec: type[RunSpec]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each field of a spec, in place of its parameter `flags`.

    `flags` receives the fields that were given on the command line, by name.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        fields = {name: field for name, field in spec.model_fields.items() if name not in _NO_FLAG | _DECLARED}

        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            given = {name: arguments.pop(name) for name in fields}
            command(flags={name: value for name, value in given.items() if value is not None}, **arguments)

        # Options that only this kind of run has come first.
        names = sorted(fields, key=RunSpec.model_fields.__contains__)
        options = [_parameter(name, _option(fields[name])) for name in names]
        parameters: list[inspect.Parameter] = []
        for own in inspect.signature(command, eval_str=True).parameters.values():
            parameters += options if own.name == "flags" else [_parameter(own.name, own.annotation, own.default)]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def _parameter(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _option(field: FieldInfo) -> Any:
    """Return the annotation of a field's option: a number if only numbers are valid, else a text."""
    kinds = {*(get_args(field.annotation) or (field.annotation,))} - {type(None)}
    is_number = kinds in ({int}, {float}) and not any(isinstance(each, BeforeValidator) for each in field.metadata)
    help = str(field.description)
    if "default" not in help:
        help += f"; default {str(field.default).removesuffix('.0')}"
    return Annotated[(kinds.pop() if is_number else str) | None, typer.Option(help=help)]


def merged(values: dict[str, Any], flags: dict[str, Any], settings: list[str] | None) -> dict[str, Any]:
    """Return a run's settings: those of a file, and over them the flags that were given."""
    values = values | flags
    in_file = values.get("settings") or {}
    if settings and isinstance(in_file, dict):  # anything else is refused with the other fields
        values["settings"] = {**in_file, **parse_settings(settings)}
    return values


def more(option: str, given: str | None) -> int:
    """Read "+N": how many more; none if the option was not given."""
    if given is None:
        return 0
    if not given.removeprefix("+").isdecimal():
        raise InputError(f"{option} {given}: give +N, how many more")
    return int(given.removeprefix("+"))
