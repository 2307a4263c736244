"""The image sizes that a network family supports, and the error messages for all others."""

from __future__ import annotations

from gan.errors import InputError

SMALLEST_BASE, LARGEST_BASE = 4, 7


def square(network: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (side, channels) of a square image.

    Raises:
        InputError: the data is not square images.
    """
    if len(shape) != 3 or shape[0] != shape[1]:
        raise InputError(f"network {network} makes square images, not data of shape {'×'.join(map(str, shape))}")
    return shape[0], shape[2]


def doublings(network: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Split an image's side into base · 2^steps; return (base, steps, channels).

    Raises:
        InputError: the image is not square, or its side is no such product with a base from 4 to 7.
    """
    side, channels = square(network, shape)
    base, steps = side, 0
    while base % 2 == 0 and base // 2 >= SMALLEST_BASE:
        base, steps = base // 2, steps + 1
    if steps < 2 or base > LARGEST_BASE:
        raise InputError(
            f"network {network} cannot make {side}×{side}: its sizes are 4, 5, 6 or 7 times 4, 8, 16, …"
            " (16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, …)"
        )
    return base, steps, channels


def multiple(network: str, shape: tuple[int, ...], step: int) -> tuple[int, int]:
    """Return (side ÷ step, channels) of a square image whose side is a multiple of `step`.

    Raises:
        InputError: the image is not square, or its side is not a multiple.
    """
    side, channels = square(network, shape)
    if side < step or side % step:
        examples = ", ".join(str(step * times) for times in range(1, 9))
        raise InputError(
            f"network {network} cannot make {side}×{side}: its sizes are the multiples of {step} ({examples}, …)"
        )
    return side // step, channels
