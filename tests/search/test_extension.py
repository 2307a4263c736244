"""Trials that are trained on beyond their sweep: through the real command line, on a real local Ray, at tiny size."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from driving import count, run_cli, sweep_arguments, wait_for

from gan import load_bundle
from gan.storage.storage import Storage
from gan.terminal import run_app
from search.commands.app import app
from search.extension import PastMinimum
from search.run.journal import read_events
from search.run.record import fold, read_record

LENGTH = ("--recipe", "dcgan", "--trials", "3", "--kimg", "0.4", "--interval-kimg", "0.1", "--top-k", "1")
CLOCKS = ("time", "seconds", "train_seconds", "eval_seconds", "checkpoint_seconds", "images_per_second", "host", "pid")


@pytest.fixture(scope="module")
def finished(tiny_data: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A sweep whose winner was trained to twice its length: (folder, what it printed)."""
    storage = tmp_path_factory.mktemp("results")
    done = run_cli(*sweep_arguments(tiny_data, storage, "--name", "long", *LENGTH, "--finish", "2", "--json"))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return storage / "long", json.loads(done.stdout)


def reports(run: Path) -> list[dict[str, Any]]:
    """The reports in a journal, without what depends on the clock or the process."""
    events = (event for event in read_events(Storage(run)) if event["event"] == "report")
    return [{name: value for name, value in event.items() if name not in CLOCKS} for event in events]


def test_a_sweep_trains_its_winner_on_from_its_checkpoint(finished: tuple[Path, dict[str, Any]]) -> None:
    run, told = finished
    winner = next(iter(read_record(Storage(run)).ranked()))
    (longer,) = told["extended"]
    assert (longer["trial"], longer["from_kimg"], longer["from_fid"]) == (winner.id, winner.kimg, winner.best_fid)
    assert longer["state"] in ("finished", "stopped") and longer["kimg"] > winner.kimg
    assert longer["best_fid"] <= longer["from_fid"]
    assert load_bundle(longer["bundle"]).config["fid"] == longer["best_fid"]
    # The sweep's own trials stay comparable.
    assert max(report["kimg"] for report in reports(run)) == 0.4
    assert told["state"] == "finished" and told["promise"] is None


def test_the_best_generator_is_the_one_of_more_training(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    run, told = finished
    best = min(told["extended"][0]["best_fid"], *(trial["best_fid"] for trial in told["trials"]))
    assert told["best"]["best_fid"] == load_bundle(str(run / "generator")).config["fid"] == best
    assert run_app(app, ["export", str(run), "--out", str(tmp_path / "out")]) == 0
    assert load_bundle(str(tmp_path / "out")).config["fid"] == best
    page = (run / "report.html").read_text()
    assert "Trained on beyond the sweep" in page and page.count("trained on from 0.4 to") == 1


def test_only_the_best_keep_their_checkpoints(finished: tuple[Path, dict[str, Any]]) -> None:
    run, _ = finished
    winner = next(iter(read_record(Storage(run)).ranked()))
    assert [path.parent.name for path in run.glob("trials/*/checkpoints")] == [winner.id]


def test_a_longer_extension_goes_on_where_the_shorter_one_ended(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(finished[0], tmp_path / "long"))
    before = finished[1]["extended"][0]
    extended = run / "extended" / before["trial"]
    first = reports(extended)
    done = run_cli("extend", str(run), "--kimg", "1", "--json")
    if before["state"] == "stopped":  # Its minimum was past: more length would not help.
        assert done.returncode == 2 and "no better since" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (longer,) = told["extended"]
    after = reports(extended)
    # The generator that is kept is the one whose distance the journal holds, not that of the first launch.
    assert load_bundle(longer["bundle"]).config["fid"] == longer["best_fid"] == after[-1]["best_fid"]
    assert load_bundle(str(run / "generator")).config["fid"] == told["best"]["best_fid"]
    # The report of the checkpoint is told once more.
    assert after[: len(first)] == first and after[len(first)] == first[-1]
    assert longer["kimg"] > before["kimg"] and longer["from_kimg"] == 0.4
    assert fold(read_events(Storage(extended))).trials[longer["trial"]].final


def test_what_cannot_be_trained_on_is_refused(
    finished: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    snapshot: Callable[[Path], dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = Path(shutil.copytree(finished[0], tmp_path / "long"))
    trial = finished[1]["extended"][0]["trial"]
    without = Path(shutil.copytree(run, tmp_path / "without"))
    shutil.rmtree(without / "extended")
    shutil.rmtree(without / "trials" / trial / "checkpoints")
    tree = snapshot(tmp_path)
    for arguments, said in (
        ((run, "--kimg", "0.4"), "has 0.4 kimg already"),
        ((run, "--kimg", "0.45"), "was trained on to"),
        ((run, "--kimg", "1", "--rank", "9"), "has 3 ranked trials"),
        ((run / "extended" / trial, "--kimg", "1"), "not a sweep"),
        ((without, "--kimg", "1"), "its checkpoint was not kept"),
    ):
        capsys.readouterr()
        assert run_app(app, ["extend", *map(str, arguments)]) == 2
        error = capsys.readouterr().err
        assert said in error and len(error.strip().splitlines()) == 1
    assert run_app(app, ["resume", str(run / "extended" / trial), "--trials", "+2"]) == 2
    assert "it grows by gan-search extend" in capsys.readouterr().err
    assert snapshot(tmp_path) == tree


def test_a_sweep_that_is_at_work_is_not_extended(
    finished: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from search.run.owner import Owner

    run = Path(shutil.copytree(finished[0], tmp_path / "long"))
    owner = Owner(Storage(run))
    try:
        assert run_app(app, ["extend", str(run), "--kimg", "1"]) == 2
    finally:
        owner.release()
    assert "is run by process" in capsys.readouterr().err


def test_a_sweep_that_had_no_time_to_say_so_is_finished(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its driver was killed after all work was done."""
    run = Path(shutil.copytree(finished[0], tmp_path / "long"))
    lines = (run / "journal.jsonl").read_text().splitlines(keepends=True)
    assert json.loads(lines[-1])["event"] == "end"
    (run / "journal.jsonl").write_text("".join(lines[:-1]))
    assert run_app(app, ["resume", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "finished"
    assert read_record(Storage(run)).ended == "finished" and not (run / "owner.json").exists()


@pytest.mark.parametrize("damage", ['{"event": "report", "trial": "TRIAL", "kimg": 9, "best_fid": "x"}', "{}", "x"])
def test_a_damaged_line_of_an_extension_does_no_harm(
    damage: str, finished: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(finished[0], tmp_path / "long"))
    told = finished[1]["extended"]
    with (run / "extended" / told[0]["trial"] / "journal.jsonl").open("a") as file:
        file.write(damage.replace("TRIAL", told[0]["trial"]) + "\n")
    assert run_app(app, ["status", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["extended"]
    assert [each["best_fid"] for each in found] == [each["best_fid"] for each in told]


@pytest.mark.parametrize("command", ["sweep", "resume"])
def test_the_rest_of_no_budget_is_refused(
    command: str, finished: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--data", "faces", "--storage", str(tmp_path)] if command == "sweep" else [str(finished[0])]
    assert run_app(app, [command, *place, "--finish", "rest"]) == 2
    assert "--finish rest" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_time_budget_chooses_and_keeps_time_for_the_winner(tiny_data: str, tmp_path: Path) -> None:
    more = ("--name", "night", "--recipe", "dcgan", "--time-budget", "60s", "--features", "random-conv", "--json")
    arguments = sweep_arguments(tiny_data, tmp_path, *more)
    start = time.monotonic()
    done = run_cli(*arguments)
    taken = time.monotonic() - start
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert taken < 100
    settings = yaml.safe_load((tmp_path / "night" / "sweep.yaml").read_text())["settings"]
    assert settings["finish"] == "rest" and settings["trials"] >= 6 and settings["kimg"] >= 12
    (longer,) = told["extended"]
    assert longer["kimg"] > longer["from_kimg"] and longer["best_fid"] <= longer["from_fid"]
    # The same command takes what was chosen from the run.
    again = run_cli(*arguments)
    assert again.returncode == 0 and "measuring" not in again.stderr
    assert yaml.safe_load((tmp_path / "night" / "sweep.yaml").read_text())["settings"]["kimg"] == settings["kimg"]


@pytest.mark.slow
def test_an_extension_that_was_killed_goes_on_and_repeats_nothing(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path, started: Callable[..., Any]
) -> None:
    """And comes to the numbers of one that was not: an exact resume."""
    run = Path(shutil.copytree(finished[0], tmp_path / "results" / "long"))
    trial = finished[1]["extended"][0]["trial"]
    for folder in (run, whole := Path(shutil.copytree(run, tmp_path / "whole"))):
        shutil.rmtree(folder / "extended")
        # The address of the sweep is stored nowhere else.
        settings = yaml.safe_load((folder / "sweep.yaml").read_text())
        assert str(finished[0].parent) in settings["settings"]["storage"]
    arguments = ("--kimg", "1.6", "--cpus-per-trial", "1")
    assert run_cli("extend", str(whole), *arguments).returncode == 0
    driver = started("extend", str(run), *arguments)
    wait_for(run / "extended" / trial, lambda events: count(events, "report") >= 3, driver)
    driver.kill()
    driver.wait()
    done = run_cli("extend", str(run), *arguments, "--json")
    assert done.returncode == 0, done.stderr
    by_kimg = {report["kimg"]: report for report in reports(run / "extended" / trial)}
    assert list(by_kimg.values()) == reports(whole / "extended" / trial)
    (longer,) = json.loads(done.stdout)["extended"]
    assert longer["state"] in ("finished", "stopped")


def test_a_training_ends_once_its_minimum_is_past() -> None:
    rule = PastMinimum()
    assert rule.report("t0", 10.0, 50.0) is None
    assert rule.report("t0", 12.0, 40.0) is None
    assert rule.report("t0", 23.0, 40.0) is None
    assert rule.report("t0", 24.0, 40.0) == "no better since 12 kimg"
    assert rule.report("t0", 25.0, 39.0) is None
