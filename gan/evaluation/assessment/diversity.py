"""Tests whether a generator makes many different images, which a distance between moments can miss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gan.evaluation.assessment.neighbours import nearest, radii
from gan.evaluation.assessment.rank_tests import Tail, tail

KID_SUBSETS = 50

DOUBLE = 0.5
"""Two samples are duplicates if their distance is below this share of the distance between real images. Blurred
images are closer to each other than sharp ones, but not by so much."""

COVERED_BY = 5
"""The neighbour whose distance bounds the neighbourhood of a real image, as in Naeem et al. 2020."""


@dataclass(frozen=True)
class Diversity:
    """How much generated images differ.

    Attributes:
        duplicates: samples with another sample within half the distance that 99% of as many real images
            keep from each other, in units of each set's spread. Its share is near 1 for a generator that
            makes few images, and near 0 for others. `expected` and `p_value` are upper bounds, because they
            are computed for the whole distance.
        coverage: share of real images with a generated image in their neighbourhood (Naeem et al. 2020,
            arXiv:2002.09797).
        coverage_expected: the mean coverage of a perfect generator.
        precision, recall: share of generated images among real ones, and of real images among generated
            ones (Kynkäänniemi et al. 2019, arXiv:1904.06991), by torch-fidelity.
    """

    duplicates: Tail
    coverage: float
    coverage_expected: float
    precision: float
    recall: float

    def as_dict(self) -> dict[str, Any]:
        return {
            "precision": self.precision,
            "recall": self.recall,
            "diversity": {
                "duplicates": self.duplicates.share,
                "duplicates_expected": self.duplicates.expected,
                "duplicates_p_value": self.duplicates.p_value,
                "coverage": self.coverage,
                "coverage_expected": self.coverage_expected,
            },
        }


def diversity(generated: Tensor, real: Tensor) -> Diversity | None:
    """Measure the diversity of features of generated and real samples, float32 [N, D] and [M, D].

    Returns:
        None if there are too few samples to have so many neighbours.
    """
    count = min(len(generated), len(real))
    if count <= COVERED_BY:
        return None
    # Neighbours are closer among more samples, so equal numbers are compared.
    generated, real = generated[:count], real[:count]
    precision, recall = _precision_recall(generated, real)
    return Diversity(
        duplicates=tail(_crowding(generated) / DOUBLE, _crowding(real)),
        coverage=_coverage(generated, real),
        coverage_expected=_expected_coverage(count),
        precision=precision,
        recall=recall,
    )


def _crowding(rows: Tensor) -> Any:
    """Return each row's distance to its nearest other row, in units of the rows' spread; NumPy [N].

    Images that all lack contrast or colour are closer to each other. The unit corrects for this.
    """
    distances = nearest(rows, rows, own=torch.arange(len(rows), device=rows.device))[0].double()
    spread = rows.double().var(0).sum().sqrt()
    return (distances / spread if spread > 0 else distances).cpu().numpy()


def _coverage(generated: Tensor, real: Tensor) -> float:
    distances = nearest(real, generated)[0]
    return float((distances <= radii(real, COVERED_BY)).double().mean())


def _expected_coverage(count: int) -> float:
    """Return 1 − ((N − 1) … (N − k)) / ((2N − 1) … (2N − k)), equation 9 of the paper."""
    missed = 1.0
    for step in range(1, COVERED_BY + 1):
        missed *= (count - step) / (2 * count - step)
    return 1 - missed


def _precision_recall(generated: Tensor, real: Tensor) -> tuple[float, float]:
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    # In batches: the whole matrix of distances between 50,000 samples would take ten gigabytes.
    metrics = prc_features_to_metric(generated.cpu(), real.cpu(), prc_batch_size=2500, save_cpu_ram=True, verbose=False)
    return metrics[KEY_METRIC_PRECISION], metrics[KEY_METRIC_RECALL]


def kernel_distance(generated: Tensor, real: Tensor, seed: int = 0) -> tuple[float, float] | None:
    """Return KID and its standard deviation over subsets (Bińkowski et al. 2018, arXiv:1801.01401).

    torch-fidelity computes it with a cubic kernel, as the mean over subsets of 1,000 samples (of half the
    samples if there are few). Unlike FID, it has no bias from the number of samples.

    Returns:
        None for fewer than four samples.
    """
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

    size = min(1000, len(generated) // 2, len(real) // 2)
    if size < 2:
        return None
    # In float64, because the result is a small difference between means of the kernel's large cubes.
    metrics = kid_features_to_metric(
        generated.double(), real.double(), kid_subsets=KID_SUBSETS, kid_subset_size=size, rng_seed=seed, verbose=False
    )
    return metrics[KEY_METRIC_KID_MEAN], metrics[KEY_METRIC_KID_STD]
