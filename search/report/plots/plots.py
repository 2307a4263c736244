"""Pictures of a run's curves, as PNG. Matplotlib is imported only where something is drawn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gan.storage.storage import Storage
from search.report.data.report_data import ReportData, Row
from search.report.plots.drawing import (
    BAD,
    LIGHT,
    PALETTE,
    Plot,
    Theme,
    picture,
    place_legend,
    plain,
    scale,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LIGHT", "Plot", "draw", "draw_plots", "loss_panels", "write_plots"]

FOLDER = "plots"
DIVERGED_SHOWN = 3
PUBLISHED_SHOWN = 5


def write_plots(run: Storage, plots: dict[str, Plot]) -> None:
    """Write plots/*.png."""
    for name, plot in plots.items():
        run.write_bytes(f"{FOLDER}/{name}", plot.light)


def draw_plots(data: ReportData) -> dict[str, Plot]:
    """Return file name → plot; those without a single point are left out."""
    return {name: Plot(content) for name, content in draw(data, LIGHT).items()}


def draw(data: ReportData, theme: Theme) -> dict[str, bytes]:
    """Return file name → PNG, in one theme."""
    drawn = {}
    if data.evaluations:
        drawn["fid.png"] = picture(_fid, data, theme)
        drawn["best_over_time.png"] = picture(_best_over_time, data, theme)
    if loss_panels(data):
        drawn["losses.png"] = picture(_losses, data, theme)
    return drawn


def loss_panels(data: ReportData) -> list[tuple[str, Row]]:
    """Return the trials whose losses are shown, with why: the winner, published ones, diverged ones."""
    rows = [row for row in data.rows if row.id in data.curves and data.curves[row.id].losses]
    published = [row for row in rows if row.source == "published"][:PUBLISHED_SHOWN]
    diverged = [row for row in rows if row.state == "diverged"][-DIVERGED_SHOWN:]
    chosen: dict[str, tuple[str, Row]] = {}
    for why, group in (
        ("winner", [row for row in rows if row.rank == 1]),
        ("published", published),
        ("diverged", diverged),
    ):
        for row in group:
            chosen.setdefault(row.id, (why, row))
    return list(chosen.values())


# ---- one function a plot


def _fid(figure: Figure, data: ReportData, theme: Theme) -> None:
    figure.set_size_inches(9.6, 4.8)
    axes = figure.add_subplot()
    colours = _colours(data)
    lines: dict[tuple[Any, ...], list[list[tuple[float, float]]]] = {}
    # The best are drawn last, over the others.
    for row in reversed(data.leaderboard):
        points = data.curves[row.id].best_fid if row.id in data.curves else []
        if points:
            lines.setdefault(_look(row, colours[str(row.recipe)]), []).append(points)
            if row.state in ("diverged", "failed"):
                axes.plot(*points[-1], marker="x", color=BAD, markersize=8, markeredgewidth=2, zorder=4)
    for look, group in lines.items():
        _draw_trials(axes, look, group)
    scale(axes, [point[1] for curve in data.curves.values() for point in curve.best_fid])
    axes.set_xlabel("thousands of images shown (kimg)")
    axes.set_ylabel(f"best {data.metric} so far")
    _legend(axes, data, colours, theme)


def _look(row: Row, colour: str) -> tuple[Any, ...]:
    """Return how a trial is drawn: colour, opacity, line's width and style, size of its points."""
    published, winner = row.source == "published", row.rank == 1
    strong = winner or published or row.state in ("finished", "running")
    opacity = 1.0 if winner or published else 0.75 if strong else 0.5
    width = 3.0 if winner else 1.6 if strong else 1.1
    return colour, opacity, width, "--" if published else "-", 5.0 if winner else 2.5


def _draw_trials(axes: Axes, look: tuple[Any, ...], group: list[list[tuple[float, float]]]) -> None:
    """Draw trials that look alike as one: a thousand lines of their own would take seconds."""
    from matplotlib.collections import LineCollection

    colour, opacity, width, style, size = look
    lines = LineCollection(group, colors=colour, alpha=opacity, linewidths=width, linestyles=style, zorder=2)
    axes.add_collection(lines)
    # A trial that was stopped at the first rung is one point, and no line.
    x, y = zip(*(point for points in group for point in points), strict=True)
    axes.plot(x, y, linestyle="", marker="o", markersize=size, color=colour, alpha=opacity)


def _legend(axes: Axes, data: ReportData, colours: dict[str, str], theme: Theme) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, linewidth=2, label=name) for name, colour in colours.items()]
    rows = [row for row in data.leaderboard if row.best_fid is not None]
    lost: dict[str, Any] = {"marker": "x", "linestyle": "", "color": BAD, "markeredgewidth": 2}
    meanings: list[tuple[str, bool, dict[str, Any]]] = [
        ("winner", bool(rows), {"linewidth": 3.0}),
        ("published settings", any(row.source == "published" for row in rows), {"linestyle": "--"}),
        ("stopped early", any(row.state == "stopped" for row in rows), {"alpha": 0.5}),
        ("diverged or failed", any(row.state in ("diverged", "failed") for row in rows), lost),
    ]
    for label, there, look in meanings:
        if there:
            handles.append(Line2D([], [], label=label, **({"color": theme.soft} | look)))
    place_legend(axes, handles, theme)


def _best_over_time(figure: Figure, data: ReportData, theme: Theme) -> None:
    figure.set_size_inches(9.6, 4.4)
    axes = figure.add_subplot()
    unit, per = _time_unit(data.evaluations[-1].seconds)
    colours = _colours(data)
    recipes = {row.id: str(row.recipe) for row in data.rows}
    for recipe, colour in colours.items():
        points = [(e.seconds / per, e.fid) for e in data.evaluations if recipes.get(e.trial) == recipe]
        if points:
            axes.plot(*zip(*points, strict=True), ".", color=colour, alpha=0.6, markersize=5, label=recipe)
    times, fids = _best_so_far(data)
    end = data.evaluations[-1].seconds
    stairs = ([t / per for t in (*times, end)], [*fids, fids[-1]])
    axes.step(*stairs, where="post", color=theme.ink, linewidth=2.2, label="best so far")
    scale(axes, [evaluated.fid for evaluated in data.evaluations])
    axes.set_xlabel(f"time spent ({unit})")
    axes.set_ylabel(data.metric)
    place_legend(axes, axes.get_legend_handles_labels()[0], theme)


def _best_so_far(data: ReportData) -> tuple[list[float], list[float]]:
    """Return when the sweep's best improved, in seconds, and to what."""
    times: list[float] = []
    fids: list[float] = []
    for evaluated in data.evaluations:
        if not fids or evaluated.fid < fids[-1]:
            times.append(evaluated.seconds)
            fids.append(evaluated.fid)
    return times, fids


def _losses(figure: Figure, data: ReportData, theme: Theme) -> None:
    """Draw a panel a trial, against iterations and kimg: losses of different objectives have no scale in common."""
    panels = loss_panels(data)
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure.set_size_inches(max(4.6, 3.2 * columns), 2.7 * lines + 0.5)
    for index, (why, row) in enumerate(panels):
        axes = figure.add_subplot(lines, columns, index + 1)
        _loss_panel(axes, data, row)
        _title(axes, why, row, theme)
        if index % columns == 0:
            axes.set_ylabel("loss")
    handles = figure.axes[0].get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False, labelcolor=theme.ink)


def _loss_panel(axes: Axes, data: ReportData, row: Row) -> None:
    kimg, generator, discriminator = zip(*data.curves[row.id].losses, strict=True)
    each = (data.curves[row.id].images_per_iteration or 1000) / 1000
    at = [value / each for value in kimg]
    dots: dict[str, Any] = {"marker": ".", "markersize": 3} if len(at) < 3 else {}
    axes.plot(at, generator, color=PALETTE[0], linewidth=1.5, label="generator", **dots)
    axes.plot(at, discriminator, color=PALETTE[1], linewidth=1.5, label="discriminator or critic", **dots)
    if max(abs(value) for value in (*generator, *discriminator)) > 100:
        from matplotlib.ticker import StrMethodFormatter

        # Exploding losses cross zero and span many powers of ten, which take a second to set as formulas.
        axes.set_yscale("symlog", linthresh=1.0)
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    if row.state == "diverged":
        axes.axvline(at[-1], color=BAD, linewidth=1.2, linestyle=":")
    if data.curves[row.id].images_per_iteration is None:
        axes.set_xlabel("kimg")
    else:
        axes.set_xlabel("iterations (above: kimg)", fontsize=8)
        _kimg_above(axes, each)


def _kimg_above(axes: Axes, each: float) -> None:
    """Add a second scale, an iteration of the generator being `each` kimg."""

    def to_kimg(iterations: Any) -> Any:
        return iterations * each

    def to_iterations(kimg: Any) -> Any:
        return kimg / each

    axes.secondary_xaxis("top", functions=(to_kimg, to_iterations)).tick_params(labelsize=7)


def _title(axes: Axes, why: str, row: Row, theme: Theme) -> None:
    what = "winner, diverged later" if why == "winner" and row.state == "diverged" else why
    colour = BAD if row.state == "diverged" else theme.ink
    axes.set_title(f"{plain(str(row.recipe))} · {row.id} · {what}", fontsize=9, color=colour)


# ---- common to all


def _colours(data: ReportData) -> dict[str, str]:
    recipes = dict.fromkeys(str(row.recipe) for row in data.rows if row.recipe is not None)
    return {recipe: PALETTE[index % len(PALETTE)] for index, recipe in enumerate(recipes)}


def _time_unit(seconds: float) -> tuple[str, float]:
    if seconds < 180:
        return "seconds", 1.0
    return ("minutes", 60.0) if seconds < 3 * 3600 else ("hours", 3600.0)
