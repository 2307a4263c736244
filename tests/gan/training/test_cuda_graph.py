"""Replayed cycles give the same numbers as eager ones, for every objective and after a resume."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from tape import Tape
from torch import Tensor
from training_fixtures import digest, one_thread, pictures, small_recipe

from gan.networks.dcgan import DCGAN
from gan.objectives import JudgedPair
from gan.objectives.l2 import L2
from gan.training import cuda_graph as graphs
from gan.training.cuda_graph import RECORDERS, WARM_UP, GraphedCycle
from gan.training.state import load_state_dict, state_dict
from gan.training.trainer import Trainer

__all__ = ["one_thread"]

CPU = torch.device("cpu")


@pytest.fixture
def taped(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(RECORDERS, "cpu", Tape)
    yield


def make(objective: str, *, graphs: bool, device: str = "cpu", **settings: Any) -> Trainer:
    recipe = small_recipe(objective, **settings)
    return Trainer(recipe, pictures(), seed=1, device=device, precision="fp32", graphs=graphs)


KINDS: list[tuple[str, dict[str, Any]]] = [
    ("non-saturating", {"dropout": 0.3, "ema_kimg": 0.1}),
    ("minimax", {"optimizer_d": "sgd", "momentum": 0.5}),
    ("l2", {"d_batch": "joint", "g_step_statistics": "running"}),
    ("wgan", {"n_critic": 3}),
    ("wgan-gp", {"n_critic": 2, "norm_d": "layer"}),
]


@pytest.mark.usefixtures("taped")
@pytest.mark.parametrize("objective, settings", KINDS)
def test_replaying_changes_no_number(objective: str, settings: dict[str, Any]) -> None:
    plain, replayed = (make(objective, graphs=graphs, **settings) for graphs in (False, True))
    begun = digest(state_dict(plain))
    for images in (1, 700, 300):
        first, second = plain.advance(images), replayed.advance(images)
        assert np.array_equal(first.history, second.history)
        norms = [(stats.images, stats.grad_norm_g, stats.grad_norm_d) for stats in (first, second)]
        assert norms[0] == norms[1]
        # Sampling in between leaves no trace.
        replayed.sample(torch.zeros(8, 8))
    assert begun != digest(state_dict(plain)) == digest(state_dict(replayed))
    assert replayed.cycles > WARM_UP + 1


@pytest.mark.usefixtures("taped")
def test_a_resumed_training_replays_what_it_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    def resumed() -> bool:
        one, other = (make("wgan", graphs=True) for _ in range(2))
        one.advance(1000)
        # It has recorded a graph already, with tensors that loading the saved state then replaces.
        other.advance(600)
        load_state_dict(other, state_dict(one))
        one.advance(800), other.advance(800)
        return digest(state_dict(one)) == digest(state_dict(other))

    assert resumed()
    begin = Trainer.forget_graph
    monkeypatch.setattr(Trainer, "forget_graph", lambda self: None if hasattr(self, "_graph") else begin(self))
    assert not resumed()


@pytest.mark.usefixtures("taped")
def test_a_replay_works_on_the_values_that_it_is_given() -> None:
    called = 0

    def double(given: Sequence[Tensor]) -> Tensor:
        nonlocal called
        called += 1
        return 2 * given[0]

    replay = GraphedCycle(CPU)
    for value in range(WARM_UP + 3):
        assert replay(double, [torch.tensor(float(value))]).item() == 2 * value
    assert called == WARM_UP + 1


@pytest.mark.usefixtures("taped")
def test_what_looks_at_a_value_goes_on_without_a_recording() -> None:
    called = 0

    def squared(given: Sequence[Tensor]) -> Tensor:
        nonlocal called
        called += 1
        return given[0] * given[0].item()

    replay = GraphedCycle(CPU)
    for value in range(WARM_UP + 3):
        assert replay(squared, [torch.tensor(float(value))]).item() == value**2
    assert called == WARM_UP + 3 and not replay.possible


@pytest.mark.usefixtures("taped")
def test_a_look_at_a_value_in_the_first_call_alone_does_not_count() -> None:
    called = 0

    def double(given: Sequence[Tensor]) -> Tensor:
        nonlocal called
        called += 1
        return 2 * given[0] if called > 1 else given[0] * (1 + int(given[0].ndim == 0 and given[0].item() >= 0))

    replay = GraphedCycle(CPU)
    for value in range(WARM_UP + 3):
        assert replay(double, [torch.tensor(float(value))]).item() == 2 * value
    assert called == WARM_UP + 1 and replay.possible


def test_where_nothing_is_recorded_graphs_change_nothing() -> None:
    plain, same = (make("wgan", graphs=graphs) for graphs in (False, True))
    plain.advance(400), same.advance(400)
    assert digest(state_dict(plain)) == digest(state_dict(same))


@dataclass(frozen=True)
class Fading(L2):
    """The generator's loss shrinks at every step by a factor that is a Python number."""

    def generator_loss(self, pair: JudgedPair) -> Tensor:
        factor = 0.5 ** STEPS.count(None)
        STEPS.append(None)
        return factor * super().generator_loss(pair)


class Unrecordable(Fading):
    cuda_graph_safe = False


class UnrecordableNetwork(DCGAN):
    cuda_graph_safe = False


STEPS: list[None] = []


@pytest.mark.usefixtures("taped")
@pytest.mark.parametrize(
    ("objective", "network", "faithful"),
    [(Fading, DCGAN, False), (Unrecordable, DCGAN, True), (Fading, UnrecordableNetwork, True)],
)
def test_what_says_that_it_cannot_be_recorded_is_not(objective: type[L2], network: type[DCGAN], faithful: bool) -> None:
    def trained(graphs: bool) -> str:
        STEPS.clear()
        recipe = small_recipe("l2")
        made = network(**vars(recipe.network))
        recipe = dataclasses.replace(recipe, objective=objective(), network=made)
        trainer = Trainer(recipe, pictures(), seed=1, device="cpu", precision="fp32", graphs=graphs)
        trainer.advance(400)
        return digest(trainer.generator.state_dict())

    assert (trained(graphs=True) == trained(graphs=False)) == faithful


def test_waits_are_counted_and_other_warnings_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    modes = ["default"]
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: modes[-1])
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    with pytest.warns(UserWarning, match="mind the step") as shown, graphs._collecting_waits() as waits:
        for _ in range(2):
            warnings.warn("called a synchronizing CUDA operation (somewhere)", stacklevel=1)
        warnings.warn("mind the step", stacklevel=1)
    assert len(waits) == 2 and len(shown) == 1
    assert modes == ["default", "warn", "default"]


class Refused:
    """Replaces `torch.cuda.graph`, so that the recording fails."""

    error: Exception

    def __init__(self, *_: Any, **__: Any) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("CUDA error: operation not permitted when stream is capturing"), "cuda_graph_safe = False"),
        (torch.OutOfMemoryError("CUDA out of memory"), None),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), None),
        (RuntimeError(), None),
    ],
)
def test_what_cannot_be_recorded_says_what_to_do_and_other_faults_stay(
    error: RuntimeError, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"Stream": lambda device: None, "CUDAGraph": object, "graph": Refused}.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(Refused, "error", error, raising=False)
    with pytest.raises(RuntimeError) as raised:
        graphs.CudaRecorder(CPU).record(lambda: torch.zeros(1))
    assert (raised.value is error) == (told is None) and (told or "") in str(raised.value)


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@needs_cuda
@pytest.mark.parametrize("objective, settings", [(kind, given) for kind, given in KINDS if "dropout" not in given])
def test_on_a_gpu_a_graph_learns_what_eager_steps_learn(objective: str, settings: dict[str, Any]) -> None:
    eager, graph = (make(objective, graphs=graphs, device="cuda", **settings) for graphs in (False, True))
    begun = [weight.detach().clone() for weight in eager.generator.parameters()]
    images = 30 * settings.get("n_critic", 1) * eager.recipe.training.batch
    first, second = eager.advance(images), graph.advance(images)
    assert np.allclose(first.history, second.history, rtol=0.05, atol=0.05)
    for start, one, other in zip(begun, eager.generator.parameters(), graph.generator.parameters(), strict=True):
        moved, apart = (one - start).norm(), (one - other).norm()
        assert apart <= 0.1 * moved or moved < 1e-6


@needs_cuda
def test_on_a_gpu_a_resumed_training_records_anew() -> None:
    one, other = (make("non-saturating", graphs=True, device="cuda") for _ in range(2))
    one.advance(1000), other.advance(600)
    load_state_dict(other, state_dict(one))
    first, second = one.advance(600).history, other.advance(600).history
    assert np.allclose(first, second, rtol=0.05, atol=0.05)


@needs_cuda
def test_on_a_gpu_each_replay_drops_other_units_out() -> None:
    trainer = make("non-saturating", graphs=True, device="cuda", dropout=0.5)
    trainer.advance(1000)
    history = trainer.advance(600).history
    assert np.isfinite(history).all() and len(np.unique(history[:, 0])) > 1


@needs_cuda
def test_on_a_gpu_what_looks_at_a_value_is_seen_before_it_is_recorded() -> None:
    replay = GraphedCycle(torch.device("cuda"))
    for value in range(WARM_UP + 3):
        given = [torch.tensor(float(value), device="cuda")]
        assert replay(lambda rows: rows[0] * rows[0].item(), given).item() == value**2
    assert not replay.possible
