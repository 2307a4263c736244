"""Scoring a generator: the features of its samples, and their distance from those of real images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from gan.data.dataset import DataSet, Rows
from gan.errors import InputError, NotFinite
from gan.evaluation.cache import Arrays, cached
from gan.evaluation.features import FeatureExtractor, make_features, singular
from gan.evaluation.frechet import Reference
from gan.evaluation.identity import EvaluationIdentity
from gan.evaluation.statistics import Accumulator, Statistics, as_arrays, from_arrays
from gan.storage.cache import default_cache

COLLAPSED_SPREAD = 0.02
"""Collapse threshold: pixel spread of the samples divided by that of real images."""

EVALUATION_SEED = 0
"""Seed of the latents and the real images: the same for all trainings, so that their scores can be compared."""

BATCH = 250  # Rows at a time; scores depend on it only by rounding.

Sampler = Callable[[int, int], Tensor]
"""`sample(start, count)` returns rows start … start+count−1 of a fixed sequence, uint8 N×H×W×C or float32 N×F."""


@dataclass(frozen=True)
class Evaluation:
    """One score of a generator.

    Attributes:
        fid: Fréchet distance in the evaluator's features; None if these were not finite, which callers
            treat as divergence.
        pixel_spread: pixel spread of the samples divided by that of real images: about 1 for a healthy
            generator, 0 for one that makes a single image.
        seconds: wall-clock time of the evaluation, including sampling.
    """

    fid: float | None
    pixel_spread: float | None
    seconds: float


class Evaluator:
    """Measures generators against a fixed reference of real images.

    It can be pickled. It is unpickled on the CPU; call `to(device)` then.

    Args:
        features: the feature extractor.
        reference: the statistics of the real images in these features.
        spread: standard deviation of the real images, averaged over pixels, in the rows' units.
        identity: everything that scores depend on; the caller draws latents with `identity.latent_seed`.
    """

    def __init__(
        self, features: FeatureExtractor, reference: Reference, spread: float, identity: EvaluationIdentity
    ) -> None:
        self.features = features
        self.reference = reference
        self.spread = spread
        self.identity = identity

    @classmethod
    def prepare(
        cls,
        data: DataSet,
        *,
        features: str | FeatureExtractor = "random-conv",
        samples: int = 5000,
        seed: int = 0,
        device: torch.device | str = "cpu",
        inception_weights: Path | None = None,
        cache_dir: Path | None = None,
    ) -> Self:
        """Make an evaluator for generators of `data`. The reference is read from the cache or computed.

        Args:
            data: the data set; generators are compared with its training part.
            features: the feature extractor, or its name.
            samples: number of generated images per evaluation; also of real images in the reference, if the
                training part has so many.
            seed: selects the real images of the reference, and the latents of generators.
            device: the device that computes features and distances.
            inception_weights: file of the Inception network's weights.
            cache_dir: folder of the cached reference statistics; the user's cache if None.

        Raises:
            InputError: unknown features, unusable weights, or fewer than two samples or real images.
        """
        if samples < 2 or len(data.train) < 2:
            raise InputError(f"FID needs 2 samples and 2 real images, not {samples} and {len(data.train)}")
        extractor = features
        if isinstance(extractor, str):
            extractor = make_features(extractor, shape=data.shape, device=device, inception_weights=inception_weights)
        identity = EvaluationIdentity(
            features=extractor.name,
            weights_sha256=extractor.weights_sha256,
            resize=extractor.resize,
            samples=samples,
            reference_samples=min(samples, len(data.train)),
            reference_seed=seed,
            latent_seed=seed,
            data=data.uri,
            data_hash=data.content_hash,
            size=data.shape[0],
        )

        def compute() -> Arrays:
            rows = reference_rows(len(data.train), samples, seed)
            statistics, spread = _measure(map(torch.from_numpy, data.train.batches(rows, BATCH)), extractor)
            return as_arrays(statistics) | {"spread": np.asarray(spread)}

        def check(arrays: Arrays) -> tuple[Statistics, float]:
            return _from_cache(arrays, extractor.dimensions)

        folder = (cache_dir or default_cache()) / "references"
        statistics, spread = check(cached(folder, identity.reference_digest(), compute, check))
        return cls(extractor, Reference.of(statistics.to(device)), spread, identity)

    @property
    def samples(self) -> int:
        """Number of samples that one evaluation takes."""
        return self.identity.samples

    @property
    def single_image_fid(self) -> float:
        """FID of samples that all have the mean features of real images: the trace of the reference's covariance."""
        return self.reference.trace

    def caveat(self) -> str | None:
        """Return a warning if there are too few samples for the number of features, else None."""
        return singular(self.features.dimensions, min(self.samples, self.identity.reference_samples))

    def to(self, device: torch.device | str) -> Self:
        """Move features and reference to `device`, in place, and return the evaluator itself."""
        self.features.to(device)
        self.reference = self.reference.to(device)
        return self

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"reference": self.reference.to("cpu")}

    def evaluate(self, sample: Sampler, batch: int = BATCH, keep: list[Tensor] | None = None) -> Evaluation:
        """Score the rows 0 … samples−1 of `sample`, which is called for `batch` rows at a time, in order.

        Args:
            keep: if given, the features of the samples are appended to it.
        """
        start_time = time.perf_counter()
        starts = range(0, self.samples, batch)
        batches = (sample(start, min(batch, self.samples - start)) for start in starts)
        try:
            statistics, spread = _measure(batches, self.features, keep)
        except NotFinite:
            return Evaluation(None, None, time.perf_counter() - start_time)
        # If all real images are equal, there is no spread to compare with.
        relative = spread / self.spread if self.spread > 0 else 1.0
        return Evaluation(self.reference.distance(statistics), relative, time.perf_counter() - start_time)


def statistics_of(rows: Rows | Iterable[Tensor | np.ndarray], features: FeatureExtractor) -> Statistics:
    """Return the feature statistics of a part of a data set, or of batches of rows.

    Raises:
        InputError: fewer than two rows, or features that are not finite.
    """
    batches = rows.batches(count=BATCH) if isinstance(rows, Rows) else rows
    accumulator = Accumulator()
    for batch in batches:
        accumulator.add(features(torch.as_tensor(batch)))
    return accumulator.finish()


def reference_rows(available: int, samples: int, seed: int) -> np.ndarray:
    """Choose `samples` of `available` rows by seed, in ascending order; all rows if there are fewer.

    The choice follows the ranks of raw random bits. NumPy guarantees that these never change, which it does
    not for its shuffle.
    """
    keys = np.random.Philox(key=seed).random_raw(available)
    return np.sort(np.argsort(keys, kind="stable")[:samples])


def _measure(
    batches: Iterable[Tensor], features: FeatureExtractor, keep: list[Tensor] | None = None
) -> tuple[Statistics, float]:
    """Return feature statistics, and the standard deviation across rows, averaged over pixels."""
    accumulator, spread = Accumulator(), _Spread()
    for batch in batches:
        embedded = features(batch)
        accumulator.add(embedded)
        spread.add(batch)
        if keep is not None:
            keep.append(embedded)
    return accumulator.finish(), spread.finish()


class _Spread:
    """Streaming standard deviation of each pixel. It is exact for uint8, whose sums are integers."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = self._squares = torch.zeros(())

    def add(self, rows: Tensor) -> None:
        values = rows.flatten(1).double()
        if self._count == 0:
            self._sum, self._squares = torch.zeros_like(values[0]), torch.zeros_like(values[0])
        self._count += len(values)
        self._sum += values.sum(0)
        self._squares += values.square().sum(0)

    def finish(self) -> float:
        scatter = self._squares - self._sum.square() / self._count
        return float((scatter.clamp(min=0) / (self._count - 1)).sqrt().mean())


def _from_cache(arrays: Arrays, dimensions: int) -> tuple[Statistics, float]:
    statistics, spread = from_arrays(arrays, "cached reference"), arrays.get("spread")
    if len(statistics.mean) != dimensions or statistics.count is None or spread is None or spread.shape != ():
        raise InputError("cached reference: not the statistics of this evaluation")
    return statistics, float(spread)
