"""Measurements on this machine: as many at once as trials will train."""

from __future__ import annotations

import pytest

from gan.checks.speed import Speed
from gan.errors import InputError
from search.cluster import machine as module
from search.cluster.machine import machine
from search.plan.spec import make_spec


def three() -> Speed:
    return Speed(3.0, 1.0, 0.1)


def fails() -> Speed:
    raise RuntimeError("no such operator\nin detail")


@pytest.mark.parametrize(
    ("settings", "cores", "at_once"),
    [
        ({}, 3, 3),
        ({"concurrent": 2}, 3, 2),
        ({"cpus_per_trial": 2}, 3, 1),
        ({"cpus_per_trial": 1.5}, 3, 2),
        ({"cpus_per_trial": 0.5}, 3, 6),
        ({"cpus_per_trial": 8}, 3, 1),
    ],
    ids=str,
)
def test_as_many_trials_as_fit_are_measured(
    settings: dict[str, float], cores: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: cores)
    monkeypatch.setattr(module, "gpu_count", lambda device: 0)
    monkeypatch.setattr(module, "PROCESSES", 2)
    with machine(make_spec(settings)) as (found, measured):
        assert found == at_once
        assert measured(three) == [three()] * min(2, at_once)


@pytest.mark.parametrize(
    ("settings", "at_once"),
    [({}, 2), ({"gpus_per_trial": 0.5}, 4), ({"gpus_per_trial": 0.1}, 4), ({"gpus_per_trial": 0}, 4)],
    ids=str,
)
def test_gpus_count_and_cores_too(settings: dict[str, float], at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 4)
    monkeypatch.setattr(module, "gpu_count", lambda device: 2)
    monkeypatch.setattr(module, "PROCESSES", 1)
    with machine(make_spec(settings)) as (found, _):
        assert found == at_once


def test_a_machine_that_cannot_be_measured_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 1)
    with machine(make_spec({})) as (_, measured), pytest.raises(InputError, match="no such operator") as error:
        measured(fails)
    assert len(str(error.value).splitlines()) == 1
