"""Pictures of a comparison: FID against kimg with bands, means with intervals, sample grids side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gan.metric import short_name
from gan.storage.storage import Storage
from search.report.data.contest import Band, ComparisonResult, RecipeResult
from search.report.data.report_data import grid_path
from search.report.plots.drawing import BAD, LIGHT, PALETTE, Plot, Theme, picture, plain, scale
from search.report.plots.grids import Grid, draw_sheet, read_grid
from search.report.text.formatting import kimg, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GRIDS_SHOWN = 12


@dataclass(frozen=True)
class _Subject:
    contest: ComparisonResult
    metric: str


def contest_plots(run: Storage, contest: ComparisonResult, metric: str, prefix: str = "compare") -> dict[str, Plot]:
    """Return file name → plot of a comparison; those without a single point are left out.

    The names are PREFIX_fid.png (FID against kimg, with bands), PREFIX_means.png (means with intervals) and
    PREFIX_grids.png (samples side by side).

    Args:
        run: the comparison's own folder, where its sample grids are.
        metric: what its distances are called in full.
    """
    plots = {}
    if any(standing.fid for standing in contest.standings):
        subject = _Subject(contest, metric)
        for name, plot in (("fid", _curves), ("means", _means)):
            plots[f"{prefix}_{name}.png"] = Plot(picture(plot, subject, LIGHT))
    grids = _grids(run, contest, metric)
    if grids:
        plots[f"{prefix}_grids.png"] = draw_sheet(grids, columns=min(4, math.ceil(math.sqrt(len(grids))) + 1))
    return plots


# ---- FID against kimg


def _curves(figure: Figure, subject: _Subject, theme: Theme) -> None:
    """Draw the mean over seeds and a band of one standard deviation: at each moment, and the best so far."""
    figure.set_size_inches(10.4, 4.4)
    left, right = figure.subplots(1, 2, sharey=True)
    # The best is drawn last, over the others.
    for standing, colour in reversed(_coloured(subject.contest)):
        _band(left, standing.fid, len(standing.seeds), colour)
        _band(right, standing.best_so_far, len(standing.seeds), colour)
    for axes, title in ((left, "at each evaluation"), (right, "best so far")):
        axes.set_title(title, fontsize=9.5, color=theme.ink)
        axes.set_xlabel("thousands of images shown (kimg)")
    scale(left, [band.mean for standing in subject.contest.standings for band in standing.fid])
    left.set_ylabel(f"{subject.metric}\nmean ± std over training seeds")
    _legend(figure, subject.contest, theme)


def _band(axes: Axes, bands: list[Band], trainings: int, colour: str) -> None:
    if not bands:
        return
    x, mean = [band.kimg for band in bands], [band.mean for band in bands]
    # A logarithmic scale has no place for what is not above zero.
    low = [max(band.mean - band.std, band.mean / 10) for band in bands]
    axes.fill_between(x, low, [band.mean + band.std for band in bands], color=colour, alpha=0.18, linewidth=0)
    axes.plot(x, mean, color=colour, linewidth=1.8, marker="o", markersize=3)
    # A mean of fewer trainings than there are is of those that were still alive.
    fewer = [(band.kimg, band.mean) for band in bands if band.count < trainings]
    if fewer:
        axes.plot(*zip(*fewer, strict=True), "x", color=BAD, markersize=6, markeredgewidth=1.6, zorder=4)


def _legend(figure: Figure, contest: ComparisonResult, theme: Theme) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, linewidth=2, label=plain(standing.name)) for standing, colour in _coloured(contest)
    ]
    if any(band.count < len(standing.seeds) for standing in contest.standings for band in standing.fid):
        label = "not all seeds (yet, or any more)"
        handles.append(Line2D([], [], color=BAD, marker="x", linestyle="", label=label))
    figure.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False, labelcolor=theme.ink)


# ---- means with intervals


def _means(figure: Figure, subject: _Subject, theme: Theme) -> None:
    """Draw each recipe's mean of best_fid with its 95% interval, and its trainings as points."""
    standings = [standing for standing in subject.contest.standings if standing.best_fid is not None]
    figure.set_size_inches(8.4, 1.3 + 0.42 * len(standings))
    axes = figure.add_subplot()
    colours = {standing.name: colour for standing, colour in _coloured(subject.contest)}
    for place, standing in enumerate(standings):
        _mean(axes, place, standing, colours[standing.name], theme)
    axes.set_yticks(range(len(standings)), [plain(standing.name) for standing in standings])
    axes.set_ylim(len(standings) - 0.5, -0.5)
    # A distance is never negative, whatever the interval of few seeds says.
    axes.set_xlim(left=max(0.0, axes.get_xlim()[0]))
    axes.set_xlabel(f"best {subject.metric}: trainings, mean and 95% interval over seeds")
    axes.grid(axis="y", visible=False)


def _mean(axes: Axes, place: int, standing: RecipeResult, colour: str, theme: Theme) -> None:
    best = standing.best_fid
    assert best is not None
    for seed in standing.seeds:
        if seed.best_fid is not None:
            mark, shade = ("x", BAD) if seed.state in ("diverged", "failed") else ("o", colour)
            axes.plot(seed.best_fid, place + 0.17, mark, color=shade, markersize=5, alpha=0.8)
    if best.low is not None and best.high is not None:
        axes.plot([best.low, best.high], [place - 0.12] * 2, color=colour, linewidth=2.2, solid_capstyle="butt")
    axes.plot(best.mean, place - 0.12, marker="D", markersize=6.5, color=colour, markeredgecolor=theme.ground)


# ---- grids side by side


def _grids(run: Storage, contest: ComparisonResult, metric: str) -> list[Grid]:
    """Return samples of each recipe: of the training in the middle of its seeds, at its best moment."""
    grids = []
    for standing in contest.standings[:GRIDS_SHOWN]:
        seed = standing.median_seed
        if seed is None or seed.best_kimg is None:
            continue
        caption = f"{short_name(metric)} {number(seed.best_fid)} at {kimg(seed.best_kimg)} kimg{_place(standing)}"
        grid = read_grid(run, grid_path(seed.trial, seed.best_kimg), standing.name, caption)
        if grid is not None:
            grids.append(grid)
    return grids


def _place(standing: RecipeResult) -> str:
    judged = sum(seed.best_fid is not None for seed in standing.seeds)
    return f", the {'' if judged % 2 else 'lower '}median of {judged} seeds" if judged > 1 else ", the only seed"


def _coloured(contest: ComparisonResult) -> list[tuple[RecipeResult, str]]:
    """Give each recipe a colour that does not change with its place."""
    names = sorted(standing.name for standing in contest.standings)
    return [(standing, PALETTE[names.index(standing.name) % len(PALETTE)]) for standing in contest.standings]
