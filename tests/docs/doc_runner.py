"""Runs what the documentation tells people to type.

Each page is run from top to bottom in a folder of its own, in which the README has been followed
before. Commands of gan-search are the command lines themselves, with two changes, both below: numbers
are made small, and options are added where a download or an hour would be needed. Nothing else of a
line is changed, and nothing in the product knows of this.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import yaml
from doc_pages import ROOT, Block, Command, blocks, commands

from gan.data.packed.opening import open_data
from gan.data.sources import faces
from gan.tensors.images import save_png
from gan.terminal import run_app
from search.commands.app import app

# ---- what is changed, all of it

NUMBERS = {
    "--trials": "3",
    "--interval-kimg": "0.5",
    "--samples": "64",
    "--repeats": "2",
    "--seeds": "2",
    "--draws": "2",
    "--finalists": "1",
    "--finalist-seeds": "1",
}
"""Value of an option, wherever it is given. "+20" becomes "+1"; what is smaller already stays."""

SIZES = {28: 16, 32: 16, 64: 20, 96: 24, 128: 28}
"""Value of --size. What differs in the documentation differs here, so that runs are told apart alike."""

INSTEAD = {"--trials": "3", "--kimg": "1.036", "--size": "16"}
"""Of a sweep's --time-budget, which takes its time however small it is; tests/search runs one."""

KIMG = 1.0
"""Of --kimg a thousandth, and this: 36 becomes 1.036."""

TRIAL = "t0002"
"""The last trial that there is after the README, for any other that is named, as in RUN:t0007."""

SETTINGS = {"width_g": "4", "width_d": "4", "batch": "16"}
"""Of networks and batches, in `--set` and in the settings of YAML files."""

ADDED = {
    "sweep": {"--samples": "64", "--set": SETTINGS, "--features": "random-conv"},
    "train": {"--kimg": "1", "--samples": "64", "--set": SETTINGS, "--features": "random-conv"},
    "evaluate": {"--samples": "64", "--features": "random-conv"},
    "fid": {"--samples": "64", "--features": "random-conv"},
    "compare": {"--samples": "64", "--set": SETTINGS, "--features": "random-conv", "--kimg": "200", "--seeds": "2"},
}
"""Options that a command is given unless it has them: a FID of 5,000 samples takes its time, and the
Inception weights are a download."""

FIELDS = {"trials": 3, "interval_kimg": 0.5, "grace_kimg": 0.5, "samples": 64, "finalists": 1, "finalist_seeds": 1}
"""Fields of a sweep's file, or of Python that makes one, beside size and kimg; settings follow `SETTINGS`."""

PHOTOS = 600
"""Images in the folder `photos`, which are drawn faces."""

FACES = 700
"""Images in `faces`, of which 600 are to train on: packing all 60,000 takes ten seconds."""

SKIPPED: dict[str, str] = {
    r"make .*": "sets up an environment from the network; tests/test_make.py checks what it runs",
    r"source .*": "of the shell alone",
    r"pip install (?!-e my-parts$).*": "downloads packages",
    r"(gan-search )?tensorboard .*": "serves until it is stopped; tests/search runs it",
    r"gan-search dashboard .*": "serves until it is stopped; tests/search runs it",
    r"gan-search .*--address .*": "needs a cluster",
    r"ray .*": "starts or stops a cluster on this machine",
    r"gan-search .*(s3|gs)://.*": "needs an object store",
    r"gan-search .*celeba:.*": "needs CelebA; tests/gan runs it on images of that kind",
    r"gan-search .*--features inception.*": "needs the Inception weights; tests/search re-scores by other features",
    r"hf .*": "uploads to the network",
    r"python benchmarks/.*": "measures for minutes",
    r"(nfs|scp|rsync|ssh) .*": "needs another machine",
}
"""Commands that are not run, and why. Those of gan-search are still checked as far as their options."""


def why_skipped(command: Command) -> str | None:
    return next((why for pattern, why in SKIPPED.items() if re.fullmatch(pattern, command.text)), None)


# ---- making commands small


def smaller(words: tuple[str, ...]) -> list[str]:
    """Return a gan-search command with the changes above."""
    made = _with_more(_without_budget(list(words)))
    for index, word in enumerate(made[1:], 1):
        before = made[index - 1]
        if before == "--set":
            key, equals, value = word.partition("=")
            made[index] = key + equals + (_less(value, SETTINGS[key]) if key in SETTINGS else value)
        elif before == "--size":
            made[index] = str(SIZES.get(int(word), word))
        elif before == "--kimg":
            made[index] = f"{_kimg(float(word)):g}"
        elif before in NUMBERS:
            made[index] = _less(word, NUMBERS[before])
        else:
            made[index] = re.sub(r":t\d{4}$", f":{TRIAL}", word)
    return made


def _without_budget(words: list[str]) -> list[str]:
    """Leave out a sweep's time budget, and say how much it trains instead."""
    if words[1] != "sweep" or "--time-budget" not in words:
        return words
    place = words.index("--time-budget")
    words = words[:place] + words[place + 2 :]
    return words + [part for option, value in INSTEAD.items() if option not in words for part in (option, value)]


def _with_more(words: list[str]) -> list[str]:
    """Add the options of `ADDED` that a command does not have."""
    for option, value in ADDED.get(words[1], {}).items():
        if isinstance(value, dict):
            given = {word.partition("=")[0] for word in words}
            words += [part for key, each in value.items() if key not in given for part in (option, f"{key}={each}")]
        elif option not in words:
            words += [option, value]
    return words


def _less(value: str, limit: str) -> str:
    if value.startswith("+"):
        return "+1"
    return limit if float(value) > float(limit) else value


def _kimg(value: float) -> float:
    return KIMG + value / 1000


def smaller_fields(values: dict[str, Any]) -> dict[str, Any]:
    """Return a sweep's fields with the changes above."""
    made = dict(values)
    for key, limit in FIELDS.items():
        if isinstance(values.get(key), (int, float)):
            made[key] = min(values[key], limit)
    # A recipe's own size fits its network, and costs nothing.
    if "size" in values and "network" not in values.get("settings", {}):
        made["size"] = SIZES.get(values["size"], values["size"])
    if "kimg" in values:
        made["kimg"] = _kimg(values["kimg"])
    for key, small in SETTINGS.items():
        if key in values.get("settings", {}):
            made["settings"] = made["settings"] | {key: int(small)}
        if isinstance(values.get("space", {}).get(key), list):
            made["space"] = made["space"] | {key: [int(small), 2 * int(small)]}
    return made


def smaller_yaml(text: str) -> str:
    """Return a YAML file with the changes above; a file that is no mapping stays as it is."""
    values = yaml.safe_load(text)
    return yaml.safe_dump(smaller_fields(values), sort_keys=False, allow_unicode=True)


def smaller_python(text: str) -> str:
    """Return a snippet in which numbers that are given to such fields, or to settings, are small."""

    def less(found: re.Match[str]) -> str:
        key, value = found[2], int(found[3])
        changed = {"settings": {key: value}} if key in SETTINGS else {key: value}
        made = smaller_fields(changed)
        return f"{found[1]}{made.get(key, made.get('settings', {}).get(key))}"

    names = "|".join([*FIELDS, "size", "kimg", *SETTINGS])
    return re.sub(rf"((?:\b|\")({names})(?:=|\": ))(\d+)\b", less, text)


# ---- the folder in which a page is run


def prepare(folder: Path) -> None:
    """Make what a reader has before the first command: the files of a checkout that pages name, and photos."""
    for spec in (ROOT / "search" / "specs").glob("*.yaml"):
        place = folder / "search" / "specs" / spec.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(smaller_yaml(spec.read_text()))
    (folder / "photos").mkdir()
    _draw_photos(folder / "photos")


def cache_few_faces(size: int) -> None:
    """Put a small `faces` into the cache, which must be ours alone: every process will take it from there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faces, "COUNT", FACES)
        patch.setattr(faces.Faces, "held_out", range(FACES - 100, FACES))
        assert len(open_data("faces", size).train) == FACES - 100


def _draw_photos(folder: Path) -> None:
    for number, image in enumerate(faces.draw(np.arange(PHOTOS), 32)):
        save_png(folder / f"{number:04d}.png", image)


class Reader:
    """Somebody who follows a page to the letter, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.done: list[str] = []

    def follow(self, page: Path, start: int = 0, end: int = sys.maxsize) -> None:
        """Do what a page says, from line to line, in the current folder, which must be ours."""
        for block in blocks(page):
            if not start <= block.line < end:
                continue
            if block.file is not None:
                self._write(block.file, block)
            elif block.language == "python":
                exec(compile(smaller_python(block.text), str(block), "exec"), self.names)
                self.done.append(str(block))
            elif block.language == "bash":
                for command in commands(block):
                    self._type(command)

    def _write(self, name: str, block: Block) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(smaller_yaml(block.text) if path.suffix == ".yaml" else block.text)

    def _type(self, command: Command) -> None:
        if why_skipped(command):
            check_options(command)
            return
        program = command.words[0]
        if program == "gan-search":
            words = smaller(command.words)
            status = run_app(app, words[1:])
            assert status == 0, f"{command}\nrun as: {shlex.join(words)}\nended with status {status}"
        elif command.words[:3] == ("pip", "install", "-e"):
            install(self.folder / command.words[3])
        elif program in ("python", "mkdir", "cp"):
            words = [sys.executable, *command.words[1:]] if program == "python" else list(command.words)
            subprocess.run(words, check=True, cwd=self.folder)
        else:
            raise AssertionError(f"{command}: not a command that a test can run; list it in SKIPPED, with the reason")
        self.done.append(command.text)


def install(project: Path) -> None:
    """Do what `pip install -e .` does for a project, without pip: entry points become known, and imports work.

    The project's folder is put on the path of this process and of those that it starts.
    """
    described = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    name, version = described["name"], described["version"]
    info = project / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, points in described["entry-points"].items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    sys.path.insert(0, str(project))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(project), *filter(None, [os.environ.get("PYTHONPATH")])])


def check_options(command: Command) -> None:
    """Check a command of gan-search as far as that can be done without running it: its name and options.

    Raises:
        click's UsageError: there is no such command or option, or a value is not valid.
    """
    if command.words[0] != "gan-search":
        return
    program: Any = typer.main.get_command(app)
    context = program.make_context("gan-search", list(command.words[1:]), resilient_parsing=False)
    arguments = [*context._protected_args, *context.args]
    while hasattr(program, "commands"):
        _, program, arguments = program.resolve_command(context, arguments)
        context = program.make_context(program.name, arguments, parent=context)
        arguments = [*getattr(context, "_protected_args", []), *context.args]


def copy_of(folder: Path, destination: Path) -> Path:
    """Copy a reader's folder, its links as links."""
    return Path(shutil.copytree(folder, destination, symlinks=True))
