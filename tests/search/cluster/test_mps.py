"""When trials share a GPU by CUDA's Multi-Process Service, and what is left of it afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gan.errors import InputError
from search.cluster import cluster, mps
from search.plan.spec import make_spec

ROOT = Path(__file__).parents[3]

# What NVIDIA's does, as far as is seen from outside.
CONTROL = """#!/bin/sh
pipes=${CUDA_MPS_PIPE_DIRECTORY:-$USUAL}
if [ "$1" = -d ]; then
    echo "start $pipes, devices ${CUDA_VISIBLE_DEVICES-all}" >> "$SEEN"
    touch "$pipes/control" "$pipes/alive"
    [ "$FAILS" != 1 ]; exit
fi
read -r said
case "$said" in
    get_server_list) ;;
    *) echo "$said in $pipes" >> "$SEEN" ;;
esac
if [ ! -e "$pipes/alive" ]; then
    echo "Cannot find MPS control daemon process"
    exit 1
fi
case "$said" in quit*) [ "$FAILS" = stubborn ] || rm "$pipes/alive" ;; esac
"""


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the service was told, where there is one, and a GPU that opens."""
    tool = tmp_path / mps.CONTROL
    tool.write_text(CONTROL)
    tool.chmod(0o755)
    for name, value in {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SEEN": str(tmp_path / "seen"),
        "FAILS": "0",
        "USUAL": str(tmp_path / "usual"),
        "CUDA_VISIBLE_DEVICES": "3",
        "TMPDIR": str(tmp_path / "scratch"),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "usual").mkdir()
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(mps, "USUAL_PIPES", str(tmp_path / "usual"))
    monkeypatch.setattr(mps, "_OPEN_GPU", "")
    monkeypatch.delenv(mps.PIPES, raising=False)
    return tmp_path / "seen"


def told(seen: Path) -> list[str]:
    return seen.read_text().splitlines() if seen.exists() else []


def test_the_service_runs_for_what_is_started_meanwhile(seen: Path) -> None:
    before = dict(os.environ)
    assert not mps.runs()
    with mps.service():
        assert mps.runs()
        pipes = os.environ[mps.PIPES]
        # Trials count the devices that they may use among those that the service sees.
        assert told(seen) == [f"start {pipes}, devices all"] and os.environ[mps.LOGS]
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    assert told(seen)[1].startswith("quit") and len(told(seen)) == 2
    assert not Path(pipes).exists() and dict(os.environ) == before and not mps.runs()


def test_what_the_user_said_of_another_service_is_said_again_afterwards(
    seen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(mps.PIPES, str(tmp_path / "theirs"))
    before = dict(os.environ)
    with mps.service():
        assert os.environ[mps.PIPES] != str(tmp_path / "theirs") and mps.runs()
    assert dict(os.environ) == before


def test_one_whose_process_was_killed_is_ended_by_the_next(seen: Path, tmp_path: Path) -> None:
    program = (
        "import os; from search.cluster import mps; mps._OPEN_GPU = ''\nwith mps.service(): os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    (left,) = (tmp_path / "scratch").iterdir()
    assert killed.returncode == -9 and (left / "pipe" / "alive").exists() and len(told(seen)) == 1
    with mps.service():
        assert told(seen)[1].endswith(f" in {left}/pipe") and not left.exists()
        # One whose process lives is left alone.
        mps._end_abandoned()
        assert mps.runs() and len(told(seen)) == 3
    assert list((tmp_path / "scratch").iterdir()) == []


def test_one_that_does_not_end_is_left_for_the_next_to_end(
    seen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILS", "stubborn")
    with mps.service():
        pass
    (left,) = (tmp_path / "scratch").iterdir()
    monkeypatch.setenv("FAILS", "0")
    with mps.service():
        assert not left.exists()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_it_is_ended_where_it_is_interrupted_as_it_starts(seen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = mps._succeeds

    def interrupted(command: list[str], environment: dict[str, str]) -> bool:
        if begin(command, environment):
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(mps, "_succeeds", interrupted)
    with pytest.raises(KeyboardInterrupt), mps.service():
        pass
    assert [line.partition(" ")[0] for line in told(seen)] == ["start", "quit"]


def test_it_ends_when_the_sweep_fails(seen: Path) -> None:
    with pytest.raises(KeyboardInterrupt), mps.service():
        raise KeyboardInterrupt
    assert told(seen)[1].startswith("quit") and mps.PIPES not in os.environ


def test_one_that_runs_already_is_left_alone(seen: Path, tmp_path: Path) -> None:
    for file in ("control", "alive"):
        (tmp_path / "usual" / file).touch()
    with mps.service():
        assert mps.runs() and mps.PIPES not in os.environ
    assert told(seen) == []


def test_what_a_dead_one_has_left_does_not_serve(seen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "usual" / "control").touch()
    assert not mps.runs()
    # Where nobody can ask, as in a container that is given the pipes alone, they are trusted.
    monkeypatch.setenv("PATH", "")
    assert mps.runs()


def test_one_that_is_not_to_be_reached_does_not_serve(seen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(path)

    monkeypatch.setattr(Path, "exists", refused)
    assert not mps.runs()


@pytest.mark.parametrize("fault", ["it does not start", "no GPU opens with it"])
def test_where_it_does_not_serve_trials_take_turns(
    fault: str, seen: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if fault == "it does not start":
        monkeypatch.setenv("FAILS", "1")
    else:
        monkeypatch.setattr(mps, "_OPEN_GPU", "raise SystemExit(1)")
    with mps.service():
        assert not mps.runs()
    assert "does not serve here: trials that share a GPU take turns" in capsys.readouterr().err
    # A daemon that started all the same must not stay.
    assert told(seen)[1].startswith("quit")


def test_without_nvidias_tool_nothing_is_started(seen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with mps.service():
        assert not mps.runs()
    assert told(seen) == []


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"gpus_per_trial": "auto"}, True),
        ({"gpus_per_trial": 0.5}, True),
        ({"gpus_per_trial": 1}, False),
        ({}, False),
        ({"gpus_per_trial": "auto", "device": "cpu"}, False),
    ],
)
def test_it_is_for_trials_that_share_a_gpu(given: dict[str, Any], wanted: bool) -> None:
    assert mps.wanted(make_spec(given)) == wanted


@pytest.mark.parametrize(
    ("given", "started"),
    [({"gpus_per_trial": "auto"}, 1), ({}, 0), ({"gpus_per_trial": "auto", "address": "10.0.0.1:6379"}, 0)],
)
def test_only_where_ray_is_started_here_it_is_started_before(
    given: dict[str, Any], started: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    @contextmanager
    def service() -> Iterator[None]:
        seen.append("service")
        yield
        seen.append("service ends")

    def connect(spec: Any) -> None:
        seen.append("ray")
        raise InputError("no Ray is needed here")

    monkeypatch.setattr(mps, "service", service)
    monkeypatch.setattr(cluster, "_connect", connect)
    with pytest.raises(InputError), cluster.connected(make_spec(given)):
        pass
    assert seen == ["service"] * started + ["ray"]


def test_signals_end_it_while_ray_starts_and_do_not_break_off_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """… though Ray, like this one, sets other handlers as it ends."""
    seen: list[str] = []

    @contextmanager
    def service() -> Iterator[None]:
        try:
            yield
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            seen.append("service ends")

    def shutdown() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(mps, "service", service)
    monkeypatch.setattr(cluster, "_connect", lambda spec: os.kill(os.getpid(), signal.SIGTERM))
    monkeypatch.setattr(cluster.ray, "shutdown", shutdown)
    with pytest.raises(KeyboardInterrupt), cluster.connected(make_spec({"gpus_per_trial": "auto"})):
        pass
    assert seen == ["service ends"]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
