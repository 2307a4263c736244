"""Scoring a generator while it trains: samples stream through features into one distance."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
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
"""Of the latents and the real images: the same for all trainings, so that their scores can be compared."""

BATCH = 250  # rows at a time; no figure depends on it beyond rounding

Sampler = Callable[[int, int], Tensor]
"""`sample(start, count)`: rows start … start+count−1 of a fixed sequence, uint8 N×H×W×C or float32 N×F."""


@dataclass(frozen=True)
class Evaluation:
    """One score of a generator.

    Attributes:
        fid: Fréchet distance in the evaluator's features; None where these were not finite, which
            callers take as divergence.
        pixel_spread: how far samples differ from each other, relative to real images: about 1 for a
            healthy generator, 0 for one that is stuck on a single image.
        seconds: wall-clock time of the evaluation, sampling included.
    """

    fid: float | None
    pixel_spread: float | None
    seconds: float


class Evaluator:
    """A reference, and everything needed to measure generators against it.

    It can be pickled, and comes back on the CPU: call `to(device)` where it arrives.

    Args:
        features: the extractor.
        reference: the real side, in these features.
        spread: mean over pixels of the real images' standard deviation, in the rows' own units.
        identity: what its scores depend on; `identity.latent_seed` is for whoever draws the latents.
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
        """Make an evaluator for generators of `data`, its reference from the cache or computed now.

        Args:
            data: the set; its training part is what generators are compared with.
            features: the extractor, or its name.
            samples: generated images per evaluation, and real ones in the reference, as far as the
                training part has that many.
            seed: decides which real images are the reference, and which latents generators are given.
            device: where features and distances are computed.
            inception_weights: file of the Inception network's weights.
            cache_dir: where reference statistics are kept; the user's cache if None.

        Raises:
            InputError: unknown features, unusable weights, or fewer than two samples or real images.
        """
        if samples < 2 or len(data.train) < 2:
            raise InputError(f"FID needs 2 samples and 2 real images, not {samples} and {len(data.train)}")
        extractor = features
        if isinstance(extractor, str):
            extractor = make_features(extractor, shape=data.shape, device=device, inception_weights=inception_weights)
        identity = _identify(data, extractor, samples, seed)

        def compute() -> Arrays:
            rows = reference_rows(len(data.train), samples, seed)
            statistics, spread = _measure(_gathered(data.train, rows), extractor)
            return as_arrays(statistics) | {"spread": np.asarray(spread)}

        def check(arrays: Arrays) -> tuple[Statistics, float]:
            return _from_cache(arrays, extractor.dimensions)

        folder = (cache_dir or default_cache()) / "references"
        statistics, spread = check(cached(folder, identity.reference_digest(), compute, check))
        return cls(extractor, Reference.of(statistics.to(device)), spread, identity)

    @property
    def samples(self) -> int:
        """How many samples one evaluation takes."""
        return self.identity.samples

    @property
    def single_image_fid(self) -> float:
        """FID of samples that all have the mean features of real ones: the trace of the reference's covariance."""
        return self.reference.trace

    def caveat(self) -> str | None:
        """Return what must be said of its scores, if anything: too few samples for so many features."""
        return singular(self.features.dimensions, min(self.samples, self.identity.reference_samples))

    def to(self, device: torch.device | str) -> Self:
        """Move features and reference to `device`, in place, and return the evaluator itself."""
        self.features.to(device)
        self.reference = self.reference.to(device)
        return self

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"reference": self.reference.to("cpu")}

    def evaluate(self, sample: Sampler, batch: int = BATCH, keep: list[Tensor] | None = None) -> Evaluation:
        """Score what `sample` yields for rows 0 … samples−1, asked for in order, `batch` at a time.

        Their features are appended to `keep`, where that is given.
        """
        began = time.perf_counter()
        starts = range(0, self.samples, batch)
        batches = (sample(start, min(batch, self.samples - start)) for start in starts)
        try:
            statistics, spread = _measure(batches, self.features, keep)
        except NotFinite:
            return Evaluation(None, None, time.perf_counter() - began)
        # Real images that do not differ leave nothing to compare with.
        relative = spread / self.spread if self.spread > 0 else 1.0
        return Evaluation(self.reference.distance(statistics), relative, time.perf_counter() - began)


def statistics_of(rows: Rows | Iterable[Tensor | np.ndarray], features: FeatureExtractor) -> Statistics:
    """Return the feature statistics of a part of a data set, or of batches of its rows.

    Raises:
        InputError: fewer than two rows, or features that are not finite.
    """
    batches = _gathered(rows, np.arange(len(rows))) if isinstance(rows, Rows) else rows
    accumulator = Accumulator()
    for batch in batches:
        accumulator.add(features(torch.as_tensor(batch)))
    return accumulator.finish()


def reference_rows(available: int, samples: int, seed: int) -> np.ndarray:
    """Choose `samples` of `available` rows by seed, ascending; all of them where there are fewer.

    The ranks of raw random bits decide: NumPy pledges that these never change, other than its shuffle.
    """
    keys = np.random.Philox(key=seed).random_raw(available)
    return np.sort(np.argsort(keys, kind="stable")[:samples])


def _identify(data: DataSet, features: FeatureExtractor, samples: int, seed: int) -> EvaluationIdentity:
    return EvaluationIdentity(
        features=features.name,
        weights_sha256=features.weights_sha256,
        resize=features.resize,
        samples=samples,
        reference_samples=min(samples, len(data.train)),
        reference_seed=seed,
        latent_seed=seed,
        data=data.uri,
        data_hash=data.content_hash,
        size=data.shape[0],
    )


def _gathered(rows: Rows, positions: np.ndarray) -> Iterator[Tensor]:
    for start in range(0, len(positions), BATCH):
        yield torch.from_numpy(rows.gather(positions[start : start + BATCH]))


def _measure(
    batches: Iterable[Tensor], features: FeatureExtractor, keep: list[Tensor] | None = None
) -> tuple[Statistics, float]:
    """Return feature statistics, and the mean over pixels of the standard deviation across rows."""
    accumulator, spread = Accumulator(), _Spread()
    for batch in batches:
        found = features(batch)
        accumulator.add(found)
        spread.add(batch)
        if keep is not None:
            keep.append(found)
    return accumulator.finish(), spread.finish()


class _Spread:
    """Streaming standard deviation of each pixel; exact for uint8, whose sums are whole numbers."""

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
