"""The first minute: what the program says alone, its help, completion, and the doctor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from fabricated import Fabricated, fabricate

from gan.checks import health
from gan.checks.health import Check, attempt
from gan.storage.storage import Storage
from gan.terminal import run_app, working
from search.commands import doctor
from search.commands.app import app
from search.plan.spec import CompareSpec, RunSpec, SweepSpec
from search.run.journal import Journal
from search.run.record import TIME_BUDGET

ROOT = Path(__file__).parents[3]
KINDS = {"torch", "gpu", "bf16", "memory", "data", "inception", "ray", "optuna", "storage", "report", "tensorboard"}


def commands(app: typer.Typer, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the words of every command, groups of commands and the program itself included."""
    found = [path]
    for command in app.registered_commands:
        found.append((*path, str(command.name or command.callback.__name__)))  # type: ignore[union-attr]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        found += commands(group.typer_instance, (*path, str(group.name)))
    return found


@pytest.mark.parametrize("command", commands(app), ids=lambda words: " ".join(words) or "gan-search")
def test_every_help_has_an_example_and_fits(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run_app(app, [*command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"gan-search {' '.join(command)}".strip() in out.partition("Example")[2]
    assert max(map(len, out.splitlines())) <= 80
    if len(command) == 1 and command[0] not in ("data", "recipes"):
        assert "--json" in out


@pytest.mark.parametrize(("command", "spec"), [("sweep", SweepSpec), ("compare", CompareSpec)])
def test_help_tells_the_defaults_that_a_spec_has(command: str, spec: type[RunSpec]) -> None:
    """They are filled in after the command line has been read, so typer does not know of them."""
    known: Any = typer.main.get_command(app)
    seen = set()
    for option in known.commands[command].params:
        field = spec.model_fields.get("recipes" if option.name == "recipe" else option.name)
        if field is None or option.param_type_name == "argument":
            continue
        seen.add(option.name)
        told = option.help.rpartition("default")[2].strip(": ")
        default = field.default
        if default is None:
            assert told, option.name
        else:
            wanted = ", ".join(default) if isinstance(default, list) else str(default).removesuffix(".0")
            assert told == wanted, option.name
    assert {"data", "kimg", "samples", "time_budget", "concurrent", "device"} <= seen


def test_alone_it_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_app(app, []) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for command in ("gan-search doctor", "gan-search sweep --data faces", "--data folder:photos", "--help"):
        assert command in out
    assert "results" not in out
    assert not list(tmp_path.iterdir())


def test_alone_it_knows_the_runs_that_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fabricate(Storage(tmp_path / "results" / "cut off"))
    Fabricated(Storage(tmp_path / "results" / "done"))
    Journal(Storage(tmp_path / "results" / "done")).append("end", state="finished")
    Fabricated(Storage(tmp_path / "results" / "spent"))
    Journal(Storage(tmp_path / "results" / "spent")).append("end", state="interrupted", cause=TIME_BUDGET)
    torn = tmp_path / "results" / "torn"
    torn.mkdir()
    (torn / "journal.jsonl").write_bytes(b'{"event": "swe')
    (tmp_path / "results" / "empty").mkdir()
    assert run_app(app, []) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "done finished gan-search report results/done" in out
    assert "cut off interrupted gan-search resume 'results/cut off'" in out
    assert "spent ended by its time budget gan-search resume results/spent" in out
    assert "torn interrupted gan-search resume results/torn" in out
    assert "results/empty" not in out


def test_bash_completes_commands(tmp_path: Path) -> None:
    program = tmp_path / "gan-search"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m search "$@"\n')
    program.chmod(0o755)
    script = """
    source <(gan-search --show-completion)
    complete -p gan-search
    complete_words() {
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gan_search_completion gan-search
        echo "${COMPREPLY[@]}"
    }
    complete_words gan-search ""
    complete_words gan-search data ""
    complete_words gan-search tensorboard --po
    """
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, timeout=120)
    assert done.stderr == ""
    registered, first, second, third = done.stdout.splitlines()
    assert registered.endswith("gan-search")
    known = {words[0] for words in commands(app) if words}
    assert set(first.split()) == known
    assert set(second.split()) == {"pack", "info"} | {w[1] for w in commands(app) if w[:1] == ("data",) and len(w) == 2}
    assert third.split() == ["--port"]


# ---- the doctor


def found(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    status = run_app(app, ["doctor", *arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_the_doctor_looks_at_everything_a_sweep_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a real Ray."""
    status, told = found("--ray", "--storage", str(tmp_path / "results"), capsys=capsys)
    checks = {check["name"]: check for check in told["checks"]}
    assert checks.keys() == KINDS | {"optuna-dashboard"}
    assert (status, told["ok"]) == (0, True), checks
    assert "1 node" in checks["ray"]["found"]
    assert checks["inception"]["state"] == "note"
    assert "--features random-conv" in checks["inception"]["fix"]
    assert all(check["state"] in ("ok", "note") for check in checks.values())
    assert not (tmp_path / "results").exists()


def test_ray_is_started_when_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[str | None] = []

    def start(address: str | None) -> Check:
        started.append(address)
        return Check("ray", "ok", "started")

    monkeypatch.setattr(doctor, "_ray", start)
    place = ("--storage", str(tmp_path))
    checks = {check["name"]: check for check in found(*place, capsys=capsys)[1]["checks"]}
    assert checks["ray"]["state"] == "ok" and "not started (--ray starts it)" in checks["ray"]["found"]
    assert started == []
    found(*place, "--ray", capsys=capsys)
    found(*place, "--address", "10.0.0.1:6379", capsys=capsys)
    assert started == [None, "10.0.0.1:6379"]


def test_each_finding_is_shown_as_it_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def slow() -> Check:
        shown = capsys.readouterr().out
        return Check("optuna", "ok", f"{shown.count('ok ')} before it")

    monkeypatch.setattr(doctor, "_optuna", slow)
    assert run_app(app, ["doctor", "--storage", str(tmp_path)]) == 0
    before = capsys.readouterr().out.splitlines()[0]
    assert before.startswith("ok       optuna: ") and not before.endswith(" 0 before it")


@pytest.mark.parametrize("storage", ["/proc/results", "ftp://host/x"])
def test_storage_that_cannot_be_written(storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, told = found("--storage", storage, capsys=capsys)
    (missing,) = (check for check in told["checks"] if check["state"] == "missing")
    assert (status, told["ok"], missing["name"]) == (1, False, "storage")
    assert storage.partition(":")[0] in missing["found"]


def test_a_cluster_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, told = found("--storage", str(tmp_path), "--address", "127.0.0.1:1", capsys=capsys)
    (missing,) = (check for check in told["checks"] if check["state"] == "missing")
    assert (status, missing["name"]) == (1, "ray")
    assert "127.0.0.1:1" in missing["found"]


def test_a_package_that_is_missing_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run_app(app, ["doctor", "--storage", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    said = " ".join(out.split())
    assert "MISSING report: cannot be imported" in said
    assert "→ pip install matplotlib" in said
    assert "→ pip install 'gan-search[dashboard]'" in said
    assert said.endswith("no sweep can run until what is MISSING is fixed")


def test_the_doctor_on_forty_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert run_app(app, ["doctor", "--storage", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    # Addresses and paths stay in one piece, to be copied.
    assert all(len(line) <= 40 or len(line.split()) <= 2 for line in lines)


@pytest.mark.parametrize(("free", "state"), [(10**8, "missing"), (5 * 10**9, "note"), (10**11, "ok")])
def test_room_on_the_disk(free: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(health.shutil, "disk_usage", lambda place: usage)
    assert health.disk("storage", tmp_path / "not" / "there").state == state


def test_whatever_goes_wrong_is_a_finding() -> None:
    def broken() -> Check:
        raise ZeroDivisionError("oh")

    check = attempt("thing", broken)
    assert (check.state, check.found) == ("missing", "ZeroDivisionError: oh")
    assert check.fix


# ---- work of unknown length


def test_work_that_takes_long_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan.terminal._PLAIN_SECONDS", 0.05)
    for quiet, said in ((False, "starting Ray …\n"), (True, "")):
        with working("starting Ray", quiet=quiet) as done:
            time.sleep(0.3)
            done()
        assert capsys.readouterr() == ("", said)
    with working("starting Ray") as done:
        done()
        time.sleep(0.3)
    assert capsys.readouterr() == ("", "")


def test_help_of_what_needs_much_waits_for_nothing(tmp_path: Path) -> None:
    script = (
        "import sys; from search.commands.app import app; from gan.terminal import run_app\n"
        "for command in ('doctor', 'tensorboard', 'dashboard'): run_app(app, [command, '--help'])\n"
        "run_app(app, []); print({'torch', 'ray', 'optuna', 'tensorboard', 'numpy'} & set(sys.modules))"
    )
    # In a folder without runs: to tell of those, what reads them is needed.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.endswith("set()\n")
