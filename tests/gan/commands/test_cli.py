"""The command line itself: exit statuses, one-line errors, help, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from command_line import Cli

from gan import terminal
from gan.commands import app as gan_cli
from gan.errors import InputError
from gan.versions import __version__

ROOT = Path(__file__).parents[3]


def python(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120)


def raising(error: BaseException) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    def command(place: str = "") -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (InputError("two\nlines"), 2, "gan-search: error: two lines\n"),
        (terminal.Failed("no luck"), 1, "gan-search: failed: no luck\n"),
        (ZeroDivisionError("by\nzero"), 1, "gan-search: failed: ZeroDivisionError: by zero\n"),
        (OSError(28, "No space left on device", "/elsewhere"), 1, None),
        (FileNotFoundError(2, "No such file", "/given/path/x"), 2, "gan-search: error: /given/path/x: No such file\n"),
        (FileNotFoundError(2, "No such file", "/elsewhere/x"), 1, None),
        (KeyboardInterrupt(), 130, "gan-search: interrupted\n"),
        (terminal.Interrupted("go on"), 130, "gan-search: interrupted: go on\n"),
        (typer.Exit(0), 0, ""),
        (typer.Exit(7), 7, ""),
    ],
)
def test_how_a_command_ends(
    error: BaseException, status: int, said: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert terminal.run_app(raising(error), ["--place", "/given/path"]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") <= 1
    assert said is None or err == said


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(terminal.DEBUG, "1")
    assert terminal.run_app(raising(ZeroDivisionError("by zero")), []) == 1
    assert "Traceback" in capsys.readouterr().err


def test_json_is_one_line_and_never_nan(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.emit({"a": [1, None], "b": "×"})
    assert capsys.readouterr().out.count("\n") == 1
    with pytest.raises(ValueError, match="JSON"):
        terminal.emit({"a": float("nan")})


def test_a_reader_that_leaves_is_no_reason_to_complain() -> None:
    script = (
        "import sys, typer\nfrom gan.terminal import run_app, say\napp = typer.Typer()\n"
        "@app.command()\ndef many() -> None:\n    for number in range(100_000): say(str(number))\n"
        "sys.exit(run_app(app, []))"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=-1, stderr=-1) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_progress_is_silent_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.progress_bar("work", quiet=True) as progress:
        progress(1, 2)
    with terminal.progress_bar("work") as progress:
        progress(1, None)
    assert capsys.readouterr() == ("", "")


def test_help_waits_for_no_heavy_import() -> None:
    heavy = "{'torch', 'numpy', 'pyarrow', 'ray', 'optuna', 'pydantic', 'matplotlib'}"
    script = f"import sys; from gan.commands.app import main; main(['--help']); print({heavy} & set(sys.modules))"
    assert python("-c", script).stdout.endswith("set()\n")


def commands(app: typer.Typer, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [(*path, str(command.name or command.callback.__name__)) for command in app.registered_commands]
    for group in app.registered_groups:
        found += commands(group.typer_instance, (*path, str(group.name)))
    return found


@pytest.mark.parametrize("command", commands(gan_cli.app), ids=" ".join)
def test_every_command_has_help_with_an_example_and_json(command: tuple[str, ...], cli: Cli) -> None:
    result = cli(*command, "--help")
    assert result.status == 0
    assert f"gan-search {' '.join(command)}" in result.out.partition("Example")[2]
    assert "--json" in result.out
    assert max(map(len, result.out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "Did you mean 'train'"),
        (["recipes", "shwo"], "Did you mean 'show'"),
        (["sample", "x", "--sead", "1", "--out", "y"], "--seed"),
        (["train"], "Missing option"),
        (["sample", "x", "-n", "few", "--out", "y"], "-n"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, cli: Cli) -> None:
    assert said in cli(*arguments).bad_input()


def test_the_version_is_told(cli: Cli) -> None:
    assert cli("--version").out == f"gan-search {__version__}\n"


def test_no_arguments_shows_the_help(cli: Cli) -> None:
    result = cli()
    assert result.status == 2
    assert "Usage" in result.err


def test_as_a_process(tmp_path: Path) -> None:
    result = python("-m", "gan", "sample", str(tmp_path / "none"), "--out", str(tmp_path / "x.png"), "--grid")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("gan-search: error: ")
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
