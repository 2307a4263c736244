"""Losses against independent computations, constraints, and what each objective calls lost."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from judged import images_only, judged
from torch import Tensor, nn

from gan.networks.dcgan import DCGAN
from gan.objectives import OBJECTIVES
from gan.objectives.l2 import L2
from gan.objectives.minimax import Minimax
from gan.objectives.non_saturating import NonSaturating
from gan.objectives.wgan import WGAN
from gan.objectives.wgan_gp import WGANGP

REAL, FAKE = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([-3.0, 0.25, 1.0, -0.5])
IMAGES = torch.zeros(2, 3, 16, 16)


def probabilities(scores: Tensor) -> np.ndarray:
    return 1 / (1 + np.exp(-scores.double().numpy()))


@pytest.mark.parametrize("objective", [Minimax(), NonSaturating(), L2()])
def test_the_discriminator_minimises_cross_entropy(objective: Minimax) -> None:
    expected = -np.log(probabilities(REAL)).mean() - np.log(1 - probabilities(FAKE)).mean()
    assert float(objective.discriminator_loss(judged(REAL, FAKE))) == pytest.approx(expected, rel=1e-6)
    undecided = objective.discriminator_loss(judged(torch.zeros(5), torch.zeros(5)))
    assert float(undecided) == pytest.approx(2 * math.log(2))


def test_generator_losses_are_as_written() -> None:
    share = probabilities(FAKE)
    assert float(Minimax().generator_loss(judged(REAL, FAKE))) == pytest.approx(np.log(1 - share).mean(), rel=1e-6)
    for objective in (NonSaturating(), L2()):
        assert float(objective.generator_loss(judged(REAL, FAKE))) == pytest.approx(-np.log(share).mean(), rel=1e-6)
    for critic in (WGAN(), WGANGP()):
        assert float(critic.generator_loss(judged(REAL, FAKE))) == pytest.approx(-FAKE.double().mean().item())


def test_the_critics_loss_is_the_negated_distance_of_means() -> None:
    expected = FAKE.double().mean().item() - REAL.double().mean().item()
    for critic in (WGAN(), WGANGP()):
        assert float(critic.discriminator_loss(judged(REAL, FAKE))) == pytest.approx(expected)


def slope(objective: Minimax, score: float) -> float:
    """Return the generator's gradient at one score."""
    fake = torch.tensor([score], dtype=torch.double, requires_grad=True)
    return float(torch.autograd.grad(objective.generator_loss(judged(fake, fake)), fake)[0])


@given(st.floats(-40, 40))
def test_minimax_saturates_where_the_fake_is_rejected_and_non_saturating_does_not(score: float) -> None:
    share = 1 / (1 + math.exp(-score))
    rejected = 1 / (1 + math.exp(score))
    assert slope(Minimax(), score) == pytest.approx(-share, rel=1e-8)
    assert slope(NonSaturating(), score) == pytest.approx(-rejected, rel=1e-8)


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_losses_stay_finite_and_have_gradients_at_extreme_scores(name: str) -> None:
    objective = OBJECTIVES[name]()
    scores = torch.tensor([-1e4, -90.0, 0.0, 90.0, 1e4], requires_grad=True)
    pair = judged(scores, scores[:3]), judged(scores, scores)
    for loss in (objective.discriminator_loss(pair[0]), objective.generator_loss(pair[1])):
        (grad,) = torch.autograd.grad(loss, scores)
        assert loss.isfinite() and grad.isfinite().all() and grad.any()


# ---- L2


def discriminator() -> nn.Module:
    return DCGAN(width_d=2).discriminator((16, 16, 3))


def test_the_l2_penalty_counts_kernels_alone() -> None:
    # A layer norm's scale has as many dimensions as there are of features.
    norms = (nn.BatchNorm2d(2), nn.LayerNorm([2, 4, 4]))
    network = nn.Sequential(nn.Conv2d(3, 2, 3, bias=True), *norms, nn.Flatten(), nn.Linear(4, 1))
    kernels = [network[0].weight.detach().double(), network[4].weight.detach().double()]
    expected = sum(float((kernel**2).sum()) for kernel in kernels)
    penalty = L2(l2_lambda=0.3).penalty(images_only(IMAGES, IMAGES), network)
    assert penalty is not None
    assert penalty.item() == pytest.approx(0.3 * expected, rel=1e-6)
    penalty.backward()
    kernel = network[0].weight
    torch.testing.assert_close(kernel.grad, 0.6 * kernel)  # no ½
    assert network[0].bias.grad is None and network[1].weight.grad is None and network[2].weight.grad is None


def test_only_l2_and_wgan_gp_have_a_penalty_and_only_wgan_a_constraint() -> None:
    for name in OBJECTIVES:
        objective, network = OBJECTIVES[name](), discriminator()
        assert (objective.penalty(images_only(IMAGES, IMAGES), network) is not None) == (name in ("l2", "wgan-gp"))
        before = [weight.clone() for weight in network.parameters()]
        objective.constrain(network)
        same = all(torch.equal(one, other) for one, other in zip(before, network.parameters(), strict=True))
        assert same == (name != "wgan")


# ---- WGAN


@pytest.mark.parametrize("scope", ["all", "kernels"])
def test_clipping_is_to_the_value_and_of_the_scope(scope: str) -> None:
    network = discriminator()
    before = [weight.detach().clone() for weight in network.parameters()]
    WGAN(clip=0.015, clip_scope=scope).constrain(network)
    for old, weight in zip(before, network.parameters(), strict=True):
        touched = scope == "all" or weight.ndim > 1
        expected = old.clamp(-0.015, 0.015) if touched else old
        assert torch.equal(weight, expected)
        assert weight.requires_grad
    assert all((old.abs() > 0.015).any() for old in before if old.ndim > 1)  # there was something to clip


def test_clipping_kernels_leaves_a_layer_norm_alone() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.LayerNorm([2, 6, 6]))
    WGAN(clip=1e-3, clip_scope="kernels").constrain(network)
    assert float(network[0].weight.detach().abs().max()) == pytest.approx(1e-3)
    assert (network[1].weight == 1).all() and (network[0].bias.abs() > 1e-3).any()


def test_the_critic_trains_more_often_where_the_objective_says_so() -> None:
    steps = {name: OBJECTIVES[name]().n_critic for name in OBJECTIVES}
    assert steps == {"non-saturating": 1, "minimax": 1, "l2": 1, "wgan": 5, "wgan-gp": 5}


# ---- what is lost


def losses(objective: Minimax, real_share: float, fake_share: float) -> tuple[float, float]:
    """Return d_loss and g_loss when D gives real and fake images these chances of being real."""
    real, fake = (torch.tensor([math.log(share / (1 - share))]) for share in (real_share, fake_share))
    return float(objective.discriminator_loss(judged(real, fake))), float(objective.generator_loss(judged(real, fake)))


@pytest.mark.parametrize("objective", [Minimax(), NonSaturating(), L2()])
def test_a_discriminator_that_is_sure_of_everything_dominates(objective: Minimax) -> None:
    assert objective.dominated(*losses(objective, 0.999, 0.001))
    for real_share, fake_share in ((0.5, 0.5), (0.9, 0.1), (0.99, 0.05), (0.5, 0.001), (0.999, 0.5)):
        assert not objective.dominated(*losses(objective, real_share, fake_share))


@pytest.mark.parametrize("objective", [WGAN(), WGANGP()])
def test_a_critic_is_never_said_to_dominate(objective: WGAN) -> None:
    assert not objective.dominated(-1e3, 1e3)


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_the_loss_limit_is_beyond_what_healthy_losses_reach(name: str) -> None:
    limit = OBJECTIVES[name]().loss_limit((64, 64, 3))
    assert 50 <= limit < 1e5
