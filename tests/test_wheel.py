"""The wheel holds all that a sweep needs: installed outside the checkout, it runs one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str | Path, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy, so that no build folder is left in the checkout."""
    place = tmp_path_factory.mktemp("wheel")
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in ("gan", "search"):
        shutil.copytree(ROOT / name, place / "copy" / name, ignore=unwanted)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, place / "copy")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", place, "./copy", cwd=place)
    return next(place.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_both_packages(wheel: Path) -> None:
    files = {
        path.relative_to(ROOT).as_posix()
        for name in ("gan", "search")
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert files - packed == set()
    assert {name.partition("/")[0] for name in packed - files} == {f"{wheel.name.rsplit('-', 3)[0]}.dist-info"}


@pytest.mark.slow
def test_an_installed_wheel_runs_a_sweep(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own, which borrows only the dependencies of this one."""
    place = tmp_path / "venv"
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        wheel,
        cwd=tmp_path,
    )
    mine = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    # Adds the dependencies behind the wheel. Path files in there, such as an editable install's, do nothing.
    (mine / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    for package in ("gan", "search"):
        home = run(python, "-c", f"import {package}; print({package}.__file__)", cwd=tmp_path)
        assert Path(home.strip()).is_relative_to(place)
    command = place / "bin" / "gan-search"
    assert "wang-mnist" in run(command, "recipes", "list", cwd=tmp_path)
    tiny = ["--set", "width_g=4", "--set", "width_d=4", "--set", "batch=16", "--samples", "64", "--size", "16"]
    limits = ["--trials", "2", "--kimg", "0.4", "--interval-kimg", "0.2", "--recipe", "dcgan", "--device", "cpu"]
    told = run(command, "sweep", "--data", "faces?limit=620", "--name", "tiny", *tiny, *limits, "--json", cwd=tmp_path)
    assert json.loads(told)["state"] == "finished"
    page = (tmp_path / "results" / "tiny" / "report.html").read_text()
    assert "<script" in page and "<style" in page
    run(command, "export", "tiny", "--out", "generator", cwd=tmp_path)
    assert (tmp_path / "generator" / "generator.safetensors").is_file()
