"""CelebA, aligned: 178×218 JPEGs in the layout of `img_align_celeba`, in a folder or in the original zip archive."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from gan.data.sources.decode import Crop, Decoder
from gan.data.sources.image_files import Files, FolderFiles, ImageFiles, ZipFiles
from gan.errors import InputError

FOLDER = "img_align_celeba"
GEOMETRY = (178, 218)
PARTITION = ("list_eval_partition.txt", "list_eval_partition.csv")
"""Lists of which images are for training (0), validation (1) and testing (2); the second name is Kaggle's."""
_TEST = "2"
_IMAGE = re.compile(r"(\d{1,9})\.jpe?g", re.IGNORECASE)
_LINE = re.compile(r"(\S+\.jpe?g)\s*[\s,]\s*([012])", re.IGNORECASE)
_MOST_LIST_BYTES = 64 << 20


@dataclass(frozen=True)
class _Album:
    """The images of one folder, on disk or in an archive.

    Attributes:
        files: reads the images.
        images: for each image its name, the item that `files` reads, and a stamp that changes with its content.
        partition: the name and the content of the list of partitions, if there is one.
    """

    files: Files
    images: Sequence[tuple[str, Any, str]]
    partition: tuple[str, str] | None


class Celeba(ImageFiles):
    """The aligned images of CelebA (Liu et al. 2015), in the order of their numbers.

    If the official `list_eval_partition.txt` is in the images' folder or beside it, its test part is held
    out and comes last. Otherwise 5% of the images are held out, as for any set.

    Args:
        path: a folder that holds the images or the folder `img_align_celeba`; or a zip archive with the
            images at its top or in one folder, which is read without unpacking.
        size: pixels a side.
        channels: 3 for colour, 1 for grey.
        crop: see `Folder`; "center-178" keeps the whole width, as "top-bottom-20" does.

    Raises:
        InputError: no such images, or a damaged archive or list. Iterating raises it also if more than 1% of
            the images cannot be read or are not 178×218 pixels.
    """

    def __init__(self, path: str, size: int, crop: str = "center-178", channels: int = 3) -> None:
        root = Path(path).expanduser().resolve()
        decoder = Decoder(size, Crop.parse(crop), GEOMETRY, channels)
        album = _zip_album(root) if root.is_file() else _folder_album(root)
        images = sorted(album.images, key=lambda image: _number(image[0]))
        _require_distinct(root, [name for name, _, _ in images])
        train, test = _divide(album, images)
        self._stamps = [stamp for _, _, stamp in train + test]
        items = [(name, item) for name, item, _ in train + test]
        super().__init__(f"celeba:{root}", album.files, items, decoder, crop)
        if train and test:
            self.held_out = range(len(train), len(items))

    def fingerprint(self) -> str:
        """Return a hash of the images' names and stamps, the held-out part, the size and the crop."""
        digest = hashlib.sha256(f"1 {self.shape} {self.crop} {self.held_out}\n".encode())
        for (name, _), stamp in zip(self._items, self._stamps, strict=True):
            digest.update(f"{name}\0{stamp}\n".encode())
        return digest.hexdigest()


def _number(name: str) -> int:
    match = _IMAGE.fullmatch(name)
    assert match is not None
    return int(match[1])


def _require_distinct(root: Path, names: Sequence[str]) -> None:
    if not names:
        raise InputError(f"celeba: no numbered JPEG (000001.jpg) in {root}, nor in a folder {FOLDER} there")
    number, count = Counter(map(_number, names)).most_common(1)[0]
    if count > 1:
        raise InputError(f"celeba: {root} holds image {number} {count} times: keep one")


def _folder_album(root: Path) -> _Album:
    """Find the images on disk: in `root`, or in a folder below it that unpacking the archive makes."""
    if not root.is_dir():
        raise InputError(f"celeba: {root} is neither a folder nor a zip archive")
    candidates = (root, root / FOLDER, root / "celeba" / FOLDER, root / FOLDER / FOLDER)
    try:
        for folder in filter(Path.is_dir, candidates):
            images = list(_scan(folder))
            if images:
                return _Album(FolderFiles(str(folder)), images, _partition_beside(folder))
    except OSError as error:
        raise InputError(f"celeba: {error.filename}: cannot be read: {error.strerror}") from error
    archive = next((path for path in (root, root / "celeba") if (path / f"{FOLDER}.zip").is_file()), None)
    hint = f"; to read the archive there, use celeba:{archive / FOLDER}.zip" if archive else ""
    raise InputError(f"celeba: no numbered JPEG (000001.jpg) in {root}, nor in a folder {FOLDER} there{hint}")


def _scan(folder: Path) -> Iterator[tuple[str, str, str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if _IMAGE.fullmatch(entry.name) and entry.is_file():
                stat = entry.stat()
                yield entry.name, entry.name, f"{stat.st_size} {stat.st_mtime_ns}"


def _partition_beside(folder: Path) -> tuple[str, str] | None:
    """Return the list of partitions in a folder of images or beside it, if there is one."""
    for path in (parent / name for parent in (folder, folder.parent) for name in PARTITION):
        if path.is_file():
            if path.stat().st_size > _MOST_LIST_BYTES:
                raise InputError(f"celeba: {path}: is too long for a list of partitions")
            return str(path), path.read_text(errors="replace")
    return None


def _zip_album(root: Path) -> _Album:
    """Find the images in a zip archive: at its top, or all in one folder."""
    archive = ZipFiles(str(root))
    images, folders, lists = [], set(), {}
    for member in archive.members():
        path = PurePosixPath(member.name)
        if _IMAGE.fullmatch(path.name):
            images.append((path.name, member, f"{member.size} {member.crc}"))
            folders.add(str(path.parent))
        elif path.name in PARTITION:
            lists[path.name] = member
    if len(folders) > 1:
        some = ", ".join(sorted(folders)[:3])
        raise InputError(f"celeba: {root} has images in {len(folders)} folders ({some}): they must be in one")
    return _Album(archive, images, _partition_within(archive, lists) or _partition_beside(root.parent))


def _partition_within(archive: ZipFiles, lists: dict[str, Any]) -> tuple[str, str] | None:
    for name in PARTITION:
        if name in lists:
            try:
                return f"{archive.path}: {name}", archive.read(lists[name]).decode(errors="replace")
            except (OSError, ValueError) as error:
                raise InputError(f"celeba: {archive.path}: {name}: cannot be read: {error}") from error
    return None


def _divide(album: _Album, images: list[tuple[str, Any, str]]) -> tuple[list[Any], list[Any]]:
    """Return the training images and the images that the partition holds out, each in order."""
    if album.partition is None:
        return images, []
    name, text = album.partition
    part = _read_partition(name, text)
    for image, _, _ in images:
        if _number(image) not in part:
            raise InputError(f"celeba: {name}: has no line for {image}: it belongs to other images, or is cut short")
    test = [image for image in images if part[_number(image[0])] == _TEST]
    return [image for image in images if part[_number(image[0])] != _TEST], test


def _read_partition(name: str, text: str) -> dict[int, str]:
    """Return image number → "0", "1" or "2", from lines such as "000001.jpg 0"."""
    part = {}
    for count, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line.strip())
        if match and _IMAGE.fullmatch(match[1]):
            part[_number(match[1])] = match[2]
        elif line.strip() and not (count == 1 and "," in line):  # Kaggle's list begins with column names.
            raise InputError(f"celeba: {name}: line {count} is not 'NUMBER.jpg 0', 1 or 2")
    return part
