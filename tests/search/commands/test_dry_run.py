"""The plan that `--dry-run` shows: short for people, all of it for programs."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gan.terminal import run_app
from search.commands.app import app


def test_the_plan_of_a_sweep_fits_a_screen(
    tiny_data: str,
    tmp_path: Path,
    snapshot: Callable[[Path], dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["sweep", "--data", tiny_data, "--storage", str(tmp_path), "--name", "planned", "--dry-run"]
    more = ["--trials", "10", "--kimg", "12", "--interval-kimg", "5", "--samples", "600", "--time-budget", "90m"]
    assert run_app(app, [*arguments, *more, "--set", "batch=64", "--top-k", "2", "--concurrent", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 40
    facts = dict(line.split(None, 1) for line in lines if line.partition(" ")[0].endswith(":"))
    assert facts["run:"] == f"{tmp_path}/planned"
    assert facts["recipes:"] == "dcgan, l2, wgan"
    # Of the portfolio's settings, those with another batch are outside this sweep's space.
    composed = re.fullmatch(r"10: (\d) of the prior's portfolio, 3 of published settings, (\d) .*", facts["trials:"])
    assert composed and int(composed[1]) + int(composed[2]) == 7
    assert re.fullmatch(r"shipped, learnt on \d+ sets of images; \d+ settings of its portfolio lie .*", facts["prior:"])
    expected = re.fullmatch(r"the best at (\S+) times the distance .* \((\S+) to (\S+) with .*\)", facts["expected:"])
    assert expected and float(expected[2]) < float(expected[1]) < float(expected[3]) <= 1
    assert facts["length:"] == "12 kimg at most, a report every 5 kimg"
    assert facts["reports:"] == "30 at most"  # after 5, 10 and 12 kimg
    assert facts["rungs:"].startswith("5 kimg: ")
    assert tiny_data in facts["data:"] and " to train on, " in facts["data:"]
    assert facts["evaluation:"].startswith("random-conv, 600 samples against ")
    assert "1 CPU" in facts["resources:"] and "2 at once" in facts["resources:"]
    assert "time budget:  90m" in lines
    searched = [line.split() for line in lines[lines.index("") + 1 :]]
    assert ["lr_g", "1e-05", "to", "0.01,", "log", "all"] in searched
    assert ["clip", "0.001", "to", "0.3,", "log", "wgan"] in searched
    assert not any(line[:1] == ["batch"] for line in searched)
    assert lines[-1].endswith("--dry-run --json")
    assert snapshot(tmp_path) == {}


def test_points_are_counted_and_a_wrong_one_is_refused_before_anything_is_written(
    tiny_data: str,
    tmp_path: Path,
    snapshot: Callable[[Path], dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = tmp_path / "spec.yaml"
    arguments = ["sweep", str(spec), "--data", tiny_data, "--storage", str(tmp_path), "--trials", "10", "--kimg", "12"]
    spec.write_text("points:\n- {recipe: wgan, clip: 0.05}\n- {recipe: l2, lr_g: 1.0e-3}\n")
    before = snapshot(tmp_path)
    assert run_app(app, [*arguments, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "2 of the sweep's points, 3 of the prior's portfolio, 3 of published settings, 2 sampled" in out
    assert run_app(app, [*arguments, "--dry-run", "--prior", "none"]) == 0
    out = capsys.readouterr().out
    assert "2 of the sweep's points, 3 of published settings, 5 sampled" in out
    assert "prior:       none" in out
    assert run_app(app, [*arguments, "--dry-run", "--prior", "nowhere"]) == 2
    assert "there is no run here" in capsys.readouterr().err
    assert run_app(app, [*arguments, "--dry-run", "--json"]) == 0
    points = json.loads(capsys.readouterr().out)["identity"]["points"]
    assert points == [{"recipe": "wgan", "clip": 0.05}, {"recipe": "l2", "lr_g": 1e-3}]
    assert snapshot(tmp_path) == before
    spec.write_text("points:\n- {recipe: wgan, clip: 0.05}\n- {recipe: l2, lr_g: 1.0}\n")
    before = snapshot(tmp_path)
    assert run_app(app, arguments) == 2
    error = capsys.readouterr().err.strip()
    assert "points: point 2 (l2): lr_g: 1.0 lies outside what is searched (1e-05 to 0.01, log)" in error
    assert len(error.splitlines()) == 1
    assert snapshot(tmp_path) == before


@pytest.fixture
def _loggers() -> Iterator[None]:
    """Puts the loggers back as they were."""
    loggers = [logging.getLogger(name) for name in ("gan", "search")]
    before = [(logger.level, logger.handlers) for logger in loggers]
    yield
    for logger, (level, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers = handlers


@pytest.mark.usefixtures("_loggers")
def test_verbose_shows_the_log_on_stderr(tiny_data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["sweep", "--data", tiny_data, "--storage", str(tmp_path), "--dry-run", "--json"]
    assert run_app(app, arguments) == 0
    quiet = capsys.readouterr()
    assert run_app(app, ["--verbose", *arguments]) == 0
    verbose = capsys.readouterr()
    assert verbose.out == quiet.out
    assert f" INFO gan.checks.preflight: {tiny_data}: " in verbose.err
    assert "INFO" not in quiet.err


def test_a_file_whose_settings_are_no_mapping_is_refused_with_set_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spec.yaml").write_text("settings: 3\n")
    assert run_app(app, ["sweep", str(tmp_path / "spec.yaml"), "--set", "lr_g=1e-3", "--dry-run"]) == 2
    assert "settings: Input should be a valid dictionary" in capsys.readouterr().err


def test_grey_images_are_told_of_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAN_SEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("search.plan.preflight.FEWEST_REAL", 100)
    for index, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (150, 16, 16), np.uint8)):
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    data = f"folder:{tmp_path}"
    for query, channels, hints in (("", "3 channels", 1), ("?channels=1", "1 channel:", 0)):
        arguments = ["--data", data + query, "--size", "16", "--features", "random-conv", "--kimg", "12"]
        assert run_app(app, ["sweep", *arguments, "--storage", str(tmp_path / "runs"), "--dry-run"]) == 0
        out, err = capsys.readouterr()
        assert channels in out
        assert err.count(f"give '{data}?channels=1'") == hints
