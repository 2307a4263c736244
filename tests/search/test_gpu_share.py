"""What share of a GPU a trial is given, once what it takes has been measured."""

from __future__ import annotations

from typing import Any

import pytest

import search.gpu_share as gpu_share
from gan.errors import InputError
from gan.recipe import load_recipe
from search.spec import make_spec

GIB = 2**30


@pytest.mark.parametrize(
    ("taken", "total", "cores", "trials"),
    [
        (2 * GIB, 80 * GIB, 16.0, 16),  # as many as there are cores
        (10 * GIB, 80 * GIB, 16.0, 7),  # as many as fit, and some room
        (50 * GIB, 80 * GIB, 16.0, 1),
        (90 * GIB, 80 * GIB, 16.0, 1),  # it will say so itself
        (1 * GIB, 80 * GIB, 128.0, gpu_share.MOST),
        (1 * GIB, 80 * GIB, 0.5, 1),
    ],
)
def test_as_many_trials_share_a_gpu_as_fit(taken: int, total: int, cores: float, trials: int) -> None:
    assert gpu_share.trials_that_fit(taken, total, cores) == trials
    assert trials * taken <= total or trials == 1


def test_the_largest_of_what_is_searched_is_measured() -> None:
    recipe = gpu_share.largest_settings(load_recipe("wgan"))
    assert recipe.settings["batch"] == 128 and recipe.settings["n_critic"] == 5
    assert recipe.settings["lr_g"] == load_recipe("wgan").settings["lr_g"]


def test_the_measured_share_is_what_trials_are_scheduled_by(monkeypatch: pytest.MonkeyPatch) -> None:
    class Measure:
        """Ray, which has a GPU here."""

        def options(self, **asked: Any) -> Measure:
            assert asked["num_gpus"] == 1
            return self

        def remote(self, *given: Any) -> tuple[int, int]:
            return 10 * GIB, 80 * GIB

    monkeypatch.setattr(gpu_share.ray, "remote", lambda function: Measure())
    monkeypatch.setattr(gpu_share.ray, "get", lambda found: found)
    node = {"Alive": True, "Resources": {"CPU": 16.0, "GPU": 2.0}}
    monkeypatch.setattr(gpu_share.ray, "nodes", lambda: [node, {"Alive": True, "Resources": {"CPU": 4.0}}])
    spec = gpu_share.with_measured_share(make_spec({"gpus_per_trial": "auto"}), {"wgan": load_recipe("wgan")})
    assert spec.gpus == 0.1428 and 7 * spec.gpus <= 1
    twice = make_spec({"gpus_per_trial": "auto", "cpus_per_trial": 4.0})
    assert gpu_share.with_measured_share(twice, {"wgan": load_recipe("wgan")}).gpus == 0.5


def test_a_share_is_a_number_or_auto() -> None:
    shares = [make_spec({"gpus_per_trial": given}).gpus for given in (None, 0, "0.25", 2, "auto")]
    assert shares == [0.0, 0.0, 0.25, 2.0, 1.0]
    for wrong in ("some", "-1", "nan", "inf", True, [1]):
        with pytest.raises(InputError, match="or auto"):
            make_spec({"gpus_per_trial": wrong})
