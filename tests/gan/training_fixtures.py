"""Small trainings for the tests of this folder: 16×16 images, networks of a few thousand weights."""

from __future__ import annotations

import atexit
import functools
import hashlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gan
from gan.bundle.bundle import Bundle, load_bundle, write_bundle
from gan.data.dataset import DataSet
from gan.data.packed.packing import pack
from gan.data.sources.curves import Curves
from gan.errors import InputError
from gan.evaluation.evaluator import Evaluator
from gan.networks import FAMILIES
from gan.recipe.recipe import Recipe, parse_recipe
from gan.settings import parameters
from gan.storage.storage import Storage
from gan.training.state import state_dict
from gan.training.trainer import Trainer

SMALL = {"width_g": 4, "width_d": 4, "latent_dim": 8, "batch": 32}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only wait for each other on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Pictures:
    """Random blots, so that there is something to learn; a source to pack."""

    uri = "pictures"
    dtype = np.dtype(np.uint8)
    default_features = "random-conv"
    held_out = None

    def __init__(self, count: int, size: int, channels: int) -> None:
        self.count, self.shape = count, (size, size, channels)

    def fingerprint(self) -> str:
        return "pictures"

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[np.ndarray]:
        random = np.random.default_rng(0)
        size, _, channels = self.shape
        y, x = (axis[:, :, None] for axis in np.mgrid[:size, :size])
        for _ in range(self.count):
            centre = random.uniform(0, size, (2, channels))
            blot = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / size)
            yield (255 * blot).astype(np.uint8)


class Lines:
    """The first curves alone; a source to pack."""

    uri = "lines"
    shape = (15,)
    dtype = np.dtype(np.float32)
    default_features = "random-conv"
    held_out = None

    def fingerprint(self) -> str:
        return "lines"

    def __len__(self) -> int:
        return 200

    def __iter__(self) -> Iterator[np.ndarray]:
        return itertools.islice(iter(Curves()), len(self))


@functools.cache
def scratch() -> Path:
    """Return a folder for the whole test session."""
    folder = Path(tempfile.mkdtemp(prefix="gan-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def pictures(count: int = 200, size: int = 16, channels: int = 3) -> DataSet:
    """Return a packed set; its `uri` opens it in any process."""
    return pack(Pictures(count, size, channels), scratch() / f"{count}-{size}-{channels}.arrow")


@functools.cache
def lines() -> DataSet:
    """Return a packed set of vectors."""
    return pack(Lines(), scratch() / "lines.arrow")


def small_recipe(objective: str = "non-saturating", **settings: Any) -> Recipe:
    return parse_recipe({"name": "small", "settings": SMALL | {"objective": objective} | settings}, "small")


def small_trainer(objective: str = "non-saturating", seed: int = 1, **settings: Any) -> Trainer:
    return Trainer(small_recipe(objective, **settings), pictures(), seed=seed, device="cpu", precision="fp32")


@functools.cache
def small_evaluator() -> Evaluator:
    return Evaluator.prepare(pictures(), samples=100, cache_dir=scratch() / "cache")


def digest(value: Any) -> str:
    """Return a hash of everything in a state, to the last bit."""
    found = hashlib.sha256()
    _feed(found, value)
    return found.hexdigest()


def _feed(found: Any, value: Any) -> None:
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            found.update(str(key).encode())
            _feed(found, value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            _feed(found, item)
    elif isinstance(value, Tensor):
        found.update(str((value.dtype, tuple(value.shape))).encode())
        found.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    else:
        found.update(repr(value).encode())


def state_digest(trainer: Trainer) -> str:
    return digest(state_dict(trainer))


def run_python(script: str, *arguments: str) -> str:
    """Run a script in a new process that finds `gan` and these fixtures; return what it prints."""
    tests = Path(__file__).parent
    places = [str(Path(gan.__file__).parents[1]), str(tests), str(tests / "training"), str(tests.parent / "docs")]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- generators whose images fill the range, as those of a trained one do


SHAPES = ((16, 16, 3), (32, 32, 1), (64, 64, 3), (96, 96, 3), (128, 128, 3), (2,))


def _enliven(generator: nn.Module, latent_dim: int) -> None:
    """Give a fresh generator the statistics and contrast of a trained one: its images fill the range."""
    torch.manual_seed(0)
    for weight in generator.parameters():
        if weight.ndim > 1:
            nn.init.normal_(weight, std=(2 / weight[0].numel()) ** 0.5)
        else:
            nn.init.normal_(weight, mean=float(weight.detach().mean()), std=0.3)
    generator.train()
    with torch.no_grad():
        for _ in range(20):
            generator(torch.randn(32, latent_dim))


def lively_bundle(family: str, folder: Path) -> Bundle:
    """Write a small bundle of a family at the first size it can make, as a training would; load it."""
    kind = FAMILIES[family]
    narrow = {name: 8 for name in parameters(kind) if name.startswith("width")}
    for shape in SHAPES:
        try:
            generator = kind(**narrow).generator(shape, 12)
        except InputError:
            continue
        _enliven(generator, 12)
        weights = {name: value.contiguous() for name, value in generator.state_dict().items()}
        config = {"network": family, "network_settings": narrow, "latent": "gaussian", "latent_dim": 12}
        write_bundle(Storage(folder), weights, config | {"shape": list(shape)})
        return load_bundle(str(folder))
    raise AssertionError(f"{family} makes none of {SHAPES}")
