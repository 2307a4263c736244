"""The Makefile runs what the documentation says it does; its set-up itself needs a network."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def planned(target: str) -> str:
    """Return the commands that `make TARGET` would run, its set-up left out."""
    done = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "--old-file=.venv/.ready", target],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("target", "runs"),
    [
        ("sweep", ["gan-search sweep search/specs/demo.yaml"]),
        ("test", ["ruff check", "ruff format --check", "mypy", "pytest", '-m "not slow"']),
        ("test-full", ["ruff check", "mypy", "pytest"]),
        ("lint", ["ruff check", "mypy"]),
    ],
)
def test_targets_run_what_they_promise(target: str, runs: list[str]) -> None:
    said = planned(target)
    assert all(part in said for part in runs), said
    assert ("not slow" in said) == (target == "test")


def test_set_up_installs_the_project_with_the_tested_versions() -> None:
    done = subprocess.run(["make", "--dry-run", "-B", "setup"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "-m venv .venv" in done.stdout and "-c constraints.txt -e '.[test]'" in done.stdout
    assert planned("setup").splitlines()[-1] == 'echo "now: source .venv/bin/activate"'


def test_the_first_target_only_tells_what_there_is() -> None:
    done = subprocess.run(["make"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "make sweep" in done.stdout and "make test" in done.stdout
