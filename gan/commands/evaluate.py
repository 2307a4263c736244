"""`evaluate`: quality, diversity and novelty of an exported generator's images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gan.commands import options as opt
from gan.commands.score import account
from gan.errors import InputError
from gan.terminal import emit, packing_progress, progress_bar, say, table, warn

if TYPE_CHECKING:
    from gan.bundle.bundle import Bundle
    from gan.data.dataset import DataSet

BUILT_IN = ("inception", "random-conv")
"""Features that are taken from a bundle: others are programs, and a bundle may come from somebody else."""

Repeats = Annotated[int, opt.whole_number(help="draws of latents, each judged anew", low=1, high=10_000)]
Neighbours = Annotated[
    int, opt.whole_number(help="training images among which copies are looked for", low=2, high=opt.MOST_SAMPLES)
]
Out = Annotated[str | None, typer.Option(metavar="DIR", help="folder for a page, a picture and the figures as JSON")]


def evaluate(
    bundle: opt.Bundle,
    data: opt.Data,
    crop: opt.Crop = None,
    samples: opt.Samples = 5000,
    repeats: Repeats = 3,
    neighbours: Neighbours = 20_000,
    out: Out = None,
    features: opt.Features = None,
    inception_weights: opt.Weights = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    json: opt.Json = False,
) -> None:
    """Judge an exported generator: quality, diversity, and whether it copies.

    FID over several draws of latents and extrapolated to infinitely many samples, KID, precision and
    recall, coverage and near-duplicates, and how near samples are to training images, against how near
    held-out images are. Without --features, those that the generator was judged by in its training are
    taken.

    Example: gan-search evaluate results/demo/generator --data faces --repeats 5 --out judged
    """
    from gan.bundle.bundle import load_bundle
    from gan.checks.preflight import open_checked
    from gan.evaluation.assessment.assessment import assess
    from gan.evaluation.assessment.lines import PAGE
    from gan.evaluation.assessment.page import write_assessment
    from gan.evaluation.compare.inputs import few
    from gan.evaluation.evaluator import Evaluator
    from gan.storage.storage import Storage, require_empty, writing

    folder = None if out is None else require_empty(Storage(out))
    loaded = load_bundle(bundle, device)
    features = features or _judged_by(loaded)
    with packing_progress(quiet=json) as packing:
        opened = open_checked(
            data,
            loaded.shape[0] if len(loaded.shape) == 3 else None,
            crop,
            features=features,
            weights=inception_weights,
            check_shape=lambda shape: _require_shape(bundle, loaded, shape),
            progress=packing,
        )
    evaluator = Evaluator.prepare(
        opened,
        features=features or opened.default_features,
        samples=samples,
        seed=seed,
        device=loaded.device,
        inception_weights=inception_weights,
    )
    warn(_other_data(bundle, loaded, opened), few(data, len(opened.train)), evaluator.caveat())
    with progress_bar("images", quiet=json) as progress:
        assessment = assess(loaded, opened, evaluator, repeats=repeats, searched=neighbours, progress=progress)
    page = None if folder is None else f"{folder.uri}/{PAGE}"
    # The figures come first: they must not be lost where the folder cannot be written.
    if json:
        emit({"bundle": bundle, **assessment.as_dict(), "page": page})
    else:
        show(assessment.as_dict())
    if folder is not None:
        with writing(folder.uri):
            write_assessment(folder, bundle, assessment)
        if not json:
            say(f"\npage  {page}")


def show(assessment: dict[str, Any]) -> None:
    """Print what `Assessment.as_dict()` returns."""
    from gan.evaluation.assessment.lines import lines

    say(table(lines(assessment)))
    say()
    say(account(assessment["evaluation"]))


def _judged_by(bundle: Bundle) -> str | None:
    """Return the features that a bundle was judged by in its training; None if they are not known, or a program."""
    evaluation = bundle.config.get("evaluation")
    features = evaluation.get("features") if isinstance(evaluation, dict) else None
    return features if features in BUILT_IN else None


def _other_data(name: str, bundle: Bundle, data: DataSet) -> str | None:
    """Return a warning if a generator is judged by other images than it was trained on; else None."""
    trained = bundle.config.get("data_hash")
    if trained in (None, data.content_hash):
        return None
    return (
        f"{name} was trained on {bundle.config.get('data')}, whose content is not that of {data.uri}: distances are to"
        " the latter, and that it copies what it was trained on cannot show"
    )


def _require_shape(name: str, bundle: Bundle, shape: tuple[int, ...]) -> None:
    if bundle.shape != shape:
        mine, theirs = ("×".join(map(str, one)) for one in (bundle.shape, shape))
        raise InputError(f"{name}: makes {mine}, but the data is {theirs}")
