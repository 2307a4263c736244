"""When trials share a GPU by CUDA's Multi-Process Service, and what is left of it afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gan.errors import InputError
from search import cluster, mps
from search.spec import make_spec

# What NVIDIA's does, as far as is seen from outside.
CONTROL = """#!/bin/sh
if [ "$1" = -d ]; then
    echo "start $CUDA_MPS_PIPE_DIRECTORY" >> "$SEEN"
    touch "$CUDA_MPS_PIPE_DIRECTORY/control"
    exit $FAILS
fi
read -r said
echo "$said" >> "$SEEN"
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
    }.items():
        monkeypatch.setenv(name, value)
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
        assert told(seen) == [f"start {pipes}"] and os.environ[mps.LOGS]
    assert told(seen)[1].startswith("quit") and len(told(seen)) == 2
    assert not Path(pipes).exists() and dict(os.environ) == before and not mps.runs()


def test_it_ends_when_the_sweep_fails(seen: Path) -> None:
    with pytest.raises(KeyboardInterrupt), mps.service():
        raise KeyboardInterrupt
    assert told(seen)[1].startswith("quit") and mps.PIPES not in os.environ


def test_one_that_runs_already_is_left_alone(seen: Path, tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    (tmp_path / "usual" / "control").touch()
    with mps.service():
        assert mps.runs() and mps.PIPES not in os.environ
    assert told(seen) == []


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
