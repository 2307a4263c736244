"""The command line: `gan-search`. Commands that train or show one generator are `gan/commands/app.py`'s."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gan.commands.app import make_app, mount
from gan.commands.convert import Onnx, Pt2, convert_bundle, formats_of
from gan.terminal import command_line, emit, packing_progress, run_app, say
from search.commands import options as opt
from search.commands.compare import compare
from search.commands.doctor import doctor
from search.commands.evaluate import evaluate
from search.commands.launching import launch, show
from search.commands.viewers import Run, Stored, dashboard, tensorboard
from search.commands.welcome import welcome

app = make_app(
    "Search for the best GAN your budget can buy; train, judge and sample single ones.\n\n"
    "Example: gan-search sweep --data faces --size 32 --trials 6 --kimg 12 --name first",
    alone=welcome,
    completion=True,
)


@app.command()
def sweep(
    spec: Annotated[Path | None, typer.Argument(metavar="[SPEC.yaml]", help="a sweep's settings")] = None,
    recipe: Annotated[
        list[str] | None, typer.Option(help="recipe to search over; repeatable; default dcgan, l2, wgan")
    ] = None,
    data: opt.Data = None,
    size: opt.Size = None,
    crop: opt.Crop = None,
    trials: Annotated[int | None, typer.Option(help="trials in all; default 20")] = None,
    kimg: opt.Kimg = None,
    interval_kimg: opt.Interval = None,
    name: opt.Name = None,
    storage: opt.Place = None,
    set_: opt.Settings = None,
    features: opt.Features = None,
    inception_weights: opt.Weights = None,
    samples: opt.Samples = None,
    seed: Annotated[int | None, typer.Option(help="of the search; default 0")] = None,
    top_k: Annotated[int | None, typer.Option(help="bundles kept of the whole sweep; default 3")] = None,
    finalists: Annotated[
        int | None,
        typer.Option(metavar="K", help="at the end, train the K best and the published on fresh seeds; default 0"),
    ] = None,
    finalist_seeds: Annotated[int | None, typer.Option(help="fresh seeds for each finalist; default 3")] = None,
    concurrent: opt.Concurrent = None,
    cpus_per_trial: opt.Cpus = None,
    gpus_per_trial: opt.Gpus = None,
    device: opt.Device = None,
    precision: opt.Precision = None,
    address: opt.Address = None,
    wait_for_nodes: opt.WaitForNodes = None,
    time_budget: opt.TimeBudget = None,
    dry_run: opt.DryRun = False,
    json: opt.Json = False,
) -> None:
    """Search for the best generator: many trials, the best FID wins.

    The same name and settings go on with a run that was interrupted.

    Example: gan-search sweep --data folder:photos --size 64 --trials 40 --kimg 500 --name photos
    """
    from search.commands.plan import show_plan
    from search.plan.spec import make_spec, read_spec
    from search.sweep import Sweep

    flags = {
        "recipes": recipe or None,
        "data": data,
        "size": size,
        "crop": crop,
        "trials": trials,
        "kimg": kimg,
        "interval_kimg": interval_kimg,
        "name": name,
        "storage": storage,
        "features": features,
        "inception_weights": inception_weights,
        "samples": samples,
        "seed": seed,
        "top_k": top_k,
        "finalists": finalists,
        "finalist_seeds": finalist_seeds,
        "concurrent": concurrent,
        "cpus_per_trial": cpus_per_trial,
        "gpus_per_trial": gpus_per_trial,
        "device": device,
        "precision": precision,
        "address": address,
        "wait_for_nodes": wait_for_nodes,
        "time_budget": time_budget,
    }
    values = opt.given(flags, set_, read_spec(spec) if spec else {})
    checked = make_spec(values, str(spec) if spec else "sweep")
    with packing_progress(quiet=json) as packing:
        made = Sweep(checked, command=command_line(), quiet=json, packing=packing)
    (show_plan if dry_run else launch)(made, json)


app.command()(compare)


@app.command()
def resume(
    run: Run,
    trials: Annotated[str | None, typer.Option(help="+N: that many more trials of a sweep; default: none")] = None,
    seeds: Annotated[str | None, typer.Option(help="+N: that many more seeds of a comparison; default: none")] = None,
    finalists: Annotated[
        int | None,
        typer.Option(
            metavar="K", help="train the K best of a sweep, and the published, on fresh seeds; default: as before"
        ),
    ] = None,
    storage: Stored = "results",
    json: opt.Json = False,
) -> None:
    """Go on with a sweep or a comparison after any interruption, or extend a finished one.

    Example: gan-search resume results/photos --trials +20
    """
    from search.run.run_folder import open_run
    from search.sweep import resume as reopen

    more = {"more_trials": opt.more("--trials", trials), "more_seeds": opt.more("--seeds", seeds)}
    folder = open_run(run, storage)
    with packing_progress(quiet=json) as packing:
        made = reopen(folder, **more, finalists=finalists, command=command_line(), quiet=json, packing=packing)
    launch(made, json)


@app.command()
def status(run: Run, storage: Stored = "results", json: opt.Json = False) -> None:
    """Show a run's trials as they stand, at once and also while it runs.

    Example: gan-search status results/photos
    """
    from search.report.data.collect import collect
    from search.run.run_folder import open_run

    show(collect(open_run(run, storage)), json)


@app.command()
def report(run: Run, storage: Stored = "results", json: opt.Json = False) -> None:
    """Write a run's leaderboard (csv, parquet), plots and page.

    Example: gan-search report results/photos
    """
    from search.report import build_report
    from search.run.run_folder import open_run

    folder = open_run(run, storage)
    data = build_report(folder)
    if json:
        emit({"report": f"{folder.uri}/report.html", "leaderboard": f"{folder.uri}/leaderboard.csv"})
    else:
        show(data, json)
        say(f"\nreport  {folder.uri}/report.html")


@app.command()
def export(
    run: Run,
    out: Annotated[str, typer.Option(help="folder for the bundle; must not exist, or be empty")],
    rank: Annotated[int, typer.Option(min=1, help="1: the best; 2: the second best; …")] = 1,
    onnx: Onnx = False,
    pt2: Pt2 = False,
    storage: Stored = "results",
    json: opt.Json = False,
) -> None:
    """Export the generator with the best FID as a bundle that anyone can sample.

    \b
    Examples:
      gan-search export results/photos --out my-generator
      gan-search export results/photos --out second --rank 2 --onnx
    """
    from gan.storage.storage import Storage
    from search.commands.launching import say_finalist
    from search.report.data.collect import best_finalist
    from search.run.export import export_bundle
    from search.run.run_folder import open_run

    formats = formats_of(onnx, pt2)
    if formats:
        from gan.bundle.portable import require

        require(formats)
    destination, folder = Storage(out), open_run(run, storage)
    exported = export_bundle(folder, destination, rank)
    written = convert_bundle(destination.uri, formats, destination) if formats else []
    finalist = best_finalist(folder)
    if json:
        emit({**exported, "converted": written, **({} if finalist is None else {"finalist": finalist})})
        return
    say(f"{exported['bundle']}: trial {exported['trial']}, best {exported['metric']} {exported['best_fid']:.2f}")
    rescored = exported["rescored"]
    if rescored is not None and rescored["fid"] is not None:
        say(f"re-scored: {rescored['metric']} {rescored['fid']:.2f}")
    for place in written:
        say(place)
    say_finalist(finalist)


for command in (tensorboard, dashboard, doctor, evaluate):
    app.command()(command)
mount(app, without={"evaluate"})


def main() -> None:
    """Entry point of `gan-search`."""
    sys.exit(run_app(app, sys.argv[1:]))
