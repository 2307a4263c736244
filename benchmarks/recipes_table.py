"""What a search finds beyond each recipe's published settings: `python benchmarks/recipes_table.py`.

For each recipe a sweep of its own, at reduced width: its published settings first, then sampled ones. The best
of these and the published ones are then trained anew, as finalists, on fresh seeds to full length. The table
holds the means over these seeds alone: a trial that was best by luck is no better there. Nothing is chosen by
hand, and every recipe has the same budget.

    python benchmarks/recipes_table.py --trials 12 --kimg 24
    python benchmarks/recipes_table.py cheng-96-wgan wgan --seeds 5 --json

It can be broken off and called again: what was trained is not trained again. The sweeps lie in results/ as
table-RECIPE, and `gan-search compare` takes their best as table-RECIPE:1.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from typing import Any

from gan.recipe.recipe import load_recipe, shipped
from gan.terminal import note, packing_progress
from search.plan.spec import SweepSpec, validate
from search.report.build import build_report
from search.report.data.comparison import ComparisonResult, Difference, Estimate
from search.sweep import Sweep

WIDTHS = ("width_g", "width_d")


@dataclass(frozen=True)
class Row:
    """One recipe: its published settings against the best that its sweep found, over fresh seeds.

    Attributes:
        gain: by how much the found settings' mean is lower.
    """

    recipe: str
    published: Estimate
    found: Estimate
    gain: Difference
    params: dict[str, Any]
    diverged: int
    trials: int

    @classmethod
    def of(cls, recipe: str, comparison: ComparisonResult, states: dict[str, int]) -> Row | None:
        """Return the row; None where there is nothing to compare."""
        published, found = (
            next((each for each in comparison.recipes if each.source == source and each.best_fid is not None), None)
            for source in ("published", "sampled")
        )
        if published is None or published.best_fid is None or found is None or found.best_fid is None:
            return None
        gain = Difference.between(found.best_fid, published.best_fid)
        ended = states.get("diverged", 0), sum(states.values())
        return cls(recipe, published.best_fid, found.best_fid, gain, found.params, *ended)


def images() -> list[str]:
    """Return the shipped recipes that draw images."""
    return [name for name in shipped() if name != "curves"]


def narrowed(name: str, factor: int) -> dict[str, int]:
    """Return the widths of a recipe's networks, divided."""
    settings = load_recipe(name).settings
    return {width: max(1, int(settings[width]) // factor) for width in WIDTHS if width in settings}


def measure(name: str, asked: argparse.Namespace) -> Row | None:
    """Run a recipe's sweep with its finalists, or go on with it, and return what these showed."""
    values: dict[str, Any] = {
        **{key: getattr(asked, key) for key in ("data", "size", "trials", "kimg", "seed", "samples", "storage")},
        "name": f"table-{name}",
        "recipes": [name],
        "settings": narrowed(name, asked.shrink),
        "interval_kimg": asked.kimg / 6,
        "grace_kimg": asked.kimg / 6,
        "finalists": 1,
        "finalist_seeds": asked.seeds,
    }
    with packing_progress(quiet=True) as packing:
        sweep = Sweep(validate(SweepSpec, values, "recipes_table"), quiet=True, packing=packing)
    sweep.run()
    data = build_report(sweep.run_storage)
    row = None if data.finalists is None else Row.of(name, data.finalists, data.counts)
    if row is None:
        note(f"table-{name}: nothing that it sampled came to a distance; see its report")
        return None
    note(_line(row))
    return row


def _line(row: Row) -> str:
    params = ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.params.items()
    )
    cells = [row.recipe, _estimate(row.published), _estimate(row.found), _gain(row), params]
    return f"| {' | '.join(cells)} |"


def _estimate(found: Estimate) -> str:
    if found.std is None:
        return f"{found.mean:.1f}"
    return f"{found.mean:.1f} ± {found.std:.1f} ({found.low:.1f} to {found.high:.1f})"


def _gain(row: Row) -> str:
    share = f"{row.gain.mean / row.published.mean:.0%}"
    return (
        share if row.gain.low is None else f"{row.gain.mean:.1f} ({row.gain.low:.1f} to {row.gain.high:.1f}), {share}"
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", help="shipped recipes; default: all that draw images")
    parser.add_argument("--data", default="faces")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--shrink", type=int, default=4, help="divides the widths of the networks")
    parser.add_argument("--trials", type=int, default=12, help="of each recipe's sweep")
    parser.add_argument("--kimg", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=0, help="of the search; the finalists' seeds are others")
    parser.add_argument("--seeds", type=int, default=3, help="fresh ones on which the finalists are trained")
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--storage", default="results")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    asked = parse()
    measured = [measure(name, asked) for name in asked.recipes or images()]
    rows = [row for row in measured if row is not None]
    if asked.json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    head = ("recipe", "published: mean ± std (95%)", "found: mean ± std (95%)", "lower by (95%)", "found settings")
    print(f"| {' | '.join(head)} |")
    print(f"|{' --- |' * len(head)}")
    for row in rows:
        print(_line(row))


if __name__ == "__main__":
    main()
