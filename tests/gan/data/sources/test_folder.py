"""Folders of images: order, modes, orientation, cropping, and files that cannot be read."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from gan.data.packed.opening import open_data
from gan.data.sources.decode import Decoder
from gan.data.sources.folder import Folder
from gan.data.sources.image_files import DecodeFiles, decode_in_threads
from gan.data.sources.opening import open_source
from gan.errors import InputError


def save(path: Path, colour: object = (200, 30, 60), size: tuple[int, int] = (40, 30), **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(str(options.pop("mode", "RGB")), size, colour).save(path, **options)  # type: ignore[arg-type]
    return path


def rows(folder: Path, size: int = 8, crop: str = "center") -> np.ndarray:
    return np.stack(list(Folder(str(folder), size, crop)))


def test_files_of_all_kinds_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for value, name in enumerate(["a/z.PNG", "b.webp", "c/d/e.jpeg", "f.jpg"]):
        save(tmp_path / name, (value * 60,) * 3, quality=100)
    save(tmp_path / ".hidden.png")
    save(tmp_path / ".thumbnails" / "x.png")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert np.abs(rows(tmp_path).mean((1, 2, 3)) - [0, 60, 120, 180]).max() <= 1


def test_the_default_is_the_largest_square_in_the_middle(tmp_path: Path) -> None:
    image = np.zeros((20, 60, 3), np.uint8)
    image[:, 20:40] = 255
    Image.fromarray(image).save(tmp_path / "a.png")
    assert (rows(tmp_path) == 255).all()


def test_a_crop_lets_nothing_in_from_outside(tmp_path: Path) -> None:
    image = np.full((101, 121, 3), (0, 0, 255), np.uint8)
    image[33:67, 43:77] = (255, 0, 0)
    Image.fromarray(image).save(tmp_path / "a.png")
    assert (rows(tmp_path, 8, "center-34") == (255, 0, 0)).all()
    assert (rows(tmp_path, 8, "center-50") != (255, 0, 0)).any()


def test_rows_are_cut_off_at_either_end_before_the_square_is_taken(tmp_path: Path) -> None:
    image = np.full((100, 60, 3), (0, 0, 255), np.uint8)
    image[20:80] = (255, 0, 0)
    Image.fromarray(image).save(tmp_path / "a.png")
    assert (rows(tmp_path, 8, "top-bottom-20") == (255, 0, 0)).all()
    assert (rows(tmp_path, 8, "top-bottom-30") == (255, 0, 0)).all()  # 40 rows and columns remain
    assert (rows(tmp_path, 8, "top-bottom-25") == rows(tmp_path, 8, "center-50")).all()
    save(tmp_path / "a.png", size=(40, 30))
    save(tmp_path / "b.png", size=(50, 100))
    with pytest.raises(InputError, match=r"a\.png: has 40×30 pixels, too few to cut off 15 rows at either end"):
        rows(tmp_path, 8, "top-bottom-15")


def test_the_rows_cut_off_are_those_of_the_upright_image(tmp_path: Path) -> None:
    pixels = np.full((60, 100, 3), (0, 0, 255), np.uint8)
    pixels[:, 20:80] = (255, 0, 0)  # Lies on its side: left and right are top and bottom.
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert (rows(tmp_path, 8, "top-bottom-20") == (255, 0, 0)).all()


def test_resizing_is_antialiased(tmp_path: Path) -> None:
    checks = np.indices((64, 64)).sum(0) % 2 * 255
    Image.fromarray(checks.astype(np.uint8)).save(tmp_path / "a.png")
    assert np.abs(rows(tmp_path).astype(int) - 127).max() <= 2


@pytest.mark.parametrize("size", [(1000, 750), (999, 751), (751, 1001), (802, 401)])
def test_a_reduced_jpeg_shows_the_same_as_a_full_png(tmp_path: Path, size: tuple[int, int]) -> None:
    x, y = np.meshgrid(np.linspace(0, 6, size[0]), np.linspace(0, 6, size[1]))
    image = Image.fromarray((127 + 120 * np.sin(x) * np.cos(y)).astype(np.uint8)).convert("RGB")
    for crop in ("center", "center-301"):
        image.save(tmp_path / "a.jpg", quality=98)
        image.save(tmp_path / "b.png")
        jpeg, png = rows(tmp_path, 16, crop).astype(int)
        assert np.abs(jpeg - png).max() <= 4


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    pixels = np.zeros((320, 240, 3), np.uint8)
    pixels[:160, :120], pixels[160:, :120] = (255, 0, 0), (0, 0, 255)
    image, exif = Image.fromarray(pixels), Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / f"a.{suffix}", exif=exif, quality=100)
    with Image.open(tmp_path / f"a.{suffix}") as saved:
        upright = ImageOps.exif_transpose(saved)
    quarters = ((2, 2), (2, 6), (6, 2), (6, 6))
    for (y, x), pixel in zip(quarters, (rows(tmp_path)[0][at] for at in quarters), strict=True):
        wanted = upright.getpixel((int(x / 8 * upright.width), int(y / 8 * upright.height)))
        assert np.abs(np.subtract(pixel, wanted, dtype=int)).max() <= 25


def test_the_usual_side_is_that_of_upright_images_without_the_smallest(tmp_path: Path) -> None:
    for number in range(6):
        save(tmp_path / f"{number}.png", size=(100, 80))
    save(tmp_path / "small.png", size=(30, 40))
    (tmp_path / "damaged.png").write_bytes(b"x")
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "lying.jpg", size=(100, 80), exif=exif)
    assert Folder(str(tmp_path), 8).usual_side == 80
    assert open_source(f"folder:{tmp_path}?limit=8", 8).usual_side == 80  # type: ignore[attr-defined]
    assert Folder(str(tmp_path), 8, "top-bottom-10").usual_side == 60


@pytest.mark.parametrize(
    ("name", "mode", "colour", "expected"),
    [
        ("a.png", "L", 90, (90, 90, 90)),
        ("a.png", "1", 1, (255, 255, 255)),
        ("a.png", "P", 0, (0, 0, 0)),
        ("a.png", "I;16", 65535, (255, 255, 255)),
        ("a.png", "I;16", 128 * 257, (128, 128, 128)),
        ("a.png", "RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("a.webp", "RGBA", (0, 0, 0, 0), (255, 255, 255)),
        ("a.png", "LA", (0, 51), (204, 204, 204)),
        ("a.jpg", "CMYK", (0, 255, 255, 0), (255, 0, 0)),
    ],
)
def test_modes_become_rgb(tmp_path: Path, name: str, mode: str, colour: object, expected: tuple[int, int, int]) -> None:
    save(tmp_path / name, colour, mode=mode)
    assert np.abs(rows(tmp_path)[0].astype(int) - expected).max() <= 2


def test_a_palette_with_a_transparent_colour_lies_over_white(tmp_path: Path) -> None:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([0, 0, 0, 200, 0, 0])
    image.save(tmp_path / "a.png", transparency=1)
    assert (rows(tmp_path) == 255).all()


def test_unreadable_files_are_skipped_and_listed(tmp_path: Path) -> None:
    for number in range(200):
        save(tmp_path / f"{number:03}.png")
    (tmp_path / "050.png").write_bytes(b"")
    whole = save(tmp_path / "060.jpg", size=(300, 300)).read_bytes()
    (tmp_path / "060.jpg").write_bytes(whole[: len(whole) // 2])
    dataset = open_data(f"folder:{tmp_path}", 8, cache_dir=tmp_path / "cache")
    assert len(dataset.train) + len(dataset.held_out) == 199
    assert dataset.skipped == 2
    assert [name.split(":")[0] for name in dataset.skipped_names] == ["050.png", "060.jpg"]


def test_too_many_unreadable_files_are_an_error_that_lists_them(tmp_path: Path) -> None:
    for number in range(20):
        save(tmp_path / f"{number:03}.png")
    (tmp_path / "007.png").write_text("no image")
    with pytest.raises(InputError, match=r"more than 1% of its 20 images cannot be read: 007\.png: cannot"):
        open_data(f"folder:{tmp_path}", 8, cache_dir=tmp_path / "cache")
    assert list(tmp_path.rglob("*.arrow*")) == []


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixel."""
    file = b"\x89PNG\r\n\x1a\n"
    for chunk in (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT"):
        file += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return file


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_500, 60_000])
def test_decompression_bombs_are_refused(side: int) -> None:
    with pytest.raises((ValueError, Image.DecompressionBombError), match=r"pixels"):
        Decoder(8)(png_header(side, side))


def test_files_too_long_to_be_images_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan.data.sources.image_files.MOST_BYTES", 10_000)
    save(tmp_path / "a.png")
    with (tmp_path / "b.png").open("wb") as file:
        file.truncate(10_001)
    with pytest.raises(InputError, match=r"b\.png: has over 10,000 bytes"):
        rows(tmp_path)


@pytest.mark.parametrize("size", [(1, 1), (7, 500), (500, 7)])
def test_images_too_small_to_learn_from_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    save(tmp_path / "a.png", size=size)
    with pytest.raises(InputError, match=rf"has {size[0]}×{size[1]} pixels, under 8 a side"):
        rows(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_of_an_animation_the_first_picture_counts(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], lossless=True)
    assert np.abs(rows(tmp_path)[0].astype(int) - (255, 0, 0)).max() <= 1


def test_other_formats_in_disguise_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.bmp").rename(tmp_path / "a.png")
    with pytest.raises(InputError, match="cannot be read"):
        rows(tmp_path)


@pytest.mark.parametrize(
    ("uri", "size", "crop", "message"),
    [
        ("folder:{}/none", 8, None, "is not a folder"),
        ("folder:{}/empty", 8, None, "no image"),
        ("folder:{}", 8, "centre", "crop: 'centre' is not known"),
        ("folder:{}", 8, "center-0", "crop: 'center-0' is not known"),
        ("folder:{}", 8, "center-31", "too few to crop 31"),
        ("folder:{}", 8, "top-bottom", "crop: 'top-bottom' is not known"),
        ("folder:{}", 8, "top-bottom-0", "crop: 'top-bottom-0' is not known"),
        ("folder:{}", 8, "top-bottom-15", "too few to cut off 15 rows"),
        ("folder:{}", None, None, "folder needs a size"),
        ("folder:{}", 3, None, "size: 3 is out of range"),
        ("folder:", 8, None, "folder needs a path: use folder:PATH"),
        ("folder", 8, None, "folder needs a path: use folder:PATH"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, uri: str, size: int | None, crop: str | None, message: str) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message) as error:
        open_data(uri.format(tmp_path), size, crop=crop, cache_dir=tmp_path / "cache")
    assert "\n" not in str(error.value)


def test_the_fingerprint_follows_content_size_and_crop(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    first = Folder(str(tmp_path), 8).fingerprint()
    assert Folder(str(tmp_path), 8).fingerprint() == first
    assert Folder(str(tmp_path), 16).fingerprint() != first
    assert Folder(str(tmp_path), 8, "center-20").fingerprint() != first
    save(tmp_path / "b.png")
    assert Folder(str(tmp_path), 8).fingerprint() != first


@pytest.mark.parametrize("cores", [1, 7])
def test_the_number_of_threads_changes_nothing(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Numbers:
        def read(self, item: int) -> bytes:
            if item == 13:
                raise OSError("bad\nfile")
            return bytes([item])

    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    items = [(f"{number}.png", number) for number in range(100)]
    files = DecodeFiles(Numbers(), items, lambda data: np.array([data[0]]))  # type: ignore[arg-type]
    rows = list(decode_in_threads(files))
    assert rows.pop(13) == "13.png: bad"
    assert np.concatenate(rows).tolist() == [number for number in range(100) if number != 13]
