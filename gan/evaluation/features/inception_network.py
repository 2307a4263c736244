"""A faster form of the 2015 Inception network: torch-fidelity's weights, the same function up to rounding.

It differs from torch-fidelity's forward pass in four ways, none of which changes the result:

- batch norms are folded into the convolutions before them;
- the 1×1 convolutions that begin a block's branches read the same input, and run as one;
- average pooling and a 1×1 convolution are both linear and commute, so pooling comes second, on the few
  output channels instead of the many input channels;
- everything stays channels_last, including the resize, whose arithmetic equals torch-fidelity's to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 299
"""Pixels a side of the network's input."""


@dataclass(frozen=True)
class _Block:
    """The branches of a block. Each is a chain of convolutions by name; those in a tuple read the same input.

    `pool` is "average" or "max", with a 1×1 convolution, or "shrink", with stride 2 and no convolution.
    """

    branches: tuple[tuple[str | tuple[str, ...], ...], ...]
    pool: str


def _named(stem: str, *numbers: str) -> tuple[str, ...]:
    return tuple(f"{stem}_{number}" for number in numbers)


_THREE = _named("branch3x3dbl", "1", "2", "3")
_A = _Block((("branch1x1",), _named("branch5x5", "1", "2"), _THREE), "average")
_B = _Block((("branch3x3",), _THREE), "shrink")
_C = _Block((("branch1x1",), _named("branch7x7", "1", "2", "3"), _named("branch7x7dbl", *"12345")), "average")
_D = _Block((_named("branch3x3", "1", "2"), _named("branch7x7x3", *"1234")), "shrink")
_WIDE = (
    ("branch1x1",),
    ("branch3x3_1", _named("branch3x3", "2a", "2b")),
    ("branch3x3dbl_1", "branch3x3dbl_2", _named("branch3x3dbl", "3a", "3b")),
)
_BLOCKS = {
    **dict.fromkeys(("Mixed_5b", "Mixed_5c", "Mixed_5d"), _A),
    "Mixed_6a": _B,
    **dict.fromkeys(("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"), _C),
    "Mixed_7a": _D,
    "Mixed_7b": _Block(_WIDE, "average"),
    "Mixed_7c": _Block(_WIDE, "max"),
}


class FusedInception(nn.Module):
    """Pool3 features: uint8 RGB [N, H, W, 3] to float32 [N, 2048].

    Args:
        network: torch-fidelity's `FeatureExtractorInceptionV3`; left as it is.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.stem = nn.ModuleList(
            [_Convolution(getattr(network, f"Conv2d_{name}")) for name in ("1a_3x3", "2a_3x3", "2b_3x3")]
        )
        self.middle = nn.ModuleList([_Convolution(getattr(network, f"Conv2d_{name}")) for name in ("3b_1x1", "4a_3x3")])
        self.blocks = nn.ModuleList([_Mixed(getattr(network, name), block) for name, block in _BLOCKS.items()])
        self.requires_grad_(False).eval()

    def forward(self, pixels: Tensor) -> Tensor:
        images = resize(pixels)
        for convolution in self.stem:
            images = convolution(images).relu_()
        images = F.max_pool2d(images, 3, 2)
        for convolution in self.middle:
            images = convolution(images).relu_()
        images = F.max_pool2d(images, 3, 2)
        for block in self.blocks:
            images = block(images)
        return images.mean((2, 3))


def resize(pixels: Tensor) -> Tensor:
    """Scale uint8 [N, H, W, 3] to 299×299 as TensorFlow 1 did, with corner origins, and to (x − 128) / 128.

    Returns:
        float32 [N, 3, 299, 299], channels_last, equal to torch-fidelity's to the bit.
    """
    low, high, share = _neighbours(pixels.shape[2], pixels.device)
    images = pixels.float()
    left = images[:, :, low]
    images = left + (images[:, :, high] - left) * share[:, None]
    low, high, share = _neighbours(pixels.shape[1], pixels.device)
    above = images[:, low]
    images = above + (images[:, high] - above) * share[:, None, None]
    return ((images - 128) / 128).permute(0, 3, 1, 2)


def _neighbours(side: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each of 299 pixels the two source pixels around it, int64, and the weight of the second, float32."""
    places = torch.arange(SIDE, dtype=torch.float32, device=device) * torch.tensor(side / SIDE, dtype=torch.float32)
    low = places.long()
    return low, (low + 1).clamp_max(side - 1), places - low.float()


class _Convolution(nn.Module):
    """Several convolutions of the same input, with their batch norms, as one convolution without activation."""

    def __init__(self, *parts: Any) -> None:
        super().__init__()
        folded = [_fold(part) for part in parts]
        weight = torch.cat([weight for weight, _ in folded])
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        self.bias = nn.Parameter(torch.cat([bias for _, bias in folded]))
        self.stride, self.padding = parts[0].conv.stride, parts[0].conv.padding

    def forward(self, images: Tensor) -> Tensor:
        return F.conv2d(images, self.weight, self.bias, self.stride, self.padding)


def _fold(part: Any) -> tuple[Tensor, Tensor]:
    """Fold a convolution and its batch norm, in inference, into one weight and bias."""
    norm = part.bn
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    weight = part.conv.weight.double() * scale[:, None, None, None]
    return weight.float(), (norm.bias.double() - norm.running_mean.double() * scale).float()


class _Mixed(nn.Module):
    """One block: parallel branches, whose channels are joined in the original order."""

    def __init__(self, original: Any, block: _Block) -> None:
        super().__init__()
        firsts = [getattr(original, str(branch[0])) for branch in block.branches]
        self._merged = [first.conv.kernel_size == (1, 1) for first in firsts]
        heads = [first for first, merged in zip(firsts, self._merged, strict=True) if merged]
        self._pool = block.pool
        if self._pool == "average":
            heads.append(original.branch_pool)
        self._widths = [head.conv.out_channels for head in heads]
        self.heads = _Convolution(*heads)
        rest = (branch[1:] if merged else branch for branch, merged in zip(block.branches, self._merged, strict=True))
        self.chains = nn.ModuleList([_chain(original, names) for names in rest])
        self.pooled = _Convolution(original.branch_pool) if self._pool == "max" else None

    def forward(self, images: Tensor) -> Tensor:
        heads = iter(self.heads(images).split(self._widths, 1))
        out: list[Tensor] = []
        for chain, merged in zip(self.chains, self._merged, strict=True):
            out += _run(chain, next(heads).relu() if merged else images)
        return torch.cat([*out, self._pooled(images, heads)], 1)

    def _pooled(self, images: Tensor, heads: Iterator[Tensor]) -> Tensor:
        if self._pool == "average":
            # TensorFlow's average excludes padding; torch-fidelity's port does too.
            return F.avg_pool2d(next(heads), 3, 1, 1, count_include_pad=False).relu_()
        if self.pooled is not None:
            return self.pooled(F.max_pool2d(images, 3, 1, 1)).relu_()
        return F.max_pool2d(images, 3, 2)


def _chain(original: Any, names: tuple[str | tuple[str, ...], ...]) -> nn.ModuleList:
    """Return the steps of a chain, each a list of convolutions that read the previous step's output."""
    groups = [(name,) if isinstance(name, str) else name for name in names]
    return nn.ModuleList([nn.ModuleList([_Convolution(getattr(original, name)) for name in group]) for group in groups])


def _run(chain: nn.Module, images: Tensor) -> list[Tensor]:
    outputs = [images]
    for step in chain:  # type: ignore[attr-defined]
        outputs = [convolution(outputs[0]).relu_() for convolution in step]
    return outputs
