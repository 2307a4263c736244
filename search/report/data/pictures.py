"""Sample grids of a run, made ready to be inlined in the page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

from gan.storage.storage import Storage
from search.report.data.report_data import ReportData, Row, grid_path
from search.run.retention import trial_bundle

LARGEST = 1088
"""Pixels that an inlined picture is wide at most: a page of large images must still load at once."""
GRIDS = 6

_LARGEST_GRID = 544
_KEPT_AS_IT_IS = 200_000


@dataclass(frozen=True)
class Picture:
    """An image as a data URI.

    Attributes:
        enlarge: whether its pixels are to be shown as squares: it is smaller than its place.
        kimg, fid: of the moment that it shows.
    """

    uri: str
    width: int
    height: int
    kimg: float | None = None
    fid: float | None = None

    @property
    def enlarge(self) -> bool:
        return self.width < 400


def winner_picture(run: Storage, data: ReportData) -> Picture | None:
    """Return samples of the best generator: its bundle's, else its trial's from that moment."""
    winner = data.winner
    if winner is None or winner.best_kimg is None:
        return None
    bundle = trial_bundle(run, winner.id, winner.best_kimg)
    paths = [f"{bundle}/samples.png"] if bundle else []
    for path in [*paths, grid_path(winner.id, winner.best_kimg)]:
        picture = load(run, path, LARGEST, winner.best_kimg, winner.best_fid)
        if picture is not None:
            return picture
    return None


def best_picture(run: Storage, row: Row) -> Picture | None:
    """Return samples of a trial at the moment of its best FID."""
    if row.best_kimg is None:
        return None
    return load(run, grid_path(row.id, row.best_kimg), _LARGEST_GRID, row.best_kimg, row.best_fid)


def over_training(run: Storage, data: ReportData, row: Row) -> list[Picture]:
    """Return up to `GRIDS` sample grids of a trial, from its first to its last, its best among them."""
    moments = milestones(run, data, row)
    loaded = (load(run, grid_path(row.id, kimg), _LARGEST_GRID, kimg, fid) for kimg, fid in moments)
    return [picture for picture in loaded if picture is not None]


def milestones(run: Storage, data: ReportData, row: Row) -> list[tuple[float, float]]:
    """Return up to `GRIDS` moments (kimg, FID) of a trial of which there are sample grids, its best among them."""
    points = data.curves[row.id].fid if row.id in data.curves else []
    # Files may be missing, so what is there decides before the choice is made.
    names = set(run.list(f"trials/{row.id}/samples"))
    return _spread([point for point in points if grid_path(row.id, point[0]).rpartition("/")[2] in names])


def _spread(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Choose points evenly, and put the best in place of its neighbour."""
    if len(points) <= GRIDS:
        return points
    chosen = [round(index * (len(points) - 1) / (GRIDS - 1)) for index in range(GRIDS)]
    best = min(range(len(points)), key=lambda index: points[index][1])
    if best not in chosen:
        nearest = min(range(1, GRIDS - 1), key=lambda place: abs(chosen[place] - best))
        chosen[nearest] = best
    return [points[index] for index in sorted(chosen)]


def load(run: Storage, path: str, largest: int, kimg: float | None = None, fid: float | None = None) -> Picture | None:
    """Return an image of the run, made smaller if need be; None if it is missing or damaged."""
    from PIL import Image

    try:
        content = run.read_bytes(path)
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            if image.width > largest or len(content) > _KEPT_AS_IT_IS:
                content, size = _smaller(image, largest)
                return Picture(inline(content, "image/jpeg"), *size, kimg, fid)
            return Picture(inline(content, "image/png"), image.width, image.height, kimg, fid)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        # Pillow's ways of saying that a file is cut short or no image; one picture less is no error.
        return None


def _smaller(image: object, largest: int) -> tuple[bytes, tuple[int, int]]:
    from PIL import Image

    assert isinstance(image, Image.Image)
    small = image.convert("RGB")
    small.thumbnail((largest, largest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=88)
    return buffer.getvalue(), small.size


def inline(content: bytes, kind: str = "image/png") -> str:
    """Return a data URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
