"""What a sweep shows while it runs: on a screen of any width, among plain lines, and not at all."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from gan.metric import REFERENCE_INCEPTION
from search.cluster.watch import ClusterWatch, Use
from search.run.record import SweepRecord, TrialRecord
from search.trackers.remaining_time import Later, RemainingTime
from search.trackers.terminal import Progress

REASON = "exploding: |d_loss| 2.1e+06 is beyond what this objective can mean, 554.3"


def trial(index: int, state: str = "running", kimg: float = 0.0, fid: float | None = None, **more: Any) -> TrialRecord:
    params = {"lr_g": 0.000123456, "lr_d": 3e-4, "beta1": 0.5}
    fields = {"recipe": "dcgan", "source": "sampled", "params": params, "settings": {**params, "batch": 64}}
    made = TrialRecord(f"t{index:04d}", objective="non-saturating", seed=0, state=state, **(fields | more))
    if kimg:
        told = {"kimg": kimg, "fid": fid, "best_fid": fid, "best_kimg": kimg, "g_loss": 1.25, "d_loss": -123456.0}
        made.reports = [{**told, "images_per_second": 1000.0, "seconds": kimg}]
    return made


def record(*trials: TrialRecord, features: str = "random-conv", weights: str = "0" * 64) -> SweepRecord:
    evaluation = {"features": features, "weights_sha256": weights}
    made = SweepRecord(settings={"name": "démo", "kimg": 60.0}, evaluation=evaluation)
    made.trials = {each.id: each for each in trials}
    return made


MANY = (
    trial(0, "finished", 60, 81.5, source="published", params={}),
    trial(1, "finished", 60, 48.25),
    trial(2, "stopped", 10, 170.0),
    trial(3, "diverged", 15, 140.0, recipe="a recipe/with-a-very-long name-für-Größe und 名前"),
    trial(4, "running", 30, 61.0),
    trial(5, "running"),
)


def screen(progress: Progress, width: int, height: int = 24) -> list[str]:
    """Return the lines that a terminal of this size shows."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None)
    progress._console = console
    console.print(progress._screen())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_screen_fits_and_tells_what_matters(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    watch = ClusterWatch(lambda: Use((2, 2), (1.5, 4), ({},) * 3))
    watch.use = Use((2, 2), (1.5, 4), ({},) * 3)
    progress = Progress(record(*MANY), 40, watch=watch)
    progress._live = object()  # type: ignore[assignment]  # events go to the screen
    progress("verdict", trial(3, "diverged", 15, 140.0, reason=REASON))
    progress("retry", trial(4, "running", 30, 61.0))
    progress.notice("node 10.99.0.2: lost")
    lines = screen(progress, width)
    assert max(map(cell_len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    for said in ("démo", "4 of 40 ended", "2 finished", "1 stopped", "1 diverged", "2 running", "34 to come"):
        assert said in text
    for said in ("best FD 48.2: t0001 dcgan at 60 kimg", "lr_g 0.000123", "beta1 0.5", "2 of 2 CPUs, 1.5 of 4 GPUs, 3"):
        assert said in text
    for said in ("t0003 dcgan: diverged at 15 kimg", "exploding: |d_loss|", "its process was", "node 10.99.0.2: lost"):
        assert said in text
    if width >= 80:
        assert REASON in text
        assert "G loss" in text and "-1.2e+05" in text
    assert capsys.readouterr().err == ""


def test_a_small_terminal_shows_fewer_rows() -> None:
    trials = [trial(index, "running" if index % 2 else "stopped", 10, 50.0 + index) for index in range(300)]
    progress = Progress(record(*trials), 1000)
    assert len(screen(progress, 80, 24)) <= 24
    assert len(screen(progress, 120, 50)) <= 50
    assert any("more that run" in line for line in screen(progress, 80, 24))


def test_published_settings_that_lead_are_shown_as_well() -> None:
    leading = trial(0, "finished", 60, 20.0, source="published", params={})
    assert "lr_g 0.000123 · lr_d 0.0003 · beta1 0.5" in "\n".join(screen(Progress(record(leading, *MANY[1:]), 6), 80))
    assert "lr_g 0.000123 · lr_d 0.0003" in "\n".join(screen(Progress(record(leading), 6), 80))


def test_only_distances_of_the_reference_inception_network_are_called_fid() -> None:
    reference = record(*MANY, features="inception", weights=REFERENCE_INCEPTION)
    assert "best FID 48.2" in "\n".join(screen(Progress(reference, 6), 80))
    assert "best FD 48.2" in "\n".join(screen(Progress(record(*MANY, features="inception"), 6), 80))


def test_nothing_has_happened_yet() -> None:
    lines = screen(Progress(record(), 5), 40)
    assert [line.strip() for line in lines if line.strip()] == ["démo · 0 of 5 ended · 0:00", "5 to come"]


def test_half_trained_trials_that_wait_are_told_from_those_that_never_began() -> None:
    waiting = [trial(0, "pending", 30, 61.0), trial(1, "pending")]
    shown = "\n".join(screen(Progress(record(*waiting), 5), 80))
    assert "1 paused · 1 pending · 3 to come" in shown
    assert [line.split()[-1] for line in shown.splitlines() if line.startswith("t0000")] == ["paused"]


def test_plain_lines_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.trackers.terminal._SUMMARY_SECONDS", 0.0)
    with Progress(record(*MANY), 40) as progress:
        for event in ("trial", "start", "report"):
            progress(event, MANY[4])
        progress("verdict", trial(3, "diverged", 15, 140.0, reason=REASON))
        progress("retry", MANY[4])
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    for said in (
        "going on: 4 of 40 trials have their verdict, 1 goes on from a checkpoint",
        "t0004 dcgan: starts",
        "t0004 dcgan: 30 kimg, FD 61.0 (best 61.0), 1000 img/s",
        f"t0003 dcgan: diverged at 15 kimg ({REASON})",
        "t0004 dcgan: its process was lost, it goes on from its checkpoint",
        "2 finished, 1 stopped, 1 diverged, 2 running, 34 to come; best FD 48.2: t0001 dcgan at 60 kimg",
    ):
        assert said in err


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(record(*MANY), 40, quiet=True) as progress:
        for event in ("trial", "start", "report", "verdict", "retry"):
            progress(event, MANY[4])
        progress.notice("node x: lost")
    assert capsys.readouterr() == ("", "")


# ---- what is left


def test_trials_that_are_to_come_go_as_far_as_those_that_have_ended() -> None:
    ended = [trial(index, "stopped", kimg, 50.0) for index, kimg in enumerate([10, 10, 40])]
    assert RemainingTime(many(ended), 92, 60.0).kimg() == pytest.approx(2 * 20, rel=0.1)
    # Nothing has ended yet: as a sweep with the usual rungs.
    assert RemainingTime([], 2, 60.0).kimg() == pytest.approx(2 * 60 / 3)
    assert RemainingTime([], 2, 60.0, stops=False).kimg() == 2 * 60


def many(ended: list[TrialRecord]) -> list[TrialRecord]:
    return [*ended * 30]


def test_trials_that_still_run_count_as_far_as_they_have_come() -> None:
    """Those that are stopped early end first: they must not stand for all."""
    ended = [trial(index, "stopped", 5, 50.0) for index in range(8)]
    running = [trial(8 + index, "running", 50, 50.0) for index in range(8)]
    alone = RemainingTime(ended, 9, 60.0).kimg()
    beside = RemainingTime([*ended, *running], 17, 60.0).kimg() - RemainingTime([*ended, *running], 16, 60.0).kimg()
    assert beside > 2 * alone


def test_a_trial_that_has_passed_a_rung_is_measured_by_those_that_did() -> None:
    ended = [trial(index, "stopped", kimg, 50.0) for index, kimg in enumerate([10, 10, 10, 10, 30, 60, 60])]
    trials = [*many(ended), trial(8, "running", 10, 50.0)]
    assert RemainingTime(trials, len(trials), 60.0).kimg() == pytest.approx(50 - 10, rel=0.05)


def test_time_left_is_never_less_than_one_running_trial_needs() -> None:
    slow = trial(1, "running", 10, 50.0)
    slow.reports[-1]["seconds"] = 1000.0
    trials = [trial(0, "finished", 60, 50.0), slow]
    left = RemainingTime(trials, 2, 60.0, stops=False).seconds(shown_kimg=70.0, elapsed=70.0)
    assert left == pytest.approx(50 * 100)
    # What follows runs side by side, or alone.
    more = RemainingTime(trials, 2, 60.0, Later(kimg=7000.0), stops=False).seconds(shown_kimg=70.0, elapsed=70.0)
    assert more == pytest.approx(7000 + 50)
    assert RemainingTime([], 5, 60.0).seconds(0.0, 10.0) is None


@pytest.mark.parametrize(
    ("budget", "told"), [(None, "74 min"), (1e6, "74 min"), (120.0, "2 min"), (-3.0, "0 s")], ids=str
)
def test_time_left_is_at_most_what_is_left_of_the_budget(budget: float | None, told: str) -> None:
    known = record()
    progress = Progress(known, 400, time_left=lambda: budget)
    known.trials = {each.id: each for each in MANY}
    progress._began = time.monotonic() - 60.0
    assert f"about {told} left" in "\n".join(screen(progress, 80))


@pytest.mark.parametrize("slots", [1, 4])
def test_the_estimate_of_a_simulated_sweep_comes_true(slots: int) -> None:
    """One kimg a second in each slot, two thirds of the trials stopped at 20 kimg."""
    ends = [20.0 if index % 3 else 60.0 for index in range(60)]
    trials: list[TrialRecord] = []
    running: list[TrialRecord] = []
    now, estimates = 0.0, []
    while running or len(trials) < len(ends):
        while len(running) < slots and len(trials) < len(ends):
            trials.append(trial(len(trials), "running"))
            running.append(trials[-1])
        now += 5.0
        for each in list(running):
            reached = each.kimg + 5.0
            each.reports = [{"kimg": reached, "best_fid": 50.0, "seconds": reached}]
            if reached >= ends[int(each.id[1:])]:
                each.state = "finished"
                running.remove(each)
        shown = sum(each.kimg for each in trials)
        estimates.append((now, RemainingTime(trials, len(ends), 60.0).seconds(shown, now)))
    for at, left in estimates:
        if 0.2 * now < at < 0.95 * now:
            assert left == pytest.approx(now - at, rel=0.35, abs=0.05 * now)


# ---- the cluster


def test_nodes_that_come_and_go_are_told_once() -> None:
    samples = [{"a": "10.0.0.1"}, {"a": "10.0.0.1", "b": "10.0.0.2"}, {"b": "10.0.0.2"}, {"b": "10.0.0.2"}]
    seen = iter(samples)

    def look() -> Use:
        nodes = next(seen, samples[-1])
        return Use((1, 2), (0, 0), ({},) * len(nodes), nodes)

    told: list[tuple[str, str]] = []
    with ClusterWatch(look, seconds=0.01) as watch:
        for _ in range(500):
            told += watch.changes()
            if len(told) == 2:
                break
            time.sleep(0.01)
    assert told == [("joined", "10.0.0.2"), ("lost", "10.0.0.1")]
    assert watch.use == Use((1, 2), (0, 0), ({},), samples[-1])


def test_a_cluster_that_does_not_answer_is_not_shown() -> None:
    def look() -> Use:
        raise ConnectionError("the head is gone")

    with ClusterWatch(look, seconds=0.01) as watch:
        time.sleep(0.05)
        assert watch.use is None
        assert watch.changes() == []
    assert "in use" not in "\n".join(screen(Progress(record(*MANY), 6, watch=watch), 80))
