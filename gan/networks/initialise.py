"""Initialisations of weights. Biases start at zero in all of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gan.networks.base import WITH_KERNEL, kernel

_TRUNCATED_STD = 0.87962566103423978
"""Standard deviation of N(0, 1) truncated at ±2."""
_POWER_ITERATIONS = 15
"""Power iterations of spectral norm after its weights were drawn; PyTorch does as many when it applies the norm."""


def initialise(network: nn.Module, kind: str) -> nn.Module:
    """Draw a network's weights by one of `INITIALISATIONS`, and return the network.

    A network on PyTorch's meta device has no values to draw. Drawing them would cost seconds, as PyTorch would load its
    tracing machinery.
    """
    if not any(weight.is_meta for weight in network.parameters()):
        INITIALISATIONS[kind](network)
        _refresh_parametrizations(network)
    return network


@torch.no_grad()
def _refresh_parametrizations(network: nn.Module) -> None:
    """Update what parametrizations derived from the old weights, such as spectral norm's singular vectors."""
    for layer in network.modules():
        if parametrize.is_parametrized(layer, "weight"):
            for _ in range(_POWER_ITERATIONS):
                layer.weight  # noqa: B018 (in training mode, each access is one power iteration)


def normal_002(network: nn.Module) -> None:
    """Draw kernels from N(0, 0.02) and batch-norm scales from N(1, 0.02) (Radford et al. 2016, section 4)."""
    for module in network.modules():
        if isinstance(module, WITH_KERNEL):
            nn.init.normal_(kernel(module), 0.0, 0.02)
            _clear_bias(module)
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)


def he_normal(network: nn.Module) -> None:
    """Draw kernels of variance 2 / fan-in (He et al. 2015, arXiv:1502.01852, equation 10).

    As in Keras' `he_normal`, the normal distribution is truncated at two standard deviations and widened to that
    variance. The fan-in of a transposed k×k convolution from A to B channels is k²·B, also as in Keras: that of the
    convolution which it transposes.
    """
    _draw_kernels(network, _he)


def glorot_uniform(network: nn.Module) -> None:
    """Draw kernels from U(±√(6 / (fan-in + fan-out))) (Glorot & Bengio 2010, equation 16); Keras' default."""
    _draw_kernels(network, nn.init.xavier_uniform_)


INITIALISATIONS: dict[str, Callable[[nn.Module], None]] = {
    "normal-0.02": normal_002,
    "he-normal": he_normal,
    "glorot-uniform": glorot_uniform,
}


def _he(weight: Tensor) -> None:
    std = math.sqrt(2 / weight[0].numel()) / _TRUNCATED_STD
    nn.init.trunc_normal_(weight, 0.0, std, -2 * std, 2 * std)


def _draw_kernels(network: nn.Module, draw: Callable[[Tensor], object]) -> None:
    for module in network.modules():
        if isinstance(module, WITH_KERNEL):
            draw(kernel(module))
            _clear_bias(module)


def _clear_bias(layer: nn.Module) -> None:
    if isinstance(layer.bias, Tensor):
        nn.init.zeros_(layer.bias)
