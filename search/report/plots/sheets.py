"""Sheets of sample grids, copied pixel by pixel: a plot would blur small images.

The winner at milestones of its training and beside real images; trials that diverged, before and after.
"""

from __future__ import annotations

import io
import textwrap
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from gan.plots.pictures import REAL
from gan.storage.storage import Storage
from gan.terminal import one_line
from search.report.data.pictures import milestones, read_image
from search.report.data.report_data import DIVERGED_SHOWN, ReportData, Row, grid_path
from search.report.plots.drawing import BAD, GROUND, INK, SOFT
from search.report.text.formatting import kimg, number

WIDTH = 360
"""Width of a grid on a sheet, in pixels: larger grids are reduced to it, smaller ones enlarged to about it."""
CAPTION_LINES = 3

_GAP, _LINE, _LETTERS = 18, 19, 50


@dataclass(frozen=True)
class Grid:
    """A picture with a title above and a caption below; without an image, its place stays empty."""

    image: Image.Image | None
    title: str
    caption: str = ""
    bad: bool = False


def draw_sheets(run: Storage, data: ReportData) -> dict[str, bytes]:
    """Return file name → PNG; sheets without a picture are left out."""
    sheets = {
        "milestones.png": (_milestones(run, data), 3),
        "real_and_fake.png": (_real_and_fake(run, data), 2),
        "diverged.png": (_diverged(run, data), 2),
    }
    return {name: draw_sheet(grids, columns) for name, (grids, columns) in sheets.items() if grids}


def _milestones(run: Storage, data: ReportData) -> list[Grid]:
    """Return the winner's samples from its first evaluation to its last, all of the same latents."""
    winner = data.winner
    grids = []
    for at, fid in milestones(run, data, winner) if winner is not None else []:
        assert winner is not None
        best = " (its best)" if at == winner.best_kimg else ""
        title = f"{kimg(at)} kimg · {data.metric_short} {number(fid)}{best}"
        grids.append(read_grid(run, grid_path(winner.id, at), title))
    return [grid for grid in grids if grid is not None]


def _real_and_fake(run: Storage, data: ReportData) -> list[Grid]:
    winner = data.winner
    if winner is None or winner.best_kimg is None:
        return []
    real = read_grid(run, REAL, "real: training images")
    title = f"generated: {winner.recipe} {winner.id}"
    fake = read_grid(run, grid_path(winner.id, winner.best_kimg), title, _at_its_best(data, winner))
    return [real, fake] if real is not None and fake is not None else []


def _diverged(run: Storage, data: ReportData) -> list[Grid]:
    """Return the samples of diverged trials: at their best, and at their end."""
    grids: list[Grid] = []
    for row in [row for row in data.rows if row.state == "diverged"][-DIVERGED_SHOWN:]:
        name, last = f"{row.recipe} {row.id}", row.kimg or 0.0
        before = None
        if row.best_kimg is not None and row.best_kimg < last:
            before = read_grid(run, grid_path(row.id, row.best_kimg), f"{name}: its best", _at_its_best(data, row))
        title = f"{name}: diverged at {kimg(last)} kimg"
        after = read_grid(run, grid_path(row.id, last), title, one_line(row.reason or ""), bad=True)
        if after is not None:
            grids += [before or Grid(None, f"{name}: not evaluated before"), after]
    return grids


def _at_its_best(data: ReportData, row: Row) -> str:
    return f"{data.metric_short} {number(row.best_fid)} at {kimg(row.best_kimg)} kimg"


def read_grid(run: Storage, path: str, title: str, caption: str = "", *, bad: bool = False) -> Grid | None:
    """Return a picture of the run; None if it is missing or damaged."""
    read = read_image(run, path)
    return None if read is None else Grid(_fit(read[1]), title, caption, bad)


def _fit(image: Image.Image) -> Image.Image:
    """Bring a picture to about `WIDTH`: larger ones are reduced, small ones enlarged by whole numbers."""
    if image.width > WIDTH:
        image.thumbnail((WIDTH, 4 * WIDTH), Image.Resampling.LANCZOS)
        return image
    factor = max(1, WIDTH // image.width)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def draw_sheet(grids: list[Grid], columns: int) -> bytes:
    """Lay grids out row by row, each with its title above and its caption below; return a PNG."""
    columns = min(columns, len(grids))
    width = max([grid.image.width for grid in grids if grid.image is not None], default=WIDTH)
    height = max([grid.image.height for grid in grids if grid.image is not None], default=WIDTH)
    captions = max(len(_wrapped(grid.caption)) for grid in grids)
    cell = (width + _GAP, height + _LINE * (1 + captions) + _GAP)
    lines = -(-len(grids) // columns)
    sheet = Image.new("RGB", (_GAP + columns * cell[0], _GAP + lines * cell[1]), GROUND)
    draw = ImageDraw.Draw(sheet)
    for index, grid in enumerate(grids):
        left, top = _GAP + index % columns * cell[0], _GAP + index // columns * cell[1]
        _text(draw, (left, top), grid.title, BAD if grid.bad else INK, width)
        if grid.image is not None:
            sheet.paste(grid.image, (left, top + _LINE))
        for below, line in enumerate(_wrapped(grid.caption)):
            _text(draw, (left, top + _LINE + height + 2 + _LINE * below), line, SOFT, width)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()


def _wrapped(caption: str) -> list[str]:
    return textwrap.wrap(caption, _LETTERS)[:CAPTION_LINES]


def _text(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, colour: str, width: int) -> None:
    """Write one line, in smaller letters if it is too long for its place."""
    for size in (13, 12, 11, 10, 9):
        font = ImageFont.load_default(size)
        if draw.textlength(text, font=font) <= width:
            break
    draw.text(place, text, fill=colour, font=font)
