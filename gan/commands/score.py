"""`fid` and `evaluate`: how good samples are."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gan.commands import options as opt
from gan.errors import InputError
from gan.terminal import emit, progress_bar, say, table, warn

if TYPE_CHECKING:
    from gan.bundle import Bundle
    from gan.evaluation import Evaluation, Evaluator

FEWEST_REAL = 500
"""Under this many real images FID says little."""

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
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    json: opt.Json = False,
) -> None:
    """Measure the Fréchet distance between any two sets of images.

    Images of a folder are brought to --size, else to the size of the other side, else must be of one
    size. Without --features, random-conv is taken for faces, curves and (Fashion-)MNIST and what was
    trained on them, inception for everything else. Distances of different features, sizes or counts
    cannot be compared.

    \b
    Examples:
      gan-search fid results/demo/generator faces
      gan-search fid samples/ ~/photos --size 64 --inception-weights inception.pth
    """
    from gan.device import choose_device
    from gan.evaluation.sides import How, compare, open_side

    place = str(choose_device(device))
    with progress_bar("packing images", quiet=json) as packing, progress_bar("images", quiet=json) as progress:
        how = How(features, samples, seed, place, inception_weights, progress)
        first, second = (open_side(side, place, packing) for side in (a, b))
        found = compare(first, second, size, how)
    for few in found.few(FEWEST_REAL):
        warn(f"{few}: with fewer than {FEWEST_REAL} FID says little")
    evaluation = found.evaluation()
    if json:
        emit({"fid": found.distance, "evaluation": evaluation})
    else:
        say(f"{_label(evaluation['features'])} {found.distance:.4f}")
        say(_account(evaluation))


def evaluate(
    bundle: opt.Bundle,
    data: opt.Data,
    crop: opt.Crop = None,
    samples: opt.Samples = 5000,
    repeats: Annotated[int, opt.whole_number(help="times, with other latents each", low=1, high=10_000)] = 3,
    features: opt.Features = None,
    inception_weights: opt.Weights = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    json: opt.Json = False,
) -> None:
    """Judge an exported generator by FID over several draws of latents.

    Also tells whether its samples have collapsed to one image.

    Example: gan-search evaluate results/demo/generator --data faces --repeats 5
    """
    from gan.bundle import load_bundle
    from gan.evaluation import Evaluator

    loaded = load_bundle(bundle, device)
    opened = opt.open_checked(
        data,
        loaded.shape[0] if len(loaded.shape) == 3 else None,
        crop,
        features=features,
        weights=inception_weights,
        fits=lambda shape: _require_shape(bundle, loaded, shape),
        quiet=json,
    )
    evaluator = Evaluator.prepare(
        opened,
        features=features or opened.default_features,
        samples=samples,
        seed=seed,
        device=loaded.device,
        inception_weights=inception_weights,
    )
    if len(opened.train) < FEWEST_REAL:
        warn(f"{data} has {len(opened.train)} images: with fewer than {FEWEST_REAL} FID says little")
    with progress_bar("draws of latents", quiet=json) as progress:
        results = []
        for repeat in range(repeats):
            results.append(_judge(loaded, evaluator, seed + repeat))
            progress(repeat + 1, repeats)
    summary = {"bundle": bundle, **_summary(results), "evaluation": evaluator.identity.as_dict()}
    if json:
        emit(summary)
    else:
        _show(summary)


def _require_shape(name: str, bundle: Bundle, shape: tuple[int, ...]) -> None:
    if bundle.shape != shape:
        mine, theirs = ("×".join(map(str, one)) for one in (bundle.shape, shape))
        raise InputError(f"{name}: makes {mine}, but the data is {theirs}")


def _judge(bundle: Bundle, evaluator: Evaluator, seed: int) -> Evaluation:
    """Score the samples of one draw of latents."""
    import torch

    latents = bundle.latents(evaluator.samples, seed)
    return evaluator.evaluate(lambda start, count: torch.from_numpy(bundle.generate(latents[start : start + count])))


def _summary(results: list[Evaluation]) -> dict[str, Any]:
    """Return what several evaluations say together; FID is null where samples are no images (NaN)."""
    from gan.divergence import COLLAPSED_SPREAD

    fids = [result.fid for result in results]
    known = [fid for fid in fids if fid is not None]
    whole = len(known) == len(fids)
    spreads = [result.pixel_spread for result in results if result.pixel_spread is not None]
    spread = statistics.mean(spreads) if spreads else None
    return {
        "fid": statistics.mean(known) if whole else None,
        "fid_std": statistics.stdev(known) if whole and len(known) > 1 else None,
        "fids": fids,
        "repeats": len(fids),
        "pixel_spread": spread,
        "collapsed": None if spread is None else spread < COLLAPSED_SPREAD,
    }


def _show(summary: dict[str, Any]) -> None:
    fid, std, spread = summary["fid"], summary["fid_std"], summary["pixel_spread"]
    shown = "none: the samples are not finite" if fid is None else f"{fid:.4f}"
    say(f"{_label(summary['evaluation']['features'])} {shown}" + (f" ± {std:.4f}" if std is not None else ""))
    if spread is not None:
        state = ": collapsed to one image" if summary["collapsed"] else ""
        say(f"samples vary {spread:.1%} as much as real images do{state}")
    say(_account(summary["evaluation"]))


def _label(features: str | None) -> str:
    """FID is the name of the distance in Inception features alone."""
    return "FID" if features in ("inception", None) else f"FID ({features})"


def _account(evaluation: dict[str, Any]) -> str:
    return table([(f"  {name}", "-" if value is None else value) for name, value in evaluation.items()])
