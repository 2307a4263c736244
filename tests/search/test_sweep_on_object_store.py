"""A real sweep whose storage is an S3 server: killed, resumed from the storage alone, reported, exported."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from driving import TINY, count, run_cli
from object_store import S3, new_bucket
from verdicts import trained_after_its_verdict

from gan import load_bundle
from gan.storage.storage import Storage
from search.run.journal import read_events
from search.run.record import FINAL, read_record

SECRET = "a-secret-that-nobody-may-read"
TRIALS, TOP_K = 6, 2


@pytest.fixture
def bucket(object_store: str, monkeypatch: pytest.MonkeyPatch) -> S3:
    """A bucket whose secret key can be told from any other text."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return new_bucket(object_store)


def wait_for(run: Storage, enough: Callable[[list[dict[str, Any]]], bool], process: Any) -> None:
    for _ in range(600):
        if run.exists("journal.jsonl") and enough(read_events(run)):
            return
        assert process.poll() is None, "the driver ended"
        time.sleep(0.2)
    pytest.fail("the sweep did not come far enough in two minutes")


@pytest.mark.slow
def test_a_killed_sweep_on_s3_goes_on_from_the_storage_alone(
    bucket: S3, tiny_data: str, tmp_path: Path, started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.write("tiny.arrow", Path(tiny_data.removeprefix("packed:")).read_bytes())
    monkeypatch.setenv("GAN_SEARCH_CACHE", str(tmp_path / "first machine"))
    more = ("--name", "far", "--trials", str(TRIALS), "--kimg", "1.6", "--interval-kimg", "0.2", "--top-k", str(TOP_K))
    place = ("--data", f"packed:{bucket.uri('tiny.arrow')}", "--storage", bucket.uri("runs"))
    driver = started("sweep", *place, *TINY, *more)
    run = Storage(bucket.uri("runs/far"))
    wait_for(run, lambda events: count(events, "verdict") >= 2 and count(events, "report") >= 10, driver)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    before = {trial.id: trial.state for trial in read_record(run).trials.values() if trial.final}

    # Another machine: what the first had on disk is not there.
    monkeypatch.setenv("GAN_SEARCH_CACHE", str(tmp_path / "second machine"))
    printed = ""

    def shell(*command: str) -> str:
        nonlocal printed
        done = run_cli(*command, "--json")
        assert done.returncode == 0, done.stderr
        printed += done.stdout + done.stderr
        return done.stdout

    told = json.loads(shell("status", run.uri))
    assert told["state"] == "interrupted"
    told = json.loads(shell("resume", run.uri))
    events = read_events(run)
    assert (told["state"], len(told["trials"])) == ("finished", TRIALS)
    assert {trial["state"] for trial in told["trials"]} <= set(FINAL)
    assert {trial["id"]: trial["state"] for trial in told["trials"] if trial["id"] in before} == before
    assert trained_after_its_verdict(events) == []
    assert count(events, "verdict") == TRIALS

    # Reading it needs no Ray and nothing local.
    longer = json.loads(shell("extend", run.uri, "--kimg", "2.4"))["extended"]
    assert [(each["from_kimg"], each["kimg"] > each["from_kimg"]) for each in longer] == [(1.6, True)]
    told = json.loads(shell("status", run.uri))
    shell("report", run.uri)
    assert {"report.html", "leaderboard.csv", "leaderboard.parquet"} <= set(run.list())
    out = tmp_path / "generator"
    shell("export", run.uri, "--out", str(out))
    assert load_bundle(str(out)).config["fid"] == told["best"]["best_fid"]

    # Bounded: the best bundles of the whole sweep, and checkpoints of these alone.
    ranked = [trial.id for trial in read_record(run).ranked()]
    assert run.list("best") == sorted(ranked[:TOP_K])
    objects = bucket.objects()
    assert not [key for key in objects if "/best-" in key]
    kept = {key.partition("/checkpoints/")[0].rpartition("/")[2] for key in objects if "/checkpoints/" in key}
    assert kept <= set(ranked[:TOP_K])

    # The secret is neither in the run's folder nor in what was printed.
    leaks = [key for key in objects if key.startswith("runs/") and SECRET.encode() in bucket.read(key)]
    assert leaks == []
    assert SECRET not in (tmp_path / "log0").read_text() + printed
