"""Nearest-neighbour upsampling by two and a 3×3 convolution, in 4/9 of the multiplications.

After upsampling, some of the nine pixels under the kernel are copies of each other. Each of the four pixels that one
pixel becomes therefore sees a 2×2 kernel on the small image; its weights are sums of the 3×3 kernel's. One convolution
computes all four phases, which are then interleaved. Results are equal up to rounding.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class UpsampledConv2d(nn.Conv2d):
    """Images N×A×H×W → N×B×2H×2W: nearest-neighbour upsampling, then a 3×3 convolution with zero padding.

    On a GPU and in bfloat16, where PyTorch's operations are faster, the two steps are done separately; so they are in
    an exported program, which must consist of PyTorch's own operations.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu" or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
            return super().forward(F.interpolate(input, scale_factor=2))
        assert self.bias is not None
        phases = F.conv2d(input, _fold(self.weight), self.bias.repeat(4), padding=1)
        images: Tensor = _Interleave.apply(phases)
        return images


def _fold(weight: Tensor) -> Tensor:
    """Turn a kernel B×A×3×3 into 4B×A×2×2: upper left, upper right, lower left and lower right pixels.

    For an upper pixel, row 0 of the kernel lies on the small image's row above, and rows 1 and 2 on the pixel's own.
    For a lower pixel, rows 0 and 1 lie on its own row, and row 2 on the one below. Columns are analogous.
    """
    half_kernels = [_sum_to_two(weight, 2, row) for row in (0, 1)]
    phases = [_sum_to_two(half_kernel, 3, column) for half_kernel in half_kernels for column in (0, 1)]
    return torch.cat(phases).contiguous(memory_format=torch.channels_last)


def _sum_to_two(weight: Tensor, dim: int, phase: int) -> Tensor:
    """Reduce three weights along a dimension to two: (a, b+c) for the first phase, (a+b, c) for the second."""
    first, second, third = weight.unbind(dim)
    return torch.stack([first, second + third] if phase == 0 else [first + second, third], dim)


class _Interleave(torch.autograd.Function):
    """Four separate phases N×4B×(H+1)×(W+1) → images N×B×2H×2W."""

    @staticmethod
    def forward(ctx: Any, phases: Tensor) -> Tensor:
        count, channels, height, width = phases.shape
        shape = (count, channels // 4, 2 * (height - 1), 2 * (width - 1))
        images = _empty(shape, phases)
        for in_image, phase in _views(images, phases):
            in_image.copy_(phase)
        return images

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        phases: Tensor = _Separate.apply(grad)
        return phases


class _Separate(torch.autograd.Function):
    """The transpose of `_Interleave`, which is its gradient. Positions that `_Interleave` drops are zero."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        count, channels, height, width = images.shape
        phases = _empty((count, 4 * channels, height // 2 + 1, width // 2 + 1), images).zero_()
        for in_image, phase in _views(images, phases):
            phase.copy_(in_image)
        return phases

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        images: Tensor = _Interleave.apply(grad)
        return images


def _empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _views(images: Tensor, phases: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return pairs of views of each phase: within the images, and on its own.

    The 2×2 kernels ran over a border of one pixel: results of lower and right pixels are shifted by one.
    """
    channels, height, width = images.shape[1], images.shape[2] // 2, images.shape[3] // 2
    views = []
    for number, (row, column) in enumerate(product((0, 1), (0, 1))):
        phase = phases[:, number * channels : (number + 1) * channels, row : row + height, column : column + width]
        views.append((images[:, :, row::2, column::2], phase))
    return views
