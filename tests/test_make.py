"""The Makefile runs what the documentation says it does; its set-up itself needs a network."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest
from newest_requirements import newest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
        ("test-newest", ["-m venv .venv-newest", "--upgrade -r", "--no-deps -e .", ".venv-newest/bin/pytest"]),
    ],
)
def test_targets_run_what_they_promise(target: str, runs: list[str]) -> None:
    said = planned(target)
    assert all(part in said for part in runs), said
    assert ("not slow" in said) == (target in ("test", "test-newest"))


def test_set_up_installs_the_project_with_the_tested_versions() -> None:
    done = subprocess.run(["make", "--dry-run", "-B", "setup"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "-m venv .venv" in done.stdout and "-c constraints.txt -e '.[test]'" in done.stdout
    assert planned("setup").splitlines()[-1] == 'echo "now: source .venv/bin/activate"'


def test_the_newest_versions_have_no_upper_limit() -> None:
    names = newest()
    assert "ray[tune]>=2.60" in names and "torch>=2.11,!=2.13.0" in names
    assert any(name.startswith("pytest") for name in names) and any(name.startswith("onnx") for name in names)
    assert not [name for name in names if "<" in name or name.startswith("gan-search")]


def test_tested_versions_lie_within_the_limits() -> None:
    pins = [line.split("==") for line in (ROOT / "constraints.txt").read_text().split()]
    tested = {canonicalize_name(name): version for name, version in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in project["dependencies"]:
        wanted = Requirement(line)
        assert tested[canonicalize_name(wanted.name)] in wanted.specifier, line


def test_the_first_target_only_tells_what_there_is() -> None:
    done = subprocess.run(["make"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "make sweep" in done.stdout and "make test" in done.stdout
