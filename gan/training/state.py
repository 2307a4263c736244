"""The whole state of a training, saved and restored exactly."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gan.errors import InputError
from gan.training.trainer import Trainer

FORMAT = 1
_COUNTERS = {"images": "images", "cycles": "cycles", "due": "target_images"}
"""Key in a saved state → attribute of the trainer."""


def state_dict(trainer: Trainer) -> dict[str, Any]:
    """Return the whole state of a training: tensors, numbers and strings only."""
    return {
        "format": FORMAT,
        "settings": trainer.recipe.settings,
        "seed": trainer.seed,
        "precision": trainer.precision,
        "data_hash": trainer.data.content_hash,
        "device": trainer.device.type,
        "random": trainer.random.state,
        "latents": trainer.latents.get_state(),
        **{key: None if part is None else part.state_dict() for key, part in _parts(trainer).items()},
        **{key: getattr(trainer, attribute) for key, attribute in _COUNTERS.items()},
        **length_of(trainer),
    }


def load_state_dict(trainer: Trainer, state: dict[str, Any]) -> None:
    """Restore a saved state into a trainer of the same recipe, data and seed.

    On another type of device than the state was saved on, everything is restored but the random streams, which are
    seeded anew.

    Raises:
        InputError: the state is of another training; the message names the differences.
    """
    require_same_training(trainer, state)
    trainer.precision = state["precision"]
    for key, part in _parts(trainer).items():
        if isinstance(part, torch.optim.Optimizer):
            _load_optimizer(part, state[key])
        elif part is not None:
            part.load_state_dict(state[key])
    trainer.forget_graph()
    for key, attribute in _COUNTERS.items():
        setattr(trainer, attribute, state[key])
    if state["device"] == trainer.device.type:
        trainer.random.state = {place: stream.cpu() for place, stream in state["random"].items()}
        trainer.latents.set_state(state["latents"].cpu())
    else:
        # A random state of one type of device means nothing on another. The seed differs from the start's, so that
        # the training does not see the same draws again.
        trainer.reseed(trainer.seed + trainer.images)


def length_of(trainer: Trainer) -> dict[str, Any]:
    """Return the training's length if its numbers depend on it."""
    return {} if trainer.recipe.schedule is None else {"total_images": trainer.total_images}


def _parts(trainer: Trainer) -> dict[str, Any]:
    """Return whatever has a state of its own, by its key in a saved state."""
    parts = {
        "generator": trainer.generator,
        "discriminator": trainer.discriminator,
        "average": trainer.average,
        "optimizer_g": trainer.optimizer_g,
        "optimizer_d": trainer.optimizer_d,
        "batches": trainer.batches,
    }
    augment = trainer.critic.augment
    return parts if augment is None else parts | {"augmentation": augment}


def require_same_training(trainer: Trainer, state: dict[str, Any]) -> None:
    """Raise `InputError`, naming the differences, unless the state belongs to this training."""
    if state.get("format") != FORMAT:
        raise InputError(f"the checkpoint has format {state.get('format')}, this version reads {FORMAT}")
    mine = trainer.recipe.settings | {"seed": trainer.seed, "data": trainer.data.content_hash[:12]} | length_of(trainer)
    saved = state["settings"] | {"seed": state["seed"], "data": state["data_hash"][:12]}
    saved |= {name: state.get(name) for name in length_of(trainer)}
    names = [name for name in mine | saved if mine.get(name) != saved.get(name)]
    if names:
        differences = ", ".join(f"{name} {saved.get(name)} there, {mine.get(name)} here" for name in names)
        raise InputError(f"the checkpoint is of another training: {differences}")


def _load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Restore an optimiser, its moments in the memory format of their parameter.

    A fused optimiser walks parameter, gradient and moments as flat memory. If a moment is laid out in another order
    than its parameter, it mixes up elements without an error.
    """
    # This process decides how steps are taken, and its own tensors hold rates that follow a schedule.
    own: list[dict[str, Any]] = [
        {name: group[name] for name in ("lr", "capturable") if name in group} for group in optimizer.param_groups
    ]
    # PyTorch places step counts by `capturable`, and copies the rates.
    groups = [saved | kept for saved, kept in zip(state["param_groups"], own, strict=True)]
    optimizer.load_state_dict({**state, "param_groups": groups})
    for group, kept in zip(optimizer.param_groups, own, strict=True):
        group["lr"] = kept["lr"]
    for weight, moments in optimizer.state.items():
        for name, value in moments.items():
            if isinstance(value, Tensor):
                # Always a copy: PyTorch would go on counting steps in the tensor of the saved state.
                like = weight if value.shape == weight.shape else value
                moments[name] = torch.empty_like(like, memory_format=torch.preserve_format).copy_(value)


def cpu_copy(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's state as contiguous tensors on the CPU, which later training cannot change."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}
