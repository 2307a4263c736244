"""Checks before the first trial: what would fail in an hour is refused at once, with nothing written."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan.checks.health import existing
from gan.checks.preflight import open_checked, size_and_crop
from gan.data.dataset import DataSet
from gan.data.packed.packing import Progress
from gan.data.sources.opening import absolute_uri
from gan.errors import InputError
from gan.evaluation.compare.inputs import FEWEST_REAL
from gan.evaluation.features import EXTRACTORS, absolute_name
from gan.recipe.recipe import Recipe
from gan.settings import Range
from gan.storage.storage import Storage
from gan.tensors.device import choose_device, choose_precision
from search.algorithm.prior import Prior
from search.plan.priors import identity_of, load_prior
from search.plan.spec import RunSpec, SweepSpec
from search.run.owner import require_free
from search.run.run_folder import SETTINGS, read_settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """A run that has passed its checks.

    Attributes:
        spec: its settings, with size, crop and features filled in.
        recipes: by name.
        data: opened.
        run: the run's folder, which may not exist yet.
        prior: what a sweep knows beforehand; None for nothing.
        parameters: recipe → trainable parameters of generator and discriminator.
    """

    spec: RunSpec
    recipes: dict[str, Recipe]
    data: DataSet
    run: Storage
    parameters: dict[str, tuple[int, int]]
    prior: Prior | None = None

    def identity(self) -> dict[str, object]:
        """Return what identifies this run: settings, resolved recipes, the data's content."""
        resolved = {
            name: {"settings": recipe.settings, "space": recipe.space_as_dict()}
            for name, recipe in self.recipes.items()
        }
        # Runs of version 0.1.0 know of no prior, and stay the same runs.
        known = {} if getattr(self.spec, "prior", None) is None else {"prior": identity_of(self.prior)}
        return {**self.spec.identity(), **known, "recipes": resolved, "data": self.data.content_hash}


def preflight(spec: RunSpec, run: Storage | None = None, progress: Progress | None = None) -> Plan:
    """Check a sweep's settings against this machine and its data.

    Args:
        spec: the settings.
        run: the run's folder, if it is not the storage's folder of the spec's name.
        progress: called as data is packed.

    Raises:
        InputError: a setting cannot be used here.
    """
    spec = _with_absolute_paths(spec)
    recipes = spec.load_recipes()
    size, crop = size_and_crop(spec.data, spec.size, spec.crop, list(recipes.values()))
    # On a cluster trials use the workers' devices, which this machine may lack.
    choose_precision(spec.precision, choose_device(spec.device if spec.address is None else "cpu"))
    if spec.features is not None and spec.features.partition(":")[0] not in EXTRACTORS:
        EXTRACTORS[spec.features]
    run = run or Storage(spec.storage).child(spec.name)
    check_writable(spec.storage)
    require_free(run)
    weights = Path(spec.inception_weights) if spec.inception_weights else None
    data = open_checked(
        spec.data,
        size,
        crop,
        features=spec.features,
        weights=weights,
        check_shape=lambda shape: [recipe.count_parameters(shape) for recipe in recipes.values()],
        progress=progress,
    )
    if len(data.train) < FEWEST_REAL:
        raise InputError(f"{spec.data}: a run needs {FEWEST_REAL} images to train on, here are {len(data.train)}")
    features = spec.features or data.default_features
    parameters = {name: recipe.count_parameters(data.shape) for name, recipe in recipes.items()}
    for recipe in recipes.values():
        _check_interval(recipe, spec.interval)
        _check_batches(recipe, len(data.train))
    log.info("%s: recipes %s, features %s", run.uri, ", ".join(recipes), features)
    size = data.shape[0] if data.is_image else None
    filled = spec.model_copy(update={"size": size, "crop": crop, "features": features})
    prior = None
    if isinstance(filled, SweepSpec):
        if run.exists(SETTINGS) and "prior" not in read_settings(run)["identity"]:
            # A run of version 0.1.0 goes on as it began.
            filled = filled.model_copy(update={"prior": None})
        prior = load_prior(filled.prior, run, filled.storage) if data.is_image else None
    return Plan(filled, recipes, data, run, parameters, prior)


def _with_absolute_paths(spec: RunSpec) -> RunSpec:
    """Make local paths absolute: workers, and later launches, have other working directories."""
    changes: dict[str, object] = {"data": absolute_uri(spec.data), "recipes": [*map(_absolute, spec.recipes)]}
    if spec.inception_weights:
        changes["inception_weights"] = str(Path(spec.inception_weights).absolute())
    if spec.features:
        changes["features"] = absolute_name(spec.features)
    return spec.model_copy(update=changes)


def _absolute(recipe: Any) -> Any:
    is_file = isinstance(recipe, str) and recipe.endswith((".yaml", ".yml"))
    return str(Path(recipe).absolute()) if is_file else recipe


def _check_interval(recipe: Recipe, interval_kimg: float) -> None:
    cycle = recipe.training.batch * recipe.objective.n_critic
    if interval_kimg * 1000 < cycle:
        raise InputError(
            f"interval_kimg: {interval_kimg:g} is less than one generator step of {recipe.name}"
            f" ({cycle} images); raise --kimg or --interval-kimg"
        )


def _check_batches(recipe: Recipe, images: int) -> None:
    """Raise `InputError` if a batch that the search may sample is larger than the data."""
    sizes = [recipe.training.batch]
    if "batch" in recipe.searchable():
        _, space = recipe.searchable()["batch"]
        sizes += [int(space.high)] if isinstance(space, Range) else [int(value) for value in space.values]
    if max(sizes) > images:
        raise InputError(f"batch: {max(sizes)} is more than the {images} images there are to train on")


def check_writable(storage: str) -> None:
    """Raise `InputError` unless the storage can be written; leaves nothing behind."""
    place = Storage(storage)
    folder = place.local_path
    if folder is None:
        probe = ".gan-search-probe"
        try:
            place.write_bytes(probe, b"")
            place.delete(probe)
        except OSError as error:
            raise InputError(f"--storage {storage}: cannot be written ({' '.join(str(error).split())})") from None
        return
    parent = existing(folder)
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"--storage {storage}: cannot be written ({parent} is not a folder you may write in)")
