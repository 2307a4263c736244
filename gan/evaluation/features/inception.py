"""`inception`: the network of standard FID (Heusel et al. 2017), from TensorFlow's graph of 2015-12-05.

This is torch-fidelity's port, with its input scaling and TF1's corner-origin bilinear resize to 299.
pytorch-fid uses half-pixel centres, and differs by about 1.6% on 64×64 images.
"""

from __future__ import annotations

import hashlib
import io
import logging
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from gan.errors import InputError
from gan.evaluation.features import fixed_precision
from gan.evaluation.features.inception_network import FusedInception
from gan.evaluation.features.inception_weights import SHA256, URL, find_weights

log = logging.getLogger(__name__)

_FEATURES = "2048"  # torch-fidelity's name for the output of the last average pool.
_BATCH_GPU = 125
_BATCH_CPU = 8  # Activations of so few images stay in the CPU's cache; this is 1.5 times as fast as 50.
_warned: set[str] = set()


def make(shape: tuple[int, ...], device: torch.device, inception_weights: Path | None = None) -> InceptionFeatures:
    """Make the extractor from the weights that `find_weights` finds or downloads.

    Raises:
        InputError: rows that are not images, or weights that are missing or unusable.
    """
    if not (len(shape) == 3 and shape[2] in (1, 3)):
        raise InputError(f"inception takes grey or RGB images, not rows of {shape}: use --features random-conv")
    return InceptionFeatures(find_weights(inception_weights)).to(device)


class InceptionFeatures:
    """Pool3 features of the 2015 Inception network; see `FeatureExtractor`.

    Args:
        path: file of the weights.

    Raises:
        InputError: the file cannot be read, holds pickled code, or has another network's weights.
    """

    name = "inception"
    resize = "TF1 bilinear to 299"
    dimensions = 2048

    def __init__(self, path: Path) -> None:
        content = _read(path)
        self._path = path
        self.weights_sha256 = hashlib.sha256(content).hexdigest()
        self._network = _build(_load(content, path), path)
        self._device = torch.device("cpu")
        if self.weights_sha256 not in (SHA256, *_warned):
            _warned.add(self.weights_sha256)
            log.warning(
                "%s: not the reference weights (sha256 %s…): what is measured with them is no standard FID",
                path,
                self.weights_sha256[:8],
            )

    def __reduce__(self) -> tuple[object, ...]:
        return _unpickle, (self._path, self.weights_sha256)

    def to(self, device: torch.device | str) -> Self:
        self._device = torch.device(device)
        self._network.to(self._device)
        return self

    @torch.no_grad()
    def __call__(self, rows: Tensor) -> Tensor:
        with fixed_precision(self._device):
            pixels = rows.to(self._device).expand(-1, -1, -1, 3)
            return torch.cat([self._network(part) for part in pixels.split(self._batch())])

    def _batch(self) -> int:
        return _BATCH_GPU if self._device.type != "cpu" else max(_BATCH_CPU, 2 * torch.get_num_threads())


def _unpickle(path: Path, expected: str) -> InceptionFeatures:
    """Make the extractor again, perhaps on another machine, where the weights may have another path.

    Raises:
        InputError: the weights on this machine are others.
    """
    extractor = InceptionFeatures(path if path.is_file() else find_weights(None, check=False))
    if extractor.weights_sha256 != expected:
        raise InputError(f"{extractor._path}: other Inception weights than the evaluation was prepared with")
    return extractor


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot read the Inception weights ({error.strerror})") from error


def _load(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception as error:  # PyTorch raises many kinds of errors for a damaged file.
        raise InputError(f"{path}: not a readable file of Inception weights; get it from {URL}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: does not hold a network's weights; get them from {URL}")
    return state


def _build(state: dict[str, Tensor], path: Path) -> FusedInception:
    """Load the weights into torch-fidelity's network, and convert it to the faster `FusedInception`."""
    try:
        network = _outline()
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise InputError(f"{path}: these are not weights of the 2015 Inception network; see {URL}") from error
    if not all(value.dtype == torch.float32 for value in state.values() if value.is_floating_point()):
        raise InputError(f"{path}: these weights are not float32, as the reference network's are; see {URL}")
    return FusedInception(network)


def _outline() -> Any:
    """Return torch-fidelity's network, without memory for its weights and without a draw from a random stream."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Outline(FeatureExtractorInceptionV3):  # type: ignore[misc]
        """Loads nothing in its constructor, which otherwise unpickles a given file or downloads one."""

        loaded = False

        def load_state_dict(self, *state: Any, **options: Any) -> Any:
            if self.loaded:
                return super().load_state_dict(*state, **options)
            self.loaded = True
            return None

    no_weights = io.BytesIO()
    torch.save({}, no_weights)
    no_weights.seek(0)
    with torch.device("meta"):
        return Outline("inception", [_FEATURES], feature_extractor_weights_path=no_weights)
