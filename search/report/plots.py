"""Pictures of a run's curves, as PNG. Matplotlib is imported only where something is drawn."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gan.storage import Storage
from search.report.data import ReportData, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOLDER = "plots"
DIVERGED_SHOWN = 3
PUBLISHED_SHOWN = 5

_DOTS_PER_INCH = 110
_PALETTE = ("#4477aa", "#ee7733", "#2f9e52", "#aa3377", "#ccbb44", "#66ccee", "#bb5566", "#777777")
"""Told apart with any colour vision, on light ground and on dark."""
_BAD = "#dd4455"


@dataclass(frozen=True)
class Theme:
    """Colours of what is not data."""

    ground: str
    ink: str
    soft: str
    lines: str


LIGHT = Theme(ground="#ffffff", ink="#1f2430", soft="#667080", lines="#e4e7ec")
DARK = Theme(ground="#1a1e27", ink="#e6e9ef", soft="#9aa4b2", lines="#2f3542")


@dataclass(frozen=True)
class Plot:
    """One plot as PNG, for light ground and for dark."""

    light: bytes
    dark: bytes


def write_plots(run: Storage, plots: dict[str, Plot]) -> None:
    """Write plots/*.png."""
    for name, plot in plots.items():
        run.write_bytes(f"{FOLDER}/{name}", plot.light)


def draw_plots(data: ReportData) -> dict[str, Plot]:
    """Return file name → plot; those without a single point are left out."""
    light, dark = draw(data, LIGHT), draw(data, DARK)
    return {name: Plot(light[name], dark[name]) for name in light}


def draw(data: ReportData, theme: Theme) -> dict[str, bytes]:
    """Return file name → PNG, in one theme."""
    drawn = {}
    if data.evaluations:
        drawn["fid.png"] = _picture(_fid, data, theme)
        drawn["best_over_time.png"] = _picture(_best_over_time, data, theme)
    if loss_panels(data):
        drawn["losses.png"] = _picture(_losses, data, theme)
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
    # The best are drawn last, over the others.
    for row in reversed(data.leaderboard):
        points = data.curves[row.id].best_fid if row.id in data.curves else []
        if points:
            _draw_trial(axes, row, points, colours[str(row.recipe)])
    _scale(axes, [point[1] for curve in data.curves.values() for point in curve.best_fid])
    axes.set_xlabel("thousands of images shown (kimg)")
    axes.set_ylabel(f"best {data.metric} so far")
    _legend(axes, data, colours, theme)


def _draw_trial(axes: Axes, row: Row, points: list[tuple[float, float]], colour: str) -> None:
    published, winner = row.source == "published", row.rank == 1
    strong = winner or published or row.state in ("finished", "running")
    x, y = zip(*points, strict=True)
    axes.plot(
        x,
        y,
        color=colour,
        alpha=1.0 if winner or published else 0.75 if strong else 0.5,
        linewidth=3.0 if winner else 1.6 if strong else 1.1,
        linestyle="--" if published else "-",
        # A trial that was stopped at the first rung is one point, and no line.
        marker="o",
        markersize=5 if winner else 2.5,
    )
    if row.state in ("diverged", "failed"):
        axes.plot(x[-1], y[-1], marker="x", color=_BAD, markersize=8, markeredgewidth=2, zorder=4)


def _legend(axes: Axes, data: ReportData, colours: dict[str, str], theme: Theme) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, linewidth=2, label=name) for name, colour in colours.items()]
    rows = [row for row in data.leaderboard if row.best_fid is not None]
    lost: dict[str, Any] = {"marker": "x", "linestyle": "", "color": _BAD, "markeredgewidth": 2}
    meanings: list[tuple[str, bool, dict[str, Any]]] = [
        ("winner", bool(rows), {"linewidth": 3.0}),
        ("published settings", any(row.source == "published" for row in rows), {"linestyle": "--"}),
        ("stopped early", any(row.state == "stopped" for row in rows), {"alpha": 0.5}),
        ("diverged or failed", any(row.state in ("diverged", "failed") for row in rows), lost),
    ]
    for label, there, look in meanings:
        if there:
            handles.append(Line2D([], [], label=label, **({"color": theme.soft} | look)))
    _place_legend(axes, handles, theme)


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
    _scale(axes, [evaluated.fid for evaluated in data.evaluations])
    axes.set_xlabel(f"time spent ({unit})")
    axes.set_ylabel(data.metric)
    _place_legend(axes, axes.get_legend_handles_labels()[0], theme)


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
    """Draw a panel a trial: losses of different objectives have no scale in common."""
    panels = loss_panels(data)
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure.set_size_inches(max(4.6, 3.2 * columns), 2.5 * lines + 0.5)
    for index, (why, row) in enumerate(panels):
        axes = figure.add_subplot(lines, columns, index + 1)
        _loss_panel(axes, data, row)
        _title(axes, why, row, theme)
        if index >= len(panels) - columns:
            axes.set_xlabel("kimg")
        if index % columns == 0:
            axes.set_ylabel("loss")
    handles = figure.axes[0].get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False, labelcolor=theme.ink)


def _loss_panel(axes: Axes, data: ReportData, row: Row) -> None:
    kimg, generator, discriminator = zip(*data.curves[row.id].losses, strict=True)
    dots: dict[str, Any] = {"marker": ".", "markersize": 3} if len(kimg) < 3 else {}
    axes.plot(kimg, generator, color=_PALETTE[0], linewidth=1.5, label="generator", **dots)
    axes.plot(kimg, discriminator, color=_PALETTE[1], linewidth=1.5, label="discriminator or critic", **dots)
    if max(abs(value) for value in (*generator, *discriminator)) > 100:
        # Exploding losses cross zero and span many powers of ten.
        axes.set_yscale("symlog", linthresh=1.0)
    if row.state == "diverged":
        axes.axvline(kimg[-1], color=_BAD, linewidth=1.2, linestyle=":")


def _title(axes: Axes, why: str, row: Row, theme: Theme) -> None:
    what = "winner, diverged later" if why == "winner" and row.state == "diverged" else why
    colour = _BAD if row.state == "diverged" else theme.ink
    axes.set_title(f"{_plain(str(row.recipe))} · {row.id} · {what}", fontsize=9, color=colour)


# ---- common to all


def _picture(plot: Callable[[Figure, ReportData, Theme], None], data: ReportData, theme: Theme) -> bytes:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A figure of its own, not pyplot's: no display, and nothing shared with a caller's plots.
    with matplotlib.rc_context(_style(theme)):
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        plot(figure, data, theme)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
    return buffer.getvalue()


def _style(theme: Theme) -> dict[Any, Any]:
    soft = ("axes.labelcolor", "xtick.color", "ytick.color")
    return {
        "font.size": 9.5,
        "figure.facecolor": theme.ground,
        "axes.facecolor": theme.ground,
        "axes.edgecolor": theme.lines,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": theme.lines,
        "text.color": theme.ink,
        **dict.fromkeys(soft, theme.soft),
    }


def _colours(data: ReportData) -> dict[str, str]:
    recipes = dict.fromkeys(str(row.recipe) for row in data.rows if row.recipe is not None)
    return {recipe: _PALETTE[index % len(_PALETTE)] for index, recipe in enumerate(recipes)}


def _scale(axes: Axes, values: Iterable[float]) -> None:
    """Use a logarithmic scale where the values span more than an eye can follow on a linear one."""
    positive = [value for value in values if value > 0]
    if not positive or max(positive) < 3 * min(positive):
        return
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _place_legend(axes: Axes, handles: list[Any], theme: Theme) -> None:
    for handle in handles:
        handle.set_label(_plain(str(handle.get_label())))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, labelcolor=theme.ink)


def _plain(name: str) -> str:
    """Return a name that matplotlib shows as it is: no formula, not hidden, and not endless."""
    shown = name if len(name) <= 24 else f"…{name[-23:]}"
    return shown.replace("$", r"\$").lstrip("_") or name


def _time_unit(seconds: float) -> tuple[str, float]:
    if seconds < 180:
        return "seconds", 1.0
    return ("minutes", 60.0) if seconds < 3 * 3600 else ("hours", 3600.0)
