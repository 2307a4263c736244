"""The commands that train, judge and sample one generator: `python -m gan`, and part of `gan-search`.

Nothing here needs Ray. Each command is a function in `gan.commands`; PyTorch is imported when one runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Annotated

import typer

from gan.commands import data, recipes
from gan.commands.convert import convert
from gan.commands.evaluate import evaluate
from gan.commands.sample import sample
from gan.commands.score import fid
from gan.commands.train import train
from gan.terminal import PROGRAM, run_app, say, show_log
from gan.versions import __version__


def make_app(help: str, *, alone: Callable[[], None] | None = None, completion: bool = False) -> typer.Typer:
    """Return a program without commands.

    Args:
        help: its help text.
        alone: called if no command is given; by default the program shows its help.
        completion: whether it can set up the shell's completion, as an installed program can.
    """
    app = typer.Typer(
        help=help,
        no_args_is_help=alone is None,
        add_completion=completion,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )

    @app.callback(invoke_without_command=alone is not None, help=help)
    def start(
        context: typer.Context,
        version: Annotated[
            bool, typer.Option("--version", callback=_show_version, is_eager=True, help="show the version and exit")
        ] = False,
        verbose: Annotated[bool, typer.Option("--verbose", help="show the program's log on stderr")] = False,
    ) -> None:
        if verbose:
            show_log()
        if alone is not None and context.invoked_subcommand is None:
            alone()

    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"{PROGRAM} {__version__}")
        raise typer.Exit


def mount(app: typer.Typer, without: Collection[str] = ()) -> None:
    """Add the commands of this package to a program, except those that it replaces by its own."""
    for command in (train, sample, convert, evaluate, fid):
        if command.__name__ not in without:
            app.command()(command)
    app.add_typer(data.app, name="data")
    app.add_typer(recipes.app, name="recipes")


app = make_app("Train, judge and sample GANs.")
mount(app)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program on `argv`, else on the process's arguments; return the exit status."""
    return run_app(app, argv)
