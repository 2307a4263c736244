"""Pictures of how trainings went: FID against kimg, samples at milestones, beside real images, and of trials
that diverged. (Losses are in `plots`.)"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gan.plots.pictures import REAL
from gan.storage.storage import Storage
from search.report.data.pictures import milestones
from search.report.data.report_data import ReportData, Row, grid_path
from search.report.plots.drawing import (
    BAD,
    LIGHT,
    PALETTE,
    Plot,
    Theme,
    picture,
    place_legend,
    scale,
)
from search.report.plots.grids import Grid, draw_sheet, read_grid
from search.report.plots.plots import DIVERGED_SHOWN, loss_panels
from search.report.text.formatting import kimg, number, one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FID, MILESTONES = "fid_against_kimg.png", "milestones.png"
REAL_AND_FAKE, DIVERGED = "real_and_fake.png", "diverged.png"


def training_plots(run: Storage, data: ReportData) -> dict[str, Plot]:
    """Return file name → plot; those that there is nothing for are left out."""
    plots = {}
    if data.evaluations:
        plots[FID] = Plot(picture(_fid, data, LIGHT))
    for name, grids, columns in (
        (MILESTONES, _milestones(run, data), 3),
        (REAL_AND_FAKE, _real_and_fake(run, data), 2),
        (DIVERGED, _diverged(run, data), 2),
    ):
        if grids:
            plots[name] = draw_sheet(grids, columns)
    return plots


# ---- FID against kimg


def _fid(figure: Figure, data: ReportData, theme: Theme) -> None:
    """Draw what each evaluation measured, of the trials whose losses are shown; others faintly."""
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

    figure.set_size_inches(9.6, 4.8)
    axes = figure.add_subplot()
    shown = {row.id: (why, row) for why, row in loss_panels(data)}
    others = [curve.fid for trial, curve in data.curves.items() if trial not in shown and curve.fid]
    axes.add_collection(LineCollection(others, colors=theme.soft, alpha=0.25, linewidths=0.9))
    handles = []
    for index, (why, row) in enumerate(shown.values()):
        points = data.curves[row.id].fid
        if not points:
            continue
        look: dict[str, Any] = {"color": PALETTE[index % len(PALETTE)], "linewidth": 2.6 if why == "winner" else 1.5}
        look["linestyle"] = "--" if why == "published" else "-"
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, **look)
        if row.state in ("diverged", "failed"):
            axes.plot(*points[-1], "x", color=BAD, markersize=8, markeredgewidth=2, zorder=4)
        label = f"{row.id} {row.recipe}, {why}"
        handles.append(Line2D([], [], label=label, **look))
    if len(shown) < len(data.curves):
        handles.append(Line2D([], [], color=theme.soft, alpha=0.5, label="other trials"))
    scale(axes, [fid for curve in data.curves.values() for _, fid in curve.fid])
    axes.set_xlabel("thousands of images shown (kimg)")
    axes.set_ylabel(f"{data.metric} at each evaluation")
    place_legend(axes, handles, theme)


# ---- sample grids


def _milestones(run: Storage, data: ReportData) -> list[Grid]:
    """The winner's samples from its first evaluation to its last; the latents are the same in all."""
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
    real = read_grid(run, REAL, "real: images that are trained on")
    title = f"generated: {winner.recipe} {winner.id}"
    caption = f"{data.metric_short} {number(winner.best_fid)} at {kimg(winner.best_kimg)} kimg"
    fake = read_grid(run, grid_path(winner.id, winner.best_kimg), title, caption)
    return [real, fake] if real is not None and fake is not None else []


def _diverged(run: Storage, data: ReportData) -> list[Grid]:
    """What trials that diverged drew at their best, and what they had come to."""
    lost = [row for row in data.rows if row.state == "diverged"][-DIVERGED_SHOWN:]
    return [grid for row in lost for grid in _before_and_after(run, data, row)]


def _before_and_after(run: Storage, data: ReportData, row: Row) -> list[Grid]:
    name, last = f"{row.recipe} {row.id}", row.kimg or 0.0
    before = None
    if row.best_kimg is not None and row.best_kimg < last:
        caption = f"{data.metric_short} {number(row.best_fid)} at {kimg(row.best_kimg)} kimg"
        before = read_grid(run, grid_path(row.id, row.best_kimg), f"{name}: its best", caption)
    title = f"{name}: diverged at {kimg(last)} kimg"
    after = read_grid(run, grid_path(row.id, last), title, one_line(row.reason), bad=True)
    if after is None:
        return []
    return [before or Grid(None, f"{name}: not judged before"), after]
