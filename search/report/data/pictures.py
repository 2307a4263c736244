"""Sample grids of a run, read for the page and for plots."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

from PIL import Image

from gan.evaluation.assessment.lines import PICTURE
from gan.storage.storage import Storage
from search.report.data.report_data import Extended, ReportData, Row, grid_path
from search.run.bundles import trial_bundle
from search.run.run_folder import EVIDENCE, EXTENDED

LARGEST = 1088
"""Largest width of a picture on the page, in pixels: a page of large images must still load at once."""
GRIDS = 6

_LARGEST_GRID = 544
_KEPT_AS_IT_IS = 200_000


@dataclass(frozen=True)
class Picture:
    """An image as a data URI.

    Attributes:
        enlarge: whether it is smaller than its place, so that its pixels are shown as squares.
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
    winner, longer = data.winner, data.best_extended
    if longer is not None:
        return _grid_of_extended(run, longer, longer.best_kimg, longer.best_fid, LARGEST)
    if winner is None or winner.best_kimg is None:
        return None
    bundle = trial_bundle(run, winner.id, winner.best_kimg)
    paths = [f"{bundle}/samples.png"] if bundle else []
    for path in [*paths, grid_path(winner.id, winner.best_kimg)]:
        picture = load(run, path, LARGEST, winner.best_kimg, winner.best_fid)
        if picture is not None:
            return picture
    return None


def neighbours(run: Storage) -> Picture | None:
    """Return the winner's samples above their nearest training images, if `search.rescore` has looked for these."""
    return load(run, f"{EVIDENCE}/{PICTURE}", LARGEST)


def best_picture(run: Storage, data: ReportData, row: Row, kimg: float) -> Picture | None:
    """Return samples of a trial at the moment of its best FID within its first `kimg`."""
    points = data.curves[row.id].fid if row.id in data.curves else []
    within = [(fid, at) for at, fid in points if at <= kimg + 1e-6]
    if not within:
        return None
    fid, at = min(within)
    return load(run, grid_path(row.id, at), _LARGEST_GRID, at, fid)


def of_extended(run: Storage, data: ReportData, training: Extended) -> list[Picture]:
    """Return up to `GRIDS` sample grids of a trial that was trained on: where that began first, its best among them."""
    row = data.row(training.trial)
    before = None if row is None else best_picture(run, data, row, training.from_kimg)
    names = set(run.list(_extended_samples(training)))
    later = [point for point in training.fid if point[0] > training.from_kimg and _file(point[0]) in names]
    grids = (_grid_of_extended(run, training, kimg, fid, _LARGEST_GRID) for kimg, fid in _spread(later, GRIDS - 1))
    return [picture for picture in (before, *grids) if picture is not None]


def _grid_of_extended(run: Storage, training: Extended, kimg: float, fid: float, largest: int) -> Picture | None:
    return load(run, f"{_extended_samples(training)}/{_file(kimg)}", largest, kimg, fid)


def _extended_samples(training: Extended) -> str:
    """Return the path, in the sweep, of the sample grids of a trial that was trained on."""
    return f"{EXTENDED}/{training.trial}/trials/{training.trial}/samples"


def _file(kimg: float) -> str:
    return grid_path("", kimg).rpartition("/")[2]


def over_training(run: Storage, data: ReportData, row: Row) -> list[Picture]:
    """Return up to `GRIDS` sample grids of a trial, from its first to its last, its best among them."""
    moments = milestones(run, data, row)
    loaded = (load(run, grid_path(row.id, kimg), _LARGEST_GRID, kimg, fid) for kimg, fid in moments)
    return [picture for picture in loaded if picture is not None]


def milestones(run: Storage, data: ReportData, row: Row) -> list[tuple[float, float]]:
    """Return up to `GRIDS` moments (kimg, FID) of a trial of which there are sample grids, its best among them."""
    points = data.curves[row.id].fid if row.id in data.curves else []
    # Files may be missing: the choice is made among those that exist.
    names = set(run.list(f"trials/{row.id}/samples"))
    return _spread([point for point in points if _file(point[0]) in names])


def _spread(points: list[tuple[float, float]], most: int = GRIDS) -> list[tuple[float, float]]:
    """Choose points evenly, and put the best in place of its neighbour."""
    if len(points) <= most:
        return points
    chosen = [round(index * (len(points) - 1) / (most - 1)) for index in range(most)]
    best = min(range(len(points)), key=lambda index: points[index][1])
    if best not in chosen:
        nearest = min(range(1, most - 1), key=lambda place: abs(chosen[place] - best))
        chosen[nearest] = best
    return [points[index] for index in sorted(chosen)]


def load(run: Storage, path: str, largest: int, kimg: float | None = None, fid: float | None = None) -> Picture | None:
    """Return an image of the run, reduced if it is large; None if it is missing or damaged."""
    read = read_image(run, path)
    if read is None:
        return None
    (content, image), kind = read, "image/png"
    if image.width > largest or len(content) > _KEPT_AS_IT_IS:
        image.thumbnail((largest, largest), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, format="JPEG", quality=88)
        content, kind = buffer.getvalue(), "image/jpeg"
    return Picture(inline(content, kind), image.width, image.height, kimg, fid)


def read_image(run: Storage, path: str) -> tuple[bytes, Image.Image] | None:
    """Return a file of the run, and the image in it in RGB; None if it is missing or damaged."""
    try:
        content = run.read_bytes(path)
        with Image.open(io.BytesIO(content)) as image:
            return content, image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None  # Pillow's errors for a file that is cut short or no image.


def inline(content: bytes, kind: str = "image/png") -> str:
    """Return a data URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
