"""The published systems as recipes: their facts, and that every one of them trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from judged import images_only
from training_fixtures import lines, pictures

from gan.bundle.bundle import load_bundle
from gan.data.sources.decode import Crop
from gan.data.sources.opening import takes
from gan.evaluation.evaluator import Evaluator
from gan.objectives.l2 import L2
from gan.recipe.recipe import load_recipe, shipped
from gan.settings import Range
from gan.storage.storage import Storage
from gan.training.run import TrainingRun
from gan.training.trainer import Trainer

# Size, trainable parameters of generator and discriminator, and what else their reports say.
PUBLISHED: dict[str, tuple[int, int, int, dict[str, Any]]] = {
    "wang-mnist": (
        32,
        1_066_880,
        166_784,
        {"lr_g": 1e-4, "lr_d": 1e-4, "beta1": 0.9, "beta2": 0.999, "batch": 256, "dropout": 0.3},
    ),
    "wang-celeba": (
        64,
        12_658_432,
        2_765_568,
        {"lr_g": 2e-4, "lr_d": 2e-4, "beta1": 0.5, "beta2": 0.999, "batch": 128, "dropout": 0.0},
    ),
    "noe-thapa-128": (
        128,
        4_740_611,
        4_340_097,
        {"lr_g": 1e-4, "lr_d": 1e-4, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-7, "batch": 64, "latent_dim": 100},
    ),
    "zhang-zhao-64": (
        64,
        12_658_432,
        2_765_568,
        {"lr_g": 2e-4, "lr_d": 5e-5, "beta1": 0.5, "beta2": 0.999, "batch": 128, "d_batch": "separate"},
    ),
    "beauregard-64": (
        64,
        3_576_704,
        2_765_568,
        {"lr_g": 2e-4, "lr_d": 2e-4, "beta1": 0.5, "beta2": 0.999, "batch": 128},
    ),
    "cheng-96-plain": (
        96,
        4_070_793,
        1_575_171,
        {"lr_g": 1e-4, "lr_d": 1e-4, "beta1": 0.5, "beta2": 0.99, "batch": 64, "latent_dim": 200, "d_batch": "joint"},
    ),
    "cheng-96-l2": (
        96,
        4_070_793,
        1_575_171,
        {"lr_g": 1e-4, "lr_d": 1e-4, "beta1": 0.5, "beta2": 0.99, "l2_lambda": 0.02, "g_step_statistics": "running"},
    ),
    "cheng-96-wgan": (
        96,
        4_070_793,
        1_575_169,
        {"lr_g": 1e-4, "lr_d": 1e-4, "rho": 0.9, "optimizer_d": "rmsprop", "clip": 0.01, "clip_scope": "kernels"},
    ),
    "cheng-96-wgan-gp": (
        96,
        4_070_793,
        1_575_169,
        {"lr_g": 1e-4, "lr_d": 1e-4, "beta1": 0.0, "beta2": 0.9, "gp_lambda": 10.0, "n_critic": 5, "norm_d": "layer"},
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones_to_the_unit(name: str) -> None:
    size, generator, discriminator, _ = PUBLISHED[name]
    recipe = load_recipe(name)
    assert recipe.size == size
    assert recipe.shape() == (size, size, 1 if name == "wang-mnist" else 3)
    assert recipe.count_parameters(recipe.shape()) == (generator, discriminator)


@pytest.mark.parametrize("name", PUBLISHED)
def test_settings_are_the_published_ones(name: str) -> None:
    settings = load_recipe(name).settings
    expected = PUBLISHED[name][3]
    assert {setting: settings[setting] for setting in expected} == expected


@pytest.mark.parametrize("name", shipped())
def test_a_small_copy_makes_rows_of_its_shape_and_range(name: str) -> None:
    """The published depth at the published size, in narrow."""
    recipe = load_recipe(name).with_settings({"width_g": 8, "width_d": 8})
    shape = recipe.shape()
    torch.manual_seed(0)
    generator, discriminator = recipe.networks(shape)
    rows = generator(torch.randn(3, recipe.training.latent_dim)).detach()
    assert rows.shape == (3, *((shape[2], *shape[:2]) if len(shape) == 3 else shape))
    assert -1 <= float(rows.min()) < float(rows.max()) <= 1
    assert discriminator(rows).shape == (3,)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PUBLISHED, "curves"])
def test_every_recipe_trains_at_its_published_size(name: str, tmp_path: Path) -> None:
    """1 kimg, whole: batches, widths, evaluation, samples and checkpoints. Minutes each, on a CPU."""
    recipe = load_recipe(name)
    shape = recipe.shape()
    data = pictures(600, shape[0], shape[2]) if len(shape) == 3 else lines()
    trainer = Trainer(recipe, data, device="cpu")
    evaluator = Evaluator.prepare(data, samples=64)
    run = TrainingRun(trainer, evaluator, Storage(tmp_path), total_kimg=1.0, interval_kimg=0.5)
    reports = list(run.reports())
    assert [report.kimg for report in reports] == [0.5, 1.0]
    assert all(report.fid is not None and not report.diverged for report in reports)
    assert load_bundle(str(run.bundle)).sample(2).shape == (2, *shape)


@pytest.mark.parametrize("name", shipped())
def test_the_published_values_lie_in_the_space_that_is_searched(name: str) -> None:
    """So that the study learns from the trial that runs them."""
    recipe = load_recipe(name)
    searched = recipe.searchable()
    assert {"lr_g", "lr_d"} <= set(searched)
    for parameter, (_, space) in searched.items():
        value = recipe.settings[parameter]
        if isinstance(space, Range):
            assert isinstance(value, (int, float)) and space.low <= value <= space.high, parameter
        else:
            assert value in space.values, parameter


def test_the_l2_term_of_fresh_kernels_is_about_forty() -> None:
    """λ times twice the number of output channels, under He initialisation: why d_loss leaves it out."""
    recipe = load_recipe("cheng-96-l2")
    torch.manual_seed(0)
    _, discriminator = recipe.networks(recipe.shape())
    assert isinstance(recipe.objective, L2)
    penalty = recipe.objective.penalty(images_only(torch.empty(0), torch.empty(0)), discriminator)
    assert penalty is not None
    assert float(penalty.detach()) == pytest.approx(0.02 * 2 * (32 + 64 + 128 + 256 + 512 + 1), rel=0.02)


def test_crops_are_for_photographs_of_celeba_alone() -> None:
    crops = {name: load_recipe(name).crop for name in shipped()}
    assert all(takes(source, "crop") for crop in crops.values() for source in crop)
    for crop in crops.values():
        for cut in crop.values():
            Crop.parse(cut)
    assert {source for crop in crops.values() for source in crop} == {"celeba"}
    assert {crops[f"cheng-96-{kind}"]["celeba"] for kind in ("plain", "l2", "wgan", "wgan-gp")} == {"top-bottom-20"}
    assert {crops[name]["celeba"] for name in ("noe-thapa-128", "beauregard-64")} == {"center-178"}
