"""What replays: the same numbers as without, whatever the objective, and after a resume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from training_fixtures import digest, one_thread, pictures, small_recipe

from gan.graphs import WARM_UP, Replay
from gan.state import load_state_dict, state_dict
from gan.trainer import Trainer

__all__ = ["one_thread"]

CPU = torch.device("cpu")


def make(objective: str, *, graphs: bool, device: str = "cpu", **settings: Any) -> Trainer:
    recipe = small_recipe(objective, **settings)
    return Trainer(recipe, pictures(), seed=1, device=device, precision="fp32", graphs=graphs)


@pytest.mark.parametrize(
    "objective, settings",
    [
        ("non-saturating", {"dropout": 0.3, "ema_kimg": 0.1}),
        ("l2", {"d_batch": "joint", "g_step_statistics": "running"}),
        ("wgan", {"n_critic": 3}),
        ("wgan-gp", {"n_critic": 2, "norm_d": "layer"}),
    ],
)
def test_replaying_changes_no_number(objective: str, settings: dict[str, object]) -> None:
    plain, replayed = (make(objective, graphs=graphs, **settings) for graphs in (False, True))
    for images in (1, 700, 300):
        first, second = plain.advance(images), replayed.advance(images)
        assert np.array_equal(first.history, second.history)
        assert (first.images, first.grad_norm_g, first.grad_norm_d) == (
            second.images,
            second.grad_norm_g,
            second.grad_norm_d,
        )
    assert digest(state_dict(plain)) == digest(state_dict(replayed))
    assert replayed.cycles > WARM_UP


def test_a_resumed_training_replays_what_it_resumed() -> None:
    one, other = (make("wgan", graphs=True) for _ in range(2))
    one.advance(1000)
    # It has recorded already, with tensors that the saved state then takes the place of.
    other.advance(600)
    load_state_dict(other, state_dict(one))
    assert np.array_equal(one.advance(500).history, other.advance(500).history)
    assert digest(state_dict(one)) == digest(state_dict(other))


def test_a_replay_works_on_the_values_that_it_is_given() -> None:
    seen: list[int] = []

    def double(given: Sequence[Tensor]) -> Tensor:
        seen.append(id(given[0]))
        return 2 * given[0]

    replay = Replay(double, CPU)
    for value in range(WARM_UP + 3):
        assert replay([torch.tensor(float(value))]).item() == 2 * value
    # From the recording on, always the same place.
    assert len(set(seen[WARM_UP:])) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("objective", ["non-saturating", "wgan", "wgan-gp"])
def test_on_a_gpu_a_graph_learns_what_eager_steps_learn(objective: str) -> None:
    settings = {"norm_d": "layer"} if objective == "wgan-gp" else {}
    eager, graph = (make(objective, graphs=graphs, device="cuda", **settings) for graphs in (False, True))
    first, second = eager.advance(640).history, graph.advance(640).history
    assert np.allclose(first, second, rtol=0.05, atol=0.05)
    assert np.isfinite(second).all()
