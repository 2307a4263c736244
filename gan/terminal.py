"""What all commands share: exit statuses, one-line errors, output, progress.

    0 done · 1 failed · 2 wrong usage or bad input · 130 interrupted, state saved

Results go to stdout, everything else to stderr. Importing this takes no longer than importing typer.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import typer

from gan.errors import InputError

PROGRAM = "gan-search"
DEBUG = "GAN_SEARCH_DEBUG"
"""Environment variable: with 1, a failure shows its traceback."""

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

Progress = Callable[[int, int | None], None]
"""Called with the amount done and the total (None while unknown)."""

_PLAIN_SECONDS = 5.0
"""Time between two lines of progress where stderr is not a terminal."""

# typer uses click, or a copy of it: this is the base class of wrong-usage errors in both.
_UsageError = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

_invocation: list[str] = []


class Interrupted(Exception):
    """Ctrl-C, after the state was saved; the message says how to resume. Exit status 130."""


class Failed(Exception):
    """A command could not do its work, for a known reason. Exit status 1."""


# ---- running a program


def run_app(app: typer.Typer, argv: Sequence[str] | None = None) -> int:
    """Run a typer app on `argv` (without the program's name); return the exit status.

    Every error becomes one line on stderr; `GAN_SEARCH_DEBUG=1` adds the traceback of a failure.
    """
    _invocation[:] = sys.argv[1:] if argv is None else argv
    try:
        status = _invoke(app, _invocation)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader of stdout has gone; Python would report it once more at exit.
        with suppress(OSError, ValueError):  # A stream without a file, as in tests.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def command_line() -> str:
    """Return the command that is running, quoted for a shell."""
    return shlex.join([PROGRAM, *_invocation])


def _invoke(app: typer.Typer, arguments: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A character that the encoding lacks (× in a Latin-2 terminal) is replaced, and does not fail.
            stream.reconfigure(errors="replace")
    # Pillow warns of odd files. Each image that is skipped is reported in one line anyway.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        result = typer.main.get_command(app).main(args=arguments, prog_name=PROGRAM, standalone_mode=False)
    except SystemExit as error:  # raised by typer at a broken pipe
        return error.code if isinstance(error.code, int) else FAILED
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted("")
    except BrokenPipeError:
        raise
    except Interrupted as error:
        return _interrupted(str(error))
    except Exception as error:
        return _explain(error, arguments)
    # typer returns the status of `typer.Exit`, and has turned Ctrl-C into one.
    if result == INTERRUPTED:
        return _interrupted("")
    return result if isinstance(result, int) else DONE


def _interrupted(advice: str) -> int:
    note(f"{PROGRAM}: interrupted" + (f": {advice}" if advice else ""))
    return INTERRUPTED


def _explain(error: Exception, arguments: list[str]) -> int:
    """Print an exception as one line; return the exit status."""
    if type(error).__name__ == "NoArgsIsHelpError":
        note(str(getattr(error, "message", error)))
        return BAD_INPUT
    if isinstance(error, _UsageError):
        note(f"{PROGRAM}: error: {_usage(error)}")
        return BAD_INPUT
    if isinstance(error, InputError):
        note(f"{PROGRAM}: error: {one_line(error)}")
        return BAD_INPUT
    if isinstance(error, OSError) and _named_by_user(error, arguments):
        note(f"{PROGRAM}: error: {error.filename}: {error.strerror}")
        return BAD_INPUT
    if os.environ.get(DEBUG) == "1":
        traceback.print_exception(error)
    message = one_line(error)
    if not isinstance(error, Failed):
        message = f"{type(error).__name__}: {message}" if message else type(error).__name__
    note(f"{PROGRAM}: failed: {message}")
    return FAILED


def _usage(error: Any) -> str:
    """Return what is wrong with the command line, and which help to read."""
    message = one_line(error.format_message())
    context = getattr(error, "ctx", None)
    return f"{message} (see '{context.command_path} --help')" if context is not None else message


def _named_by_user(error: OSError, arguments: list[str]) -> bool:
    """Tell whether the file of an error was named on the command line, or is in a folder that was."""
    wrong = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, FileExistsError)
    if not isinstance(error, wrong) or not isinstance(error.filename, str):
        return False
    file = Path(error.filename).absolute()
    # The path in --flag=PATH, and in folder:PATH.
    parts = [part for argument in arguments for part in (argument, *re.split("[=:]", argument, maxsplit=1))]
    return any(part and file.is_relative_to(Path(part).absolute()) for part in parts)


# ---- output


def emit(value: dict[str, Any] | list[Any]) -> None:
    """Print one JSON document, on one line, to stdout. NaN and infinity raise `ValueError`."""
    say(json.dumps(value, allow_nan=False))


def say(text: str = "") -> None:
    """Print text to stdout, at once."""
    print(text, flush=True)  # noqa: T201


def note(text: str) -> None:
    """Print to stderr: for progress and warnings, which are not results."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def warn(*texts: str | None) -> None:
    """Print a one-line warning to stderr for each text that is not None."""
    for text in texts:
        if text is not None:
            note(f"{PROGRAM}: warning: {one_line(text)}")


def show_log() -> None:
    """Print what this program logs, down to debug messages, to stderr; what others log is left as it is."""
    handler = _LogHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
    for name in ("gan", "search"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.DEBUG)
        logger.handlers = [handler]


class _LogHandler(logging.Handler):
    """Prints to stderr as it is at the moment: a progress display replaces it while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        note(self.format(record))


def one_line(text: object) -> str:
    """Return text with every run of white space, line breaks included, replaced by one space."""
    return " ".join(str(text).split())


def table(rows: Sequence[Sequence[object]], head: Sequence[str] = ()) -> str:
    """Return rows as text in aligned columns, two spaces apart."""
    lines = [[str(cell) for cell in row] for row in ([head] if head else []) + list(rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


# ---- progress


@contextmanager
def progress_bar(label: str, quiet: bool = False) -> Iterator[Progress]:
    """Yield a callback that shows progress on stderr.

    It draws a bar on a terminal and prints a line every few seconds elsewhere. It shows nothing if
    `quiet`, or if it is never called (the data was packed before).

        with progress_bar("packing faces", quiet=json) as progress:
            data = open_data("faces", 32, progress=progress)
    """
    if quiet:
        yield lambda done, total: None
    elif sys.stderr.isatty():
        with _bar(label) as shown:
            yield shown
    else:
        yield _lines(label)


@contextmanager
def working(label: str, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """Show on stderr that work of unknown length goes on, until the function that this yields is called.

    It shows a spinner on a terminal; elsewhere a line, if the work takes more than a few seconds.

        with working("starting Ray", quiet=json) as done, connect():
            done()
    """
    with ExitStack() as stack:
        if not quiet and sys.stderr.isatty():
            from rich.console import Console

            stack.enter_context(Console(stderr=True).status(label))
        elif not quiet:
            timer = threading.Timer(_PLAIN_SECONDS, note, [f"{label} …"])
            timer.daemon = True
            timer.start()
            stack.callback(timer.cancel)
        yield stack.close


def packing_progress(quiet: bool = False) -> AbstractContextManager[Progress]:
    """Return a `progress_bar` for `open_data`, which packs data at its first use."""
    return progress_bar("packing images", quiet)


@contextmanager
def _bar(label: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(label, total=None, visible=False)

    def show(done: int, total: int | None) -> None:
        bar.update(task, completed=done, total=total, visible=True)

    with bar:
        yield show


def _lines(label: str) -> Progress:
    last = time.monotonic()

    def show(done: int, total: int | None) -> None:
        nonlocal last
        if time.monotonic() - last >= _PLAIN_SECONDS:
            last = time.monotonic()
            note(f"{label}: {done:,}" + ("" if total is None else f" of {total:,}"))

    return show
