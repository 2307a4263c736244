"""The gradient penalty against known gradients, and in circumstances that must not distort it."""

from __future__ import annotations

import pytest
import torch
from judged import images_only
from torch import Tensor, nn

from gan.errors import InputError
from gan.networks.dcgan import DCGAN
from gan.networks.upsampling import Upsampling
from gan.objectives import wgan_gp
from gan.objectives.wgan_gp import WGANGP
from gan.recipe.recipe import Recipe, parse_recipe


def images(count: int = 8) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.rand(count, 3, 16, 16) * 2 - 1, torch.rand(count, 3, 16, 16) * 2 - 1


def penalty(critic: nn.Module, real: Tensor, fake: Tensor, gp_lambda: float = 10.0) -> Tensor:
    found = WGANGP(gp_lambda=gp_lambda).penalty(images_only(real, fake), critic)
    assert found is not None
    return found


class Quadratic(nn.Module):
    """f(x) = a·‖x‖²/2, whose gradient is a·x."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))

    def forward(self, x: Tensor) -> Tensor:
        return self.a * x.flatten(1).square().sum(1) / 2


# ---- the formula


@pytest.mark.parametrize("slope", [0.25, 1.0, 3.0])
def test_a_linear_critic_pays_for_its_slope_alone(slope: float) -> None:
    critic = nn.Sequential(nn.Flatten(), nn.Linear(768, 1), nn.Flatten(0))
    with torch.no_grad():
        critic[1].weight.mul_(slope / critic[1].weight.norm())
    assert float(penalty(critic, *images(), gp_lambda=7.0).detach()) == pytest.approx(7 * (slope - 1) ** 2, abs=1e-4)


def test_it_is_the_mean_over_points_between_real_and_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = images()
    shares = torch.linspace(0, 1, len(real))
    monkeypatch.setattr(wgan_gp.torch, "rand", lambda *shape, dtype, device: shares.view(shape))
    critic = Quadratic(0.1)
    between = real + shares[:, None, None, None] * (fake - real)
    lengths = (0.1 * between).flatten(1).norm(dim=1)
    found = penalty(critic, real, fake)
    assert float(found.detach()) == pytest.approx(float(10 * (lengths - 1).square().mean()), rel=1e-5)
    # And its gradient in the critic's weight: d/da of the mean of (a·‖x‖ − 1)².
    found.backward()
    norms = between.flatten(1).norm(dim=1)
    assert critic.a.grad is not None
    assert float(critic.a.grad) == pytest.approx(float(20 * ((0.1 * norms - 1) * norms).mean()), rel=1e-5)


def test_points_lie_between_each_real_row_and_its_own_fake_one_uniformly() -> None:
    torch.manual_seed(0)
    real, fake = torch.zeros(4000, 2), torch.tensor([1.0, -3.0]).expand(4000, 2)
    found = wgan_gp._interpolates(real, fake)
    torch.testing.assert_close(found[:, 1], -3 * found[:, 0])
    share = found[:, 0]
    assert float(share.min()) >= 0 and float(share.max()) <= 1
    assert (float(share.mean()), float(share.var())) == pytest.approx((1 / 2, 1 / 12), rel=0.05)
    pixels = wgan_gp._interpolates(torch.zeros(5, 3, 4, 4), torch.ones(5, 3, 4, 4)).flatten(1)
    assert (pixels.amin(1) == pixels.amax(1)).all() and len(pixels[:, 0].unique()) == 5  # one share an image


# ---- what must not distort it


def test_gradients_of_the_penalty_agree_with_finite_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a real critic, layer norm included, in double precision."""
    torch.manual_seed(0)
    critic = DCGAN(width_d=2, norm_d="layer").discriminator((16, 16, 1)).double()
    real, fake = torch.rand(2, 2, 1, 16, 16, dtype=torch.double)
    weights = list(critic.parameters())
    # Away from zero, where slopes of 0.02-sized weights would leave nothing to compare.
    with torch.no_grad():
        for weight in weights:
            weight.mul_(10 if weight.ndim > 1 else 1)

    shares = torch.tensor([0.3, 0.6], dtype=torch.double)
    monkeypatch.setattr(wgan_gp.torch, "rand", lambda *shape, dtype, device: shares.view(shape))
    grads = torch.autograd.grad(penalty(critic, real, fake), weights)
    direction = [torch.randn_like(weight) for weight in weights]
    expected = sum(float((grad * way).sum()) for grad, way in zip(grads, direction, strict=True))
    values = []
    for step in (1e-6, -1e-6):
        with torch.no_grad():
            for weight, way in zip(weights, direction, strict=True):
                weight.add_(way, alpha=step)
        values.append(float(penalty(critic, real, fake).detach()))
        with torch.no_grad():
            for weight, way in zip(weights, direction, strict=True):
                weight.sub_(way, alpha=step)
    assert abs(expected) > 1e-6
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(expected, rel=1e-4)


def test_it_is_computed_in_float32_under_autocast() -> None:
    torch.manual_seed(0)
    critic = DCGAN(width_d=4, norm_d="layer").discriminator((16, 16, 3))
    real, fake = images()
    torch.manual_seed(2)
    expected = penalty(critic, real, fake)
    torch.manual_seed(2)
    with torch.autocast("cpu", torch.bfloat16):
        assert critic(real).dtype == torch.bfloat16
        found = penalty(critic, real, fake)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_it_does_not_reach_the_generator() -> None:
    real, fake = images()
    fake.requires_grad_()
    penalty(Quadratic(0.1), real, fake).backward()
    assert fake.grad is None and real.grad is None


def test_a_critic_without_slope_has_a_finite_gradient() -> None:
    critic = nn.Sequential(nn.Flatten(), nn.Linear(768, 1), nn.Flatten(0))
    nn.init.zeros_(critic[1].weight)
    found = penalty(critic, *images())
    found.backward()
    assert float(found.detach()) == pytest.approx(10)
    assert critic[1].weight.grad is not None and critic[1].weight.grad.isfinite().all()


# ---- settings


def recipe(**settings: object) -> Recipe:
    return parse_recipe({"settings": settings}, "mine.yaml")


def test_its_defaults_are_the_papers() -> None:
    settings = recipe(objective="wgan-gp").settings
    found = {name: settings[name] for name in ("gp_lambda", "n_critic", "lr_g", "lr_d", "beta1", "beta2")}
    assert found == {"gp_lambda": 10.0, "n_critic": 5, "lr_g": 1e-4, "lr_d": 1e-4, "beta1": 0.0, "beta2": 0.9}
    assert (settings["optimizer_g"], settings["optimizer_d"]) == ("adam", "adam")
    assert settings["norm_d"] == "layer"
    assert recipe(objective="wgan-gp", network="upsampling").settings["logit_norm"] is False


@pytest.mark.parametrize("network", ["dcgan", "transposed", "upsampling"])
def test_changing_to_it_changes_the_critics_norm_unless_told_otherwise(network: str) -> None:
    changed = recipe(network=network, lr_g=1e-3).with_settings({"objective": "wgan-gp"})
    assert changed.settings["norm_d"] == "layer" and changed.settings["lr_g"] == 1e-3
    changed.networks((32, 32, 3))
    told = recipe(network=network).with_settings({"objective": "wgan-gp", "norm_d": "none"})
    assert told.settings["norm_d"] == "none"


@pytest.mark.parametrize(
    "critic",
    [DCGAN(width_d=2), Upsampling(width_d=2, norm_d="layer"), Upsampling(width_d=2, logit_norm=False)],
)
def test_a_critic_with_batch_norm_is_refused(critic: DCGAN) -> None:
    with pytest.raises(InputError, match=r"batch norm in the critic .* norm_d=layer or norm_d=none"):
        WGANGP().check(critic.discriminator((16, 16, 3)))


def test_its_refusal_comes_before_anything_is_trained() -> None:
    with pytest.raises(InputError, match="norm_d=layer"):
        recipe(objective="wgan-gp", norm_d="batch").count_parameters((32, 32, 3))
    with pytest.raises(InputError, match="gp_lambda: -1 is out of range, it must be at least 0"):
        recipe(objective="wgan-gp", gp_lambda=-1)
