"""The assessment of one generator by `evaluate`: the quality, diversity and novelty of its images."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan.bundle.bundle import Bundle
from gan.data.dataset import DataSet, Rows
from gan.errors import NotFinite
from gan.evaluation.assessment.diversity import Diversity, diversity, kernel_distance
from gan.evaluation.assessment.extrapolation import Extrapolation, extrapolate
from gan.evaluation.assessment.memorisation import Memorisation, memorisation
from gan.evaluation.assessment.neighbours import nearest
from gan.evaluation.assessment.rejudge import fresh_seed, judge
from gan.evaluation.evaluator import BATCH, COLLAPSED_SPREAD, Evaluation, Evaluator, reference_rows
from gan.evaluation.features import FeatureExtractor
from gan.evaluation.identity import EvaluationIdentity

SEARCHED = 20_000
"""Number of training images among which copies are searched, if there are so many."""

COLLAPSED_DUPLICATES = 0.5
"""Share of duplicates among the samples above which a generator counts as collapsed."""

SHOWN = 8
"""Number of generated images shown beside their neighbours, for each selection of them."""

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Generated images and the training images nearest to them, uint8 [n, H, W, C].

    Attributes:
        title: what these images are.
        generated, neighbours: the images, row by row.
    """

    title: str
    generated: np.ndarray
    neighbours: np.ndarray


@dataclass(frozen=True, eq=False)
class Assessment:
    """The result of assessing a generator.

    Attributes:
        identity: the evaluation identity of all figures.
        draws: one evaluation for each draw of latents.
        limit: the distance extrapolated to infinitely many samples; None if there are too few samples.
        kid: KID and its standard deviation over subsets; None if there are too few samples.
        diversity: None if there are too few samples.
        memorisation: None if there are too few held-out images.
        trained_on_this: whether the generator was trained on these data; None if its bundle does not say.
        pairs: images beside their nearest training images; empty for data that is not images.
        seconds: duration of the assessment.
    """

    identity: EvaluationIdentity
    draws: list[Evaluation]
    limit: Extrapolation | None
    kid: tuple[float, float] | None
    diversity: Diversity | None
    memorisation: Memorisation | None
    trained_on_this: bool | None
    pairs: list[Pairs]
    seconds: float

    @property
    def fids(self) -> list[float]:
        return [draw.fid for draw in self.draws if draw.fid is not None]

    @property
    def spread(self) -> float:
        return statistics.mean(draw.pixel_spread for draw in self.draws if draw.pixel_spread is not None)

    @property
    def collapsed(self) -> bool:
        """Whether the generator makes one image, or repeats a few."""
        few = self.diversity is not None and self.diversity.duplicates.share > COLLAPSED_DUPLICATES
        return self.spread < COLLAPSED_SPREAD or few

    def as_dict(self) -> dict[str, Any]:
        """Return the assessment, ready for JSON; figures that could not be measured are None."""
        unknown = {"precision": None, "recall": None, "diversity": None}
        return {
            "fid": statistics.mean(self.fids),
            "fid_std": statistics.stdev(self.fids) if len(self.fids) > 1 else None,
            "fids": self.fids,
            "repeats": len(self.draws),
            "fid_infinity": None if self.limit is None else self.limit.limit,
            "fid_infinity_error": None if self.limit is None else self.limit.error,
            "kid": None if self.kid is None else self.kid[0],
            "kid_std": None if self.kid is None else self.kid[1],
            **(unknown if self.diversity is None else self.diversity.as_dict()),
            "pixel_spread": self.spread,
            "collapsed": self.collapsed,
            "memorisation": None if self.memorisation is None else self.memorisation.as_dict(),
            "trained_on_this_data": self.trained_on_this,
            "seconds": round(self.seconds, 2),
            "evaluation": self.identity.as_dict(),
        }


def assess(
    bundle: Bundle,
    data: DataSet,
    evaluator: Evaluator,
    *,
    repeats: int = 3,
    searched: int = SEARCHED,
    progress: Progress = lambda done, total: None,
) -> Assessment:
    """Assess an exported generator against the data that it was trained on.

    Args:
        bundle: the generator.
        data: the data set; its held-out part defines how near a copy is.
        evaluator: an evaluator for these data; it gives the number of samples of a draw, and the first seed.
        repeats: number of draws of latents for the distance; all other figures use the first draw. None of them
            is the draw by which a training with the evaluator's seed chooses its best moment, because a
            generator looks better on that draw than it is.
        searched: number of training images among which copies are searched, if there are so many.
        progress: called with the number of images done and of all images.

    Raises:
        NotFinite: the generator's samples are not finite.
    """
    start_time = time.perf_counter()
    seed = fresh_seed(evaluator)
    identity = dataclasses.replace(evaluator.identity, latent_seed=seed)
    rows = reference_rows(len(data.train), max(searched, evaluator.samples), identity.reference_seed)
    held_out_rows = reference_rows(len(data.held_out), evaluator.samples, identity.reference_seed)
    count = _counter(progress, repeats * evaluator.samples + len(rows) + len(held_out_rows))

    first_draw: list[Tensor] = []
    keeps = [first_draw] + [None] * (repeats - 1)
    draws = [judge(bundle, evaluator, seed + r, keep=keep, count=count) for r, keep in enumerate(keeps)]
    if any(draw.fid is None for draw in draws):
        raise NotFinite("the generator's samples are not finite (NaN or infinity): its training was lost")
    generated = torch.cat(first_draw)
    training = _features(data.train, rows, evaluator.features, count)
    held_out = _features(data.held_out, held_out_rows, evaluator.features, count)
    reference = reference_rows(len(data.train), evaluator.samples, identity.reference_seed)
    real = training[torch.from_numpy(np.searchsorted(rows, reference)).to(training.device)]

    copied = memorisation(generated, training, held_out)
    trained_on = bundle.config.get("data_hash")
    return Assessment(
        identity=identity,
        draws=draws,
        limit=extrapolate(generated, real, seed),
        kid=kernel_distance(generated, real, seed),
        diversity=diversity(generated, real),
        memorisation=copied,
        trained_on_this=None if trained_on is None else trained_on == data.content_hash,
        pairs=_pairs(bundle, data, identity, generated, training, rows, copied) if data.is_image else [],
        seconds=time.perf_counter() - start_time,
    )


def _features(part: Rows, rows: np.ndarray, features: FeatureExtractor, count: Callable[[int], None]) -> Tensor:
    batches = []
    for batch in part.batches(rows, BATCH):
        batches.append(features(torch.from_numpy(batch)))
        count(len(batch))
    return torch.cat(batches) if batches else torch.empty(0, features.dimensions)


def _pairs(
    bundle: Bundle,
    data: DataSet,
    identity: EvaluationIdentity,
    generated: Tensor,
    training: Tensor,
    rows: np.ndarray,
    copied: Memorisation | None,
) -> list[Pairs]:
    """Return the samples nearest to a training image, and the first samples, each beside its neighbour."""
    latents = bundle.latents(identity.samples, identity.latent_seed)
    shown = [("the first samples", np.arange(min(SHOWN, len(generated))))]
    if copied is not None:
        shown.insert(0, ("the samples nearest to a training image", copied.order[:SHOWN]))
    pairs = []
    for title, samples in shown:
        index = torch.from_numpy(samples)
        neighbours = nearest(generated[index.to(generated.device)], training)[1].cpu().numpy()
        pairs.append(Pairs(title, bundle.generate(latents[index]), data.train.gather(rows[neighbours])))
    return pairs


def _counter(progress: Progress, total: int) -> Callable[[int], None]:
    done = 0

    def count(number: int) -> None:
        nonlocal done
        done += number
        progress(done, total)

    return count
