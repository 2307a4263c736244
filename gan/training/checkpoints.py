"""Everything a training is, as one file, and back again exactly."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
from typing import Any

import torch
from torch import Tensor, nn

from gan.errors import InputError
from gan.storage.storage import Storage
from gan.training.trainer import Trainer

FORMAT = 1
KEPT = 2
"""Checkpoints kept of a training: the last, and one before it in case the last is damaged."""


HOLDER = "holder"
"""File that names the process whose checkpoints these are."""


class DamagedCheckpoint(Exception):
    """A checkpoint whose content is not what was written."""


class Superseded(InputError):
    """Another process trains this now: it was taken over while this one was out of reach."""


def state_dict(trainer: Trainer) -> dict[str, Any]:
    """Return the whole state of a training: tensors, numbers and strings only."""
    return {
        "format": FORMAT,
        "settings": trainer.recipe.settings,
        "seed": trainer.seed,
        "precision": trainer.precision,
        "data_hash": trainer.data.content_hash,
        "generator": trainer.generator.state_dict(),
        "discriminator": trainer.discriminator.state_dict(),
        "average": None if trainer.average is None else trainer.average.state_dict(),
        "optimizer_g": trainer.optimizer_g.state_dict(),
        "optimizer_d": trainer.optimizer_d.state_dict(),
        "random": trainer.random.state,
        "latents": trainer.latents.get_state(),
        "device": trainer.device.type,
        "batches": trainer.batches.state_dict(),
        "images": trainer.images,
        "cycles": trainer.cycles,
        "due": trainer.due,
    }


def load_state_dict(trainer: Trainer, state: dict[str, Any]) -> None:
    """Put a trainer of the same recipe, data and seed into a saved state.

    On another kind of device than it was saved on, all goes on but the random streams, which begin anew.

    Raises:
        InputError: the state is of another training; the message names the differences.
    """
    require_same_training(trainer, state)
    trainer.precision = state["precision"]
    trainer.generator.load_state_dict(state["generator"])
    trainer.discriminator.load_state_dict(state["discriminator"])
    if trainer.average is not None:
        trainer.average.load_state_dict(state["average"])
    _load_optimizer(trainer.optimizer_g, state["optimizer_g"])
    _load_optimizer(trainer.optimizer_d, state["optimizer_d"])
    trainer.forget_graph()
    trainer.batches.load_state_dict(state["batches"])
    trainer.images, trainer.cycles, trainer.due = state["images"], state["cycles"], state["due"]
    if state["device"] == trainer.device.type:
        trainer.random.state = {place: stream.cpu() for place, stream in state["random"].items()}
        trainer.latents.set_state(state["latents"].cpu())
    else:
        # Random streams of one kind of device mean nothing on another: new ones, not those of the start.
        trainer.reseed(trainer.seed + trainer.images)


def require_same_training(trainer: Trainer, state: dict[str, Any]) -> None:
    """Raise `InputError`, naming the differences, unless the state belongs to this training."""
    if state.get("format") != FORMAT:
        raise InputError(f"the checkpoint has format {state.get('format')}, this version reads {FORMAT}")
    mine = trainer.recipe.settings | {"seed": trainer.seed, "data": trainer.data.content_hash[:12]}
    saved = state["settings"] | {"seed": state["seed"], "data": state["data_hash"][:12]}
    names = [name for name in mine | saved if mine.get(name) != saved.get(name)]
    if names:
        shown = ", ".join(f"{name} {saved.get(name)} there, {mine.get(name)} here" for name in names)
        raise InputError(f"the checkpoint is of another training: {shown}")


def _load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Restore an optimiser, its moments in the memory format of their parameter.

    A fused optimiser walks parameter, gradient and moments as flat memory. Where a moment is laid
    out in another order than its parameter, it mixes up elements without a word.
    """
    # How the steps are taken is this process's choice, not the saved one's.
    own = {"capturable": optimizer.defaults["capturable"]} if "capturable" in optimizer.defaults else {}
    optimizer.load_state_dict({**state, "param_groups": [group | own for group in state["param_groups"]]})
    for weight, moments in optimizer.state.items():
        for name, value in moments.items():
            if isinstance(value, Tensor):
                # A copy in any case: PyTorch would go on counting steps in the tensor of the saved state.
                like = weight if value.shape == weight.shape else value
                moments[name] = torch.empty_like(like, memory_format=torch.preserve_format).copy_(value)


def cpu_copy(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's state as contiguous tensors on the CPU, which later training cannot change."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}


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
