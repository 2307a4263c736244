"""Plots of a run's curves as PNG: FID against time and training, losses."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import StrMethodFormatter

from search.report.data.report_data import ReportData, Row
from search.report.plots.drawing import BAD, INK, SERIES, SOFT, colours_of, picture, place_legend, plain, scale
from search.run.record import LOST

_KIMG = "thousands of images shown (kimg)"


def draw_plots(data: ReportData) -> dict[str, bytes]:
    """Return file name → PNG; plots without a single point are left out."""
    plots = {}
    if data.evaluations:
        plots["best_over_time.png"] = picture(_best_over_time, data)
        plots["fid_against_kimg.png"] = picture(_fid, data)
    if data.loss_panels:
        plots["losses.png"] = picture(_losses, data)
    return plots


def _best_over_time(figure: Figure, data: ReportData) -> None:
    figure.set_size_inches(9.6, 4.4)
    axes = figure.add_subplot()
    end = data.evaluations[-1].seconds
    unit, per = _time_unit(end)
    recipes = {row.id: row.recipe for row in data.rows}
    for recipe, colour in colours_of(data.recipe_names).items():
        points = [(e.seconds / per, e.fid) for e in data.evaluations if recipes.get(e.trial) == recipe]
        if points:
            axes.plot(*zip(*points, strict=True), ".", color=colour, alpha=0.6, markersize=5, label=recipe)
    improved: list[tuple[float, float]] = []
    for evaluated in data.evaluations:
        if not improved or evaluated.fid < improved[-1][1]:
            improved.append((evaluated.seconds / per, evaluated.fid))
    stairs = [*improved, (end / per, improved[-1][1])]
    axes.step(*zip(*stairs, strict=True), where="post", color=INK, linewidth=2.2, label="best so far")
    scale(axes, [evaluated.fid for evaluated in data.evaluations])
    axes.set_xlabel(f"time spent ({unit})")
    axes.set_ylabel(data.metric)
    place_legend(axes, axes.get_legend_handles_labels()[0])


def _time_unit(seconds: float) -> tuple[str, float]:
    if seconds < 180:
        return "seconds", 1.0
    return ("minutes", 60.0) if seconds < 3 * 3600 else ("hours", 3600.0)


def _fid(figure: Figure, data: ReportData) -> None:
    """Draw the FID of each evaluation: in the recipe's colour for trials whose losses are shown, faintly for others."""
    figure.set_size_inches(9.6, 4.8)
    axes = figure.add_subplot()
    shown = {row.id: (why, row) for why, row in data.loss_panels}
    others = [curve.fid for trial, curve in data.curves.items() if trial not in shown and curve.fid]
    # As one collection: a thousand lines of their own would take seconds.
    axes.add_collection(LineCollection(others, colors=SOFT, alpha=0.25, linewidths=0.9))
    handles, colours = [], colours_of(data.recipe_names)
    for why, row in shown.values():
        points = data.curves[row.id].fid
        if not points:
            continue
        look: dict[str, Any] = {"color": colours[str(row.recipe)], "linewidth": 3.0 if why == "winner" else 1.5}
        look["linestyle"] = {"published": "--", "diverged": ":"}.get(why, "-")
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, **look)
        for longer in (training.fid for training in data.extended if training.trial == row.id):
            axes.plot(*zip(*longer, strict=True), **(look | {"linewidth": 1.0}))
        if row.state in LOST:
            axes.plot(*points[-1], "x", color=BAD, markersize=8, markeredgewidth=2, zorder=4)
        handles.append(Line2D([], [], label=f"{row.id} {row.recipe}, {why}", **look))
    if len(shown) < len(data.curves):
        handles.append(Line2D([], [], color=SOFT, alpha=0.5, label="other trials"))
    scale(axes, [fid for curve in data.curves.values() for _, fid in curve.fid])
    axes.set_xlabel(_KIMG)
    axes.set_ylabel(f"{data.metric} at each evaluation")
    place_legend(axes, handles)


def _losses(figure: Figure, data: ReportData) -> None:
    """Draw a panel for each trial, as losses of different objectives have no common scale."""
    panels = data.loss_panels
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure.set_size_inches(max(4.6, 3.2 * columns), 2.7 * lines + 0.5)
    for index, (why, row) in enumerate(panels):
        axes = figure.add_subplot(lines, columns, index + 1)
        _loss_panel(axes, data, row)
        _title(axes, why, row)
        if index % columns == 0:
            axes.set_ylabel("loss")
    figure.legend(handles=figure.axes[0].get_legend_handles_labels()[0], loc="outside upper center", ncols=2)


def _loss_panel(axes: Axes, data: ReportData, row: Row) -> None:
    """Draw both losses against iterations of the generator, with a second scale in kimg."""
    kimg, generator, discriminator = zip(*data.curves[row.id].losses, strict=True)
    each = (data.curves[row.id].images_per_iteration or 1000) / 1000
    iterations = [value / each for value in kimg]
    dots: dict[str, Any] = {"marker": ".", "markersize": 3} if len(iterations) < 3 else {}
    axes.plot(iterations, generator, color=SERIES[0], linewidth=1.5, label="generator", **dots)
    axes.plot(iterations, discriminator, color=SERIES[1], linewidth=1.5, label="discriminator or critic", **dots)
    if max(abs(value) for value in (*generator, *discriminator)) > 100:
        # Exploding losses cross zero and span many powers of ten, which take a second to set as formulas.
        axes.set_yscale("symlog", linthresh=1.0)
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    if row.state == "diverged":
        axes.axvline(iterations[-1], color=BAD, linewidth=1.2, linestyle=":")
    if data.curves[row.id].images_per_iteration is None:
        axes.set_xlabel("kimg")
    else:
        axes.set_xlabel("iterations (above: kimg)", fontsize=8)
        scales = (lambda iterations: iterations * each, lambda kimg: kimg / each)
        axes.secondary_xaxis("top", functions=scales).tick_params(labelsize=7)


def _title(axes: Axes, why: str, row: Row) -> None:
    cut_short = {("winner", "diverged"): ", diverged later", ("published", "stopped"): ", stopped"}
    reason = why + cut_short.get((why, row.state), "")
    colour = BAD if row.state == "diverged" else INK
    axes.set_title(f"{plain(str(row.recipe))} · {row.id} · {reason}", fontsize=9, color=colour)
