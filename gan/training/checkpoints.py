"""The checkpoints of one training: written whole, verified when read, owned by one process."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
from typing import Any

import torch

from gan.errors import InputError
from gan.storage.storage import Storage

KEPT = 2
"""Checkpoints kept of a training: the last, and the one before it in case the last is damaged."""

HOLDER = "holder"
"""File that names the process whose checkpoints these are."""


class DamagedCheckpoint(Exception):
    """A checkpoint whose content is not what was written."""


class Superseded(InputError):
    """Another process trains this now: it was taken over while this one was out of reach."""


class Checkpoints:
    """The checkpoints of one training in a folder: `<images>-<holder>.pt` beside `<images>-<holder>.json`.

    The JSON file, written last, holds the other's SHA-256: a checkpoint counts only when both are
    there and agree, so one cut short or damaged is never taken for whole.

    A training may move to another process while the one that had it is out of reach and trains on. Names hold
    the process, so that none writes over what another wrote, and none deletes what it has not written or found.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._token = ""
        self._known: set[str] = set()

    @property
    def claimed(self) -> bool:
        return bool(self._token)

    def claim(self) -> None:
        """Make them this process's; one that had them finds out by `require_mine`."""
        token = secrets.token_hex(8)
        self._storage.write_bytes(HOLDER, token.encode())
        self._token = token
        self._known = set(self._storage.list()) - {HOLDER}

    def require_mine(self) -> None:
        """Raise `Superseded` if another process has claimed them since, or they have been cleared away."""
        try:
            holder = self._storage.read_bytes(HOLDER)
        except FileNotFoundError:
            holder = b""
        if holder != self._token.encode():
            raise Superseded(f"{self._storage.uri}: another process trains this now")

    def save(self, kimg: float, state: dict[str, Any]) -> None:
        """Write a checkpoint, then drop all but it and those just before it, `KEPT` in all.

        What lies beyond it is of a stretch that is being trained anew.

        Raises:
            Superseded: see `require_mine`; what others have written is untouched.
        """
        if not self.claimed:
            self.claim()
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content, images = buffer.getvalue(), f"{round(kimg * 1000):012d}"
        stem = f"{images}-{self._token}"
        seal = {"kimg": kimg, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, data in ((f"{stem}.pt", content), (f"{stem}.json", json.dumps(seal).encode())):
            self.require_mine()
            self._storage.write_bytes(name, data)
            self._known.add(name)
        before = sorted(name[:-5] for name in self._known if name.endswith(".json") and name < images)
        kept = [*before[1 - KEPT :], stem]
        for name in sorted(self._known):  # the seal goes before what it seals
            if name.partition(".")[0] not in kept:
                self._storage.delete(name)
                self._known.discard(name)

    def latest(self, before: float | None = None) -> tuple[float, dict[str, Any]] | None:
        """Return (kimg, state) of the newest whole checkpoint, or None; damaged ones are passed over.

        Args:
            before: only those made earlier than this kimg.
        """
        for stem in reversed(self._stems()):
            try:
                kimg, state = self._load(stem)
            except DamagedCheckpoint:
                continue
            if before is None or kimg < before:
                return kimg, state
        return None

    def _stems(self) -> list[str]:
        return sorted(name[:-5] for name in self._storage.list() if name.endswith(".json"))

    def _load(self, stem: str) -> tuple[float, dict[str, Any]]:
        try:
            seal = json.loads(self._storage.read_bytes(f"{stem}.json"))
            content = self._storage.read_bytes(f"{stem}.pt")
        except (FileNotFoundError, ValueError) as error:
            # Any other trouble with storage may pass, and says nothing of the checkpoint.
            raise DamagedCheckpoint(stem) from error
        try:
            if hashlib.sha256(content).hexdigest() != seal["sha256"]:
                raise DamagedCheckpoint(stem)
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            return float(seal["kimg"]), state
        except (ValueError, KeyError, RuntimeError, TypeError, OSError) as error:
            raise DamagedCheckpoint(stem) from error
