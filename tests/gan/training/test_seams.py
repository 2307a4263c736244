"""Parts that plug into the trainer's seams: each resumes to the bit, replays as a graph, and does what it says."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import own_parts
import pytest
import torch
from judged import judged
from tape import Tape
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from training_fixtures import (
    digest,
    lines,
    one_thread,
    pictures,
    run_python,
    small_evaluator,
    small_recipe,
    state_digest,
)

from gan.errors import InputError
from gan.networks.base import kernels
from gan.networks.initialise import INITIALISATIONS, initialise
from gan.objectives.l2 import L2
from gan.objectives.wgan import WGAN
from gan.recipe.recipe import parse_recipe
from gan.storage.storage import Storage
from gan.training import state as state_module
from gan.training.checkpoints import Checkpoints
from gan.training.cuda_graph import RECORDERS, WARM_UP
from gan.training.ema import EMA
from gan.training.run import TrainingRun
from gan.training.state import load_state_dict, state_dict
from gan.training.trainer import Trainer

__all__ = ["one_thread"]

TOTAL = 1000
BEFORE, AFTER = 80, 112
RESIDUAL = {"network": "residual"}
CASES: dict[str, dict[str, Any]] = {
    "relativistic": {"objective": "relativistic"},
    "relativistic-joint": {"objective": "relativistic", "d_batch": "joint", "dropout": 0.2},
    "penalty": {"penalty": "zero-centred", "norm_d": "layer"},
    "two-penalties": {"objective": "l2", "penalty": "zero-centred", "norm_d": "none"},
    "shift": {"augmentation": "shift", "dropout": 0.2},
    "shift-wgan-gp": {"augmentation": "shift", "objective": "wgan-gp", "n_critic": 2},
    "adaptive": {"augmentation": "adaptive"},
    "linear": {"schedule": "linear"},
    "linear-rmsprop": {"schedule": "linear", "objective": "wgan", "n_critic": 2},
    "linear-sgd": {"schedule": "linear", "optimizer_g": "sgd", "optimizer_d": "sgd", "momentum": 0.5},
    "residual": {**RESIDUAL, "ema_kimg": 0.05},
    "residual-wgan": {**RESIDUAL, "objective": "wgan", "n_critic": 2},
    "frozen": {"network": "partly-frozen", "g_step_statistics": "running"},
    "relativistic-bf16": {"objective": "relativistic", "augmentation": "shift"},
    "everything": {
        **RESIDUAL,
        "objective": "relativistic",
        "penalty": "zero-centred",
        "augmentation": "adaptive",
        "schedule": "linear",
        "ema_kimg": 0.05,
        "flip": True,
    },
}
REPLAYED = [name for name in CASES if name not in ("linear-rmsprop",)]
"""On a CPU, RMSprop reads its rate on the host if that is a tensor, which cannot be recorded; on a GPU it does not."""


@pytest.fixture(scope="module", autouse=True)
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = str(tmp_path_factory.mktemp("parts"))
    own_parts.write_package(Path(folder))
    own_parts.register(folder)
    yield folder
    own_parts.unregister(folder)


def make(name: str = "", graphs: bool = False, device: str = "cpu", **settings: Any) -> Trainer:
    recipe = small_recipe(**((CASES[name] if name else {}) | settings))
    precision = "bf16" if name.endswith("bf16") else "fp32"
    trainer = Trainer(recipe, pictures(), seed=3, device=device, precision=precision, graphs=graphs)
    trainer.total_images = TOTAL
    return trainer


# ---- exact resume and replay

GO_ON = """
import json, sys
import torch
import own_parts
from gan import Trainer
from gan.recipe.recipe import parse_recipe
from gan.storage.storage import Storage
from gan.training import state as state_module
from gan.training.checkpoints import Checkpoints
from gan.training.state import load_state_dict
from training_fixtures import state_digest

folder, parts, after, threads = json.loads(sys.argv[1])
torch.set_num_threads(threads)
own_parts.register(parts)
import test_seams
found = {}
for name in test_seams.CASES:
    trainer = test_seams.make(name)
    load_state_dict(trainer, Checkpoints(Storage(f"{folder}/{name}")).latest()[1])
    history = trainer.advance(after).history.tolist()
    found[name] = [state_digest(trainer), history]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def resumed(parts: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """Return the digest and history of each case, trained on from its checkpoint in one new process."""
    folder = tmp_path_factory.mktemp("resume")
    for name in CASES:
        trainer = make(name)
        trainer.advance(BEFORE)
        Checkpoints(Storage(folder / name)).save(trainer.images / 1000, state_dict(trainer))
    task = [str(folder), parts, AFTER, torch.get_num_threads()]
    return dict(json.loads(run_python(GO_ON, json.dumps(task))))


@pytest.mark.parametrize("name", CASES)
def test_a_new_process_goes_on_to_the_bit(name: str, resumed: dict[str, list[Any]]) -> None:
    whole = make(name)
    whole.advance(BEFORE)
    history = whole.advance(AFTER).history
    assert np.isfinite(history).all()
    assert resumed[name] == [state_digest(whole), history.tolist()]


@pytest.mark.parametrize("name", REPLAYED)
def test_replaying_changes_no_number(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECORDERS, "cpu", Tape)
    eager, replayed = make(name), make(name, graphs=True)
    for images in (1, 192, 96):
        assert np.array_equal(eager.advance(images).history, replayed.advance(images).history)
    assert digest(state_dict(eager)) == digest(state_dict(replayed))
    assert replayed.cycles > WARM_UP + 1 and replayed._graph is not None and replayed._graph.possible


def test_a_replay_follows_the_schedule_after_a_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECORDERS, "cpu", Tape)
    one, other = make("linear", graphs=True), make("linear", graphs=True)
    one.advance(224), other.advance(160)
    load_state_dict(other, state_dict(one))
    one.advance(128), other.advance(128)
    assert digest(state_dict(one)) == digest(state_dict(other))


def test_a_run_with_a_schedule_goes_on_to_the_bit(tmp_path: Path) -> None:
    """Through `TrainingRun`, which knows the training's length."""

    def run(folder: str, kimg: float) -> TrainingRun:
        trainer = make("everything")
        return TrainingRun(trainer, small_evaluator(), Storage(tmp_path / folder), total_kimg=kimg, interval_kimg=0.05)

    whole = run("whole", 0.2)
    list(whole.reports())
    stopped = run("stopped", 0.2)
    reports = stopped.reports()
    next(reports), next(reports)
    again = run("stopped", 0.2)
    assert again.resume() == 0.1
    list(again.reports())
    assert state_digest(again.trainer) == state_digest(whole.trainer)


def test_a_schedule_follows_the_length_of_an_extension_also_of_a_second_one(tmp_path: Path) -> None:
    def run(folder: str, kimg: float) -> TrainingRun:
        trainer = make("everything")
        return TrainingRun(trainer, small_evaluator(), Storage(tmp_path / folder), total_kimg=kimg, interval_kimg=0.05)

    origin = Storage(tmp_path / "short")
    list(run("short", 0.1).reports())
    for kimg in (0.2, 0.3):
        longer = run("longer", kimg)
        assert longer.resume(origin) == pytest.approx(kimg - 0.1)
        assert [report.kimg for report in longer.reports()][-1] == kimg


# ---- the schedule


def test_rates_follow_the_schedule() -> None:
    trainer = make("linear", final_share=0.2, lr_g=1e-3)
    trainer.advance(480)
    images = trainer.images - trainer.recipe.training.batch  # set before the last cycle
    (group,) = trainer.optimizer_g.param_groups
    assert float(group["lr"]) == pytest.approx(1e-3 * (1 - 0.8 * images / TOTAL))


@pytest.mark.parametrize("settings", [{}, {"objective": "wgan"}, {"optimizer_g": "sgd", "optimizer_d": "sgd"}])
def test_a_factor_of_one_changes_no_bit(settings: dict[str, Any]) -> None:
    scheduled, plain = make(schedule="linear", final_share=1.0, **settings), make(**settings)
    scheduled.advance(300), plain.advance(300)
    assert digest(scheduled.generator.state_dict()) == digest(plain.generator.state_dict())


def test_a_schedule_without_an_end_says_what_to_do() -> None:
    trainer = make("linear")
    trainer.total_images = None
    with pytest.raises(InputError, match="needs the training's length"):
        trainer.advance(1)


# ---- losses and penalties


def count_calls(trainer: Trainer) -> list[tuple[int, ...]]:
    calls: list[tuple[int, ...]] = []
    trainer.discriminator.register_forward_pre_hook(lambda _, inputs: calls.append(tuple(inputs[0].shape)))
    return calls


def test_real_images_are_scored_in_the_generators_step_only_if_the_loss_reads_them() -> None:
    plain, relativistic = make(), make("relativistic")
    calls = [count_calls(trainer) for trainer in (plain, relativistic)]
    plain.advance(1), relativistic.advance(1)
    # The relativistic objective's penalty shares the forward pass of its loss.
    assert [len(each) for each in calls] == [3, 4]


def test_a_penalty_shares_the_forward_pass() -> None:
    trainer = make("penalty")
    calls = count_calls(trainer)
    stats = trainer.advance(1)
    assert len(calls) == 3 and stats.mean("penalty") > 0


def test_penalties_add_up_and_are_reported_apart_from_the_loss() -> None:
    both = make("two-penalties")
    l2 = make("two-penalties", penalty="none")
    zero_centred = make("two-penalties", objective="non-saturating")
    stats = [trainer.advance(1) for trainer in (both, l2, zero_centred)]
    assert stats[0].mean("penalty") == pytest.approx(stats[1].mean("penalty") + stats[2].mean("penalty"))
    assert len({stats.mean("d_loss") for stats in stats}) == 1


def test_the_penalty_of_a_linear_discriminator_is_its_squared_norm() -> None:
    weight = torch.randn(12, dtype=torch.double, requires_grad=True)
    real = torch.randn(5, 3, 2, 2, dtype=torch.double, requires_grad=True)
    objective = small_recipe("relativistic", gamma=3.0).objective
    penalty = objective.penalty(judged(real.flatten(1) @ weight, real.flatten(1) @ weight, real, real), nn.Module())
    assert penalty is not None
    assert float(penalty.detach()) == pytest.approx(1.5 * float(weight.detach().square().sum()))
    (gradient,) = torch.autograd.grad(penalty, weight)
    torch.testing.assert_close(gradient, 3.0 * weight.detach())


# ---- the augmentation


@pytest.mark.parametrize("objective", ["non-saturating", "relativistic", "wgan-gp"])
@pytest.mark.parametrize("d_batch", ["joint", "separate"])
def test_the_discriminator_sees_nothing_that_was_not_augmented(objective: str, d_batch: str) -> None:
    trainer = make(augmentation="stamp", objective=objective, d_batch=d_batch)
    corners: list[Tensor] = []
    trainer.discriminator.register_forward_pre_hook(lambda _, inputs: corners.append(inputs[0][:, :, 0, 0].detach()))
    trainer.advance(1)
    assert len(corners) >= 2
    assert all(torch.allclose(corner.float(), torch.tensor(3.0)) for corner in corners)


def test_an_augmentation_may_adapt_and_its_state_is_saved() -> None:
    trainer = make("adaptive")
    trainer.advance(400)
    strength = state_dict(trainer)["augmentation"]["strength"]
    assert 0 < float(strength) <= 0.5
    other = make("adaptive")
    load_state_dict(other, state_dict(trainer))
    assert other.critic.augment is not None
    assert torch.equal(other.critic.augment.get_buffer("strength"), strength)


def test_shifting_by_nothing_is_the_identity() -> None:
    augmentation = small_recipe(augmentation="shift", shift=0.0).augmentation
    assert augmentation is not None
    images = torch.rand(4, 3, 16, 16)
    assert torch.equal(augmentation.module((16, 16, 3))(images), images)


# ---- spectral norm


def spectral(init: str) -> nn.Module:
    network = nn.Sequential(spectral_norm(nn.Conv2d(3, 8, 3)), nn.Flatten(), spectral_norm(nn.Linear(8, 1)))
    torch.manual_seed(5)
    initialise(network, init)
    return network


@pytest.mark.parametrize("init", INITIALISATIONS)
def test_spectral_norm_survives_initialisation(init: str) -> None:
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 1))
    torch.manual_seed(5)
    initialise(plain, init)
    network = spectral(init)
    for drawn, original in zip(kernels(plain), kernels(network), strict=True):
        assert torch.equal(drawn, original)
    # The singular vectors belong to the weights that were drawn.
    largest = torch.linalg.matrix_norm(network[0].weight.detach().flatten(1), 2)
    assert float(largest) == pytest.approx(1.0, abs=0.1)


def test_spectral_norm_survives_clipping_and_l2() -> None:
    network = spectral("he-normal")
    expected = sum(float(weight.detach().square().sum()) for weight in kernels(network))
    penalty = L2(l2_lambda=1.0).penalty(judged(torch.zeros(1), torch.zeros(1)), network)
    assert penalty is not None and float(penalty.detach()) == pytest.approx(expected)
    WGAN(clip=0.01, clip_scope="kernels").constrain(network)
    assert all(float(weight.detach().abs().max()) == pytest.approx(0.01) for weight in kernels(network))


def test_an_average_copies_singular_vectors_and_averages_weights() -> None:
    network = spectral("he-normal")
    ema = EMA(network)
    with torch.no_grad():
        for weight in kernels(network):
            weight.copy_(torch.randn_like(weight))
    for _ in range(20):
        network(torch.rand(2, 3, 3, 3))
    ema.step(0.5)
    vectors = {name: value for name, value in network.state_dict().items() if name.endswith(("_u", "_v"))}
    assert len(vectors) == 4
    for name, vector in vectors.items():
        assert torch.equal(ema.average.state_dict()[name], vector)
    assert not torch.equal(kernels(ema.average)[0], kernels(network)[0])


# ---- frozen layers


def test_frozen_layers_stay_frozen() -> None:
    trainer = make("frozen", objective="wgan", clip=0.01)
    convolution = next(layer for layer in trainer.discriminator.modules() if isinstance(layer, nn.Conv2d))
    norm = next(layer for layer in trainer.discriminator.modules() if isinstance(layer, nn.BatchNorm2d))
    before = digest([convolution.weight, norm.running_mean])
    trainer.advance(300)
    assert digest([convolution.weight, norm.running_mean]) == before
    assert not convolution.weight.requires_grad and not norm.training
    others = [weight for weight in trainer.discriminator.parameters() if weight is not convolution.weight]
    assert all(weight.requires_grad for weight in others) and trainer.discriminator.training


# ---- bad input


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"penalty": "r7"}, "unknown penalty 'r7'"),
        ({"augmentation": "shft"}, "did you mean 'shift'"),
        ({"schedule": "none", "final_share": 0.5}, "setting 'final_share' belongs to schedule linear, not to none"),
        ({"penalty": "zero-centred", "weight": -1}, "weight: -1 is out of range"),
    ],
)
def test_parts_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        small_recipe(**settings)


def test_an_augmentation_of_images_refuses_vectors() -> None:
    recipe = small_recipe(network="fully-connected", augmentation="shift")
    with pytest.raises(InputError, match="augmentation=none"):
        Trainer(recipe, lines(), device="cpu")


def test_a_part_that_is_replaced_takes_its_settings_along() -> None:
    recipe = small_recipe("relativistic", schedule="linear", final_share=0.25)
    assert recipe.settings["schedule"] == "linear"
    plain = recipe.with_settings({"schedule": "none", "objective": "l2"})
    assert not {"schedule", "final_share", "gamma"} & set(plain.settings)


@pytest.mark.parametrize("kind", ["network", "objective"])
def test_a_training_has_a_network_and_an_objective(kind: str) -> None:
    with pytest.raises(InputError, match=f"unknown {kind} 'none'"):
        small_recipe(**{kind: "none"}) if kind == "network" else small_recipe("none")
    with pytest.raises(InputError, match=f"unknown {kind} 'none'"):
        small_recipe().with_settings({kind: "none"})


def test_two_parts_may_not_declare_one_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(own_parts.PENALTIES._entries, "clashing", "own_parts:Clashing")
    with pytest.raises(InputError, match="Clashing declares 'batch'"):
        small_recipe(penalty="clashing")


def test_a_kind_without_parts_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_parts.SCHEDULES, "_entries", {})
    with pytest.raises(InputError, match="unknown schedule 'linear': only none is installed"):
        small_recipe(schedule="linear")


def test_a_search_does_not_choose_parts() -> None:
    with pytest.raises(InputError, match="a search does not choose the penalty"):
        parse_recipe({"space": {"penalty": ["none", "zero-centred"]}}, "mine.yaml")


def test_a_misspelt_side_is_refused() -> None:
    recipe = small_recipe("relativistic")
    misspelt = dataclasses.replace(recipe, objective=type("Wrong", (L2,), {"differentiates": ("reals",)})())
    with pytest.raises(InputError, match="differentiates must be"):
        Trainer(misspelt, pictures(), device="cpu")


def test_a_norm_that_keeps_its_weight_otherwise_is_refused() -> None:
    network = nn.Sequential(weight_norm(nn.Conv2d(3, 8, 3)))
    with pytest.raises(InputError, match="such as spectral_norm"):
        initialise(network, "he-normal")


def test_a_training_with_a_schedule_keeps_its_length() -> None:
    trainer, longer = make("linear"), make("linear")
    trainer.advance(64)
    longer.total_images = 2 * TOTAL
    with pytest.raises(InputError, match="total_images 1000 there, 2000 here"):
        load_state_dict(longer, state_dict(trainer))


def test_a_strength_follows_the_schedule() -> None:
    scheduled, constant = make("penalty", schedule="linear"), make("penalty")
    first = [trainer.advance(1).mean("penalty") for trainer in (scheduled, constant)]
    assert first[0] == pytest.approx(first[1], rel=1e-5)
    scheduled.total_images = 64
    assert scheduled.advance(32).mean("penalty") == pytest.approx(0.5 * constant.advance(32).mean("penalty"), rel=0.2)


def test_step_counts_are_placed_where_graphs_want_them() -> None:
    """A checkpoint of a CPU goes on on a device where optimisers count steps on the device."""
    weight = nn.Parameter(torch.ones(2))
    saved = torch.optim.RMSprop([weight], foreach=True)
    weight.grad = torch.ones(2)
    saved.step()
    elsewhere = nn.Parameter(torch.ones(2, device="meta"))
    optimizer = torch.optim.RMSprop([elsewhere], lr=0.5, foreach=True, capturable=True)
    state_module._load_optimizer(optimizer, saved.state_dict())
    assert optimizer.state[elsewhere]["step"].device.type == "meta"
    assert optimizer.param_groups[0]["lr"] == 0.5 and optimizer.param_groups[0]["capturable"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", CASES)
def test_on_a_gpu_a_graph_learns_what_eager_steps_learn(name: str) -> None:
    eager, graph = (make(name, graphs=graphs, device="cuda") for graphs in (False, True))
    first, second = eager.advance(640).history, graph.advance(640).history
    assert np.allclose(first, second, rtol=0.05, atol=0.05)
