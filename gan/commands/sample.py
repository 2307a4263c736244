"""`sample`: images from a bundle."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gan.commands import options as opt
from gan.errors import InputError
from gan.terminal import emit, say

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from gan.bundle.bundle import Bundle

STEPS = 8
"""Images in a row of an interpolation."""
WALKERS = 16
"""Images in an animated grid."""
MOST_FRAMES = 2000
_FRAMES_PER_LEG = 24
_FEWEST_LEGS = 3  # with two, the walk would return on the same path
_PALETTE_FRAMES = 16
_CHUNK = 1000
_OTHER_PICTURES = (".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def sample(
    bundle: opt.Bundle,
    out: Annotated[
        Path, typer.Option(metavar="PATH", help="NAME.png, NAME.npy, NAME.gif, or a folder for numbered PNGs")
    ],
    count: Annotated[
        int, opt.whole_number("-n", "--count", help="how many images, or frames", low=1, high=opt.MOST_SAMPLES)
    ] = 64,
    seed: opt.Seed = 0,
    grid: Annotated[bool, typer.Option("--grid", help="all images in one PNG")] = False,
    interpolate: Annotated[
        bool,
        typer.Option(
            "--interpolate",
            help=f"rows of {STEPS} images, each from one random image to another; into NAME.gif, an animation"
            f" of one image (with --grid, of {WALKERS})",
        ),
    ] = False,
    device: opt.Device = "auto",
    json: opt.Json = False,
) -> None:
    """Sample images from an exported generator.

    The same seed gives the same images.

    \b
    Examples:
      gan-search sample results/demo/generator -n 64 --grid --out faces.png
      gan-search sample results/demo/generator -n 5000 --seed 1 --out faces/
      gan-search sample results/demo/generator --interpolate --out walk.png
      gan-search sample results/demo/generator --interpolate --grid --out walk.gif
    """
    from gan.bundle.bundle import load_bundle
    from gan.storage.storage import writing

    if out.suffix.lower() == ".gif":
        _check_animation(out, count, interpolate)
    else:
        _check_out(out, count, one_picture=grid or interpolate)
    loaded = load_bundle(str(bundle), device)
    if len(loaded.shape) != 3 and out.suffix != ".npy":
        raise InputError(f"--out {out}: this generator makes vectors, not images; give a name that ends in .npy")
    with writing(out):
        if out.suffix.lower() == ".gif":
            written = _write_animation(loaded, count, seed, out, walkers=WALKERS if grid else 1)
        else:
            written = _write(loaded, _walks(loaded, count, seed) if interpolate else loaded.latents(count, seed), out)
    if json:
        emit({"bundle": str(bundle), "count": count, "seed": seed, "shape": list(loaded.shape), "written": written})
    else:
        say(f"{count} {'frames' if out.suffix.lower() == '.gif' else 'images'}: {out}")


def _check_out(out: Path, count: int, one_picture: bool) -> None:
    """Raise `InputError` unless the images can be written under this name."""
    suffix = out.suffix.lower()
    if suffix in _OTHER_PICTURES:
        raise InputError(f"--out {out}: pictures are written as PNG; give a name that ends in .png")
    if suffix == ".png" and count > 1 and not one_picture:
        raise InputError(f"--out {out}: {count} images in one picture need --grid; or give a folder")
    if one_picture and suffix not in (".png", ".npy"):
        raise InputError(f"--out {out}: --grid and --interpolate make one picture; give a name that ends in .png")
    if suffix in (".png", ".npy") and out.is_dir():
        raise InputError(f"--out {out}: is a folder")
    if suffix not in (".png", ".npy") and out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; give a folder, or a name that ends in .png or .npy")


def _check_animation(out: Path, frames: int, interpolate: bool) -> None:
    if not interpolate:
        raise InputError(f"--out {out}: a GIF shows a walk between images: add --interpolate, or give NAME.png")
    if not 2 <= frames <= MOST_FRAMES:
        raise InputError(f"-n {frames}: an animation has from 2 to {MOST_FRAMES} frames")
    if out.is_dir():
        raise InputError(f"--out {out}: is a folder")


def _write(bundle: Bundle, latents: Tensor, out: Path) -> list[str]:
    """Write the images of some latents; return the paths of the files."""
    import numpy as np

    from gan.storage.storage import Storage
    from gan.tensors.images import encode_png, grid

    suffix = out.suffix.lower()
    if suffix not in (".png", ".npy"):
        return list(_write_folder(bundle, latents, out))
    rows = bundle.generate(latents)
    if suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, rows, allow_pickle=False)
        content = buffer.getvalue()
    else:
        content = encode_png(rows[0] if len(rows) == 1 else grid(rows, columns=_columns(len(rows))))
    Storage(out.parent).write_bytes(out.name, content)
    return [str(out)]


def _columns(count: int) -> int:
    """Return the columns of a grid: `STEPS` for few images, else the multiple of it that makes a near square."""
    return STEPS if count <= STEPS * STEPS else -(-int(count**0.5) // STEPS) * STEPS


def _write_folder(bundle: Bundle, latents: Tensor, folder: Path) -> Iterator[str]:
    """Write numbered PNGs, generated in chunks that fit into memory; yield their paths."""
    from gan.tensors.images import save_png

    digits = max(6, len(str(len(latents) - 1)))
    number = 0
    for chunk in latents.split(_CHUNK):
        rows: np.ndarray = bundle.generate(chunk)
        folder.mkdir(parents=True, exist_ok=True)
        for image in rows:
            path = folder / f"{number:0{digits}d}.png"
            save_png(path, image)
            number += 1
            yield str(path)


# ---- walks through the latent space


def _walks(bundle: Bundle, count: int, seed: int) -> Tensor:
    """Return latents of walks of `STEPS` images, each between two latents that the seed decides."""
    import torch

    from gan.tensors.latents import between

    steps = min(STEPS, count)
    walks = -(-count // steps)
    ends, places = bundle.latents(2 * walks, seed), torch.linspace(0, 1, steps)
    kind = bundle.config["latent"]
    rows = [between(kind, ends[2 * walk], ends[2 * walk + 1], places) for walk in range(walks)]
    return torch.cat(rows)[:count]


def _write_animation(bundle: Bundle, frames: int, seed: int, out: Path, walkers: int) -> list[str]:
    """Write an animated GIF of `walkers` images, each on a closed path past images that the seed decides."""
    import numpy as np
    import torch

    from gan.storage.storage import Storage
    from gan.tensors.images import encode_gif, grid
    from gan.tensors.latents import round_trip

    legs = max(_FEWEST_LEGS, round(frames / _FRAMES_PER_LEG))
    corners = bundle.latents(walkers * legs, seed).view(walkers, legs, -1)
    ways = torch.stack([round_trip(bundle.config["latent"], own, frames) for own in corners], dim=1)

    def frame(number: int) -> np.ndarray:
        rows = bundle.generate(ways[number])
        return rows[0] if walkers == 1 else grid(rows)

    examples = [frame(number * frames // _PALETTE_FRAMES) for number in range(_PALETTE_FRAMES)]
    content = encode_gif(map(frame, range(frames)), np.stack(examples))
    Storage(out.parent).write_bytes(out.name, content)
    return [str(out)]
