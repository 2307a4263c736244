"""The bundle, an exported generator: a folder that can be loaded and sampled on any device, without Ray.

generator.safetensors   the weights
config.json             the network, its latents, FID with its evaluation identity, all settings
samples.png             64 images from fixed latents
README.md               a model card
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from gan.bundle.files import CARD, CONFIG, SAMPLES, WEIGHTS
from gan.bundle.model_card import model_card
from gan.errors import InputError, NotFinite
from gan.networks import FAMILIES
from gan.settings import LARGEST_SIDE, build
from gan.storage.storage import Storage, Unreachable
from gan.tensors.device import choose_device
from gan.tensors.images import encode_png, grid, to_pixels
from gan.tensors.latents import LATENTS, between, fixed_latents

FORMAT = 1
SAMPLE_SEED = 0
CHANNELS = (1, 3)
_BATCH = 250
_BATCH_VALUES = 2**24
"""Largest number of values in a batch; at large image sizes it bounds the batch below `_BATCH` images."""


@dataclass(frozen=True)
class Bundle:
    """A loaded generator.

    Attributes:
        generator: maps latents N×latent_dim to images N×C×H×W in [-1, 1], in evaluation mode.
        config: the content of config.json.
        device: the device of the generator.
    """

    generator: nn.Module
    config: dict[str, Any]
    device: torch.device

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width, channels) of an image; (features,) of a vector."""
        return tuple(self.config["shape"])

    def latents(self, count: int, seed: int = 0) -> Tensor:
        """Return the first `count` latents that belong to `seed`, float32 [count, latent_dim]."""
        return fixed_latents(self.config["latent"], count, self.config["latent_dim"], seed)

    @torch.no_grad()
    def generate(self, latents: Tensor, *, strict: bool = True) -> np.ndarray:
        """Turn latents [n, latent_dim] into uint8 images n×H×W×C (float32 rows for vectors).

        Raises:
            NotFinite: if `strict`, for NaN or infinity, which would become black or white pixels.
        """
        parts = []
        for chunk in latents.split(max(1, min(_BATCH, _BATCH_VALUES // math.prod(self.shape)))):
            out = self.generator(chunk.to(self.device))
            if strict and not bool(torch.isfinite(out).all()):
                raise NotFinite("the generator's samples are not finite (NaN or infinity): its training was lost")
            parts.append((to_pixels(out) if len(self.shape) == 3 else out.float()).cpu().numpy())
        return np.concatenate(parts)

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Return `count` uint8 images N×H×W×C, which are the same for the same seed."""
        return self.generate(self.latents(count, seed))

    def walk(self, steps: int, seed: int = 0) -> np.ndarray:
        """Return `steps` uint8 images on the way from one random image to another, both included."""
        first, last = self.latents(2, seed)
        return self.generate(between(self.config["latent"], first, last, torch.linspace(0, 1, steps)))


def write_bundle(storage: Storage, weights: dict[str, Tensor], config: dict[str, Any]) -> None:
    """Write a bundle into a folder. config.json is written last, so a bundle that has it is complete.

    Args:
        storage: the folder.
        weights: the generator's state, contiguous CPU tensors.
        config: network, network_settings, latent, latent_dim, shape, and any further facts.
    """
    content = safetensors.torch.save(weights)
    config = {"format": FORMAT, **config, "generator_sha256": hashlib.sha256(content).hexdigest()}
    bundle = Bundle(_load_network(config, content, "new bundle"), config, torch.device("cpu"))
    storage.write_bytes(WEIGHTS, content)
    if len(bundle.shape) == 3:
        storage.write_bytes(
            SAMPLES, encode_png(grid(bundle.generate(bundle.latents(64, SAMPLE_SEED), strict=False), columns=8))
        )
    storage.write_bytes(CARD, model_card(config).encode())
    storage.write_bytes(CONFIG, json.dumps(config, indent=2).encode())


def load_bundle(uri: str, device: str = "cpu") -> Bundle:
    """Load an exported generator.

    Args:
        uri: a bundle's folder, local or on object storage.
        device: "auto", "cpu" or "cuda"; it need not be the device of the training.

    Raises:
        InputError: not a bundle, or one with parts that do not belong together.
    """
    storage = Storage(uri)
    config = read_config(storage, str(uri))
    try:
        content = storage.read_bytes(WEIGHTS)
    except Unreachable:
        raise
    except OSError:
        raise InputError(f"{uri}: not a bundle ({WEIGHTS} is missing)") from None
    target = choose_device(device)
    return Bundle(_load_network(config, content, str(uri)).to(target), config, target)


def read_config(storage: Storage, name: str) -> dict[str, Any]:
    """Read and check a bundle's config.json.

    Raises:
        InputError: the file is missing, has a newer format, or lacks a field that loading needs.
    """
    try:
        config = json.loads(storage.read_bytes(CONFIG))
    except Unreachable:
        raise
    except (OSError, ValueError, RecursionError):
        raise InputError(f"{name}: not a bundle (no readable {CONFIG}; see gan-search export)") from None
    if not isinstance(config, dict) or not isinstance(config.get("format"), int):
        raise InputError(f"{name}: not a bundle ({CONFIG} has no format number)")
    if config["format"] > FORMAT:
        raise InputError(f"{name}: a bundle of format {config['format']}; upgrade gan-search to read it")
    _check_config(config, f"{name}/{CONFIG}")
    return config


def _check_config(config: dict[str, Any], file: str) -> None:
    """Raise `InputError` unless a config has what loading needs, and images or vectors of a size that is supported."""
    shape: Any = config.get("shape")
    valid = isinstance(shape, list) and len(shape) in (1, 3) and all(type(n) is int for n in shape)
    if not valid or not all(1 <= n <= LARGEST_SIDE for n in shape):
        raise InputError(f"{file}: shape {shape} is not [height, width, channels] of an image")
    if len(shape) == 3 and shape[2] not in CHANNELS:
        raise InputError(f"{file}: images have 1 or 3 channels, not {shape[2]}")
    latent_dim = config.get("latent_dim")
    if type(latent_dim) is not int or not 1 <= latent_dim <= 2**20:
        raise InputError(f"{file}: latent_dim {latent_dim} is not a number of dimensions")
    if config.get("latent") not in LATENTS:
        raise InputError(f"{file}: latent {config.get('latent')} is not one of {', '.join(LATENTS)}")
    if not isinstance(config.get("network_settings"), dict) or not isinstance(config.get("network"), str):
        raise InputError(f"{file}: network or network_settings is missing")


def _load_network(config: dict[str, Any], content: bytes, name: str) -> nn.Module:
    """Build the generator and load its weights. Memory is allocated only if the sizes agree."""
    if hashlib.sha256(content).hexdigest() != config.get("generator_sha256"):
        raise InputError(f"{name}: {WEIGHTS} is damaged, or not the one that {CONFIG} describes")
    try:
        weights = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise InputError(f"{name}: {WEIGHTS} is damaged ({error})") from None
    network = _outline(config, f"{name}/{CONFIG}")
    expected = {key: (value.dtype, value.shape) for key, value in network.state_dict().items()}
    loaded = {key: (value.dtype, value.shape) for key, value in weights.items()}
    if expected != loaded:
        odd = sorted(key for key in expected | loaded if expected.get(key) != loaded.get(key))
        raise InputError(f"{name}: the weights do not fit the network of {CONFIG}: {', '.join(odd[:3])}")
    network.load_state_dict(weights, assign=True)
    network.requires_grad_(False).eval()
    return network.to(memory_format=torch.channels_last)


def _outline(config: dict[str, Any], file: str) -> nn.Module:
    """Build the generator that a config describes, without memory for its weights."""
    try:
        family = build(FAMILIES[config["network"]], config["network_settings"])
        with torch.device("meta"):
            return family.generator(tuple(config["shape"]), config["latent_dim"])
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    except RuntimeError:
        # PyTorch cannot even count so many weights.
        raise InputError(f"{file}: describes a network that is too large to be one") from None
