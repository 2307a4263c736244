"""The commands that train, judge and sample one generator: `python -m gan`, and part of `gan-search`.

Nothing here needs Ray. Each command is a function in `gan.commands`; PyTorch is imported when one runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import typer

from gan.commands import data, recipes
from gan.commands.options import parse_settings
from gan.commands.sample import sample
from gan.commands.score import evaluate, fid
from gan.commands.train import train
from gan.terminal import run_app

__all__ = ["app", "main", "make_app", "mount", "parse_settings"]


def make_app(help: str) -> typer.Typer:
    """Return an empty program in the style of all our commands."""
    return typer.Typer(
        help=help,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


def mount(app: typer.Typer) -> None:
    """Add the commands of this package to a program."""
    for command in (train, sample, evaluate, fid):
        app.command()(command)
    app.add_typer(data.app, name="data")
    app.add_typer(recipes.app, name="recipes")


app = make_app("Train, judge and sample GANs.")
mount(app)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program on `argv`, else on the process's arguments; return the exit status."""
    return run_app(app, argv)
