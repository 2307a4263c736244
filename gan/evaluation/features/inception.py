"""`inception`: the network of standard FID (Heusel et al. 2017), from TensorFlow's graph of 2015-12-05.

torch-fidelity's port is used, input scaling and TF1 corner-origin bilinear resize to 299 included.
pytorch-fid takes half-pixel centres, and differs by about 1.6% on 64×64 images.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from gan.errors import InputError
from gan.evaluation.cache import default_cache

FILE = "pt_inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
ENVIRONMENT = "GAN_SEARCH_INCEPTION_WEIGHTS"
_FEATURES = "2048"  # torch-fidelity's name for the output of the last average pool
_BATCH = 50  # images at a time: at 299×299 one of them takes tens of megabytes on the way


def make(shape: tuple[int, ...], device: torch.device, inception_weights: Path | None = None) -> InceptionFeatures:
    """Make the extractor from the weights found by `find_weights`.

    Raises:
        InputError: rows that are not images; weights missing or unusable.
    """
    if not (len(shape) == 3 and shape[2] in (1, 3)):
        raise InputError(f"inception takes grey or RGB images, not rows of {shape}: use --features random-conv")
    return InceptionFeatures(find_weights(inception_weights)).to(device)


def find_weights(given: Path | None) -> Path:
    """Return the weights file: `given`, else named by the environment, else in the user's cache.

    Raises:
        InputError: there is none; the message names both ways out.
    """
    if given is not None:
        return _existing(given, "--inception-weights")
    if os.environ.get(ENVIRONMENT):
        return _existing(Path(os.environ[ENVIRONMENT]), ENVIRONMENT)
    path = default_cache() / FILE
    if not path.is_file():
        raise InputError(
            f"the Inception weights are missing: download {URL} to {path} (or name your copy with "
            "--inception-weights), or use --features random-conv"
        )
    return path


def _existing(path: Path, origin: str) -> Path:
    path = path.expanduser()
    if not path.is_file():
        raise InputError(f"{origin}: there is no file {path}; get it from {URL}, or use --features random-conv")
    return path


class InceptionFeatures:
    """Pool3 features of the 2015 Inception network; see `FeatureExtractor`.

    Args:
        path: of the weights; needed again where a pickled extractor arrives.
        expected: sha256 that they must have, None for any.

    Raises:
        InputError: unreadable, pickled code, another network's, or another hash than expected.
    """

    name = "inception"
    resize = "TF1 bilinear to 299"
    dimensions = 2048

    def __init__(self, path: Path, expected: str | None = None) -> None:
        content = _read(path)
        self._path = path
        self.weights_sha256 = hashlib.sha256(content).hexdigest()
        if expected not in (None, self.weights_sha256):
            raise InputError(f"{path}: other Inception weights than the evaluation was prepared with")
        self._network = _build(_load(content, path), path)
        self._device = torch.device("cpu")

    def __reduce__(self) -> tuple[object, ...]:
        return InceptionFeatures, (self._path, self.weights_sha256)

    def to(self, device: torch.device | str) -> Self:
        self._device = torch.device(device)
        self._network.to(self._device)
        return self

    @torch.no_grad()
    def __call__(self, rows: Tensor) -> Tensor:
        pixels = rows.to(self._device).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
        # A caller's autocast or TF32 must not reach in: a score may not depend on who asks for it.
        with (
            torch.autocast(self._device.type, enabled=False),
            torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
        ):
            return torch.cat([self._network(part)[0] for part in torch.split(pixels, _BATCH)])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot read the Inception weights ({error.strerror})") from error


def _load(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception as error:  # a foreign file can fail in many ways, none of which is ours
        raise InputError(f"{path}: not a readable file of Inception weights; get it from {URL}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: holds no network's weights; get them from {URL}")
    return state


def _build(state: dict[str, Tensor], path: Path) -> Any:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # Given a path it would unpickle whatever is there, given none it would download: so it gets a
    # file in memory, written here from tensors that were loaded safely.
    safe = io.BytesIO()
    torch.save(state, safe)
    safe.seek(0)
    try:
        # Drawing its initial weights must not move a trial's random stream.
        with torch.random.fork_rng(devices=[]):
            network = FeatureExtractorInceptionV3("inception", [_FEATURES], feature_extractor_weights_path=safe)
    except RuntimeError as error:
        raise InputError(f"{path}: these are not weights of the 2015 Inception network; see {URL}") from error
    return network.to(memory_format=torch.channels_last)
