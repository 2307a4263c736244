"""What share of a GPU a trial is given, once what it takes has been measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from ray.exceptions import RayTaskError, WorkerCrashedError

import search.cluster.gpu_share as gpu_share
from gan.checks.gpu_memory import CYCLES, memory_taken, train_and_judge
from gan.data.packed.opening import open_data
from gan.errors import InputError, OutOfMemory
from gan.evaluation.evaluator import Evaluator
from gan.recipe.recipe import load_recipe
from gan.settings import Choices, Range
from search.cluster import cluster
from search.plan.spec import make_spec

GIB = 2**30


@pytest.mark.parametrize(
    ("taken", "total", "most", "trials"),
    [
        (2 * GIB, 80 * GIB, 16.0, 16),
        (10 * GIB, 80 * GIB, 16.0, 7),  # as many as fit, and some room
        (50 * GIB, 80 * GIB, 16.0, 1),
        (90 * GIB, 80 * GIB, 16.0, 1),  # it will say so itself
        (1 * GIB, 80 * GIB, 0.5, 1),
    ],
)
def test_as_many_trials_share_a_gpu_as_fit(taken: int, total: int, most: float, trials: int) -> None:
    assert gpu_share.trials_in_memory(taken, total, most) == trials
    assert trials * taken <= total or trials == 1


def test_the_largest_of_what_is_searched_is_measured() -> None:
    (recipe,) = gpu_share.largest_settings(load_recipe("wgan"))
    assert recipe.settings["batch"] == 128 and recipe.settings["n_critic"] == 5
    # The average of the weights takes memory of its own.
    assert recipe.settings["ema_kimg"] > 0
    assert recipe.settings["lr_g"] == load_recipe("wgan").settings["lr_g"]
    (averaged,) = gpu_share.largest_settings(replace(load_recipe("wgan"), space={"ema_kimg": Range(0.0, 20.0)}))
    assert averaged.settings["ema_kimg"] == 20.0


def test_each_optimiser_that_is_searched_is_measured() -> None:
    recipe = load_recipe("zhang-zhao-64")
    optimizers = recipe.searchable()["optimizer_d"][1]
    assert isinstance(optimizers, Choices)
    measured = gpu_share.largest_settings(recipe)
    assert {each.settings["optimizer_d"] for each in measured} == set(optimizers.values)
    assert {each.settings["batch"] for each in measured} == {128}


Answers = dict[str, tuple[int, int, bool] | Exception]


def share(monkeypatch: pytest.MonkeyPatch, answers: Answers, nodes: dict[str, dict[str, float]], **given: Any) -> float:
    """Return what is settled on, where nodes (by address) answer so."""

    def wait_for_answer(address: str, *rest: Any) -> tuple[int, int, bool]:
        answer = answers[address]
        if isinstance(answer, Exception):
            raise answer
        return answer

    told = [
        {"Alive": True, "NodeID": name, "NodeManagerAddress": name, "Resources": has} for name, has in nodes.items()
    ]
    monkeypatch.setattr("search.cluster.nodes.ray.nodes", lambda: told)
    monkeypatch.setattr(gpu_share, "_ask", lambda node, *rest: node)
    monkeypatch.setattr(gpu_share, "wait_for_answer", wait_for_answer)
    spec = make_spec({"gpus_per_trial": "auto", **given})
    evaluator: Any = None
    return gpu_share.with_measured_share(spec, {"wgan": load_recipe("wgan")}, evaluator).gpus


ONE = {"one": {"CPU": 16.0, "GPU": 2.0}}


def test_the_measured_share_is_what_trials_are_scheduled_by(monkeypatch: pytest.MonkeyPatch) -> None:
    found = share(monkeypatch, {"one": (10 * GIB, 80 * GIB, True)}, ONE)
    assert found == 0.1428 and 7 * found <= 1
    assert share(monkeypatch, {"one": (10 * GIB, 80 * GIB, True)}, ONE, cpus_per_trial=4.0) == 0.5


def test_where_processes_take_turns_on_a_gpu_few_share_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    large = {"one": {"CPU": 64.0, "GPU": 1.0}}
    assert share(monkeypatch, {"one": (1 * GIB, 80 * GIB, True)}, large) == 1 / gpu_share.MOST
    assert "MPS" not in capsys.readouterr().err
    assert share(monkeypatch, {"one": (1 * GIB, 80 * GIB, False)}, large) == 1 / gpu_share.MOST_IN_TURNS
    assert "2 to share one; 16, with CUDA MPS (nvidia-cuda-mps-control -d) there" in capsys.readouterr().err
    # It is not told where it would change nothing.
    assert share(monkeypatch, {"one": (30 * GIB, 80 * GIB, False)}, large) == 0.5
    assert "MPS" not in capsys.readouterr().err


def test_the_node_on_which_fewest_fit_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = {
        "large": {"CPU": 64.0, "GPU": 4.0},
        "small": {"CPU": 64.0, "GPU": 4.0},
        # These hold no trial, so nothing is asked of them.
        "head": {"CPU": 0.0, "GPU": 1.0},
        "without": {"CPU": 8.0},
    }
    answers: Answers = {"large": (5 * GIB, 80 * GIB, True), "small": (5 * GIB, 16 * GIB, True)}
    assert share(monkeypatch, answers, nodes) == 0.5


def test_what_cannot_be_measured_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    error = RayTaskError("memory_taken", "Traceback:\n  many lines", InputError("faces: no such\nimages"))
    with pytest.raises(InputError) as told:
        share(monkeypatch, {"one": error}, ONE)
    assert str(told.value) == (
        "node one: what a trial takes of its GPU cannot be measured (faces: no such); give --gpus-per-trial a number"
    )
    with pytest.raises(InputError, match=r"node one: .*died"):
        share(monkeypatch, {"one": WorkerCrashedError()}, ONE)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), OutOfMemory("the weights take more")])
def test_what_does_not_fit_takes_all(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any) -> None:
        raise error

    monkeypatch.setattr("gan.checks.gpu_memory.train_and_judge", fail)
    monkeypatch.setattr("gan.checks.gpu_memory.open_data", lambda *given, **named: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (79 * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    evaluator: Any = None
    taken = memory_taken([load_recipe("wgan")], "faces", 16, None, "fp32", evaluator)
    assert taken == (80 * GIB, 80 * GIB) and gpu_share.trials_in_memory(*taken, 16.0) == 1


def test_a_cluster_without_room_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="ask for fewer --cpus-per-trial"):
        share(monkeypatch, {}, {"one": {"CPU": 4.0, "GPU": 1.0}}, cpus_per_trial=8.0)


def test_a_node_measures_with_what_a_trial_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    class Measure:
        def options(self, **given: Any) -> Measure:
            asked.update(given)
            return self

        def remote(self, *given: Any) -> str:
            return "answer"

    monkeypatch.setattr(gpu_share.ray, "remote", lambda function: Measure())
    spec = make_spec({"gpus_per_trial": "auto", "cpus_per_trial": 2.0})
    evaluator: Any = None
    assert gpu_share._ask("a" * 56, spec, [], evaluator) == "answer"
    assert (asked["num_cpus"], asked["num_gpus"], asked["max_retries"]) == (2.0, spec.gpus, 0)
    assert asked["scheduling_strategy"].node_id == "a" * 56 and not asked["scheduling_strategy"].soft


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({}, None),
        ({"gpus_per_trial": 0.5}, None),
        ({"gpus_per_trial": "auto"}, None),
        ({"gpus_per_trial": 0}, 0.0),
        ({"device": "cpu"}, 1.0),
        ({"address": "10.0.0.1:6379"}, 1.0),
    ],
)
def test_a_gpu_that_pytorch_cannot_use_is_told_before_anything_begins(
    given: dict[str, Any], taken: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.ray, "cluster_resources", lambda: {"CPU": 4.0, "GPU": 1.0})
    monkeypatch.setattr(cluster, "choose_device", lambda: torch.device("cpu"))
    if taken is None:
        with pytest.raises(InputError, match="Ray finds 1 GPUs on this machine and PyTorch none"):
            cluster._fill_gpus(make_spec(given), alone=True)
    else:
        assert cluster._fill_gpus(make_spec(given), alone="address" not in given).gpus_per_trial == taken


def test_two_cycles_and_an_evaluation_are_what_is_measured() -> None:
    data = open_data("faces", 16)
    evaluator = Evaluator.prepare(data, samples=64)
    recipe = load_recipe("wgan").with_settings({"width_g": 4, "width_d": 4, "batch": 8})
    trainer, found = train_and_judge(recipe, data, "cpu", "fp32", evaluator)
    assert trainer.cycles == CYCLES and found.fid is not None


def test_a_share_is_a_number_or_auto() -> None:
    shares = [make_spec({"gpus_per_trial": given}).gpus for given in (None, 0, "0.25", 2, "auto")]
    assert shares == [0.0, 0.0, 0.25, 2.0, 1.0]
    for wrong in ("some", "-1", "nan", "inf", True, [1]):
        with pytest.raises(InputError, match="or auto"):
            make_spec({"gpus_per_trial": wrong})
