"""`train`: one training into a folder, resumable."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gan.commands import options as opt
from gan.errors import InputError
from gan.metric import short_name
from gan.settings import MOST_THREADS
from gan.terminal import Interrupted, command_line, emit, note, packing_progress, say, warn

if TYPE_CHECKING:
    from gan.recipe.recipe import Recipe
    from gan.training.run import TrainingRun
    from gan.training.training_folder import TrainingFolder

PLOT = "training.png"
REPORTS_PER_TRAINING = 12
LONGEST_INTERVAL = 250.0
"""Kimg between two reports, and so between two checkpoints: the most that an interruption costs."""
CYCLES_PER_REPORT = 4
"""The fewest generator steps between two reports, whose losses are judged in four stretches."""


def train(
    recipe: Annotated[str, typer.Option(metavar="NAME", help="name of a recipe (see 'recipes list'), or a YAML file")],
    data: opt.Data,
    out: Annotated[str, typer.Option(metavar="DIR", help="folder of this training, new or to go on with")],
    kimg: opt.Kimg = None,
    size: opt.Size = None,
    crop: opt.Crop = None,
    settings: opt.Settings = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    precision: Annotated[str, typer.Option(metavar="NAME", help="auto, fp32 or bf16")] = "auto",
    interval_kimg: opt.Interval = None,
    features: opt.Features = None,
    inception_weights: opt.Weights = None,
    samples: opt.Samples = 5000,
    threads: Annotated[
        int | None,
        opt.whole_number(
            help="CPU threads; default: as the training began, else PyTorch's own", low=1, high=MOST_THREADS
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="BUNDLE", help="start the generator with a bundle's weights")
    ] = None,
    json: opt.Json = False,
) -> None:
    """Train one generator, outside of any search.

    The same command again goes on where the training was interrupted; with more --kimg it trains
    further. Without --kimg it trains for as long as the recipe's publication did. The best generator by FID is
    kept in the folder as a bundle, beside sample grids and, at the end, plots of losses and distance.

    \b
    Example:
      gan-search train --recipe dcgan --data faces --size 32 --kimg 100 \\
          --set lr_g=1e-4 --out results/mine
    """
    from gan.bundle.bundle import load_bundle
    from gan.checks.preflight import open_checked, size_and_crop
    from gan.evaluation.evaluator import EVALUATION_SEED, Evaluator
    from gan.recipe.recipe import load_recipe
    from gan.storage.storage import Storage
    from gan.tensors.device import choose_device, choose_precision
    from gan.training.run import TrainingRun
    from gan.training.trainer import Trainer
    from gan.training.training_folder import TrainingFolder, identity_of, start_from

    chosen = load_recipe(recipe).with_settings(dict(opt.parse_settings(settings)))
    length = kimg or chosen.kimg
    if length is None:
        raise InputError(f"--kimg: recipe {chosen.name} has no published length: say for how long to train")
    interval = _interval(chosen, length, interval_kimg)
    folder = TrainingFolder(Storage(out))
    folder.identity()  # A folder that cannot be used is refused before anything is loaded.
    choose_precision(precision, choose_device(device))
    threads = _set_threads(threads, folder.threads)
    bundle = load_bundle(start) if start else None
    with packing_progress(quiet=json) as progress:
        opened = open_checked(
            data,
            *size_and_crop(data, size, crop, [chosen]),
            features=features,
            weights=inception_weights,
            check_shape=chosen.count_parameters,
            progress=progress,
        )
    trainer = Trainer(chosen, opened, seed=seed, device=device, precision=precision)
    if bundle is not None:
        start_from(trainer, bundle, f"--from {start}")
    evaluator = Evaluator.prepare(
        opened,
        features=features or opened.default_features,
        samples=samples,
        seed=EVALUATION_SEED,
        device=trainer.device,
        inception_weights=inception_weights,
    )
    command = command_line()
    run = TrainingRun(
        trainer,
        evaluator,
        folder.storage,
        total_kimg=length,
        interval_kimg=interval,
        provenance={"command": command},
    )
    # With "auto", a checkpoint goes on in its own precision.
    ignored = {"precision"} if precision == "auto" else ()
    with folder.claim(identity_of(run, bundle), command, ignored, threads):
        _train(run, folder, length, json)


def _set_threads(wanted: int | None, begun: int | None) -> int:
    """Set PyTorch's threads; return how many. Their number changes the last digits of all sums on a CPU."""
    import torch

    if wanted is not None and begun is not None and wanted != begun:
        warn(f"the training began with {begun} threads: with {wanted} its numbers differ in their last digits")
    threads = wanted or begun or torch.get_num_threads()
    torch.set_num_threads(threads)
    return threads


def _interval(recipe: Recipe, kimg: float, wanted: float | None) -> float:
    """Return the kimg between reports: at least one generator step."""
    cycle = recipe.training.batch * recipe.objective.n_critic / 1000
    if wanted is None:
        return max(min(kimg / REPORTS_PER_TRAINING, LONGEST_INTERVAL), CYCLES_PER_REPORT * cycle)
    if wanted < cycle:
        raise InputError(
            f"--interval-kimg {wanted:g}: one generator step of these settings takes {cycle:g} kimg; give at least that"
        )
    return wanted


def _train(run: TrainingRun, folder: TrainingFolder, kimg: float, json: bool) -> None:
    """Train to the end, then print and draw the result."""
    from gan.plots.pictures import write_real
    from gan.storage.storage import writing
    from gan.training.training_folder import REPORTS

    with writing(folder.storage.uri):
        write_real(folder.storage, run.trainer.data)
    warn(run.trainer.data.caveat(), run.evaluator.caveat())
    # With --json, stdout is for the result alone.
    reports = _continue(run, folder, kimg, note if json else say)
    if not reports:
        raise InputError(f"--out {folder.storage.uri}: complete at {run.kimg:g} kimg, but its {REPORTS} is missing")
    _show_result(run, reports, json)
    _plot(run, reports)


def _continue(
    run: TrainingRun, folder: TrainingFolder, kimg: float, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Train to the end, from the last checkpoint if there is one; return the reports of all of it."""
    resumed = run.resume() or 0.0
    reports = folder.reports(below_kimg=resumed)
    if 0 < resumed < kimg:
        tell(f"going on from {resumed:g} kimg")
    try:
        for report in run.reports():
            reports.append(report.metrics())
            folder.write_reports(reports)
            tell(_line(reports[-1], short_name(run.evaluator.identity.metric)))
    except KeyboardInterrupt:
        kept = f"saved at {reports[-1]['kimg']:g} kimg" if reports else "before the first report"
        raise Interrupted(f"{kept}; to go on: {command_line()}") from None
    return reports


def _line(report: dict[str, Any], short: str) -> str:
    """Return a report as one line; `short` is the name of its distance."""
    parts = [f"{report['kimg']:8.2f} kimg"]
    for label, name, form in (
        (short, "fid", "8.2f"),
        ("best", "best_fid", "8.2f"),
        ("G", "g_loss", "8.3g"),
        ("D", "d_loss", "8.3g"),
        ("images/s", "images_per_second", "7,.0f"),
    ):
        value = report[name]
        parts.append(f"{label} " + ("-".rjust(8) if value is None else format(value, form)))
    return "  ".join(parts)


def _show_result(run: TrainingRun, reports: list[dict[str, Any]], json: bool) -> None:
    last = reports[-1]
    rates = [report["images_per_second"] for report in reports if report["images_per_second"]]
    if last["diverged"]:
        note(f"diverged at {last['kimg']:g} kimg: {last['reason']}")
    if json:
        emit({**last, "images_per_second": statistics.median(rates) if rates else None, "bundle": run.bundle})
    elif run.bundle is None:
        say("finished without a generator worth keeping")
    else:
        say(f"best {run.evaluator.identity.metric} {last['best_fid']:.2f} at {last['best_kimg']:g} kimg: {run.bundle}")


def _plot(run: TrainingRun, reports: list[dict[str, Any]]) -> None:
    """Draw the whole training's losses and distance, if there are two reports at least."""
    from gan.plots.plots import plot_training
    from gan.storage.storage import writing

    if len(reports) < 2:
        return
    try:
        picture = plot_training(reports, run.evaluator.identity.metric)
    except ImportError:  # gan/ trains on machines that have PyTorch and little else.
        warn(f"no {PLOT}: Matplotlib is not installed")
        return
    with writing(run.storage.uri):
        run.storage.write_bytes(PLOT, picture)
