"""The checkpoints of one training: written atomically, verified when read, owned by one process."""

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
"""Checkpoints kept of a training: the last one, and the one before in case the last is damaged."""

HOLDER = "holder"
"""File that names the process which owns the checkpoints."""


class DamagedCheckpoint(Exception):
    """A checkpoint whose content differs from what was written."""


class Superseded(InputError):
    """Another process has taken over the training while this one was out of reach."""


class Checkpoints:
    """The checkpoints of one training in a folder: `<images>-<holder>.pt` beside `<images>-<holder>.json`.

    The JSON file is written last and holds the SHA-256 of the other. A checkpoint is valid only if both exist and
    agree, so an incomplete or damaged one is never loaded.

    A training may move to another process while its former process is out of reach and still training. File names
    contain the process, so that no process overwrites another's files. A process deletes only files that it has written
    itself, or that existed when it claimed the checkpoints.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._token = ""
        self._known: set[str] = set()

    @property
    def claimed(self) -> bool:
        return bool(self._token)

    def claim(self) -> None:
        """Take ownership for this process; a former owner learns of it from `require_mine`."""
        token = secrets.token_hex(8)
        self._storage.write_bytes(HOLDER, token.encode())
        self._token = token
        self._known = set(self._storage.list()) - {HOLDER}

    def require_mine(self) -> None:
        """Raise `Superseded` if another process has claimed the checkpoints since, or they have been deleted."""
        try:
            holder = self._storage.read_bytes(HOLDER)
        except FileNotFoundError:
            holder = b""
        if holder != self._token.encode():
            raise Superseded(f"{self._storage.uri}: another process trains this now")

    def save(self, kimg: float, state: dict[str, Any]) -> None:
        """Write a checkpoint, then delete all others except those just before it, so that `KEPT` remain.

        Checkpoints beyond it are deleted too: that stretch is being trained again.

        Raises:
            Superseded: see `require_mine`. Files of the other process are not touched.
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
        for name in sorted(self._known):  # .json, the seal, before the .pt that it seals
            if name.partition(".")[0] not in kept:
                self._storage.delete(name)
                self._known.discard(name)

    def latest(self, before: float | None = None) -> tuple[float, dict[str, Any]] | None:
        """Return (kimg, state) of the newest valid checkpoint, or None; damaged ones are skipped.

        Args:
            before: consider only checkpoints from before this kimg.
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
            # Other storage errors may be temporary, and do not show that the checkpoint is damaged.
            raise DamagedCheckpoint(stem) from error
        try:
            if hashlib.sha256(content).hexdigest() != seal["sha256"]:
                raise DamagedCheckpoint(stem)
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            return float(seal["kimg"]), state
        except (ValueError, KeyError, RuntimeError, TypeError, OSError) as error:
            raise DamagedCheckpoint(stem) from error
