"""The command line: `gan-search`. Commands that train or show one generator are `gan/commands/app.py`'s."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gan.commands.app import make_app, mount
from gan.commands.convert import Onnx, Pt2, convert_bundle, formats_of
from gan.terminal import command_line, emit, packing_progress, run_app, say
from search.commands import options as opt
from search.commands.doctor import doctor
from search.commands.evaluate import evaluate
from search.commands.launching import launch, show, start
from search.commands.viewers import Run, Stored, dashboard, tensorboard
from search.commands.welcome import welcome
from search.plan.spec import DEFAULTS, CompareSpec, SweepSpec, read_spec, validate

app = make_app(
    "Search for the best GAN your budget can buy; train, judge and sample single ones.\n\n"
    "Example: gan-search sweep --data faces --size 32 --trials 6 --kimg 12 --name first",
    alone=welcome,
    completion=True,
)


@app.command()
@opt.flags_of(SweepSpec)
def sweep(
    spec: Annotated[Path | None, typer.Argument(metavar="[SPEC.yaml]", help="a sweep's settings")] = None,
    recipe: Annotated[
        list[str] | None, typer.Option(help=f"recipe to search over; repeatable; default {', '.join(DEFAULTS)}")
    ] = None,
    set_: opt.Settings = None,
    *,
    flags: dict[str, Any],
    dry_run: opt.DryRun = False,
    json: opt.Json = False,
) -> None:
    """Search for the best generator: many trials, the best FID wins.

    The same name and settings go on with a run that was interrupted.

    With --time-budget, and without --trials or --kimg, it measures how fast this machine trains, and
    chooses what is not given: size, widths, features, length and number of trials.

    \b
    Examples:
      gan-search sweep --data folder:photos --time-budget 2h --name photos
      gan-search sweep --data folder:photos --size 64 --trials 40 --kimg 500
    """
    from search.sweep import Sweep

    flags = flags | ({"recipes": recipe} if recipe else {})
    values = opt.merged(read_spec(spec) if spec else {}, flags, set_)
    start(Sweep, validate(SweepSpec, values, str(spec) if spec else "sweep"), dry_run, json)


@app.command()
@opt.flags_of(CompareSpec)
def compare(
    recipes: Annotated[
        list[str],
        typer.Argument(metavar="R", help="recipes; YAML files; RUN:1, the best of a run, or RUN:t0007, a trial of it"),
    ],
    set_: opt.Settings = None,
    *,
    flags: dict[str, Any],
    dry_run: opt.DryRun = False,
    json: opt.Json = False,
) -> None:
    """Compare recipes at equal budget: mean FID ± std over training seeds.

    Every recipe is trained to the same length on the same seeds; none is stopped early. The same
    command goes on with a comparison that was interrupted, and with more recipes or --seeds adds to
    it. `status`, `report`, `resume`, `export` and `tensorboard` work on it as on a sweep.

    \b
    Example:
      gan-search compare dcgan wgan results/photos:1 --data folder:photos \\
          --size 64 --seeds 5 --kimg 500 --name fair
    """
    from search.compare import Compare

    values = opt.merged({}, flags | {"recipes": recipes}, set_)
    start(Compare, validate(CompareSpec, values, "compare"), dry_run, json)


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
    finish: Annotated[
        str | None,
        typer.Option(metavar="X", help="train a sweep's winner on, to X times its length; default: as before"),
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
        options: dict[str, Any] = {"command": command_line(), "quiet": json, "packing": packing}
        prepared = reopen(folder, **more, finalists=finalists, finish=finish, **options)
    launch(prepared, json)


@app.command()
def extend(
    run: Run,
    kimg: Annotated[float, typer.Option(min=0, help="thousands of images that it has seen in the end, all in all")],
    rank: Annotated[int, typer.Option(min=1, help="1: the best trial; 2: the second best; …")] = 1,
    cpus_per_trial: Annotated[
        float | None, typer.Option(min=0, help="CPU cores, and threads, that it takes; default: all of this machine")
    ] = None,
    time_budget: Annotated[str | None, typer.Option(help="end cleanly after this long, such as 2h")] = None,
    storage: Stored = "results",
    json: opt.Json = False,
) -> None:
    """Train one of a sweep's best trials on, from its last checkpoint.

    The best generator is kept, also if more training makes it worse. The same command goes on after an
    interruption, and with a greater --kimg trains further.

    Example: gan-search extend results/photos --kimg 2000
    """
    from search.extension import Extension
    from search.run.run_folder import open_run

    with packing_progress(quiet=json) as packing:
        prepared = Extension.of(
            open_run(run, storage),
            kimg=kimg,
            rank=rank,
            cpus_per_trial=cpus_per_trial,
            time_budget=time_budget,
            command=command_line(),
            quiet=json,
            packing=packing,
        )
    launch(prepared, json)


@app.command()
def status(run: Run, storage: Stored = "results", json: opt.Json = False) -> None:
    """Show a run's trials as they stand, also while it runs.

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
    from search.report.build import build_report
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
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the bundle that is in this folder")] = False,
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
    from search.run.bundles import export_bundle
    from search.run.run_folder import open_run

    formats = formats_of(onnx, pt2)
    if formats:
        from gan.bundle.portable import require

        require(formats)
    destination, folder = Storage(out), open_run(run, storage)
    exported = export_bundle(folder, destination, rank, overwrite=overwrite)
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
