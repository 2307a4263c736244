"""`evaluate`: one exported generator, or the best of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gan.commands import evaluate as one
from gan.commands import options as gan_options
from gan.errors import InputError
from gan.terminal import packing_progress, progress_bar, say, warn
from search.commands.launching import show
from search.commands.viewers import Stored

if TYPE_CHECKING:
    from search.rescore import Request


def evaluate(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE|RUN", help="folder of an exported generator, or a run")],
    data: Annotated[str | None, typer.Option(metavar="URI", help="what the generator was trained on")] = None,
    crop: gan_options.Crop = None,
    top: Annotated[
        int | None,
        gan_options.whole_number(
            help="re-score that many of a run's best; default: none, judge a bundle", low=1, high=1000
        ),
    ] = None,
    samples: gan_options.Samples = 5000,
    repeats: one.Repeats = 3,
    neighbours: one.Neighbours = 20_000,
    out: one.Out = None,
    features: gan_options.Features = None,
    inception_weights: gan_options.Weights = None,
    seed: gan_options.Seed = 0,
    device: gan_options.Device = "auto",
    storage: Stored = "results",
    json: gan_options.Json = False,
) -> None:
    """Judge an exported generator: quality, diversity, and whether it copies. Or re-score a run's best.

    For a bundle: FID over several draws of latents and extrapolated to infinitely many samples, KID,
    precision and recall, coverage and near-duplicates, and how near samples are to training images,
    against how near held-out images are. Without --features, those that it was judged by in its training
    are taken.

    For a run, with --top: its best generators are judged again, by other features or more samples than
    the sweep had. Leaderboard, report and export then go by that; both numbers stay to be seen. The
    report also gains what shows whether the winner collapsed or copied.

    \b
    Examples:
      gan-search evaluate my-generator --data faces --repeats 5 --out judged
      gan-search evaluate results/photos --top 3 --features inception
    """
    if top is not None:
        for option, value in (("--data", data), ("--crop", crop), ("--out", out)):
            if value is not None:
                raise InputError(f"{option} does not go with --top: a run knows its data, and has a report of its own")
        from search.rescore import Request

        request = Request(top, features, samples, repeats, inception_weights, device, neighbours)
        _rescore(bundle, storage, request, json)
    elif data is None:
        raise InputError(_missing(bundle))
    else:
        one.evaluate(
            bundle, data, crop, samples, repeats, neighbours, out, features, inception_weights, seed, device, json
        )


def _missing(place: str) -> str:
    from gan.storage.storage import Storage
    from search.run.run_folder import SETTINGS

    if Storage(place).exists(SETTINGS):
        return f"{place} is a run: give --top K to re-score its best, or name a bundle in it and --data"
    return "give --data URI: what the generator was trained on"


def _rescore(name: str, storage: str, request: Request, json: bool) -> None:
    from search.report.data.collect import collect
    from search.rescore import Rescoring
    from search.run.run_folder import open_run

    run = open_run(name, storage)
    with packing_progress(quiet=json) as packing:
        rescoring = Rescoring(run, request, packing)
    warn(rescoring.evaluator.caveat())
    if len(rescoring.finalists) < request.top:
        warn(f"{run.uri} keeps {len(rescoring.finalists)} of its best: --top {request.top} asks for more")
    with progress_bar("images", quiet=json) as progress:
        rescoring.perform(progress)
    show(collect(run), json)
    if not json:
        say(f"\nreport  {run.uri}/report.html")
