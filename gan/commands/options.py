"""Options that several commands take, and how their values are read."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from gan.errors import InputError
from gan.settings import LARGEST_SIDE, SMALLEST_SIDE

MOST_SAMPLES = 10_000_000


def _positive(value: float | None) -> float | None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise typer.BadParameter(f"{value} is not a number above 0")
    return value


def _within(low: int, high: int) -> Callable[[int | None], int | None]:
    """Return a check of an option's range; typer's own check would print the bounds in the help."""

    def check(value: int | None) -> int | None:
        if value is not None and not low <= value <= high:
            raise typer.BadParameter(f"{value} is not from {low} to {high}")
        return value

    return check


def whole_number(*names: str, help: str, low: int, high: int) -> Any:
    """Declare an option for a whole number from `low` to `high`."""
    return typer.Option(*names, metavar="N", help=help, callback=_within(low, high))


Json = Annotated[bool, typer.Option("--json", help="machine-readable output on stdout")]
Bundle = Annotated[str, typer.Argument(metavar="BUNDLE", help="folder of an exported generator")]
Data = Annotated[
    str, typer.Option(metavar="URI", help="faces, mnist:DIR, fashion-mnist:DIR, celeba:DIR, folder:DIR, packed:URI")
]
Size = Annotated[
    int | None,
    whole_number(
        help="side of the images in pixels; default: that of the recipe, else of the data",
        low=SMALLEST_SIDE,
        high=LARGEST_SIDE,
    ),
]
Crop = Annotated[
    str | None,
    typer.Option(
        metavar="CROP",
        help="center, center-N or top-bottom-N: the square to cut out before resizing; default: the data's own",
    ),
]
Seed = Annotated[int, whole_number(help="seed of all random numbers", low=0, high=2**31 - 1)]
Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu or cuda")]
Features = Annotated[
    str | None, typer.Option(metavar="NAME", help="inception, random-conv or exported:PATH; default: by data")
]
Weights = Annotated[
    Path | None,
    typer.Option("--inception-weights", metavar="PATH", help="file of the Inception weights; default: fetched once"),
]
Samples = Annotated[int, whole_number(help="generated images a FID is computed on", low=2, high=MOST_SAMPLES)]
Kimg = Annotated[
    float | None,
    typer.Option(
        metavar="KIMG", callback=_positive, help="thousands of real images to train on; default: as published"
    ),
]
Interval = Annotated[
    float | None,
    typer.Option(metavar="KIMG", callback=_positive, help="kimg between reports; default: kimg / 12, at most 250"),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="change a setting of the recipe; repeatable; default: the recipe's own"
    ),
]


def parse_settings(given: list[str] | None) -> dict[str, str]:
    """Turn ["lr_g=2e-4", …] into {"lr_g": "2e-4", …}; recipes check names and values.

    Raises:
        InputError: no "=", or a setting given twice.
    """
    settings: dict[str, str] = {}
    for item in given or []:
        name, equals, value = (part.strip() for part in item.partition("="))
        if not (name and equals and value):
            raise InputError(f"--set {item}: write KEY=VALUE, such as --set lr_g=2e-4")
        if name in settings:
            raise InputError(f"--set {item}: {name} is set twice")
        settings[name] = value
    return settings


def as_uri(place: str) -> str:
    """Return a bare path as a data URI, folder:DIR or packed:FILE; anything else is returned unchanged."""
    from gan.data.sources.opening import SOURCES

    scheme = place.partition(":")[0]
    if scheme == "packed" or scheme in SOURCES:
        return place
    if Path(place).is_dir():
        return f"folder:{place}"
    if Path(place).is_file() and not place.lower().endswith(".zip"):
        return f"packed:{place}"
    return place
