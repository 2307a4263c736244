"""`recipes list` and `recipes show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gan.commands import options as opt
from gan.terminal import emit, say, table

if TYPE_CHECKING:
    from gan.recipe.recipe import Recipe

app = typer.Typer(
    help="Settings that ship with the program.\n\nExample: gan-search recipes list",
    short_help="Settings that ship with the program.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_recipes(json: opt.Json = False) -> None:
    """List the recipes that ship.

    Example: gan-search recipes list
    """
    from gan.recipe.recipe import load_recipe, shipped

    recipes = [load_recipe(name) for name in shipped()]
    if json:
        emit([_overview(recipe) for recipe in recipes])
    else:
        say(table([(recipe.name, recipe.part_names["objective"], recipe.summary) for recipe in recipes]))


@app.command("show")
def show_recipe(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="name of a recipe, or a YAML file")],
    size: opt.Size = None,
    json: opt.Json = False,
) -> None:
    """Show a recipe's settings, the source of each, and what a search samples.

    Parameters are counted at --size, else at the recipe's own size, else at 64 pixels.

    Example: gan-search recipes show wgan --size 32
    """
    from gan.recipe.recipe import load_recipe

    described = _describe(load_recipe(recipe), size)
    if json:
        emit(described)
    else:
        _show(described)


def _overview(recipe: Recipe) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "summary": recipe.summary,
        "source": recipe.source,
        "size": recipe.size,
        "network": recipe.part_names["network"],
        "objective": recipe.part_names["objective"],
    }


def _describe(recipe: Recipe, size: int | None) -> dict[str, Any]:
    shape = recipe.shape(size)
    generator, discriminator = recipe.count_parameters(shape)
    return {
        "name": recipe.name,
        "size": shape[0],
        "settings": recipe.settings,
        "space": recipe.space_as_dict(),
        "source": recipe.source,
        "generator_parameters": generator,
        "discriminator_parameters": discriminator,
        "settled": recipe.settled,
        "summary": recipe.summary,
        "sources": recipe.sources,
        "shape": list(shape),
        "crop": recipe.crop,
        "kimg": recipe.kimg,
    }


def _show(described: dict[str, Any]) -> None:
    say(f"{described['name']}: {described['summary']}")
    say(f"source: {described['source']}")
    say(
        f"at {'×'.join(map(str, described['shape']))}: {described['generator_parameters']:,} parameters in the"
        f" generator, {described['discriminator_parameters']:,} in the discriminator"
    )
    if described["kimg"] is not None:
        settled = described["settled"].get("kimg")
        how = f"settled: {settled}" if settled else described["sources"].get("kimg", "")
        say(f"trained for {described['kimg']:,g} kimg ({how})")
    say()
    rows = [(name, _text(value), described["sources"].get(name, "")) for name, value in described["settings"].items()]
    say(table(rows, ("SETTING", "VALUE", "FROM")))
    say()
    say(table([(name, _interval(space)) for name, space in described["space"].items()], ("SEARCHED", "OVER")))
    if described["settled"]:
        say()
        say(table(list(described["settled"].items()), ("SETTLED", "WHY")))


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _interval(space: Any) -> str:
    if isinstance(space, list):
        return ", ".join(_text(value) for value in space)
    return f"{_text(space['low'])} to {_text(space['high'])}" + (", log scale" if space["log"] else "")
