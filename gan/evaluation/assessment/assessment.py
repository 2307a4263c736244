"""All that `evaluate` says of one generator: how good its images are, how many kinds, and how new.

`assess` reads top to bottom: draw, extract, compare.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator
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
"""Training images among which copies are looked for, as far as there are that many."""

COLLAPSED_DUPLICATES = 0.5
"""Share of samples that are another one's double above which a generator counts as collapsed."""

SHOWN = 8
"""Generated images of either kind that are shown beside their neighbours."""

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Generated images and the training images nearest to them, uint8 [n, H, W, C].

    Attributes:
        title: which images these are.
        generated, neighbours: row by row.
    """

    title: str
    generated: np.ndarray
    neighbours: np.ndarray


@dataclass(frozen=True, eq=False)
class Assessment:
    """What is known of a generator.

    Attributes:
        identity: what all figures were measured with.
        draws: one evaluation for each draw of latents.
        limit: the distance extrapolated to infinitely many samples; None for too few.
        kid: and its standard deviation over subsets; None for too few.
        diversity, memorisation: None for too few samples, or too few held-out images.
        trained_on_this: whether the generator was trained on this very data; None if it does not tell.
        pairs: images beside their nearest training images; none for data that is not images.
        seconds: that it took.
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
        """Whether it makes one image, or a few over and over."""
        few = self.diversity is not None and self.diversity.duplicates.share > COLLAPSED_DUPLICATES
        return self.spread < COLLAPSED_SPREAD or few

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, ready for JSON; null where there was too little to measure."""
        blank = {"precision": None, "recall": None, "diversity": None}
        return {
            "fid": statistics.mean(self.fids),
            "fid_std": statistics.stdev(self.fids) if len(self.fids) > 1 else None,
            "fids": self.fids,
            "repeats": len(self.draws),
            "fid_infinity": None if self.limit is None else self.limit.limit,
            "fid_infinity_error": None if self.limit is None else self.limit.error,
            "kid": None if self.kid is None else self.kid[0],
            "kid_std": None if self.kid is None else self.kid[1],
            **(blank if self.diversity is None else self.diversity.as_dict()),
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
    """Judge an exported generator against the data that it was trained on.

    Args:
        bundle: the generator.
        data: the training images; its held-out part tells how near "near" is.
        evaluator: prepared for this data; its sample count and seed are those of each draw.
        repeats: draws of latents for the distance; all else is of the first. None is the one by which a training
            with the evaluator's seed chooses its best moment: there a generator looks better than it is.
        searched: training images among which copies are looked for, as far as there are that many.
        progress: called with the images done, and how many there will be.

    Raises:
        NotFinite: the generator's samples are not.
    """
    began = time.perf_counter()
    seed = fresh_seed(evaluator)
    identity = dataclasses.replace(evaluator.identity, latent_seed=seed)
    rows = reference_rows(len(data.train), max(searched, evaluator.samples), identity.reference_seed)
    others = reference_rows(len(data.held_out), evaluator.samples, identity.reference_seed)
    count = _counter(progress, repeats * evaluator.samples + len(rows) + len(others))

    kept: list[Tensor] = []
    draws = [_draw(bundle, evaluator, seed + r, kept if r == 0 else None, count) for r in range(repeats)]
    generated = torch.cat(kept)
    training = _features(data.train, rows, evaluator.features, count)
    held_out = _features(data.held_out, others, evaluator.features, count)
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
        seconds=time.perf_counter() - began,
    )


def _draw(
    bundle: Bundle, evaluator: Evaluator, seed: int, keep: list[Tensor] | None, count: Callable[[int], None]
) -> Evaluation:
    found = judge(bundle, evaluator, seed, keep=keep, count=count)
    if found.fid is None:
        raise NotFinite("the generator's samples are not finite (NaN or infinity): its training was lost")
    return found


def _features(part: Rows, rows: np.ndarray, features: FeatureExtractor, count: Callable[[int], None]) -> Tensor:
    found = []
    for chunk in _chunks(rows):
        found.append(features(torch.from_numpy(part.gather(chunk))))
        count(len(chunk))
    return torch.cat(found) if found else torch.empty(0, features.dimensions)


def _chunks(rows: np.ndarray) -> Iterator[np.ndarray]:
    yield from (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))


def _pairs(
    bundle: Bundle,
    data: DataSet,
    identity: EvaluationIdentity,
    generated: Tensor,
    training: Tensor,
    rows: np.ndarray,
    copied: Memorisation | None,
) -> list[Pairs]:
    """Show the images nearest to a training image, and the first ones, each beside its neighbour."""
    latents = bundle.latents(identity.samples, identity.latent_seed)
    first = np.arange(min(SHOWN, len(generated)))
    shown = [("the first samples", first)]
    if copied is not None:
        shown.insert(0, ("the samples nearest to a training image", copied.order[:SHOWN]))
    pairs = []
    for title, chosen in shown:
        index = torch.from_numpy(chosen)
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
