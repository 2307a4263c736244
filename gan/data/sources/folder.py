"""Folders of images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from gan.data.sources.decode import Crop, Decoder
from gan.data.sources.image_files import FolderFiles, ImageFiles
from gan.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class Folder(ImageFiles):
    """All JPEG, PNG and WebP files below a folder, in the order of their relative paths.

    Hidden files and folders are left out. Files that cannot be read are skipped and listed.

    Args:
        path: the folder.
        size: pixels a side.
        crop: "center" takes the largest square in the middle; "center-N" takes one of N pixels a side;
            "top-bottom-N" first cuts off N rows at the top and at the bottom.
        channels: 3 for colour, 1 for grey.

    Raises:
        InputError: no such folder, no image in it, or an unknown crop. Iterating raises it also if more than
            1% of the files cannot be read.
    """

    def __init__(self, path: str, size: int, crop: str = "center", channels: int = 3) -> None:
        self._root = Path(path).expanduser().resolve()
        decoder = Decoder(size, Crop.parse(crop), channels=channels)
        if not self._root.is_dir():
            raise InputError(f"folder: {self._root} is not a folder")
        try:
            self._files_found = sorted(_files(self._root))
        except OSError as error:
            raise InputError(f"folder: {error.filename}: cannot be read: {error.strerror}") from error
        if not self._files_found:
            raise InputError(f"folder: no image ({', '.join(SUFFIXES)}) in {self._root}")
        items = [(name, name) for name, _, _ in self._files_found]
        super().__init__(f"folder:{self._root}", FolderFiles(str(self._root)), items, decoder, crop)

    def fingerprint(self) -> str:
        """Return a hash of the files' relative paths, sizes and times, the image size and the crop."""
        digest = hashlib.sha256(f"1 {self.shape} {self.crop}\n".encode())
        for name, size, modified in self._files_found:
            digest.update(f"{name}\0{size}\0{modified}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()


def _files(root: Path) -> Iterator[tuple[str, int, int]]:
    """Yield the relative path, bytes and modification time (ns) of every image below a folder, in any order."""
    folders = [""]
    seen = set()
    while folders:
        folder = folders.pop()
        real = os.path.realpath(root / folder)
        if real in seen:
            continue  # A link to a parent folder would never end.
        seen.add(real)
        with os.scandir(root / folder) as entries:
            for entry in entries:
                name = f"{folder}{entry.name}"
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(f"{name}/")
                elif entry.name.lower().endswith(SUFFIXES) and entry.is_file():
                    stat = entry.stat()
                    yield name, stat.st_size, stat.st_mtime_ns
