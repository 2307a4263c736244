"""`status --json` keeps its contract, in every state a run can be in."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import pytest
from rich.console import Console
from run_writer import TRIALS

from gan.errors import InputError
from gan.storage.storage import Storage
from search.report.data.collect import collect
from search.report.page.page import page
from search.report.text.status import as_json, plain, show
from search.run.journal import JOURNAL
from search.run.owner import OWNER, process_start
from search.run.record import TIME_BUDGET

TRIAL_KEYS = ["id", "recipe", "objective", "source", "state", "params", "kimg"]
TRIAL_KEYS += ["fid", "best_fid", "best_kimg", "reason", "seconds", "rescored_fid", "rescored_std", "provenance"]
TRIAL_KEYS += ["images_per_second"]


def status(run: Storage) -> dict[str, Any]:
    return as_json(collect(run))


def own(run: Storage, **changes: object) -> None:
    me = {"host": socket.gethostname(), "pid": os.getpid(), "started": process_start(os.getpid())}
    run.write_bytes(OWNER, json.dumps({**me, "beat": time.time(), **changes}).encode())


def test_keys_are_those_of_the_contract(run):
    result = status(run)
    assert list(result) == [
        *("name", "state", "metric", "evaluation", "trials", "best", "budget"),
        *("over_published", "expected_published", "promise", "extended", "rescoring"),
    ]
    assert all(list(trial) == TRIAL_KEYS for trial in result["trials"])
    assert result["metric"] == "best_fid"
    assert result["name"] == "demo"
    assert list(result["best"]) == ["trial", "best_fid", "bundle", "rescored_fid", "extended"]
    assert list(result["budget"]) == ["trial_seconds", "wall_seconds", "kimg", "saved_fraction", "overhead_fraction"]
    wanted = {"features", "weights_sha256", "samples", "reference_samples", "data", "data_hash", "size"}
    assert wanted <= result["evaluation"].keys()
    json.dumps(result, allow_nan=False)


def test_trials_are_all_there(run):
    trials = status(run)["trials"]
    assert [trial["id"] for trial in trials] == [f"t{index:04d}" for index in range(14)]
    assert Counter(trial["state"] for trial in trials) == {
        "finished": 5,
        "stopped": 2,
        "diverged": 1,
        "failed": 1,
        "pending": 5,  # two ran when the driver was lost, three were not made yet
    }
    empty = trials[-1]
    assert empty == dict.fromkeys(TRIAL_KEYS) | {"id": "t0013", "state": "pending"}


def test_values_of_one_trial(run):
    trials = {trial["id"]: trial for trial in status(run)["trials"]}
    diverged = trials["t0005"]
    assert diverged["state"] == "diverged"
    assert diverged["fid"] is not None  # the last report has none; the one before has
    assert diverged["kimg"] == 3.0
    assert diverged["best_kimg"] == 2.0
    assert diverged["seconds"] == 30.0
    assert trials["t0000"]["params"] == {"lr_g": 1e-4, "beta1": 0.5}
    assert trials["t0003"]["fid"] > trials["t0003"]["best_fid"]


def test_best_and_its_bundle(run):
    best = status(run)["best"]
    assert best["trial"] == "t0003"
    assert best["bundle"] == f"{run.uri}/best/t0003"
    run.delete("best")
    assert status(run)["best"]["bundle"] is None


def test_budget(run):
    budget = status(run)["budget"]
    spent = 6 * 5 + 2 + 3 + 0 + 4
    assert budget["kimg"] == spent + 3
    assert budget["trial_seconds"] == pytest.approx(10 * (spent + 3))
    assert budget["saved_fraction"] == pytest.approx(1 - spent / (9 * 6))
    assert budget["wall_seconds"] > 0
    # Of ten seconds an interval, eight are training.
    assert budget["overhead_fraction"] == pytest.approx(0.2)
    assert "20% of the trials' time in evaluation and checkpoints" in plain(collect(run))[2]


def test_state_follows_the_owner(run):
    assert status(run)["state"] == "interrupted"
    own(run)
    result = status(run)
    assert result["state"] == "running"
    assert Counter(trial["state"] for trial in result["trials"])["running"] == 2
    own(run, pid=2**22 + 1)
    assert status(run)["state"] == "interrupted"


def test_finished(writer):
    writer.begin(trials=1)
    writer.trial(0, "dcgan", "published", "finished", 6, 50.0)
    writer.event("end", state="finished")
    assert status(writer.write())["state"] == "finished"


@pytest.mark.parametrize(("budget", "written"), [(7200.0, "2h"), (90.0, "90s"), (86400.0, "1d"), (1800, "30m")])
def test_a_run_that_its_time_budget_ended(writer, budget, written):
    writer.begin(trials=5, time_budget=budget)
    for index, trial in enumerate(TRIALS[:2]):
        writer.trial(index, *trial)
    writer.trial(2, "l2", "sampled", "running", 3, 80.0)
    writer.event("end", state="interrupted", cause=TIME_BUDGET)
    run = writer.write()
    result = status(run)
    assert (result["state"], result["trials"][2]["state"]) == ("interrupted", "pending")
    data = collect(run)
    lines = plain(data)
    assert lines[0] == f"demo: ended by its time budget of {written}; go on with: gan-search resume {run.uri}"
    assert lines[1] == "2 finished, 1 paused, 2 to come"
    assert [line.split()[-6:] for line in lines if " t0002 " in line] == [["paused", "goes", "on", "from", "3", "kimg"]]
    html = page(run, data, {})
    assert f">ended by its time budget of {written}</span></h1>" in html
    assert f"The sweep was ended by its time budget of {written}. Go on with: <code>gan-search resume" in html
    assert "<b>1</b> paused" in html and "goes on from 3 kimg" in html
    # Gone on with, it is no longer what ended it.
    writer.begin(trials=5)
    assert plain(collect(writer.write()))[0].startswith("demo: interrupted; go on with: ")


def test_the_counts_are_those_of_the_table(run):
    data = collect(run)
    lines = plain(data)
    assert lines[1] == "5 finished, 2 stopped, 1 diverged, 1 failed, 1 paused, 1 pending, 3 to come"
    assert len([line for line in lines if re.match(r" *\d* +t\d{4} ", line)]) == 5 + 2 + 1 + 1 + 1 + 1


def test_time_between_launches_does_not_count(writer):
    writer.begin(trials=2)
    writer.trial(0, "dcgan", "published", "finished", 6, 50.0)
    writer.now += 10_000
    writer.begin(trials=2)
    writer.trial(1, "l2", "published", "finished", 6, 40.0)
    run = writer.write()
    assert status(run)["budget"]["wall_seconds"] < 100
    assert collect(run).evaluations[-1].seconds < 100


def test_torn_and_foreign_lines_are_passed_over(run):
    whole = status(run)
    content = run.read_bytes(JOURNAL)
    run.write_bytes(JOURNAL, b"\xff\xfe\n[1]\n\n" + content + b'{"event": "report", "trial": "t00')
    assert status(run) == whole


def test_a_run_that_has_no_trial_yet(writer):
    writer.begin(trials=3)
    result = status(writer.write())
    assert [trial["state"] for trial in result["trials"]] == ["pending"] * 3
    assert result["best"] is None
    assert result["budget"]["saved_fraction"] is None


def test_a_driver_killed_before_its_first_event(writer):
    writer.begin(trials=3)
    result = status(writer.run)
    assert result["name"] == "demo"
    assert len(result["trials"]) == 3
    assert result["evaluation"]["features"] is None


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(InputError, match="not a run"):
        status(Storage(tmp_path))


@pytest.mark.parametrize("width", [40, 80, 120])
def test_terminal_fits_its_width(run, width):
    screen = io.StringIO()
    show(collect(run), Console(width=width, force_terminal=True, color_system=None, file=screen))
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert any("t0003" in line for line in lines)


def test_plain_lines_hide_nothing(run, capsys):
    show(collect(run), Console(width=40))
    shown = capsys.readouterr().out
    assert shown.splitlines() == plain(collect(run))
    assert "exploding: g_loss 1e7 <script>alert('x')</script> & more" in shown
    assert "not to be compared with FID" in shown


def test_needs_neither_ray_nor_torch(run):
    code = (
        "import sys; from gan.storage.storage import Storage; from search.report.build import build_report\n"
        "from search.report.data.collect import collect; from search.report.text.status import as_json\n"
        f"as_json(collect(Storage({run.uri!r}))); build_report(Storage({run.uri!r}))\n"
        "assert not {'ray', 'torch', 'optuna'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
