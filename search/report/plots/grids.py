"""Sample grids of a run laid out on one sheet, pixel by pixel: no plot would show small images as they are."""

from __future__ import annotations

import io
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gan.storage.storage import Storage
from search.report.plots.drawing import BAD, LIGHT, Plot, Theme

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

WIDTH = 360
"""Pixels of a sheet that a grid takes at the most, but for small images: these are enlarged to about that."""
CAPTION_LINES = 3

_GAP, _LINE, _LETTERS = 18, 19, 50


@dataclass(frozen=True)
class Grid:
    """A picture, with what is to be said of it above and below; None leaves its place empty."""

    image: Image | None
    title: str
    caption: str = ""
    bad: bool = False


def read_grid(run: Storage, path: str, title: str, caption: str = "", *, bad: bool = False) -> Grid | None:
    """Return a picture of the run; None if it is missing or damaged: one picture less is no error."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(run.read_bytes(path))) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return Grid(_fit(image), title, caption, bad)


def draw_sheet(grids: list[Grid], columns: int) -> Plot:
    """Lay grids out row by row, each with its title above and its caption below."""
    columns = min(columns, len(grids))
    return Plot(_sheet(grids, columns, LIGHT))


def _fit(image: Image) -> Image:
    """Bring a picture to about `WIDTH`: larger ones are reduced, small ones enlarged by whole numbers."""
    from PIL import Image as Images

    if image.width > WIDTH:
        image.thumbnail((WIDTH, 4 * WIDTH), Images.Resampling.LANCZOS)
        return image
    factor = max(1, WIDTH // image.width)
    return image.resize((image.width * factor, image.height * factor), Images.Resampling.NEAREST)


def _sheet(grids: list[Grid], columns: int, theme: Theme) -> bytes:
    from PIL import Image, ImageDraw

    width = max([grid.image.width for grid in grids if grid.image is not None], default=WIDTH)
    height = max([grid.image.height for grid in grids if grid.image is not None], default=WIDTH)
    captions = max(len(_wrapped(grid.caption)) for grid in grids)
    cell = (width + _GAP, height + _LINE * (1 + captions) + _GAP)
    lines = -(-len(grids) // columns)
    sheet = Image.new("RGB", (_GAP + columns * cell[0], _GAP + lines * cell[1]), theme.ground)
    draw = ImageDraw.Draw(sheet)
    for index, grid in enumerate(grids):
        left, top = _GAP + index % columns * cell[0], _GAP + index // columns * cell[1]
        _text(draw, (left, top), grid.title, BAD if grid.bad else theme.ink, width)
        if grid.image is not None:
            sheet.paste(grid.image, (left, top + _LINE))
        for number, line in enumerate(_wrapped(grid.caption)):
            place = (left, top + _LINE + height + 2 + _LINE * number)
            _text(draw, place, line, theme.soft, width)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()


def _wrapped(caption: str) -> list[str]:
    return textwrap.wrap(caption, _LETTERS)[:CAPTION_LINES]


def _text(draw: ImageDraw, place: tuple[int, int], text: str, colour: str, width: int) -> None:
    """Write one line, in smaller letters where it is too long for its place."""
    from PIL import ImageFont

    for size in (13, 12, 11, 10, 9):
        font = ImageFont.load_default(size)
        if draw.textlength(text, font=font) <= width:
            break
    draw.text(place, text, fill=colour, font=font)
