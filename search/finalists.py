"""A sweep's finalists: its best settings, and the published ones, on fresh seeds at equal budget.

The best of many trials owes something to luck. Trained again, on seeds that no trial of the sweep had, the same
settings show their worth. The finalists are a comparison in a folder inside the sweep's.
"""

from __future__ import annotations

from gan.recipe.recipe import Recipe
from gan.storage.storage import Storage
from gan.terminal import note
from search.compare import Compare, missing
from search.plan.contestants import of_trial, published
from search.plan.spec import CompareSpec, Contestant, RunSpec, SweepSpec, validate
from search.run.journal import JOURNAL
from search.run.record import SweepRecord, read_record
from search.run.run_folder import FINALISTS, SETTINGS, read_settings
from search.trials.context import RunContext
from search.trials.launch import Launch
from search.trials.rejudge import bundles_to_rejudge
from search.trials.searcher import SEEDS_APART

_BEYOND_THE_SWEEP = 1_000_000
"""Most trials that a sweep can have, each with its own seed: a seed this far on is fresh."""

_OWN = ("kind", "name", "recipes", "settings", "seed", "interval_kimg", "time_budget")
"""Fields that the comparison does not copy from its sweep."""


def choose(recipes: dict[str, Recipe], record: SweepRecord, count: int) -> list[Contestant]:
    """Return the published settings of a sweep's recipes, then its `count` best other settings, without repetition.

    The published ones take part even if the sweep itself did not train them.
    """
    if not count:
        return []
    chosen = [published(name, recipe) for name, recipe in recipes.items()]
    seen = [contestant.recipe["settings"] for contestant in chosen]
    for trial in record.ranked():
        if len(chosen) == len(recipes) + count:
            break
        # Settings that failed in training would fail again.
        if trial.state != "failed" and trial.settings not in seen:
            chosen.append(of_trial(trial, f"{trial.recipe}:{trial.id}", f"trial {trial.id} of this sweep"))
            seen.append(trial.settings)
    return chosen


def finalists_done(spec: SweepSpec, recipes: dict[str, Recipe], record: SweepRecord, run: Storage) -> bool:
    """Tell whether the finalists of a sweep whose trials have ended have all been trained and judged."""
    chosen = choose(recipes, record, spec.finalists)
    names = [contestant.name for contestant in chosen]
    if not names:
        return True
    folder = run.child(FINALISTS)
    if not folder.exists(JOURNAL):
        return False
    finalists = read_record(folder)
    seeds = compare_spec(spec, chosen).training_seeds()
    ended = all(trial.final for trial in finalists.trials.values())
    draws = CompareSpec.model_fields["draws"].default
    return ended and not missing(names, seeds, finalists.trials) and not bundles_to_rejudge(folder, finalists, draws)


def run_finalists(sweep: Launch, context: RunContext) -> None:
    """Compare the finalists; resume their comparison if an earlier launch has begun it."""
    spec, seconds = context.spec, sweep.search_left(context.record)
    assert isinstance(spec, SweepSpec)
    chosen = choose(sweep.plan.recipes, context.record, spec.finalists)
    if not chosen or (seconds is not None and seconds <= 0):
        return
    folder = sweep.plan.run.child(FINALISTS)
    wanted = compare_spec(spec, chosen + _former(folder, chosen), time_budget=seconds)
    names = [contestant.name for contestant in chosen]
    context.journal.append("finalists", recipes=names, seeds=wanted.training_seeds())
    if not sweep.quiet:
        note(f"finalists, each on {wanted.seeds} fresh seeds: {', '.join(names)}")
    compare = Compare(wanted, run=folder, command=context.record.command, quiet=sweep.quiet)
    compare.run_connected(compare.spec, context.evaluator, context.on_shutdown)


def compare_spec(spec: SweepSpec, contestants: list[Contestant], time_budget: float | None = None) -> CompareSpec:
    """Return the spec of the finalists' comparison: its sweep's, with seeds that no trial of the sweep had."""
    copied = {name: getattr(spec, name) for name in RunSpec.model_fields if name not in _OWN}
    own = {
        "name": f"{spec.name[:80]}-finalists",
        "recipes": contestants,
        "interval_kimg": spec.interval,
        "seed": spec.seed * SEEDS_APART + _BEYOND_THE_SWEEP,
        "seeds": spec.finalist_seeds,
        "time_budget": time_budget,
    }
    return validate(CompareSpec, copied | own, "finalists")


def _former(folder: Storage, chosen: list[Contestant]) -> list[Contestant]:
    """Return finalists of an earlier launch that are no longer chosen: their results stay."""
    if not folder.exists(SETTINGS):
        return []
    names = {contestant.name for contestant in chosen}
    former = [Contestant(**contestant) for contestant in read_settings(folder)["settings"]["recipes"]]
    return [contestant for contestant in former if contestant.name not in names]
