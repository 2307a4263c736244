"""A 3×3 convolution of an image that was doubled by nearest neighbour, at 4/9 of the multiplications.

Of the nine pixels under the kernel some are copies of each other, so that each of the four pixels which
one pixel turns into sees a 2×2 kernel of sums of the 3×3 kernel's weights, on the image as it was. One
convolution makes all four, which are then put in their places. The same numbers, up to rounding.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class UpsampledConv2d(nn.Conv2d):
    """Images N×A×H×W → N×B×2H×2W: doubled by nearest neighbour, then convolved 3×3 with a border of zeros.

    Where the device has better (a GPU, or bfloat16), the two steps follow one another as written; and so they do
    in a program that is exported, which has to be of PyTorch's own operations.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu" or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
            return super().forward(F.interpolate(input, scale_factor=2))
        assert self.bias is not None
        fours = F.conv2d(input, _fold(self.weight), self.bias.repeat(4), padding=1)
        images: Tensor = _Interleave.apply(fours)
        return images


def _fold(weight: Tensor) -> Tensor:
    """Turn a kernel B×A×3×3 into 4B×A×2×2: for upper left, upper right, lower left and lower right pixels.

    An upper pixel sees row 0 of the kernel above its own pixel of the small image, and rows 1 and 2 on it;
    a lower one rows 0 and 1 on it, and row 2 below. Columns likewise.
    """
    halves = [_two(weight, 2, row) for row in (0, 1)]
    fours = [_two(half, 3, column) for half in halves for column in (0, 1)]
    return torch.cat(fours).contiguous(memory_format=torch.channels_last)


def _two(weight: Tensor, dim: int, place: int) -> Tensor:
    """Sum three weights along a dimension to two: a, b+c for the first place, a+b, c for the second."""
    first, second, third = weight.unbind(dim)
    return torch.stack([first, second + third] if place == 0 else [first + second, third], dim)


class _Interleave(torch.autograd.Function):
    """N×4B×(H+1)×(W+1), the pixels of each kind by themselves → N×B×2H×2W."""

    @staticmethod
    def forward(ctx: Any, fours: Tensor) -> Tensor:
        count, channels, height, width = fours.shape
        shape = (count, channels // 4, 2 * (height - 1), 2 * (width - 1))
        images = _empty(shape, fours)
        for whole, part in _places(images, fours):
            whole.copy_(part)
        return images

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        fours: Tensor = _Separate.apply(grad)
        return fours


class _Separate(torch.autograd.Function):
    """The transpose of `_Interleave`, and its gradient: places that it leaves out are zero."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        count, channels, height, width = images.shape
        fours = _empty((count, 4 * channels, height // 2 + 1, width // 2 + 1), images).zero_()
        for whole, part in _places(images, fours):
            part.copy_(whole)
        return fours

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        images: Tensor = _Interleave.apply(grad)
        return images


def _empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _places(images: Tensor, fours: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return views of the pixels of each kind, in the whole image and by themselves.

    The 2×2 kernels ran over a border of one: a lower or right pixel's result is one place further on.
    """
    channels, height, width = images.shape[1], images.shape[2] // 2, images.shape[3] // 2
    found = []
    for number, (row, column) in enumerate(product((0, 1), (0, 1))):
        part = fours[:, number * channels : (number + 1) * channels, row : row + height, column : column + width]
        found.append((images[:, :, row::2, column::2], part))
    return found
