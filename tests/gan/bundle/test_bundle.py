"""An exported generator is whole, small to load, repeatable, and trusted in nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from training_fixtures import one_thread, run_python, small_evaluator, small_trainer

from gan.bundle.bundle import load_bundle, write_bundle
from gan.errors import InputError
from gan.storage.storage import Storage
from gan.training.run import TrainingRun
from gan.training.state import cpu_copy

__all__ = ["one_thread"]

COMMAND = "gan-search train --recipe dcgan --data faces --set 'latent_dim=8'"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingRun]:
    """A bundle as a training writes it."""
    folder = tmp_path_factory.mktemp("run")
    run = TrainingRun(
        small_trainer(latent="spherical"),
        small_evaluator(),
        Storage(folder),
        total_kimg=0.1,
        interval_kimg=0.1,
        provenance={"command": COMMAND},
    )
    list(run.reports())
    return Path(str(run.bundle)), run


@pytest.fixture
def bundle(exported: tuple[Path, TrainingRun], tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(exported[0], tmp_path / "bundle"))


def edit(bundle: Path, **changes: Any) -> None:
    path = bundle / "config.json"
    config: dict[str, Any] = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(config))


def reseal(bundle: Path) -> None:
    """Let config.json vouch for whatever the weights' file holds now."""
    edit(bundle, generator_sha256=hashlib.sha256((bundle / "generator.safetensors").read_bytes()).hexdigest())


# ---- what it holds


def test_a_bundle_is_four_files(bundle: Path) -> None:
    assert {path.name for path in bundle.iterdir()} == {
        "generator.safetensors",
        "config.json",
        "samples.png",
        "README.md",
    }
    with Image.open(bundle / "samples.png") as image:
        assert image.size == (146, 146)
    content = (bundle / "generator.safetensors").read_bytes()
    config = json.loads((bundle / "config.json").read_text())
    assert config["generator_sha256"] == hashlib.sha256(content).hexdigest()


def test_its_samples_are_those_of_the_trainer(exported: tuple[Path, TrainingRun]) -> None:
    folder, run = exported
    loaded = load_bundle(str(folder))
    images = loaded.sample(20, seed=4)
    assert images.dtype == np.uint8 and images.shape == (20, 16, 16, 3)
    assert np.array_equal(images, run.trainer.sample(loaded.latents(20, seed=4)).numpy())
    radius = loaded.latents(5).norm(dim=1)
    torch.testing.assert_close(radius, torch.full((5,), 8**0.5))  # spherical, as it was trained
    assert not loaded.generator.training
    assert not any(weight.requires_grad for weight in loaded.generator.parameters())


def test_the_same_seed_gives_the_same_images_and_more_begin_with_the_same(bundle: Path) -> None:
    first, again = (load_bundle(str(bundle)) for _ in range(2))
    torch.manual_seed(1)
    images = first.sample(600, seed=7)
    torch.manual_seed(2)
    assert np.array_equal(images, again.sample(600, seed=7))
    assert np.array_equal(images[:3], again.sample(3, seed=7))
    assert np.array_equal(images[:300], again.sample(300, seed=7))
    assert not np.array_equal(images[:3], again.sample(3, seed=8))


ALONE = """
import hashlib, sys
from gan import load_bundle
images = load_bundle(sys.argv[1]).sample(5, seed=3)
odd = {"ray", "optuna", "pydantic", "typer", "tensorboard", "matplotlib", "search"}
odd &= {name.partition(".")[0] for name in sys.modules}
print(hashlib.sha256(images.tobytes()).hexdigest(), sorted(odd))
"""


def test_a_batch_of_large_images_is_small(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    """Memory is bounded by the numbers in a batch of images, and the images are the same."""
    loaded = load_bundle(str(bundle))
    batches: list[int] = []
    loaded.generator.register_forward_hook(lambda module, given, made: batches.append(len(made)))
    wanted = loaded.sample(20)
    monkeypatch.setattr("gan.bundle.bundle._BATCH_VALUES", 7 * 16 * 16 * 3 + 1)
    assert np.array_equal(loaded.sample(20), wanted)
    assert batches == [20, 7, 7, 6]
    monkeypatch.setattr("gan.bundle.bundle._BATCH_VALUES", 1)
    assert np.array_equal(loaded.sample(2), wanted[:2])
    assert batches[4:] == [1, 1]


def test_a_walk_goes_from_the_first_image_to_the_second(bundle: Path) -> None:
    loaded = load_bundle(str(bundle))
    walk = loaded.walk(9, seed=2)
    assert walk.shape == (9, 16, 16, 3)
    assert np.array_equal(walk[[0, -1]], loaded.sample(2, seed=2))


def test_another_process_needs_gan_alone_and_makes_the_same_images(bundle: Path) -> None:
    images = load_bundle(str(bundle)).sample(5, seed=3)
    expected = hashlib.sha256(images.tobytes()).hexdigest()
    assert run_python(ALONE, str(bundle)).split(maxsplit=1) == [expected, "[]\n"]


def test_writing_needs_no_training_state_and_keeps_the_weights(bundle: Path, tmp_path: Path) -> None:
    trainer = small_trainer()
    trainer.advance(64)
    weights = cpu_copy(trainer.sampler)
    config = json.loads((bundle / "config.json").read_text())
    write_bundle(Storage(tmp_path / "new"), weights, config)
    loaded = load_bundle(str(tmp_path / "new")).generator.state_dict()
    assert set(loaded) == set(weights)
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)
    trainer.advance(64)
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)  # a copy


# ---- what is refused


def cut_weights(bundle: Path) -> None:
    path = bundle / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def forge_weights(content: bytes) -> Callable[[Path], None]:
    """Replace the weights by something that config.json vouches for."""

    def forge(bundle: Path) -> None:
        (bundle / "generator.safetensors").write_bytes(content)
        reseal(bundle)

    return forge


def network_settings(**settings: Any) -> Callable[[Path], None]:
    return lambda bundle: edit(bundle, network_settings=settings)


def change_tensors(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    """Rewrite the weights' file, and have config.json vouch for it."""

    def rewrite(bundle: Path) -> None:
        path = bundle / "generator.safetensors"
        tensors = safetensors.torch.load_file(path)
        change(tensors)
        safetensors.torch.save_file(tensors, path)
        reseal(bundle)

    return rewrite


OTHER = {"layers.0.weight": torch.zeros(3)}
BIAS = "layers.1.bias"

DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (lambda b: (b / "config.json").unlink(), "not a bundle"),
    "config not JSON": (lambda b: (b / "config.json").write_text("{"), "not a bundle"),
    "config not text": (lambda b: (b / "config.json").write_bytes(b"\xff\xfe\0"), "not a bundle"),
    "config nested without end": (lambda b: (b / "config.json").write_text("[" * 100_000), "not a bundle"),
    "config a list": (lambda b: (b / "config.json").write_text("[]"), "no format number"),
    "no format": (lambda b: edit(b, format=None), "no format number"),
    "newer format": (lambda b: edit(b, format=2), "format 2; upgrade gan-search"),
    "no weights": (lambda b: (b / "generator.safetensors").unlink(), r"generator\.safetensors is missing"),
    "weights cut": (cut_weights, "damaged"),
    "weights empty": (lambda b: (b / "generator.safetensors").write_bytes(b""), "damaged"),
    "weights rubbish": (forge_weights(b"\x80\4rubbish" * 9), "damaged"),
    "weights of another network": (forge_weights(safetensors.torch.save(OTHER)), "do not fit"),
    "a tensor too many": (change_tensors(lambda t: t.update(extra=torch.zeros(3))), "do not fit.*: extra$"),
    "a tensor missing": (change_tensors(lambda t: t.pop(BIAS)), rf"do not fit.*: {BIAS}$"),
    "a tensor of whole numbers": (change_tensors(lambda t: t.update({BIAS: t[BIAS].int()})), rf"do not fit.*: {BIAS}$"),
    "a tensor of halves": (change_tensors(lambda t: t.update({BIAS: t[BIAS].half()})), rf"do not fit.*: {BIAS}$"),
    "another size": (lambda b: edit(b, shape=[32, 32, 3]), "do not fit"),
    "another width": (network_settings(width_g=8, width_d=4, dropout=0.0), "do not fit"),
    "an absurd width": (network_settings(width_g=10**9), "too large"),
    "a width of text": (network_settings(width_g="wide"), "width_g"),
    "an unknown setting": (network_settings(depth=3), "depth"),
    "an unknown network": (lambda b: edit(b, network="transformer"), "transformer"),
    "an impossible size": (lambda b: edit(b, shape=[17, 17, 3]), "cannot make 17×17"),
    "an absurd size": (lambda b: edit(b, shape=[2**40, 2**40, 3]), "shape"),
    "a negative size": (lambda b: edit(b, shape=[-16, -16, 3]), "shape"),
    "two channels": (lambda b: edit(b, shape=[16, 16, 2]), "1 or 3 channels, not 2"),
    "a size of text": (lambda b: edit(b, shape="16x16"), "shape"),
    "truth as a size": (lambda b: edit(b, shape=[True, True, True]), "shape"),
    "absurd latents": (lambda b: edit(b, latent_dim=2**40), "latent_dim"),
    "no latents": (lambda b: edit(b, latent_dim=0), "latent_dim"),
    "unknown latents": (lambda b: edit(b, latent="cauchy"), "latent cauchy is not one of"),
    "latents of another kind": (lambda b: edit(b, latent=["gaussian"]), "latent"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_a_whole_bundle_is_refused(damage: str, bundle: Path) -> None:
    spoil, message = DAMAGES[damage]
    load_bundle(str(bundle))
    spoil(bundle)
    with pytest.raises(InputError, match=message) as caught:
        load_bundle(str(bundle))
    assert "\n" not in str(caught.value)
    assert str(bundle) in str(caught.value)


def test_weights_of_another_generator_are_refused(bundle: Path) -> None:
    """Same shapes, other numbers: config.json says whose FID it names."""
    path = bundle / "generator.safetensors"
    weights = safetensors.torch.load_file(path)
    safetensors.torch.save_file({name: value * 2 for name, value in weights.items()}, path)
    with pytest.raises(InputError, match=r"not the one that config\.json describes"):
        load_bundle(str(bundle))


def test_a_folder_without_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a bundle"):
        load_bundle(str(tmp_path))
    with pytest.raises(InputError, match="not a bundle"):
        load_bundle(str(tmp_path / "nowhere"))
    assert list(tmp_path.iterdir()) == []
