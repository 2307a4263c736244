"""The drawn faces: the same everywhere, varied as declared, and recognisably the same at every size."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest

from gan.data.sources import face_drawing
from gan.data.sources.faces import ATTRIBUTES, Faces, Kinds, Scale, attributes, draw
from gan.errors import InputError


def sha(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def test_attributes_are_pinned() -> None:
    # Packed sets and statistics are kept by the version: a change here needs VERSION raised.
    assert sha(*attributes(np.arange(1000)).values()) == "b45cd2100625b6cb"


def test_pixels_are_pinned() -> None:
    assert sha(draw(np.arange(64), 32)) == "5f2793413b822674"


def test_attributes_do_not_depend_on_company() -> None:
    together = attributes(np.arange(500))
    apart = attributes(np.array([321, 7, 7, 499]))
    for name, values in apart.items():
        np.testing.assert_array_equal(values, together[name][[321, 7, 7, 499]])


@pytest.mark.parametrize("size", [32, 64])
def test_pixels_do_not_depend_on_company(size: int) -> None:
    together = draw(np.arange(200), size)  # more than one batch
    order = np.array([199, 3, 130, 3])
    np.testing.assert_array_equal(draw(order, size), together[order])
    np.testing.assert_array_equal(draw(np.array([150]), size)[0], together[150])


def test_pixels_do_not_depend_on_how_the_work_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = draw(np.arange(40), 32)
    monkeypatch.setattr(face_drawing, "BATCH", 16)
    monkeypatch.setattr(face_drawing, "BAND", 96)
    np.testing.assert_array_equal(draw(np.arange(40), 32), whole)


def test_windows_cut_nothing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    indices = np.arange(600)
    windowed = draw(indices, 32)
    monkeypatch.setattr(face_drawing.Sheet, "window", lambda sheet, *_: sheet)
    np.testing.assert_array_equal(draw(indices, 32), windowed)


@pytest.mark.parametrize("size", [16, 32, 33, 64, 96])
def test_images_have_the_size_asked_for(size: int) -> None:
    images = draw(np.arange(8), size)
    assert images.shape == (8, size, size, 3)
    assert images.dtype == np.uint8
    assert images.max() > 200
    assert images.min() < 60


@pytest.mark.parametrize("size", [15, 0, -32])
def test_sizes_too_small_are_refused(size: int) -> None:
    with pytest.raises(InputError, match="size"):
        draw(np.arange(2), size)
    with pytest.raises(InputError, match="size"):
        Faces(size)


def test_a_face_is_the_same_at_every_size() -> None:
    indices = np.arange(200)
    small = draw(indices, 32).astype(np.float32)
    large = draw(indices, 64).astype(np.float32)
    shrunk = large.reshape(len(indices), 32, 2, 32, 2, 3).mean((2, 4))
    errors = np.abs(shrunk - small).mean((1, 2, 3))
    assert errors.max() < 4
    # Another face would not pass for this one.
    assert np.abs(np.roll(shrunk, 1, 0) - small).mean((1, 2, 3)).min() > 2 * errors.max()


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_are_spread_as_declared(name: str) -> None:
    space, values = ATTRIBUTES[name], attributes(np.arange(20_000))[name]
    if isinstance(space, Kinds):
        shares = np.bincount(values.astype(int), minlength=len(space.names)) / len(values)
        np.testing.assert_allclose(shares, space.shares(), atol=0.015)
        return
    assert values.dtype == np.float32
    assert space.low <= values.min() and values.max() <= space.high
    place = (values - space.low) / (space.high - space.low)
    quarters = np.bincount((place * 4).astype(int).clip(0, 3)) / len(values)
    expected = (0.125, 0.375, 0.375, 0.125) if space.central else (0.25,) * 4
    np.testing.assert_allclose(quarters, expected, atol=0.015)


def test_attributes_are_independent() -> None:
    table = np.stack([values.astype(float) for values in attributes(np.arange(20_000)).values()])
    correlation = np.corrcoef(table) - np.eye(len(table))
    assert np.abs(correlation).max() < 0.035  # 5 standard errors


NEEDS = {"glasses_shape": {"glasses": 1}, "frame_colour": {"glasses": 1}, "hair_part": {"hair_style": 4}}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_each_attribute_shows(name: str) -> None:
    looks = dict(attributes(np.arange(24)))
    looks["hair_style"] = looks["hair_style"] % 8 + 1  # bald heads hide what is known of hair
    for needed, value in NEEDS.get(name, {}).items():
        looks[needed] = np.full_like(looks[needed], value)
    space = ATTRIBUTES[name]
    ends = (space.low, space.high) if isinstance(space, Scale) else (0, len(space.names) - 1)
    if name.endswith("_hue"):
        ends = (0, 0.5)  # the ends of the wheel are one colour
    first, last = (face_drawing.render({**looks, name: np.full_like(looks[name], end)}, 32).astype(int) for end in ends)
    changed = (np.abs(first - last).max(-1) > 12).sum((1, 2))
    assert np.median(changed) >= 3, changed


@pytest.mark.parametrize("name", [name for name, space in ATTRIBUTES.items() if isinstance(space, Kinds)])
def test_every_kind_looks_different(name: str) -> None:
    space = ATTRIBUTES[name]
    assert isinstance(space, Kinds)
    looks = dict(attributes(np.arange(12)))
    drawn = [
        face_drawing.render({**looks, name: np.full_like(looks[name], kind)}, 32).astype(int)
        for kind in range(len(space.names))
    ]
    for one, other in itertools.combinations(drawn, 2):
        assert np.median(np.abs(one - other).max((1, 2, 3))) > 15


def test_glasses_show_round_the_eyes_only() -> None:
    looks = dict(attributes(np.arange(100)))
    without, worn = (face_drawing.render({**looks, "glasses": np.full(100, wear)}, 32).astype(int) for wear in (0, 1))
    changed = np.abs(worn - without).max(-1) > 8
    assert changed.sum((1, 2)).min() >= 15
    assert not changed[:, :6].any() and not changed[:, 26:].any()


def test_images_vary() -> None:
    images = draw(np.arange(1000), 32).astype(np.float32)
    assert images.std(0).min() > 25  # every pixel differs between faces
    assert images[:, 10:22, 10:22].std((1, 2, 3)).min() > 8  # and no face is blank


def test_the_source_yields_what_is_drawn() -> None:
    source = Faces(16)
    assert (source.uri, source.shape, source.dtype) == ("faces", (16, 16, 3), np.dtype(np.uint8))
    assert source.default_features == "random-conv"
    rows = np.stack(list(itertools.islice(source, 40)))
    np.testing.assert_array_equal(rows, draw(np.arange(40), 16))


def test_iterating_covers_the_set_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[np.ndarray] = []

    def record(indices: np.ndarray, size: int) -> np.ndarray:
        asked.append(np.asarray(indices))
        return np.empty((len(indices), 1, 1, 3), np.uint8)

    source = Faces(32)
    monkeypatch.setattr("gan.data.sources.faces.draw", record)
    assert sum(1 for _ in source) == len(source) == 60_000
    np.testing.assert_array_equal(np.concatenate(asked), np.arange(60_000))


def test_no_face_is_in_both_parts() -> None:
    assert Faces(32).held_out == range(50_000, 60_000)
    looks = np.stack([values.astype(np.float64) for values in attributes(np.arange(60_000)).values()], 1)
    assert len({row.tobytes() for row in looks}) == 60_000


def test_fingerprints_tell_sizes_apart() -> None:
    assert Faces(32).fingerprint() == Faces(32).fingerprint() != Faces(64).fingerprint()
