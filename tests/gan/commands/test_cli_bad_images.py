"""Images and archives as people have them: what is skipped, what is taken, and what ends in one line."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from album import encoded, jpeg, pixels, write_folder, write_zip
from command_line import TINY, Cli
from PIL import Image

from gan.data.packed.opening import open_data

RED = (250, 10, 10)


def image(
    kind: str = "PNG", size: tuple[int, int] = (24, 24), mode: str = "RGB", colour: Any = RED, **how: Any
) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, kind, **how)
    return buffer.getvalue()


def claiming(width: int, height: int) -> bytes:
    """A PNG of a hundred bytes that claims a size, with pixels that would inflate to it."""
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(bytes(1000))]
    packed = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def animated(kind: str) -> bytes:
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (24, 24), colour) for colour in (RED, (10, 10, 250))]
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], lossless=True)
    return buffer.getvalue()


def deep() -> bytes:
    """A grey PNG of 16 bits."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((24, 24), 200 * 257, np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


BAD = {
    "zero.png": (b"", "is empty"),
    "corrupt.png": (image()[:60] + b"\xff" * 40 + image()[100:], ""),
    "truncated.jpg": (jpeg(pixels(1))[:900], "runcated"),
    "text.jpg": (b"<html>404 not found</html>", "cannot identify"),
    "tiny.png": (image(size=(1, 1)), "has 1×1 pixels, under 8 a side"),
    "bomb.png": (claiming(60_000, 60_000), "pixels"),
    "large.png": (claiming(9_460, 9_460), "has 9460×9460 pixels, over 89,000,000"),  # Pillow would only warn.
    "disguised.png": (image("BMP"), "cannot identify"),
}
GOOD = {
    "cmyk.jpg": (image("JPEG", mode="CMYK", colour=(0, 250, 250, 0)), (255, 5, 5)),
    "16-bit.png": (deep(), (200, 200, 200)),
    "palette.png": (image(mode="P", colour=0), (0, 0, 0)),
    "animated.png": (animated("PNG"), RED),
    "animated.webp": (animated("WEBP"), RED),
    "transparent.png": (image(mode="RGBA", colour=(0, 0, 0, 0)), (255, 255, 255)),
    "grey.jpg": (image("JPEG", mode="L", colour=90), (90, 90, 90)),
}


def fill(folder: Path, count: int) -> Path:
    """Put so many images into a folder that one more may be bad."""
    folder.mkdir()
    (folder / "first.png").write_bytes(image())
    for number in range(1, count):
        os.link(folder / "first.png", folder / f"{number:03}.png")
    return folder


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_among_good_ones_is_skipped_and_named(name: str, tmp_path: Path, cli: Cli) -> None:
    folder = fill(tmp_path / "photos", 110)
    content, why = BAD[name]
    (folder / name).write_bytes(content)
    done = cli("data", "pack", folder, tmp_path / "a.arrow", "--size", 16, "--json")
    assert done.status == 0, done.err
    assert (done.json["train"] + done.json["held_out"], done.json["skipped"]) == (110, 1)
    assert done.json["skipped_names"][0].startswith(f"{name}: ") and why in done.json["skipped_names"][0]
    assert done.err.startswith(f"gan-search: warning: 1 file could not be read: {name}: ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("name", BAD)
def test_bad_images_alone_are_bad_input(name: str, tmp_path: Path, cli: Cli, snapshot: Callable[[Path], Any]) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / name).write_bytes(BAD[name][0])
    before = snapshot(tmp_path)
    said = cli("data", "pack", tmp_path / "photos", tmp_path / "new" / "a.arrow", "--size", 16).bad_input()
    assert f"more than 1% of its 1 images cannot be read: {name}: " in said and BAD[name][1] in said
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", GOOD)
def test_images_of_all_kinds_are_taken_as_they_look(name: str, tmp_path: Path, cli: Cli) -> None:
    folder = fill(tmp_path / "photos", 1)
    content, colour = GOOD[name]
    (folder / "0" / name).parent.mkdir()
    (folder / "0" / name).write_bytes(content)
    done = cli("data", "pack", folder, tmp_path / "a.arrow", "--size", 16, "--json")
    assert (done.status, done.json["skipped"], done.err) == (0, 0, "")
    data = open_data(done.json["uri"])
    rows = np.concatenate([part.gather(np.arange(len(part))) for part in (data.train, data.held_out)])
    nearest = min(np.abs(row.astype(int) - colour).max() for row in rows)
    assert nearest <= 3


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"../000001.jpg": encoded(1)}, "leads out of it"),
        ({"/000001.jpg": encoded(1)}, "leads out of it"),
        ({"a/000001.jpg": encoded(1), "b/000002.jpg": encoded(2)}, "2 folders (a, b): they must be in one"),
        ({"photo.png": image()}, "no numbered JPEG"),
        ({}, "no numbered JPEG"),
        ({"000001.jpg": b""}, "000001.jpg: is empty"),
        ({"000001.jpg": jpeg(pixels(1)[:100])}, "178×100 pixels, not 178×218"),
    ],
)
def test_a_bad_archive_is_bad_input(
    members: dict[str, bytes], said: str, tmp_path: Path, cli: Cli, snapshot: Callable[[Path], Any]
) -> None:
    path = write_zip(tmp_path / "a.zip", members)
    before = snapshot(tmp_path)
    line = cli("data", "pack", f"celeba:{path}", tmp_path / "new" / "a.arrow", "--size", 16).bad_input()
    assert said in line and str(path) in line
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("celeba:text.zip", "cannot be read as a zip archive"),
        ("text.zip", "use celeba:text.zip"),
        ("celeba:empty", "no numbered JPEG"),
        ("celeba:none", "neither a folder nor a zip archive"),
        ("empty", "no image"),
        ("folder:empty", "no image"),
        ("album?limit=0", "limit: '0'"),
        ("celeba:album?limit=x", "limit: 'x'"),
        ("celeba:album --crop top-bottom-109", "too few to cut off 109 rows"),
        ("celeba:album --crop top", "crop: 'top' is not known"),
        ("celeba:album --processes 0", "--processes"),
    ],
)
def test_bad_sources_are_bad_input(
    source: str,
    said: str,
    tmp_path: Path,
    cli: Cli,
    snapshot: Callable[[Path], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("not an archive")
    write_folder(tmp_path / "album", range(1, 4))
    before = snapshot(tmp_path)
    uri, *options = source.split()
    assert said in cli("data", "pack", uri, "new/a.arrow", "--size", 16, *options).bad_input()
    assert snapshot(tmp_path) == before


def test_a_celeba_archive_by_the_command_line(tmp_path: Path, cli: Cli) -> None:
    members = {f"img_align_celeba/{number:06}.jpg": encoded(number) for number in range(1, 31)}
    path = write_zip(tmp_path / "img_align_celeba.zip", members)
    hashes = {}
    for crop in ("center-178", "top-bottom-20", "center-148"):
        packed = tmp_path / f"{crop}.arrow"
        told = cli("data", "pack", f"celeba:{path}?limit=20", packed, "--size", 16, "--crop", crop, "--json").json
        assert (told["train"], told["held_out"], told["crop"]) == (19, 1, crop)
        assert told["source"] == f"celeba:{path}?limit=20"
        assert cli("data", "info", packed, "--json").json == told
        hashes[crop] = told["content_hash"]
    assert hashes["center-178"] == hashes["top-bottom-20"] != hashes["center-148"]
    told = cli("data", "info", f"celeba:{path}?limit=20", "--size", 16, "--json").json
    assert told["content_hash"] == hashes["center-178"]


def test_few_images_are_told_of_and_written_into_the_identity(tmp_path: Path, bundle: Path, cli: Cli) -> None:
    told = cli("fid", bundle, "faces?limit=60", "--samples", 64, "--device", "cpu", "--json")
    assert told.status == 0
    assert "faces?limit=60 has 50 images: with fewer than 500 FID says little" in told.err
    assert told.json["evaluation"]["reference_samples"] == 50
    assert told.json["evaluation"]["data"] == "faces?limit=60"
    judged = cli("evaluate", bundle, "--data", "faces?limit=60", "--samples", 64, "--repeats", 1, "--json")
    assert "has 50 images" in judged.err
    assert judged.json["evaluation"]["reference_samples"] == 50
    other = cli("fid", bundle, "faces?limit=120", "--samples", 64, "--device", "cpu", "--json").json
    assert other["evaluation"]["data_hash"] != told.json["evaluation"]["data_hash"]


def test_a_training_on_a_subset_is_known_by_it(tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "run"
    common = [*TINY, "--size", 16, "--kimg", "0.2", "--out", out, "--json"]
    told = cli("train", *common, "--data", "faces?limit=60")
    assert told.status == 0, told.err
    said = cli("train", *common, "--data", "faces?limit=120").bad_input()
    assert "data" in said
