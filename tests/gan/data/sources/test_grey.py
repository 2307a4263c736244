"""Grey images: of one channel when asked for, as colour otherwise, and a hint where that is likely a mistake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan.data.packed.opening import open_data
from gan.data.packed.packing import pack
from gan.data.sources.opening import absolute_uri, open_source, public_name
from gan.errors import InputError


def album(folder: Path, *, coloured: int = 0, count: int = 40) -> str:
    """Save grey photos, some of them with a touch of colour; return the folder's URI."""
    folder.mkdir()
    chance = np.random.default_rng(0)
    for index in range(count):
        pixels = np.repeat(chance.integers(0, 256, (12, 12, 1), np.uint8), 3, axis=2)
        pixels[..., 0] ^= np.uint8(8 if index < coloured else 0)
        Image.fromarray(pixels).save(folder / f"{index:03}.png")
    return f"folder:{folder}"


def test_one_channel_holds_what_all_three_did(tmp_path: Path) -> None:
    uri = album(tmp_path / "photos")
    colour, grey = (np.stack(list(open_source(uri + query, 8))) for query in ("", "?channels=1"))
    assert colour.shape == (40, 8, 8, 3) and grey.shape == (40, 8, 8, 1)
    assert (colour == grey).all()


def test_colours_become_their_brightness(tmp_path: Path) -> None:
    for name, colour in (("a", (255, 0, 0)), ("b", (0, 255, 0)), ("c", (0, 0, 255))):
        Image.new("RGB", (10, 10), colour).save(tmp_path / f"{name}.png")
    rows = np.stack(list(open_source(f"folder:{tmp_path}?channels=1", 8)))
    assert np.abs(rows[:, 0, 0, 0] - 255 * np.array([0.299, 0.587, 0.114])).max() <= 1


def test_a_grey_set_is_another_set_and_is_named_by_what_makes_it(tmp_path: Path) -> None:
    uri = album(tmp_path / "photos")
    sets = [
        open_data(uri + query, 8, cache_dir=tmp_path / "cache") for query in ("", "?channels=1", "?limit=9&channels=1")
    ]
    assert len({data.content_hash for data in sets}) == 3
    assert [data.source for data in sets] == [uri, f"{uri}?channels=1", f"{uri}?channels=1&limit=9"]
    assert len(sets[2].train) + len(sets[2].held_out) == 9
    assert open_data(sets[2].source, 8, cache_dir=tmp_path / "cache").content_hash == sets[2].content_hash
    assert absolute_uri(f"{uri}?limit=9&channels=1") == f"{uri}?limit=9&channels=1"
    assert public_name(f"{uri}?channels=1") == "folder:photos?channels=1"


def test_grey_images_that_are_kept_as_colour_are_told_of(tmp_path: Path) -> None:
    uri = album(tmp_path / "photos")
    cache = tmp_path / "cache"
    assert open_data(uri, 8, cache_dir=cache).caveat() == (
        f"{uri}: the images look grey, but are kept as colour; for one channel give '{uri}?channels=1'"
    )
    packed = pack(open_source(uri, 8), tmp_path / "grey.arrow")
    assert "pack them again, with ?channels=1 behind their source" in str(packed.caveat())
    assert open_data(f"{uri}?channels=1", 8, cache_dir=cache).caveat() is None
    coloured = album(tmp_path / "coloured", coloured=5)
    assert open_data(coloured, 8, cache_dir=cache).caveat() is None
    assert open_data("curves?limit=20", cache_dir=cache).caveat() is None


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("folder:photos?channels=3", "channels: can only be 1"),
        ("faces?channels=1", "faces takes no channels"),
        ("packed:a.arrow?channels=1", "a packed set takes no channels; give it when packing"),
    ],
)
def test_channels_that_cannot_be_had(uri: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_data(uri, 16)
