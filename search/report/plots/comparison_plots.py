"""Plots of a comparison: FID against kimg with bands, means with intervals, sample grids side by side."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gan.storage.storage import Storage
from search.report.data.comparison import Band, ComparisonResult, RecipeResult
from search.report.data.report_data import ReportData, grid_path
from search.report.plots.drawing import BAD, GROUND, INK, colours_of, picture, plain, scale
from search.report.plots.sheets import Grid, draw_sheet, read_grid
from search.report.text.formatting import kimg, number
from search.run.record import LOST

GRIDS_SHOWN = 12


def comparison_plots(run: Storage, comparison: ComparisonResult, data: ReportData, prefix: str) -> dict[str, bytes]:
    """Return file name → PNG; plots without a single point are left out.

    The names are PREFIX_fid.png (FID against kimg, with bands), PREFIX_means.png (means with intervals) and
    PREFIX_grids.png (samples side by side).

    Args:
        run: the comparison's own folder, where its sample grids are.
        data: of the report that the plots are for.
    """
    plots = {}
    if any(recipe.fid for recipe in comparison.recipes):
        # Recipes that the sweep has too keep its colours; those of finalists alone have the next ones.
        colours = colours_of([*data.recipe_names, *sorted(recipe.name for recipe in comparison.recipes)])
        for name, draw in (("fid", _curves), ("means", _means)):
            plots[f"{prefix}_{name}.png"] = picture(draw, comparison.recipes, colours, data.metric)
    grids = _grids(run, comparison, data.metric_short)
    if grids:
        plots[f"{prefix}_grids.png"] = draw_sheet(grids, columns=min(4, math.ceil(math.sqrt(len(grids))) + 1))
    return plots


# ---- FID against kimg


def _curves(figure: Figure, recipes: list[RecipeResult], colours: dict[str, str], metric: str) -> None:
    """Draw the mean over seeds and a band of one standard deviation: at each evaluation, and of the best so far."""
    figure.set_size_inches(10.4, 4.4)
    left, right = figure.subplots(1, 2, sharey=True)
    # The best is drawn last, over the others.
    for recipe in reversed(recipes):
        _band(left, recipe.fid, len(recipe.seeds), colours[recipe.name])
        _band(right, recipe.best_so_far, len(recipe.seeds), colours[recipe.name])
    for axes, title in ((left, "at each evaluation"), (right, "best so far")):
        axes.set_title(title, fontsize=9.5, color=INK)
        axes.set_xlabel("thousands of images shown (kimg)")
    scale(left, [band.mean for recipe in recipes for band in recipe.fid])
    left.set_ylabel(f"{metric}\nmean ± std over training seeds")
    _legend(figure, recipes, colours)


def _band(axes: Axes, bands: list[Band], trainings: int, colour: str) -> None:
    if not bands:
        return
    x, mean = [band.kimg for band in bands], [band.mean for band in bands]
    # A logarithmic scale needs values above zero.
    low = [max(band.mean - band.std, band.mean / 10) for band in bands]
    axes.fill_between(x, low, [band.mean + band.std for band in bands], color=colour, alpha=0.18, linewidth=0)
    axes.plot(x, mean, color=colour, linewidth=1.8, marker="o", markersize=3)
    # Means of fewer trainings than there are: the others have ended, or are not there yet.
    fewer = [(band.kimg, band.mean) for band in bands if band.count < trainings]
    if fewer:
        axes.plot(*zip(*fewer, strict=True), "x", color=BAD, markersize=6, markeredgewidth=1.6, zorder=4)


def _legend(figure: Figure, recipes: list[RecipeResult], colours: dict[str, str]) -> None:
    handles = [Line2D([], [], color=colours[one.name], linewidth=2, label=plain(one.name)) for one in recipes]
    if any(band.count < len(recipe.seeds) for recipe in recipes for band in recipe.fid):
        label = "not all seeds (yet, or any more)"
        handles.append(Line2D([], [], color=BAD, marker="x", linestyle="", label=label))
    figure.legend(handles=handles, loc="outside upper center", ncols=4)


# ---- means with intervals


def _means(figure: Figure, recipes: list[RecipeResult], colours: dict[str, str], metric: str) -> None:
    """Draw each recipe's mean of best_fid with its 95% interval, and its trainings as points."""
    recipes = [recipe for recipe in recipes if recipe.best_fid is not None]
    figure.set_size_inches(8.4, 1.3 + 0.42 * len(recipes))
    axes = figure.add_subplot()
    for place, recipe in enumerate(recipes):
        _mean(axes, place, recipe, colours[recipe.name])
    axes.set_yticks(range(len(recipes)), [plain(recipe.name) for recipe in recipes])
    axes.set_ylim(len(recipes) - 0.5, -0.5)
    # A distance is never negative, even where the interval of few seeds is.
    axes.set_xlim(left=max(0.0, axes.get_xlim()[0]))
    axes.set_xlabel(f"best {metric}: trainings, mean and 95% interval over seeds")
    axes.grid(axis="y", visible=False)


def _mean(axes: Axes, place: int, recipe: RecipeResult, colour: str) -> None:
    best = recipe.best_fid
    assert best is not None
    for seed in recipe.seeds:
        if seed.best_fid is not None:
            mark, shade = ("x", BAD) if seed.state in LOST else ("o", colour)
            axes.plot(seed.best_fid, place + 0.17, mark, color=shade, markersize=5, alpha=0.8)
    if best.low is not None and best.high is not None:
        axes.plot([best.low, best.high], [place - 0.12] * 2, color=colour, linewidth=2.2, solid_capstyle="butt")
    axes.plot(best.mean, place - 0.12, marker="D", markersize=6.5, color=colour, markeredgecolor=GROUND)


# ---- grids side by side


def _grids(run: Storage, comparison: ComparisonResult, metric: str) -> list[Grid]:
    """Return samples of each recipe: of the training with the median FID, at its best evaluation."""
    grids = []
    for recipe in comparison.recipes[:GRIDS_SHOWN]:
        seed = recipe.median_seed
        if seed is None or seed.best_kimg is None:
            continue
        caption = f"{metric} {number(seed.best_fid)} at {kimg(seed.best_kimg)} kimg{_place(recipe)}"
        grids.append(read_grid(run, grid_path(seed.trial, seed.best_kimg), recipe.name, caption))
    return [grid for grid in grids if grid is not None]


def _place(recipe: RecipeResult) -> str:
    judged = sum(seed.best_fid is not None for seed in recipe.seeds)
    return f", the {'' if judged % 2 else 'lower '}median of {judged} seeds" if judged > 1 else ", the only seed"
