"""What `--dry-run` shows: the plan of a run in short, or with `--json` every setting, resolved."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

from gan.terminal import emit, say, table, warn
from search.plan.spec import CompareSpec, SweepSpec
from search.report.text.formatting import kimg, span
from search.run.record import SweepRecord
from search.run.run_folder import SETTINGS

if TYPE_CHECKING:
    from search.algorithm.forecast import Forecast
    from search.plan.budget import Choice
    from search.sweep import Sweep
    from search.trials.launch import Launch


def show_plan(launch: Launch, json: bool) -> None:
    """Print what a run would do."""
    warn(launch.plan.data.caveat())
    if json:
        emit(_resolved(launch))
        return
    say(table([(f"{name}:", fact) for name, fact in _facts(launch).items()]))
    searched = _searched(launch) if launch.spec.kind == "sweep" else []
    if searched:
        say("\n" + table(searched, head=("searched", "range", "of")))
    say("\nnothing was started; every setting, resolved: --dry-run --json")


def _resolved(launch: Launch) -> dict[str, Any]:
    plan, spec = launch.plan, launch.spec
    expected = _expected(launch)
    return {
        "run": launch.run_storage.uri,
        "settings": spec.model_dump(),
        "identity": plan.identity(),
        "trials": launch.trials_left(SweepRecord()),
        "interval_kimg": spec.interval,
        "rungs": spec.rungs(),
        "train_images": len(plan.data.train),
        "held_out_images": len(plan.data.held_out),
        "parameters": {name: {"generator": g, "discriminator": d} for name, (g, d) in plan.parameters.items()},
        "expected_best": None if expected is None else expected._asdict(),
        "choices": _choices(launch),
    }


def _expected(launch: Launch) -> Forecast | None:
    """Return what the best is expected to come to, over the best published settings; None if nothing is known."""
    return cast("Sweep", launch).expected_best() if isinstance(launch.spec, SweepSpec) else None


def _choices(launch: Launch) -> list[dict[str, Any]]:
    """Return what the time budget, half and twice of it have decided, with what to expect of each."""
    sweep = cast("Sweep", launch) if isinstance(launch.spec, SweepSpec) else None
    choice = None if sweep is None else sweep.choice
    if sweep is None or choice is None:
        return []
    shown = []
    for each in (choice, *choice.others):
        expected = sweep.expected_of(each)
        known = None if expected is None else expected._asdict()
        told = {"time_budget": each.budget.seconds, "kimg": each.kimg, "trials": each.trials, **each.rung._asdict()}
        shown.append({**told, "images_per_second": each.speed.rate, "expected_best": known})
    return shown


def _facts(launch: Launch) -> dict[str, str]:
    plan, spec = launch.plan, launch.spec
    trials = launch.trials_left(SweepRecord())
    rungs = ", ".join(map(kimg, spec.rungs()))
    there = " (there already: it goes on, and what has ended stays)" if launch.run_storage.exists(SETTINGS) else ""
    facts = {
        "run": f"{launch.run_storage.uri}{there}",
        "recipes": ", ".join(plan.recipes),
        "parameters": ", ".join(f"{_count(g)} + {_count(d)}" for g, d in plan.parameters.values())
        + " (generator + discriminator)",
        "trials": f"{trials:,}: {_composition(launch, trials)}",
        "length": f"{kimg(spec.kimg)} kimg at most, a report every {kimg(spec.interval)} kimg",
        "reports": f"{trials * math.ceil(spec.kimg / spec.interval - 1e-9):,} at most",
        "rungs": f"{rungs} kimg: at each, trials that fall behind are stopped"
        if rungs
        else "none: no trial is stopped",
        "data": _data(launch),
        "evaluation": f"{spec.features}, {spec.samples:,} samples against"
        f" {min(spec.samples, len(plan.data.train)):,} real ones",
        "resources": _resources(launch),
    }
    if isinstance(spec, SweepSpec) and spec.futility is not None:
        facts["futility"] = f"trials expected to miss the best by {spec.futility:g} standard deviations are stopped too"
    if isinstance(spec, SweepSpec) and spec.prior is not None:
        facts["prior"] = _prior(cast("Sweep", launch))
        expected = _expected(launch)
        if expected is not None:
            facts["expected"] = (
                f"the best at {expected.ratio:.2g} times the distance of the best published settings"
                f" ({expected.low:.2g} to {expected.high:.2g} with a probability of {expected.level:.0%})"
            )
        choice = cast("Sweep", launch).choice
        if choice is not None:
            facts["chosen"] = (
                f"size, width, length and trials, for {budget(choice)}: {choice.budget.at_once} trials at once, each"
                f" with {choice.speed.rate:,.0f} images/s"
            )
            facts |= {f"with {budget(other)}": _other(cast("Sweep", launch), other) for other in choice.others}
    if isinstance(spec, SweepSpec) and spec.finish is not None:
        length = f"to {kimg(spec.finish * spec.kimg)} kimg" if isinstance(spec.finish, float) else "for the rest of it"
        facts["finish"] = f"the best is trained on, {length}"
    if spec.time_budget is not None:
        facts["time budget"] = span(spec.time_budget)
    return facts


def budget(choice: Choice) -> str:
    return span(round(choice.budget.seconds))


def in_short(choice: Choice) -> str:
    """Write what a sweep does with its budget."""
    size, width = choice.rung
    return f"{size}×{size}, width {width}, {choice.trials} trials of {kimg(choice.kimg)} kimg at most"


def _other(sweep: Sweep, choice: Choice) -> str:
    expected = sweep.expected_of(choice)
    told = "" if expected is None else f"; {expected.ratio:.2g} times ({expected.low:.2g} to {expected.high:.2g})"
    return in_short(choice) + told


def _count(parameters: int) -> str:
    return f"{parameters / 1e6:.3g} M" if parameters >= 1e5 else f"{parameters:,}"


def _composition(launch: Launch, trials: int) -> str:
    spec, recipes = launch.spec, len(launch.plan.recipes)
    if isinstance(spec, CompareSpec):
        return f"{recipes} recipes on {spec.seeds} seeds each, every best generator judged again on {spec.draws} draws"
    assert isinstance(spec, SweepSpec)
    published = min(trials, recipes) if spec.published else 0
    known = min(len(cast("Sweep", launch).portfolio()[0]), trials)
    sampled = max(0, trials - published - len(spec.points) - known)
    parts = [
        f"{len(spec.points)} of the sweep's points" if spec.points else "",
        f"{known} of the prior's portfolio" if known else "",
        f"{published} of published settings" if published else "",
        f"{sampled:,} sampled",
    ]
    text = ", ".join(part for part in parts if part) + f"; the best {spec.top_k} are kept"
    if spec.finalists:
        text += f"; then {spec.finalists} finalists and the published on {spec.finalist_seeds} fresh seeds each"
    return text


def _prior(sweep: Sweep) -> str:
    prior = sweep.plan.prior
    if prior is None:
        return "none: nothing is known beforehand"
    unknown = [name for name, recipe in sweep.plan.recipes.items() if prior.recipe_like(recipe) is None]
    _, left_out = sweep.portfolio()
    text = f"{sweep.spec.prior}, learnt on {len(prior.sets)} sets of images"
    text += f"; {left_out} settings of its portfolio lie outside the search space" if left_out else ""
    return text + (f"; nothing is known of {', '.join(unknown)}" if unknown else "")


def _data(launch: Launch) -> str:
    data, spec = launch.plan.data, launch.spec
    shape = f", {data.shape[0]} px, {data.shape[2]} channel{'s' if data.shape[2] > 1 else ''}" if data.is_image else ""
    crop = f", crop {spec.crop}" if spec.crop else ""
    skipped = f", {data.skipped:,} unreadable" if data.skipped else ""
    return f"{spec.data}{shape}{crop}: {len(data.train):,} to train on, {len(data.held_out):,} held out{skipped}"


def _resources(launch: Launch) -> str:
    spec = launch.spec
    gpus = f"{spec.gpus:g} GPU"
    if spec.gpus_per_trial is None:
        gpus = "a GPU where there is one"
    elif spec.gpus_per_trial == "auto":
        gpus = "a share of a GPU, to be measured"
    at_once = "as many at once as fit" if spec.concurrent is None else f"{spec.concurrent} at once"
    where = "this machine" if spec.address is None else f"the cluster at {spec.address}"
    return f"a trial takes {spec.cpus_per_trial:g} CPU and {gpus}; {at_once}; on {where}"


def _searched(launch: Launch) -> list[tuple[str, str, str]]:
    """Return (parameter, range, recipes that share it) of all that is searched."""
    sharing: dict[tuple[str, str], list[str]] = {}
    for recipe in launch.plan.recipes.values():
        for name, (_, space) in recipe.searchable().items():
            sharing.setdefault((name, str(space)), []).append(recipe.name)
    every = len(launch.plan.recipes)
    return [
        (name, space, "all" if len(recipes) == every else ", ".join(recipes))
        for (name, space), recipes in sharing.items()
    ]
