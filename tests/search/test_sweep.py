"""The main job: real sweeps through the real command line, on a real local Ray, at tiny size."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from driving import count, run_cli, sweep_arguments, wait_for
from verdicts import trained_after_its_verdict

from gan.storage.storage import Storage
from search.algorithm.asha import Asha
from search.algorithm.futility import Futility
from search.algorithm.prior import Prior
from search.plan.spec import make_spec
from search.run.journal import read_events
from search.run.outcome import Outcome
from search.run.record import FINAL, TIME_BUDGET, SweepRecord, read_record
from search.sweep import futility_rule
from search.trials.scheduler import AshaScheduler


def rungs(record: SweepRecord) -> dict[float, dict[str, float]]:
    return AshaScheduler(Asha([0.4, 1.2], 3), None, record, 2.0).asha.rungs


@pytest.fixture(scope="module")
def finished(tiny_data: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A sweep of 9 trials over three kinds of GAN, run to its end: (folder, what it printed)."""
    storage = tmp_path_factory.mktemp("results")
    more = ("--name", "main", "--trials", "9", "--kimg", "2.4", "--interval-kimg", "0.2", "--top-k", "2", "--json")
    # Named by a relative path, as people do: workers stand in other folders.
    shutil.copy(tiny_data.removeprefix("packed:"), storage / "tiny.arrow")
    done = run_cli(*sweep_arguments("packed:tiny.arrow", storage, *more), cwd=storage)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return storage / "main", json.loads(done.stdout)


def test_a_sweep_ends_with_every_trial_judged(finished: tuple[Path, dict[str, Any]]) -> None:
    _, told = finished
    assert told["name"] == "main"
    assert told["state"] == "finished"
    assert told["metric"] == "best_fid"
    assert len(told["trials"]) == 9
    assert {trial["state"] for trial in told["trials"]} <= set(FINAL)
    assert {trial["recipe"] for trial in told["trials"]} == {"dcgan", "l2", "wgan"}
    assert told["evaluation"]["features"] == "random-conv"
    assert told["evaluation"]["samples"] == 500
    assert 0 <= told["budget"]["saved_fraction"] < 1


def test_settings_outside_the_space_are_skipped_and_the_prior_is_kept(finished: tuple[Path, dict[str, Any]]) -> None:
    chosen = {trial["id"]: trial["provenance"] for trial in finished[1]["trials"]}
    begun = [chosen[name] for name in sorted(chosen)]
    # The sweep's batches are smaller than all of the portfolio.
    assert {params["batch"] for _, params in Prior.parse((finished[0] / "prior.json").read_bytes()).portfolio} > {32}
    assert begun[:3] == ["published"] * 3
    assert set(begun[3:]) <= {"prior", "model", "random"} and {*begun[3:]} & {"prior", "model"}


def test_the_best_is_the_lowest_fid_of_all_and_its_generator_is_kept(finished: tuple[Path, dict[str, Any]]) -> None:
    from gan import load_bundle

    run, told = finished
    lowest = min(trial["best_fid"] for trial in told["trials"] if trial["best_fid"] is not None)
    assert told["best"]["best_fid"] == lowest
    assert load_bundle(told["best"]["bundle"]).config["fid"] == lowest
    exported = load_bundle(str(run / "generator"))
    assert exported.config["fid"] == lowest
    assert exported.config["command"].startswith("gan-search sweep --data")
    assert exported.sample(5).shape == (5, 16, 16, 3)


def test_disk_holds_the_top_k_of_the_whole_sweep_and_nothing_else_large(finished: tuple[Path, dict[str, Any]]) -> None:
    run, _ = finished
    ranked = [trial.id for trial in read_record(Storage(run)).ranked()]
    assert sorted(path.name for path in (run / "best").iterdir()) == sorted(ranked[:2])
    # Their checkpoints stay too: they may be trained on.
    kept = {path.parent.name for path in run.glob("trials/*/checkpoints")}
    assert kept == {name for name in ranked[:2] if read_record(Storage(run)).trials[name].state != "diverged"}
    assert not list(run.glob("trials/*/best-*"))
    assert not (run / "owner.json").exists()
    assert not list(run.rglob("*.pkl"))


def test_every_report_has_every_metric(finished: tuple[Path, dict[str, Any]]) -> None:
    reports = [event for event in read_events(Storage(finished[0])) if event["event"] == "report"]
    wanted = {"kimg", "fid", "best_fid", "score", "g_loss", "d_loss", "penalty", "diverged"}
    wanted |= {"images_per_second", "eval_seconds"}
    assert len({frozenset(report) for report in reports}) == 1
    assert wanted <= reports[0].keys()
    assert all(report["score"] is not None for report in reports)
    for trial in read_record(Storage(finished[0])).trials.values():
        best = [report["best_fid"] for report in trial.reports]
        assert best == sorted(best, reverse=True)


def test_rungs_stop_trials_and_say_why(finished: tuple[Path, dict[str, Any]]) -> None:
    stopped = [trial for trial in finished[1]["trials"] if trial["state"] == "stopped"]
    assert stopped, Counter(trial["state"] for trial in finished[1]["trials"])
    for trial in stopped:
        assert trial["reason"].startswith("rung ") or "would hardly fall below" in trial["reason"]
        assert trial["kimg"] < 2.4


def test_the_leaderboard_is_the_same_in_both_formats(finished: tuple[Path, dict[str, Any]]) -> None:
    import csv

    run, told = finished
    table = pyarrow.parquet.read_table(run / "leaderboard.parquet").to_pylist()
    rows = list(csv.DictReader((run / "leaderboard.csv").open()))
    assert [row["trial"] for row in table] == [row["trial"] for row in rows]
    assert len(rows) == 9
    assert float(rows[0]["best_fid"]) == pytest.approx(told["best"]["best_fid"])
    assert "<img" in (run / "report.html").read_text()


def test_event_files_hold_scalars_grids_and_hparams_of_every_trial(finished: tuple[Path, dict[str, Any]]) -> None:
    """Read back with TensorBoard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    run, told = finished
    record = read_record(Storage(run))
    for trial in told["trials"]:
        events = EventAccumulator(str(run / "tensorboard" / trial["id"]), size_guidance={"images": 0, "scalars": 0})
        events.Reload()
        reports = record.trials[trial["id"]].reports
        steps = [(event.step, event.value) for event in events.Scalars("quality/best_fid")]
        assert steps == [(round(r["kimg"] * 1000), pytest.approx(r["best_fid"], rel=1e-5)) for r in reports]
        assert len(events.Images("samples")) == len(list((run / "trials" / trial["id"] / "samples").iterdir()))
        assert ("loss/wasserstein_estimate" in events.Tags()["scalars"]) == (trial["recipe"] == "wgan")
        content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
        given = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
        assert {"recipe", "lr_g", "clip", "l2_lambda", "beta1"} <= set(given)
        assert (given["clip"].number_value == -1) == (trial["recipe"] != "wgan")
        assert given["lr_g"].number_value == pytest.approx(record.trials[trial["id"]].settings["lr_g"])


def test_the_same_command_again_finds_it_finished_and_another_identity_is_refused(
    finished: tuple[Path, dict[str, Any]], tiny_data: str, snapshot: Callable[[Path], dict[str, Any]]
) -> None:
    run, told = finished
    again = ["--name", "main", "--interval-kimg", "0.2", "--json"]
    before = read_events(Storage(run))
    same = run_cli(*sweep_arguments(tiny_data, run.parent, *again, "--trials", "9", "--kimg", "2.4"))
    assert same.returncode == 0, same.stderr
    assert json.loads(same.stdout)["best"] == told["best"]
    assert read_events(Storage(run)) == before
    tree = snapshot(run.parent)
    other = run_cli(*sweep_arguments(tiny_data, run.parent, *again, "--trials", "9", "--kimg", "3"))
    assert other.returncode == 2
    assert len(other.stderr.strip().splitlines()) == 1
    assert "kimg is 2.4 there, 3.0 here" in other.stderr
    assert snapshot(run.parent) == tree


def test_export_by_rank(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    run, _ = finished
    second = read_record(Storage(run)).ranked()[1]
    done = run_cli("export", str(run), "--rank", "2", "--out", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trial"] == second.id
    for wrong in (["--rank", "3"], ["--rank", "100"], ["--rank", "0"]):
        refused = run_cli("export", str(run), *wrong, "--out", str(tmp_path / "other"))
        assert refused.returncode == 2
        assert len(refused.stderr.strip().splitlines()) == 1
    assert run_cli("export", str(run), "--out", str(tmp_path / "out")).returncode == 2
    (tmp_path / "out" / "generator.onnx").write_text("of the other")
    (tmp_path / "out" / "mine.txt").write_text("mine")
    done = run_cli("export", str(run), "--out", str(tmp_path / "out"), "--overwrite", "--json")
    assert json.loads(done.stdout)["trial"] == read_record(Storage(run)).ranked()[0].id
    assert (tmp_path / "out" / "mine.txt").exists() and not (tmp_path / "out" / "generator.onnx").exists()
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "mine.txt").write_text("mine")
    for place, said in ((tmp_path / "files", "not an empty folder"), (run / "best" / "t0000", "lies in the run")):
        refused = run_cli("export", str(run), "--out", str(place), "--overwrite")
        assert refused.returncode == 2 and said in refused.stderr
    assert not (tmp_path / "other").exists()


def test_a_killed_driver_loses_nothing(tiny_data: str, tmp_path: Path, started: Callable[..., Any]) -> None:
    """SIGKILL mid-sweep, then resume: all trials, no verdict reached twice, equal rungs."""
    more = ("--name", "killed", "--trials", "8", "--kimg", "2.4", "--interval-kimg", "0.2")
    driver = started(*sweep_arguments(tiny_data, tmp_path / "results", *more))
    run = tmp_path / "results" / "killed"
    wait_for(run, lambda events: count(events, "verdict") >= 2 and count(events, "report") >= 20, driver)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    # A run is its folder, whatever that is called.
    run = run.rename(run.with_name("renamed"))
    told = json.loads(run_cli("status", str(run), "--json").stdout)
    assert told["state"] == "interrupted"
    before = read_record(Storage(run))
    verdicts = {trial.id: trial.state for trial in before.trials.values() if trial.final}
    assert len(verdicts) >= 2

    done = run_cli("resume", str(run), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    events = read_events(Storage(run))
    assert (told["state"], len(told["trials"])) == ("finished", 8)
    assert {trial["id"]: trial["state"] for trial in told["trials"] if trial["id"] in verdicts} == verdicts
    assert trained_after_its_verdict(events) == []
    assert count(events, "verdict") == 8
    # What stood in the rungs when the driver was killed stands there still.
    after = rungs(read_record(Storage(run)))
    for milestone, scores in rungs(before).items():
        assert {trial: after[milestone][trial] for trial in scores} == scores
    # A trial cut off in the middle went on from its checkpoint: it repeats no report but its last.
    for trial in before.trials.values():
        reported = [e["kimg"] for e in events if e["event"] == "report" and e["trial"] == trial.id]
        assert len(reported) - len(set(reported)) <= 1


def test_a_killed_trial_goes_on_from_its_checkpoint(
    tiny_data: str, tmp_path: Path, started: Callable[..., Any]
) -> None:
    more = ("--name", "worker", "--trials", "1", "--recipe", "dcgan", "--kimg", "8", "--interval-kimg", "0.4")
    driver = started(*sweep_arguments(tiny_data, tmp_path / "results", *more))
    run = tmp_path / "results" / "worker"
    wait_for(run, lambda events: count(events, "report") >= 4, driver)
    last = [event for event in read_events(Storage(run)) if event["event"] == "report"][-1]
    os.kill(last["pid"], signal.SIGKILL)
    assert driver.wait(timeout=180) == 0
    events = read_events(Storage(run))
    assert count(events, "retry") == 1
    reports = [event for event in events if event["event"] == "report"]
    assert len({report["pid"] for report in reports}) == 2
    kimgs = [report["kimg"] for report in reports]
    assert sorted(set(kimgs)) == [pytest.approx(0.4 * n) for n in range(1, 21)]
    assert len(kimgs) <= 21
    assert read_record(Storage(run)).trials["t0000"].state == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_the_state_and_prints_how_to_go_on(
    number: signal.Signals, tiny_data: str, tmp_path: Path, started: Callable[..., Any]
) -> None:
    more = ("--name", "stop", "--trials", "3", "--kimg", "2", "--interval-kimg", "0.2")
    driver = started(*sweep_arguments(tiny_data, tmp_path / "results", *more))
    run = tmp_path / "results" / "stop"
    wait_for(run, lambda events: count(events, "report") >= 3, driver)
    driver.send_signal(number)
    if number == signal.SIGINT:
        # An impatient second one. (Ray's own shutdown puts SIGTERM back to what it does by default.)
        time.sleep(0.2)
        driver.send_signal(number)
    assert driver.wait(timeout=60) == 130
    last = (tmp_path / "log0").read_text().strip().splitlines()[-1]
    assert f"gan-search resume {run}" in last
    assert not (run / "owner.json").exists()
    assert json.loads(run_cli("status", str(run), "--json").stdout)["state"] == "interrupted"
    done = run_cli("resume", str(run), "--trials", "+1", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [trial["state"] in FINAL for trial in told["trials"]] == [True] * 4
    assert trained_after_its_verdict(read_events(Storage(run))) == []


def test_a_time_budget_ends_cleanly(tiny_data: str, tmp_path: Path) -> None:
    more = ("--name", "short", "--trials", "50", "--kimg", "2", "--interval-kimg", "0.2", "--time-budget", "12s")
    done = run_cli(*sweep_arguments(tiny_data, tmp_path, *more, "--json"))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["state"] == "interrupted"
    assert len(told["trials"]) == 50
    assert read_record(Storage(tmp_path / "short")).cause == TIME_BUDGET
    status = run_cli("status", str(tmp_path / "short")).stdout
    assert status.startswith("short: ended by its time budget of 12s; go on with: gan-search resume ")


@pytest.mark.slow
def test_out_of_memory_is_told_and_not_retried(tiny_data: str, tmp_path: Path) -> None:
    """A network that no machine holds: the trial fails at once with the reason, the others go on."""
    spec = tmp_path / "spec.yaml"
    huge = 10**6
    spec.write_text(f"space: {{width_g: [4, {huge}], lr_g: null, lr_d: null, beta1: null, beta2: null}}\n")
    more = ("--name", "memory", "--recipe", "dcgan", "--trials", "6", "--kimg", "0.4", "--interval-kimg", "0.2")
    arguments = sweep_arguments(tiny_data, tmp_path / "results", *more, "--json")
    done = run_cli(arguments[0], str(spec), *arguments[1:])
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    events = read_events(Storage(tmp_path / "results" / "memory"))
    failed = [trial for trial in told["trials"] if trial["params"].get("width_g") == huge]
    assert failed
    for trial in failed:
        assert trial["state"] == "failed"
        assert trial["reason"].startswith("out of memory")
        assert sum(event["event"] == "start" and event["trial"] == trial["id"] for event in events) == 1
    outcomes = {event["trial"]: event["outcome"] for event in events if event["event"] == "verdict"}
    assert {outcomes[trial["id"]] for trial in failed} == {"infeasible"}


def test_a_sweep_sets_the_futility_rule() -> None:
    spec = {"kimg": 12, "interval_kimg": 1, "grace_kimg": 3, "futility": 1.5}
    for finalists, places in ((0, 1), (5, 5)):
        made = futility_rule(make_spec({**spec, "finalists": finalists}))
        assert made is not None and vars(made) == vars(Futility(12.0, 1.5, places, 3.0))
    assert futility_rule(make_spec({**spec, "futility": None})) is None
    # A sweep without rungs: nobody waits.
    one = futility_rule(make_spec({"kimg": 1, "interval_kimg": 1}))
    assert one is not None and vars(one) == vars(Futility(1.0, 3.0))


DYING = """
import os
import search.trials.tuner
from search.commands.app import main
from search.trials.trial import train_trial

def dying(config, context):
    train_trial(config, context)
    os._exit(1)

search.trials.tuner.train_trial = dying
main()
"""


@pytest.mark.slow
def test_a_process_that_dies_after_its_trial_has_ended_is_not_replaced(tiny_data: str, tmp_path: Path) -> None:
    """The verdict is in the journal, and the trial's checkpoints are gone: one that took over would begin anew."""
    more = ("--name", "dying", "--recipe", "dcgan", "--trials", "3", "--kimg", "0.4", "--interval-kimg", "0.2")
    arguments = sweep_arguments(tiny_data, tmp_path, *more, "--concurrent", "1")
    program = [sys.executable, "-c", DYING, *arguments]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    events = read_events(Storage(tmp_path / "dying"))
    assert count(events, "verdict") == 3
    assert trained_after_its_verdict(events) == []


NODE_AT_FAULT = """
import search.trials.tuner
from search.commands.app import main
from search.trials.trial import NodeOutOfMemory, NoGpu

def failing(config, context):
    raise ERROR("node a: as a test says")

search.trials.tuner.train_trial = failing
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "state", "outcome"),
    [("NoGpu", "running", None), ("NodeOutOfMemory", "failed", Outcome.NODE_OUT_OF_MEMORY)],
)
def test_what_a_worker_says_of_its_node_reaches_the_journal_through_tune(
    error: str, state: str, outcome: Outcome | None, tiny_data: str, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("retries: 1\n")
    more = ("--name", "node", "--recipe", "dcgan", "--trials", "1", "--kimg", "0.4", "--interval-kimg", "0.2")
    arguments = sweep_arguments(tiny_data, tmp_path, *more)
    program = [sys.executable, "-c", NODE_AT_FAULT.replace("ERROR", error), arguments[0], str(spec), *arguments[1:]]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    trial = read_record(Storage(tmp_path / "node")).trials["t0000"]
    assert (trial.state, trial.outcome) == (state, outcome)
    events = read_events(Storage(tmp_path / "node"))
    assert [event["reason"] for event in events if event["event"] in ("retry", "problem", "verdict")] == [
        "node a: as a test says"
    ] * 2
    assert outcome is not None or "node a: as a test says" in done.stderr


@pytest.mark.slow
def test_processes_that_memory_runs_out_on_cost_their_trials_retries_not_the_sweep(
    tiny_data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's memory monitor, told that any use is too much, ends every process that it may."""
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.001")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    more = ("--name", "low", "--recipe", "dcgan", "--trials", "1", "--kimg", "400", "--interval-kimg", "1")
    spec = tmp_path / "spec.yaml"
    spec.write_text("retries: 1\n")
    arguments = sweep_arguments(tiny_data, tmp_path / "results", *more)
    done = run_cli(arguments[0], str(spec), *arguments[1:])
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    events = read_events(Storage(tmp_path / "results" / "low"))
    trial = read_record(Storage(tmp_path / "results" / "low")).trials["t0000"]
    assert (trial.state, trial.outcome) == ("failed", Outcome.NODE_OUT_OF_MEMORY), trial.reason
    assert str(trial.reason).startswith("out of memory")
    assert count(events, "retry") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sweep", "--recipe", "dcgna"], "did you mean 'dcgan'"),
        (["sweep", "--set", "clip=0.1"], "clip"),
        (["sweep", "--set", "lr_g=fast"], "lr_g"),
        (["sweep", "--set", "lr_g"], "lr_g"),
        (["sweep", "--recipe", "wgan", "--set", "clip=0"], "above 0"),
        (["sweep", "--data", "folder:/nowhere", "--size", "32"], "/nowhere"),
        (["sweep", "--data", "celeba:/nowhere.zip", "--size", "32"], "/nowhere.zip"),
        (["sweep", "--data", "faces?limit=400", "--size", "32"], "needs 500 images to train on, here are 333"),
        (["sweep", "--data", "faces?limit=none", "--size", "32"], "limit: 'none'"),
        (["sweep", "--data", "faces"], "--size"),
        (["sweep", "--data", "faecs"], "did you mean 'faces'"),
        (["sweep", "--data", "faces", "--size", "31"], "31"),
        (["sweep", "--trials", "0"], "trials"),
        (["sweep", "--set", "batch=5000", "--kimg", "1000"], "5000"),
        (["sweep", "--device", "banana"], "banana"),
        (["sweep", "--precision", "fp8"], "fp8"),
        (["sweep", "--kimg", "inf"], "kimg"),
        (["sweep", "--gpus-per-trial", "8"], "gpus-per-trial"),
        (["sweep", "--cpus-per-trial", "4096"], "cpus-per-trial"),
        (["sweep", "--address", "127.0.0.1:1"], "127.0.0.1:1"),
        (["sweep", "--features", "inception"], "random-conv"),
        (["sweep", "--features", "inceptoin"], "did you mean 'inception'"),
        (["sweep", "--storage", "ftp://host/x"], "ftp"),
        (["sweep", "--storage", "/proc/results"], "/proc"),
        (["sweep", "--name", "../up"], "name"),
        (["sweep", "--time-budget", "soon"], "time_budget"),
        (["sweep", "missing.yaml"], "missing.yaml"),
        (["sweep", "--trails", "3"], "--trails"),
        (["resume", "nothing"], "nothing"),
        (["status", "nothing"], "nothing"),
        (["report", "nothing"], "nothing"),
        (["export", "nothing", "--out", "x"], "nothing"),
        (["swep"], "swep"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    arguments: list[str],
    said: str,
    tiny_data: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    snapshot: Callable[[Path], dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    from gan.terminal import run_app
    from search.commands.app import app

    monkeypatch.chdir(tmp_path)
    if arguments[0] == "sweep" and "--data" not in arguments:
        arguments = [*arguments, "--data", tiny_data]
    before = snapshot(tmp_path)
    assert run_app(app, arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    # Where the machine is slow, progress ("starting Ray …") comes before it.
    assert len([line for line in error.strip().splitlines() if not line.endswith(" …")]) == 1
    assert snapshot(tmp_path) == before


@pytest.mark.slow
def test_storage_that_fails_halts_the_sweep_and_burns_no_trial(tiny_data: str, tmp_path: Path) -> None:
    """Once the data behind it has changed, no trial is to blame: the sweep stops, and can be resumed."""
    data = tmp_path / "tiny.arrow"
    shutil.copy(tiny_data.removeprefix("packed:"), data)
    more = ("--name", "halt", "--trials", "4", "--recipe", "dcgan", "--kimg", "0.4", "--interval-kimg", "0.2")
    run = tmp_path / "results" / "halt"
    # A file where a trial's folder is to be: nothing can be written there.
    assert (
        run_cli(*sweep_arguments(f"packed:{data}", tmp_path / "results", *more, "--time-budget", "1s")).returncode == 0
    )
    shutil.rmtree(run / "trials")
    (run / "trials").mkdir()
    (run / "trials" / "t0000").write_text("in the way")
    halted = run_cli("resume", str(run))
    assert halted.returncode == 1
    assert "gan-search resume" in halted.stderr.strip().splitlines()[-1]
    assert not any(trial.final for trial in read_record(Storage(run)).trials.values())
    (run / "trials" / "t0000").unlink()
    done = run_cli("resume", str(run), "--json")
    assert done.returncode == 0, done.stderr
    assert [trial["state"] in FINAL for trial in json.loads(done.stdout)["trials"]] == [True] * 4


@pytest.mark.slow
def test_a_journal_that_cannot_be_written_halts_the_sweep(
    tiny_data: str, tmp_path: Path, started: Callable[..., Any]
) -> None:
    """Nothing is acted on that is not in the journal; mended, the sweep goes on."""
    more = ("--name", "torn", "--trials", "4", "--recipe", "dcgan", "--kimg", "4", "--interval-kimg", "0.2", "--json")
    driver = started(*sweep_arguments(tiny_data, tmp_path / "results", *more))
    run = tmp_path / "results" / "torn"
    wait_for(run, lambda events: count(events, "report") >= 3, driver)
    journal = (run / "journal.jsonl").rename(run / "kept")
    (run / "journal.jsonl").mkdir()
    assert driver.wait(120) == 1
    last = (tmp_path / "log0").read_text().strip().splitlines()[-1]
    assert "the journal cannot be written" in last and "gan-search resume" in last
    (run / "journal.jsonl").rmdir()
    (run / "kept").rename(journal.with_name("journal.jsonl"))
    done = run_cli("resume", str(run), "--json")
    assert done.returncode == 0, done.stderr
    assert [trial["state"] in FINAL for trial in json.loads(done.stdout)["trials"]] == [True] * 4


def test_a_dry_run_shows_the_plan_and_writes_nothing(
    tiny_data: str, tmp_path: Path, snapshot: Callable[[Path], dict[str, Any]]
) -> None:
    done = run_cli(*sweep_arguments(tiny_data, tmp_path, "--dry-run", "--json", "--kimg", "12"))
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["rungs"] == [1, 4]
    assert plan["parameters"]["wgan"]["generator"] > 0
    assert plan["identity"]["recipes"]["wgan"]["space"]["clip"]["log"] is True
    assert snapshot(tmp_path) == {}
