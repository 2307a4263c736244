"""Registries of implementations by name. A new one is one file, and one line in its package's registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from gan.errors import InputError, nearest

NONE = "none"


class Registry(Mapping[str, Any]):
    """A mapping from public names to objects that are imported on first use.

    Args:
        kind: what is registered, as error messages call it ("objective").
        group: the entry-point group by which other installed packages add names, so that extending needs no fork.
        entries: name → "module:attribute".
        optional: whether a training can do without; its name is then "none".
    """

    def __init__(self, kind: str, group: str, entries: dict[str, str], optional: bool = False) -> None:
        self.kind = kind
        self.optional = optional
        self._group = group
        self._entries = entries

    def _targets(self) -> dict[str, str]:
        plugins = {point.name: point.value for point in entry_points(group=self._group)}
        return plugins | self._entries

    def __getitem__(self, name: str) -> Any:
        """Return the object that is registered under `name`.

        Raises:
            InputError: the name is unknown (the message names the closest match), or another package's object cannot
                be imported.
        """
        # Built-in names first: reading entry points takes 20 ms, and a sweep asks often.
        if name in self._entries:
            return _load(self._entries[name])
        targets = self._targets()
        if name not in targets:
            hint = nearest(name, [*targets, NONE] if self.optional else targets)
            raise InputError(f"unknown {self.kind} '{name}': {hint if targets else 'only none is installed'}")
        try:
            return _load(targets[name])
        except Exception as error:  # importing another package's module can raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(
                f"{self.kind} '{name}' of another package cannot be loaded from {targets[name]} ({reason}):"
                " repair that package, or uninstall it"
            ) from error

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._targets()

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets())

    def __len__(self) -> int:
        return len(self._targets())


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
