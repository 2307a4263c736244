"""The random embedding: fixed for ever, blind to how it is asked, and a ranking worth having."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from image_faults import blurred, noisy, quantised
from torch import Tensor

from gan.data.sources import faces
from gan.errors import InputError
from gan.evaluation.evaluator import statistics_of
from gan.evaluation.features import FeatureExtractor, make_features
from gan.evaluation.frechet import Reference

COUNT = 800


def noise_images(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def test_weights_are_these_and_no_others() -> None:
    # Scores of years must stay comparable: a change of weights needs a new name.
    images, vectors = (
        make_features("random-conv", shape=(32, 32, 3)),
        make_features("random-conv", shape=(15,)),
    )
    assert images.weights_sha256 == "fdf8ce6b93966927e0a04432b9b39e9f844acbd0fbe71f02fe2b07d4c2df5d6a"
    assert vectors.weights_sha256 == "5dc4329a37be2d49fb1eca91afdc9786bd72b2cf69b35fae413faec05ab3bd60"


def test_torchs_random_stream_plays_no_part() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = make_features("random-conv", shape=(8, 8, 3))(noise_images(2, 8, 8, 3))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(first, make_features("random-conv", shape=(8, 8, 3))(noise_images(2, 8, 8, 3)))


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (64, 64, 3), (8, 12, 3), (100, 80, 3)])
def test_features_of_images(shape: tuple[int, ...]) -> None:
    extractor = make_features("random-conv", shape=shape)
    rows = noise_images(5, *shape)
    features = extractor(rows)
    assert features.shape == (5, extractor.dimensions) and features.dtype == torch.float32
    assert features.std(0).median() > 0.1
    one_by_one = torch.cat([extractor(row[None]) for row in rows])
    torch.testing.assert_close(features, one_by_one, rtol=1e-5, atol=1e-4)


def test_grey_equals_the_same_in_three_channels() -> None:
    grey = noise_images(3, 28, 28, 1)
    first = make_features("random-conv", shape=(28, 28, 1))(grey)
    second = make_features("random-conv", shape=(28, 28, 3))(grey.expand(-1, -1, -1, 3))
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)


def test_large_images_are_shrunk_and_say_so() -> None:
    small, large = (
        make_features("random-conv", shape=(64, 64, 3)),
        make_features("random-conv", shape=(128, 128, 3)),
    )
    assert (small.resize, large.resize) == ("none", "antialiased bilinear to 64")
    flat = torch.full((1, 128, 128, 3), 90, dtype=torch.uint8)
    torch.testing.assert_close(large(flat), small(flat[:, :64, :64]), rtol=1e-5, atol=1e-4)


def test_a_callers_autocast_does_not_reach_in() -> None:
    extractor, rows = make_features("random-conv", shape=(16, 16, 3)), noise_images(4, 16, 16, 3)
    plain = extractor(rows)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(extractor(rows), plain)


def test_vectors() -> None:
    extractor = make_features("random-conv", shape=(15,))
    rows = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (6, 15)).astype(np.float32))
    assert extractor(rows).shape == (6, extractor.dimensions)
    # Not linear: symmetric curves and their mirror images have the same mean, and must still differ.
    assert not torch.allclose(extractor(rows) + extractor(-rows), 2 * extractor(torch.zeros(6, 15)), atol=1e-2)


def test_pickles_by_rebuilding() -> None:
    extractor, rows = make_features("random-conv", shape=(16, 16, 3)), noise_images(2, 16, 16, 3)
    packed = pickle.dumps(extractor)
    assert len(packed) < 500
    assert torch.equal(pickle.loads(packed)(rows), extractor(rows))


@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 4), ()])
def test_other_rows_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="random-conv takes"):
        make_features("random-conv", shape=shape)


# --- what it ranks -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn() -> Tensor:
    return torch.from_numpy(faces.draw(np.arange(3 * COUNT), 32))


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    return make_features("random-conv", shape=(32, 32, 3))


@pytest.fixture(scope="module")
def reference(drawn: Tensor, extractor: FeatureExtractor) -> Reference:
    return Reference.of(statistics_of(drawn[:COUNT].split(250), extractor))


def less_contrast(rows: Tensor, strength: float) -> Tensor:
    return quantised((rows - 127.5) * (1 - strength) + 127.5)


def less_colour(rows: Tensor, strength: float) -> Tensor:
    grey = rows.float().mean(3, keepdim=True)
    return quantised((rows - grey) * (1 - strength) + grey)


def patches_shuffled(rows: Tensor, share: float) -> Tensor:
    """Permute the 4×4 patches of a share of the images."""
    changed = int(share * len(rows))
    patches = rows[:changed].unfold(1, 8, 8).unfold(2, 8, 8).flatten(1, 2)
    order = np.random.default_rng(2).permuted(np.tile(np.arange(16), (changed, 1)), axis=1)
    patches = patches[torch.arange(changed)[:, None], torch.from_numpy(order)]
    whole = patches.unflatten(1, (4, 4)).permute(0, 1, 4, 2, 5, 3).reshape(changed, 32, 32, 3)
    return torch.cat([whole, rows[changed:]])


def fewer_images(rows: Tensor, share: float) -> Tensor:
    return rows[torch.arange(len(rows)) % int(len(rows) * (1 - share))]


@pytest.mark.parametrize(
    ("fault", "strengths"),
    [
        (noisy, (4, 8, 16, 32, 64)),
        (blurred, (0.45, 0.6, 0.9, 1.5, 3)),
        (less_contrast, (0.1, 0.2, 0.4, 0.8)),
        (less_colour, (0.1, 0.3, 0.6, 1)),
        (patches_shuffled, (0.1, 0.3, 0.6, 1)),
        (fewer_images, (0.5, 0.8, 0.95, 0.99, 0.995)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_fault_raises_the_distance_with_its_strength(
    fault, strengths: tuple[float, ...], drawn: Tensor, extractor: FeatureExtractor, reference: Reference
) -> None:
    real = drawn[COUNT : 2 * COUNT]
    sets = [real] + [fault(real, strength) for strength in strengths]
    distances = [reference.distance(statistics_of(each.split(250), extractor)) for each in sets]
    assert distances == sorted(distances), distances
    assert distances[-1] > 3 * distances[0], distances


def test_dropped_modes_raise_the_distance(drawn: Tensor, extractor: FeatureExtractor, reference: Reference) -> None:
    rest, style = drawn[COUNT:], torch.from_numpy(faces.attributes(np.arange(COUNT, 3 * COUNT))["hair_style"])
    # Cut at the same count every time, as the distance depends on it.
    kept = [rest[style >= first][:600] for first in (0, 5, 9)]
    assert all(len(each) >= 300 for each in kept)
    kept = [each[torch.arange(600) % len(each)] for each in kept]
    distances = [reference.distance(statistics_of(each.split(250), extractor)) for each in kept]
    assert distances == sorted(distances), distances
