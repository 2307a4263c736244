"""The command line: `gan-search`. Commands that train or show one generator are `gan/cli.py`'s."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gan.cli import make_app, mount, parse_settings
from gan.errors import InputError
from gan.terminal import Failed, Interrupted, command_line, emit, packing_progress, run_app, say

if TYPE_CHECKING:
    from gan.storage import Storage
    from search.journal import SweepRecord
    from search.report.data import ReportData
    from search.sweep import Sweep

app = make_app("Search for the best GAN your budget can buy; train, judge and sample single ones.")

Json = Annotated[bool, typer.Option("--json", help="machine-readable output on stdout")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="a run's folder or URI, or its name in results/")]


@app.command()
def sweep(
    spec: Annotated[Path | None, typer.Argument(metavar="[SPEC.yaml]", help="a sweep's settings")] = None,
    recipe: Annotated[list[str] | None, typer.Option(help="recipe to search over; repeatable")] = None,
    data: Annotated[str | None, typer.Option(help="faces, folder:DIR, packed:URI, fashion-mnist:DIR, …")] = None,
    size: Annotated[int | None, typer.Option(help="side of the images in pixels")] = None,
    crop: Annotated[str | None, typer.Option(help="crop before resizing, such as center-178")] = None,
    trials: Annotated[int | None, typer.Option(help="trials in all")] = None,
    kimg: Annotated[float | None, typer.Option(help="thousands of real images a full trial sees")] = None,
    interval_kimg: Annotated[float | None, typer.Option(help="between reports; default kimg / 12")] = None,
    name: Annotated[str | None, typer.Option(help="name of the run")] = None,
    storage: Annotated[str | None, typer.Option(help="where runs are kept: a folder, s3:// or gs://")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE in every recipe; repeatable")] = None,
    features: Annotated[str | None, typer.Option(help="inception or random-conv")] = None,
    inception_weights: Annotated[str | None, typer.Option(help="file of the Inception weights")] = None,
    samples: Annotated[int | None, typer.Option(help="generated images per FID")] = None,
    seed: Annotated[int | None, typer.Option(help="of the search")] = None,
    top_k: Annotated[int | None, typer.Option(help="bundles kept of the whole sweep")] = None,
    concurrent: Annotated[int | None, typer.Option(help="trials at once; default: what fits")] = None,
    cpus_per_trial: Annotated[float | None, typer.Option(help="CPU cores a trial takes")] = None,
    gpus_per_trial: Annotated[float | None, typer.Option(help="GPUs a trial takes; fractions share one")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16")] = None,
    address: Annotated[str | None, typer.Option(help="of a Ray cluster; default: this machine")] = None,
    time_budget: Annotated[str | None, typer.Option(help="end cleanly after this long, such as 2h")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="check everything, show the plan, start nothing")] = False,
    json: Json = False,
) -> None:
    """Search for the best generator: many trials, the best FID wins.

    The same name and settings go on with a run that was interrupted.

    Example: gan-search sweep --data folder:photos --size 64 --trials 40 --kimg 500 --name photos
    """
    from search.spec import make_spec, read_spec
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
        "concurrent": concurrent,
        "cpus_per_trial": cpus_per_trial,
        "gpus_per_trial": gpus_per_trial,
        "device": device,
        "precision": precision,
        "address": address,
        "time_budget": time_budget,
    }
    values = read_spec(spec) if spec else {}
    values |= {key: value for key, value in flags.items() if value is not None}
    if set_:
        values["settings"] = {**(values.get("settings") or {}), **parse_settings(set_)}
    checked = make_spec(values, str(spec) if spec else "sweep")
    with packing_progress(quiet=json) as packing:
        made = Sweep(checked, command=command_line(), quiet=json, packing=packing)
    if dry_run:
        _show_plan(made, json)
    else:
        _launch(made, json)


@app.command()
def resume(
    run: Run,
    trials: Annotated[str | None, typer.Option(help="+N: that many more trials")] = None,
    storage: Annotated[str, typer.Option(help="where to look for a run named by its name")] = "results",
    json: Json = False,
) -> None:
    """Go on with a sweep after any interruption, or extend a finished one.

    Example: gan-search resume results/photos --trials +20
    """
    from search.run_folder import open_run
    from search.sweep import Sweep

    folder = open_run(run, storage)
    with packing_progress(quiet=json) as packing:
        made = Sweep.resume(folder, more_trials=_more(trials), command=command_line(), quiet=json, packing=packing)
    _launch(made, json)


@app.command()
def status(run: Run, storage: str = "results", json: Json = False) -> None:
    """Show a run's trials as they stand, at once and also while it runs.

    Example: gan-search status results/photos
    """
    from search.report.data import collect
    from search.run_folder import open_run

    _show(collect(open_run(run, storage)), json)


@app.command()
def report(run: Run, storage: str = "results", json: Json = False) -> None:
    """Write a run's leaderboard (csv, parquet), plots and page.

    Example: gan-search report results/photos
    """
    from search.report import build_report
    from search.run_folder import open_run

    folder = open_run(run, storage)
    data = build_report(folder)
    if json:
        emit({"report": f"{folder.uri}/report.html", "leaderboard": f"{folder.uri}/leaderboard.csv"})
    else:
        _show(data, json)
        say(f"\nreport  {folder.uri}/report.html")


@app.command()
def export(
    run: Run,
    out: Annotated[str, typer.Option(help="folder for the bundle; must not exist, or be empty")],
    rank: Annotated[int, typer.Option(min=1, help="1: the best; 2: the second best; …")] = 1,
    storage: str = "results",
    json: Json = False,
) -> None:
    """Export the generator with the best FID as a bundle that anyone can sample.

    Example: gan-search export results/photos --out my-generator
    """
    from gan.storage import Storage
    from search.export import export_bundle
    from search.run_folder import open_run

    exported = export_bundle(open_run(run, storage), Storage(out), rank)
    if json:
        emit(exported)
    else:
        say(f"{exported['bundle']}: trial {exported['trial']}, best FID {exported['best_fid']:.2f}")


@app.command()
def tensorboard(
    run: Run,
    storage: str = "results",
    port: Annotated[int, typer.Option(help="0: any free one")] = 0,
) -> None:
    """Show a run in TensorBoard, on this machine's loopback address only.

    Example: gan-search tensorboard results/photos
    """
    from search.run_folder import open_run
    from search.tensorboard import serve

    serve(open_run(run, storage), port)


mount(app)


def _launch(made: Sweep, json: bool) -> None:
    """Run a sweep to its end, report, export the winner."""
    from search.sweep import SweepHalted, SweepInterrupted

    run = made.run_storage
    try:
        record = made.run()
    except SweepInterrupted:
        raise Interrupted(f"all so far is kept; go on with: gan-search resume {shlex.quote(run.uri)}") from None
    except SweepHalted as error:
        raise Failed(f"{error}; mend that and go on with: gan-search resume {shlex.quote(run.uri)}") from None
    _conclude(run, record, json)


def _conclude(run: Storage, record: SweepRecord, json: bool) -> None:
    from search.export import GENERATOR, export_winner
    from search.report import build_report

    best = export_winner(run)
    data = build_report(run)
    _show(data, json)
    if not json:
        generator = shlex.quote(f"{run.uri}/{GENERATOR}")
        say(f"\nreport     {run.uri}/report.html")
        if best is not None:
            say(f"generator  {generator}\nsample it  gan-search sample {generator} -n 64 --grid --out samples.png")
        if record.ended == "interrupted":
            say(f"go on      gan-search resume {shlex.quote(run.uri)}")
    if best is None and record.ended == "finished":
        raise Failed("no trial produced a generator: see the reasons in the report, and try lower learning rates")


def _show(data: ReportData, json: bool) -> None:
    from rich.console import Console

    from search.report.status import as_json, show

    if json:
        emit(as_json(data))
    else:
        show(data, Console())


def _show_plan(made: Sweep, json: bool) -> None:
    """Print what a sweep would do."""
    plan, spec = made.plan, made.spec
    shown: dict[str, Any] = {
        "run": made.run_storage.uri,
        "settings": spec.model_dump(),
        "identity": plan.identity(),
        "interval_kimg": spec.interval,
        "rungs": spec.rungs(),
        "train_images": len(plan.data.train),
        "held_out_images": len(plan.data.held_out),
        "parameters": {name: {"generator": g, "discriminator": d} for name, (g, d) in plan.parameters.items()},
    }
    if json:
        emit(shown)
        return
    import yaml

    say(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True).rstrip())


def _more(trials: str | None) -> int:
    if trials is None:
        return 0
    if not trials.removeprefix("+").isdigit():
        raise InputError(f"--trials {trials}: give +N, how many more")
    return int(trials.removeprefix("+"))


def main() -> None:
    """Entry point of `gan-search`."""
    sys.exit(run_app(app, sys.argv[1:]))
