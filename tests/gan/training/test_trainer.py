"""The training loop: what a step computes, and what must not change it."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from judged import images_only
from torch import Tensor, nn
from training_fixtures import digest, lines, one_thread, pictures, small_recipe, small_trainer, state_digest

from gan.data.packed.opening import open_data
from gan.data.packed.packing import pack
from gan.data.sources.curves import Curves
from gan.errors import InputError, OutOfMemory
from gan.objectives.wgan_gp import WGANGP
from gan.recipe.recipe import load_recipe
from gan.tensors.latents import fixed_latents
from gan.training.trainer import COLUMNS, Trainer

__all__ = ["one_thread"]

OBJECTIVES = ("non-saturating", "minimax", "l2", "wgan", "wgan-gp")


# ---- what a step computes


def tutorial_cycle(trainer: Trainer) -> dict[str, float]:
    """Make the trainer's next cycle by hand, on copies, in the plainest way; return its losses.

    Sigmoid and logarithm instead of softplus, nothing frozen, no fused or foreach optimiser.
    """
    settings = trainer.recipe.training
    generator, discriminator = copy.deepcopy((trainer.generator, trainer.discriminator))
    networks = {"g": generator, "d": discriminator}
    betas = (settings.beta1, settings.beta2)
    optimizers = {
        side: torch.optim.Adam(network.parameters(), getattr(settings, f"lr_{side}"), betas, foreach=False)
        for side, network in networks.items()
    }
    random = torch.Generator().manual_seed(trainer.seed)
    latents = torch.randn(settings.batch, settings.latent_dim, generator=random)
    order = np.random.default_rng([trainer.seed, 0]).permutation(len(trainer.data.train))
    pixels = trainer.data.train.gather(order[: settings.batch])
    real = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1

    fake = generator(latents)
    real_share, fake_share = discriminator(real).sigmoid(), discriminator(fake.detach()).sigmoid()
    d_loss = -real_share.log().mean() - (1 - fake_share).log().mean()
    d_loss.backward()
    optimizers["d"].step()
    g_loss = -discriminator(fake).sigmoid().log().mean()
    g_loss.backward()
    optimizers["g"].step()
    weights = {side: [w.detach() for w in network.parameters()] for side, network in networks.items()}
    return {"d_loss": d_loss.item(), "g_loss": g_loss.item(), **weights}  # type: ignore[dict-item]


def test_a_cycle_is_the_tutorials() -> None:
    trainer = small_trainer()
    expected: dict[str, Any] = tutorial_cycle(trainer)
    stats = trainer.advance(trainer.recipe.training.batch)
    assert len(stats.history) == 1
    assert stats.mean("d_loss") == pytest.approx(expected["d_loss"], rel=1e-5)
    assert stats.mean("g_loss") == pytest.approx(expected["g_loss"], rel=1e-5)
    for network, weights in ((trainer.generator, expected["g"]), (trainer.discriminator, expected["d"])):
        for mine, plain in zip(network.parameters(), weights, strict=True):
            # Adam's first step is the sign of the gradient: where that is all but zero, rounding decides.
            agree = torch.isclose(mine, plain, rtol=1e-4, atol=1e-6).float().mean()
            assert agree > 0.99


def test_an_l2_step_adds_the_penalty_to_the_loss_but_does_not_report_it_as_loss() -> None:
    plain, heavy = small_trainer("non-saturating"), small_trainer("l2", l2_lambda=0.5)
    expected = 0.5 * sum(float(w.detach().square().sum()) for w in heavy.discriminator.parameters() if w.ndim > 1)
    one, other = plain.advance(1), heavy.advance(1)
    assert other.mean("penalty") == pytest.approx(expected, rel=1e-5)
    assert other.mean("d_loss") == pytest.approx(one.mean("d_loss"), rel=1e-6)
    assert one.mean("penalty") == 0
    assert digest(plain.discriminator.state_dict()) != digest(heavy.discriminator.state_dict())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gradient_penalty_is_added_to_the_loss_but_reported_apart(precision: str) -> None:
    trainers = [
        Trainer(small_recipe("wgan-gp", n_critic=1, gp_lambda=weight), pictures(), device="cpu", precision=precision)
        for weight in (0.0, 5.0)
    ]
    free, held = (trainer.advance(1) for trainer in trainers)
    assert held.mean("d_loss") == free.mean("d_loss")
    assert free.mean("penalty") == 0
    assert held.mean("penalty") > 0.1
    assert digest(trainers[0].discriminator.state_dict()) != digest(trainers[1].discriminator.state_dict())


def test_a_gradient_penalty_brings_the_slope_to_one() -> None:
    deviations = []
    for weight in (0.0, 10.0):
        recipe = small_recipe("wgan-gp", network="fully-connected", gp_lambda=weight, lr_d=5e-3)
        trainer = Trainer(recipe, lines(), device="cpu")
        trainer.advance(16_000)
        real, fake = (torch.rand(200, 15) * 2 - 1 for _ in range(2))
        penalty = WGANGP(gp_lambda=1.0).penalty(images_only(real, fake), trainer.discriminator)
        assert penalty is not None
        deviations.append(float(penalty.detach()))
    assert deviations[0] > 1
    assert deviations[1] < 0.1


@pytest.mark.parametrize("d_batch", ["joint", "separate"])
def test_with_a_batch_norm_on_the_logit_a_discriminator_needs_joint_batches(d_batch: str) -> None:
    """As Cheng's has: in separate batches both means are one number, and the loss cannot fall below 2 ln 2."""
    settings = {"network": "upsampling", "lr_g": 1e-4, "lr_d": 1e-3, "g_step_statistics": "running"}
    d_loss = small_trainer(**settings, d_batch=d_batch).advance(3_000).history[:, COLUMNS.index("d_loss")]
    if d_batch == "joint":
        assert d_loss[-10:].mean() < 0.8
    else:
        assert d_loss.min() >= 2 * math.log(2) - 1e-5


@pytest.mark.parametrize("scope", ["all", "kernels"])
def test_the_clip_holds_after_every_critic_step(scope: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = small_trainer("wgan", clip=0.003, clip_scope=scope, n_critic=3, lr_d=0.01)
    largest: list[tuple[float, float]] = []
    step = trainer._discriminator_step

    def watched(real: Tensor, fake: Tensor) -> Any:
        result = step(real, fake)
        weights = [w.detach() for w in trainer.discriminator.parameters()]
        kernels = max(float(w.abs().max()) for w in weights if w.ndim > 1)
        others = max(float(w.abs().max()) for w in weights if w.ndim == 1)
        largest.append((kernels, others))
        return result

    monkeypatch.setattr(trainer, "_discriminator_step", watched)
    trainer.advance(400)
    bound = float(torch.tensor(0.003))
    assert len(largest) == 15
    assert all(kernels <= bound for kernels, _ in largest)
    assert all((others <= bound) == (scope == "all") for _, others in largest)
    assert max(kernels for kernels, _ in largest) == bound  # it bites


def test_the_critic_steps_as_often_as_asked() -> None:
    trainer = small_trainer("wgan", n_critic=4)
    stats = trainer.advance(1)
    assert (trainer.cycles, trainer.images) == (1, 4 * 32)
    assert len(stats.history) == 1
    steps = {float(state["step"]) for state in trainer.optimizer_d.state.values()}
    assert steps == {4.0}
    assert {float(state["step"]) for state in trainer.optimizer_g.state.values()} == {1.0}


def scores_seen(trainer: Trainer) -> list[tuple[int, bool]]:
    """Return (images, in training mode) of each call of the discriminator in one cycle."""
    seen: list[tuple[int, bool]] = []
    trainer.discriminator.register_forward_pre_hook(lambda net, args: seen.append((len(args[0]), net.training)))
    trainer.advance(1)
    return seen


def test_the_discriminators_batches_and_statistics_are_as_set() -> None:
    assert scores_seen(small_trainer()) == [(32, True), (32, True), (32, True)]
    joint = small_trainer(d_batch="joint", g_step_statistics="running")
    assert scores_seen(joint) == [(64, True), (32, False)]
    assert joint.discriminator.training


def test_the_generators_step_leaves_no_gradient_in_the_discriminator(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = small_trainer()
    before: list[str] = []
    step = trainer._generator_step

    def watched(real: Tensor, fake: Tensor) -> Tensor:
        before.append(digest([w.grad for w in trainer.discriminator.parameters()]))
        return step(real, fake)

    monkeypatch.setattr(trainer, "_generator_step", watched)
    trainer.advance(1)
    assert before == [digest([w.grad for w in trainer.discriminator.parameters()])]
    assert all(w.requires_grad for w in trainer.discriminator.parameters())


@pytest.mark.parametrize(("ema_kimg", "half_life"), [(0.001, 1.0), (1000.0, 0.05 * 32)])
def test_the_average_follows_its_half_life(ema_kimg: float, half_life: float) -> None:
    """… which early on is a twentieth of the images shown."""
    trainer = small_trainer(ema_kimg=ema_kimg)
    start = copy.deepcopy(trainer.generator.state_dict())
    trainer.advance(1)
    share = 1 - 0.5 ** (32 / half_life)
    assert trainer.average is not None and trainer.sampler is trainer.average
    now = trainer.generator.state_dict()
    for name, mean in trainer.average.state_dict().items():
        if mean.is_floating_point():
            assert not torch.equal(now[name], start[name])
            torch.testing.assert_close(mean, start[name] + share * (now[name] - start[name]))
        else:
            assert torch.equal(mean, now[name])  # a count has no average


# ---- what changes nothing


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_how_a_training_is_cut_into_calls_changes_nothing(objective: str) -> None:
    whole, parts = (small_trainer(objective, dropout=0.1, ema_kimg=0.1) for _ in range(2))
    history = whole.advance(500).history
    cut = [parts.advance(images).history for images in (1, 7, 192, 100, 0, 200)]
    assert np.array_equal(np.concatenate(cut), history)
    assert state_digest(parts) == state_digest(whole)


def test_trainers_of_equal_arguments_are_equal_and_of_other_seeds_are_not() -> None:
    digests = []
    for seed in (1, 1, 2):
        trainer = small_trainer(seed=seed, dropout=0.2)
        trainer.advance(64)
        digests.append(state_digest(trainer))
    assert digests[0] == digests[1] != digests[2]


def test_two_trainers_in_one_process_do_not_disturb_each_other() -> None:
    def alone(seed: int) -> str:
        trainer = small_trainer("wgan", seed=seed, dropout=0.3)
        for _ in range(3):
            trainer.advance(160)
        return state_digest(trainer)

    expected = [alone(1), alone(2)]
    both = [small_trainer("wgan", seed=seed, dropout=0.3) for seed in (1, 2)]
    for _ in range(3):
        for trainer in both:
            trainer.advance(160)
            torch.rand(3), np.random.rand(3)
    assert [state_digest(trainer) for trainer in both] == expected


def test_whoever_trains_keeps_their_random_stream() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    small_trainer(dropout=0.5).advance(64)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("ema_kimg", [0.0, 0.1])
def test_sampling_leaves_the_training_untouched(ema_kimg: float) -> None:
    plain, watched = (small_trainer(dropout=0.3, ema_kimg=ema_kimg) for _ in range(2))
    latents = fixed_latents("gaussian", 40, 8, seed=9)
    for _ in range(3):
        plain.advance(96)
        watched.advance(96)
        before = state_digest(watched)
        first = watched.sample(latents)
        assert torch.equal(watched.sample(latents), first)
        assert state_digest(watched) == before
        assert watched.generator.training
    assert state_digest(plain) == state_digest(watched)


def test_samples_are_pixels_of_the_sampler_with_running_statistics() -> None:
    trainer = small_trainer(ema_kimg=0.1)
    trainer.advance(96)
    latents = fixed_latents("gaussian", 6, 8, seed=0)
    pixels = trainer.sample(latents)
    assert pixels.dtype == torch.uint8 and pixels.shape == (6, 16, 16, 3)
    # One at a time: batch statistics would depend on the other images.
    assert torch.equal(pixels, torch.cat([trainer.sample(row[None]) for row in latents]))
    network = copy.deepcopy(trainer.average)
    assert isinstance(network, nn.Module)
    with torch.no_grad():
        expected = (network.eval()(latents) + 1) * 127.5
    assert (pixels.permute(0, 3, 1, 2).float() - expected).abs().max() <= 0.51


# ---- stats


def test_a_window_tells_what_happened() -> None:
    trainer = small_trainer()
    stats = trainer.advance(320)
    assert stats.history.shape == (10, len(COLUMNS)) and stats.history.dtype == np.float64
    assert stats.images == trainer.images == 320
    assert stats.finite and stats.images_per_second and stats.images_per_second > 0
    norm = torch.cat([w.grad.flatten() for w in trainer.generator.parameters() if w.grad is not None]).norm()
    assert stats.grad_norm_g == pytest.approx(float(norm), rel=1e-5)
    real = stats.history[:, COLUMNS.index("real_score")]
    assert not np.array_equal(real, stats.history[:, COLUMNS.index("fake_score")])


def test_a_window_without_a_step_is_empty() -> None:
    trainer = small_trainer()
    trainer.advance(1)
    stats = trainer.advance(5)
    assert stats.history.shape == (0, len(COLUMNS)) and np.isnan(stats.mean("d_loss"))
    assert stats.images_per_second is None and stats.finite


@pytest.mark.parametrize("side", ["generator", "discriminator"])
def test_a_window_sees_what_is_not_finite(side: str) -> None:
    trainer = small_trainer()
    assert trainer.advance(32).finite
    with torch.no_grad():
        next(getattr(trainer, side).parameters()).fill_(float("nan"))
    assert not trainer.advance(32).finite


def test_a_training_learns() -> None:
    trainer = small_trainer(lr_g=2e-3, lr_d=1e-3)
    latents = fixed_latents("gaussian", 64, 8, seed=0)
    real = torch.from_numpy(pictures().train.gather(np.arange(190))).float().mean(0)
    before = F.mse_loss(trainer.sample(latents).float().mean(0), real)
    trainer.advance(3000)
    assert F.mse_loss(trainer.sample(latents).float().mean(0), real) < 0.3 * before


# ---- what is refused


def test_what_cannot_be_trained_is_refused(tmp_path: Any) -> None:
    with pytest.raises(InputError, match="no such device"):
        Trainer(small_recipe(), pictures(), device="quantum")
    with pytest.raises(InputError, match="--precision fp8: choose one of"):
        Trainer(small_recipe(), pictures(), precision="fp8")
    with pytest.raises(InputError, match="cannot make 18×18"):
        Trainer(small_recipe(), pictures(size=18))
    curves = pack(Curves(), tmp_path / "curves.arrow")
    with pytest.raises(InputError, match="square images, not data of shape 15"):
        Trainer(small_recipe(), curves)


def test_settings_that_no_memory_holds_are_refused_before_anything_is_allocated(tiny_data: str) -> None:
    """A CPU's allocator would grant the memory, and the process would be killed when filling it."""
    recipe = load_recipe("dcgan").with_settings({"width_g": 10**6})
    with pytest.raises(OutOfMemory, match=r"take [\d,.]+ GiB to train"):
        Trainer(recipe, open_data(tiny_data))
    assert issubclass(OutOfMemory, InputError)
