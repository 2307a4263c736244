"""`fid`: the distance between any two sets of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gan.commands import options as opt
from gan.errors import InputError
from gan.terminal import emit, progress_bar, say, table, warn

if TYPE_CHECKING:
    from gan.evaluation.compare.inputs import FidInput, FidOptions

_SIDE = "folder of images, bundle, data URI, packed set, or .npz of statistics"


def fid(
    a: Annotated[str, typer.Argument(metavar="A", help=_SIDE)],
    b: Annotated[str, typer.Argument(metavar="B", help="likewise; what images are compared with")],
    size: opt.Size = None,
    samples: Annotated[
        int, opt.whole_number(help="images of each side, as far as it has that many", low=2, high=opt.MOST_SAMPLES)
    ] = 5000,
    features: opt.Features = None,
    inception_weights: opt.Weights = None,
    save_stats: Annotated[
        bool, typer.Option("--save-stats", help="save the statistics of A as the file B.npz; no distance")
    ] = False,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    json: opt.Json = False,
) -> None:
    """Measure the Fréchet distance between any two sets of images.

    Images of a folder are brought to --size, else to the size of the other side, else must be of one
    size. Without --features, random-conv is taken for faces, curves and (Fashion-)MNIST and what was
    trained on them, inception for everything else. Distances of different features, sizes or counts
    cannot be compared. Statistics saved here say how they were made, and are refused where that differs.

    \b
    Examples:
      gan-search fid results/demo/generator faces
      gan-search fid samples/ ~/photos --size 64 --inception-weights inception.pth
      gan-search fid --save-stats --samples 50000 ~/photos photos.npz
    """
    from gan.evaluation.compare.inputs import FidOptions, open_input
    from gan.tensors.device import choose_device

    target = _new_file(b) if save_stats else None
    place = str(choose_device(device))
    with progress_bar("packing images", quiet=json) as packing, progress_bar("images", quiet=json) as progress:
        options = FidOptions(features, samples, seed, place, inception_weights, progress)
        first = open_input(a, place, packing)
        if target is not None:
            _save(first, size, options, target, json)
        else:
            _measure(first, open_input(b, place, packing), size, options, json)


def _measure(first: FidInput, second: FidInput, size: int | None, options: FidOptions, json: bool) -> None:
    from gan.evaluation.compare.comparison import compare
    from gan.metric import label

    distance, evaluation, caveats = compare(first, second, size, options)
    warn(*caveats)
    if json:
        emit({"fid": distance, "evaluation": evaluation})
    else:
        say(f"{label(evaluation)} {distance:.4f}\n{account(evaluation)}")


def _save(side: FidInput, size: int | None, options: FidOptions, target: Path, json: bool) -> None:
    from gan.evaluation.compare.comparison import measure
    from gan.evaluation.statistics import save_statistics
    from gan.storage.storage import writing

    statistics, evaluation, caveats = measure(side, size, options)
    warn(*caveats)
    with writing(target.parent):
        save_statistics(target, statistics, evaluation)
    if json:
        emit({"statistics": str(target), "evaluation": evaluation})
    else:
        say(f"{target}: mean and covariance of {statistics.count:,} images\n{account(evaluation)}")


def _new_file(place: str) -> Path:
    """Return the path at which to save statistics; raise `InputError` unless it can be a new file."""
    path = Path(place)
    if path.suffix != ".npz":
        raise InputError(f"--save-stats: {place} is to be written, so name a file that ends in .npz")
    if path.exists():
        raise InputError(f"--save-stats: {place} exists already; choose another name")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--save-stats: there is no folder {path.absolute().parent}; make it first")
    return path


def account(evaluation: dict[str, Any]) -> str:
    """Return the identity of a measurement as text, one field a line."""
    return table([(f"  {name}", "-" if value is None else value) for name, value in evaluation.items()])
