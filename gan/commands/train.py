"""`train`: one training into a folder, resumable."""

from __future__ import annotations

import json as jsonlib
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gan.commands import options as opt
from gan.errors import InputError
from gan.metric import short_name
from gan.terminal import Interrupted, command_line, emit, note, say, warn

if TYPE_CHECKING:
    from gan.bundle.bundle import Bundle
    from gan.recipe.recipe import Recipe
    from gan.storage.storage import Storage
    from gan.training.run import TrainingRun
    from gan.training.trainer import Trainer

IDENTITY, REPORTS, PLOT, LOCK = "train.yaml", "reports.jsonl", "training.png", ".lock"
REPORTS_PER_TRAINING = 12
LONGEST_INTERVAL = 250.0
"""Kimg between two reports, and so between two checkpoints: what an interruption may cost."""
CYCLES_PER_REPORT = 4
"""Generator steps that a report needs at least: its losses are judged in four stretches."""


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
    from gan.recipe.recipe import load_recipe

    chosen = load_recipe(recipe).with_settings(dict(opt.parse_settings(settings)))
    length = kimg or chosen.kimg
    if length is None:
        raise InputError(f"--kimg: recipe {chosen.name} has no published length: say for how long to train")
    _train(
        _Request(
            recipe=chosen,
            data=data,
            kimg=length,
            out=out,
            size=size,
            crop=crop,
            seed=seed,
            device=device,
            precision=precision,
            interval_kimg=interval_kimg,
            features=features,
            weights=inception_weights,
            samples=samples,
            start=start,
            json=json,
        )
    )


@dataclass(frozen=True)
class _Request:
    """What the command line asks for."""

    recipe: Recipe
    data: str
    kimg: float
    out: str
    size: int | None
    crop: str | None
    seed: int
    device: str
    precision: str
    interval_kimg: float | None
    features: str | None
    weights: Path | None
    samples: int
    start: str | None
    json: bool

    def tell(self, text: str) -> None:
        """Print a line of the story: with --json, stdout is for the result alone."""
        (note if self.json else say)(text)


def _train(request: _Request) -> None:
    from gan.plots.pictures import write_real
    from gan.storage.storage import Storage, writing

    folder = Storage(request.out)
    saved = _saved_identity(folder)
    run, identity = _prepare(request, folder, _interval(request))
    if saved is not None:
        _require_same(request, saved, identity)
    with _owned(folder):
        # Another process may have begun here while this one was getting ready.
        saved = _saved_identity(folder)
        if saved is None:
            _write_identity(folder, identity)
        else:
            _require_same(request, saved, identity)
        with writing(folder.uri):
            write_real(folder, run.trainer.data)
        for caveat in (run.trainer.data.caveat(), run.evaluator.caveat()):
            if caveat is not None:
                warn(caveat)
        reports = _continue(request, run)
        _finish(request, run, reports)
        _plot(run, reports)


# ---- before anything is written


def _interval(request: _Request) -> float:
    """Return the kimg between reports, which must hold a generator step."""
    cycle = request.recipe.training.batch * request.recipe.objective.n_critic / 1000
    if request.interval_kimg is None:
        return max(min(request.kimg / REPORTS_PER_TRAINING, LONGEST_INTERVAL), CYCLES_PER_REPORT * cycle)
    if request.interval_kimg < cycle:
        raise InputError(
            f"--interval-kimg {request.interval_kimg:g}: one generator step of these settings takes {cycle:g} kimg;"
            " give at least that"
        )
    return request.interval_kimg


def _prepare(request: _Request, folder: Storage, interval: float) -> tuple[TrainingRun, dict[str, Any]]:
    """Make everything that a training needs, writing nothing; return the run and its identity."""
    from gan.bundle.bundle import load_bundle
    from gan.checks.preflight import recommended
    from gan.evaluation.evaluator import EVALUATION_SEED, Evaluator
    from gan.tensors.device import choose_device, choose_precision
    from gan.training.run import TrainingRun
    from gan.training.trainer import Trainer

    recipe = request.recipe
    choose_precision(request.precision, choose_device(request.device))
    bundle = load_bundle(request.start) if request.start else None
    data = opt.open_checked(
        request.data,
        *recommended(request.data, request.size, request.crop, [recipe]),
        features=request.features,
        weights=request.weights,
        fits=recipe.count_parameters,
        quiet=request.json,
    )
    trainer = Trainer(recipe, data, seed=request.seed, device=request.device, precision=request.precision)
    if bundle is not None:
        _start_from(trainer, bundle, str(request.start))
    evaluator = Evaluator.prepare(
        data,
        features=request.features or data.default_features,
        samples=request.samples,
        seed=EVALUATION_SEED,
        device=trainer.device,
        inception_weights=request.weights,
    )
    run = TrainingRun(
        trainer,
        evaluator,
        folder,
        total_kimg=request.kimg,
        interval_kimg=interval,
        provenance={"command": command_line()},
    )
    return run, _identity(run, bundle)


def _start_from(trainer: Trainer, bundle: Bundle, name: str) -> None:
    """Give the generator, and its moving average, a bundle's weights."""
    weights = bundle.generator.state_dict()
    wanted = trainer.generator.state_dict()
    odd = sorted(
        key
        for key in wanted | weights
        if key not in wanted or key not in weights or wanted[key].shape != weights[key].shape
    )
    if odd:
        raise InputError(
            f"--from {name}: its generator ({bundle.config['network']}, {'×'.join(map(str, bundle.shape))}) does not"
            f" fit these settings; they differ in {', '.join(odd[:3])}"
        )
    for network in (trainer.generator, trainer.average):
        if network is not None:
            network.load_state_dict(weights)


# ---- what makes a training this one


def _identity(run: TrainingRun, bundle: Bundle | None) -> dict[str, Any]:
    """Return everything that the numbers of this training depend on."""
    trainer, evaluation = run.trainer, run.evaluator.identity.as_dict()
    return {
        "recipe": trainer.recipe.name,
        **trainer.recipe.settings,
        "seed": trainer.seed,
        "precision": trainer.precision,
        "data_hash": evaluation.pop("data_hash"),
        **{name: evaluation[name] for name in ("features", "weights_sha256", "samples", "size")},
        "from": None if bundle is None else bundle.config.get("generator_sha256"),
    }


def _saved_identity(folder: Storage) -> dict[str, Any] | None:
    """Return the identity of the training in a folder; None if the folder is new or empty.

    Raises:
        InputError: it is a file, holds something else, or its identity is damaged.
    """
    import yaml

    if folder.exists() and not folder.is_folder():
        raise InputError(f"--out {folder.uri}: is a file, not a folder")
    try:
        text = folder.read_bytes(IDENTITY)
    except FileNotFoundError:
        if any(not name.startswith(".") for name in folder.list()):
            raise InputError(
                f"--out {folder.uri}: holds other files, and no training ({IDENTITY}) to go on with; give a new folder"
            ) from None
        return None
    except OSError as error:
        raise InputError(f"--out {folder.uri}: cannot be read ({error.strerror or error})") from None
    try:
        saved = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError):
        saved = None
    if not isinstance(saved, dict) or not isinstance(saved.get("identity"), dict):
        raise InputError(f"--out {folder.uri}: its {IDENTITY} is damaged; give a new folder")
    return saved["identity"]


def _write_identity(folder: Storage, identity: dict[str, Any]) -> None:
    import yaml

    from gan.storage.storage import writing
    from gan.versions import versions

    record = {"format": 1, "command": command_line(), "identity": identity, "versions": versions()}
    with writing(folder.uri):
        folder.write_bytes(IDENTITY, yaml.safe_dump(record, sort_keys=False, allow_unicode=True).encode())


def _require_same(request: _Request, saved: dict[str, Any], mine: dict[str, Any]) -> None:
    """Raise `InputError`, naming the differences, unless the folder holds this very training."""
    if request.precision == "auto":
        mine = mine | {"precision": saved.get("precision")}  # The checkpoint goes on in its own.
    names = [name for name in saved | mine if saved.get(name) != mine.get(name)]
    if names:
        shown = ", ".join(f"{name} {_short(saved.get(name))} there, {_short(mine.get(name))} here" for name in names)
        raise InputError(f"--out {request.out}: holds another training: {shown}; give another folder")


def _short(value: Any) -> Any:
    return value[:12] if isinstance(value, str) and len(value) == 64 else value


# ---- training


@contextmanager
def _owned(folder: Storage) -> Iterator[None]:
    """Keep a second process out of a local folder; the system frees it when this one ends."""
    from gan.storage.lock import lock

    place = folder.local_path
    if place is None:
        yield
        return
    place.mkdir(parents=True, exist_ok=True)
    with (place / LOCK).open("a") as file:
        try:
            lock(file, wait=False)
        except BlockingIOError:
            raise InputError(f"--out {folder.uri}: another process is training in it") from None
        yield


def _continue(request: _Request, run: TrainingRun) -> list[dict[str, Any]]:
    """Train to the end, from the last checkpoint if there is one; return the reports of all of it."""
    saved = run.resume() or 0.0
    reports = [report for report in _read_reports(run.storage) if report["kimg"] < saved]
    if 0 < saved < request.kimg:
        request.tell(f"going on from {saved:g} kimg")
    try:
        for report in run.reports():
            reports.append(report.metrics())
            lines = "".join(jsonlib.dumps(each, allow_nan=False) + "\n" for each in reports)
            run.storage.write_bytes(REPORTS, lines.encode())
            request.tell(_line(reports[-1], short_name(run.evaluator.identity.metric)))
    except KeyboardInterrupt:
        kept = f"saved at {reports[-1]['kimg']:g} kimg" if reports else "before the first report"
        raise Interrupted(f"{kept}; to go on: {command_line()}") from None
    return reports


def _plot(run: TrainingRun, reports: list[dict[str, Any]]) -> None:
    """Draw the whole training's losses and distance, where there is more than a point of them."""
    from gan.plots.training_plot import plot_training
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


def _read_reports(folder: Storage) -> list[dict[str, Any]]:
    try:
        return [jsonlib.loads(line) for line in folder.read_bytes(REPORTS).splitlines()]
    except FileNotFoundError:
        return []
    except ValueError:
        raise InputError(f"--out {folder.uri}: its {REPORTS} is damaged; remove that file") from None


def _line(report: dict[str, Any], short: str) -> str:
    """Return a report as a line for people; `short` names its distance."""
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


def _finish(request: _Request, run: TrainingRun, reports: list[dict[str, Any]]) -> None:
    if not reports:
        raise InputError(f"--out {request.out}: complete at {run.kimg:g} kimg, but its {REPORTS} is missing")
    last = reports[-1]
    rates = [report["images_per_second"] for report in reports if report["images_per_second"]]
    rate = statistics.median(rates) if rates else None
    if last["diverged"]:
        note(f"diverged at {last['kimg']:g} kimg: {last['reason']}")
    if request.json:
        emit({**last, "images_per_second": rate, "bundle": run.bundle})
    elif run.bundle is None:
        say("finished without a generator worth keeping")
    else:
        say(f"best {run.evaluator.identity.metric} {last['best_fid']:.2f} at {last['best_kimg']:g} kimg: {run.bundle}")
