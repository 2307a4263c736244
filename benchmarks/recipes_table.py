"""The published settings of the recipes, compared at equal budget: `python benchmarks/recipes_table.py`.

Trains each recipe with its own settings, at reduced width, on the same seeds to the same length, through
`search.compare.Compare`, and prints the table in Markdown. Settings that a sweep found join with RUN:1,
where the sweep had the same widths (`gan-search sweep … --set width_g=16 --set width_d=16`):

    python benchmarks/recipes_table.py --size 64 --shrink 4 --kimg 30 results/my-sweep:1

It can be broken off and called again: what was trained is not trained again.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from gan.recipe import load_recipe, shipped
from gan.terminal import packing_progress
from search.compare import Compare
from search.contestants import CompareSpec, Contestant
from search.report import build_report
from search.report.contest_tables import as_json, as_markdown
from search.spec import validate

WIDTHS = ("width_g", "width_d")


def shrunk(name: str, factor: int) -> str | Contestant:
    """Return a shipped recipe with its networks' widths divided; files and trials of runs stay as they are."""
    if name not in shipped() or factor == 1:
        return name
    recipe = load_recipe(name)
    narrow = {width: max(1, int(recipe.settings[width]) // factor) for width in WIDTHS if width in recipe.settings}
    settings = {**recipe.settings, **narrow}
    return Contestant(recipe={"name": name, "settings": settings, "source": recipe.source})


def images() -> list[str]:
    """Return the shipped recipes that draw images."""
    return [name for name in shipped() if name != "curves"]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", help="recipes, files or RUN:1; default: all that draw images")
    parser.add_argument("--data", default="faces")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--shrink", type=int, default=4, help="divides the widths of shipped recipes")
    parser.add_argument("--kimg", type=float, default=30.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--storage", default="results")
    parser.add_argument("--name", default="recipes-table")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    asked = parse()
    values: dict[str, Any] = {key: value for key, value in vars(asked).items() if key not in ("shrink", "json")}
    values["recipes"] = [shrunk(name, asked.shrink) for name in asked.recipes or images()]
    with packing_progress(quiet=asked.json) as packing:
        made = Compare(validate(CompareSpec, values, "recipes_table"), quiet=asked.json, packing=packing)
    made.run()
    data = build_report(made.run_storage)
    assert data.contest is not None
    print(json.dumps(as_json(data.contest)) if asked.json else as_markdown(data.contest, data))


if __name__ == "__main__":
    main()
