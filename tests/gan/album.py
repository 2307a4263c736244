"""CelebA in small: noise of the right geometry, as JPEGs in a folder or in a zip archive."""

from __future__ import annotations

import io
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = "img_align_celeba"


def pixels(number: int) -> np.ndarray:
    """An image that tells its number by its mean: uint8 [218, 178, 3]."""
    grain = np.random.default_rng(number).integers(0, 40, (218, 178, 3))
    return (grain + number * 2 % 200).astype(np.uint8)


def jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@lru_cache(maxsize=1000)
def encoded(number: int) -> bytes:
    return jpeg(pixels(number))


def write_folder(folder: Path, numbers: range) -> Path:
    """Write images as the archive unpacks: into FOLDER below a folder, which is returned."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / FOLDER / f"{number:06}.jpg").write_bytes(encoded(number))
    return folder


def write_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def official_zip(path: Path, numbers: range, compression: int = zipfile.ZIP_STORED) -> Path:
    """Write the archive as it is published: all images in one folder, which has an entry of its own."""
    members = {f"{FOLDER}/{number:06}.jpg": encoded(number) for number in numbers}
    return write_zip(path, {f"{FOLDER}/": b"", **members}, compression)


def partition(numbers: range, test: range) -> str:
    return "".join(f"{number:06}.jpg {2 if number in test else number % 2}\n" for number in numbers)
