"""How plots of a run are drawn: style, scales, legends."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

from gan.palette import COLOURS
from gan.palette import SERIES as _SERIES

_DOTS_PER_INCH = 110

GROUND, INK, SOFT, LINE, BAD = (COLOURS[name][0] for name in ("card", "ink", "soft", "line", "bad"))
SERIES = [light for light, _ in _SERIES]
"""Plots are on a light background; the page inverts them in dark mode."""


def colours_of(names: Iterable[str]) -> dict[str, str]:
    """Return name → colour. Recipes are given in the order of `ReportData.recipe_names`, as on the page."""
    return {name: SERIES[place % len(SERIES)] for place, name in enumerate(dict.fromkeys(names))}


def picture(draw: Callable[..., None], *subject: Any) -> bytes:
    """Return as PNG what `draw(figure, *subject)` draws."""
    # A plain figure, not pyplot's: it needs no display, and shares no state with a caller's plots.
    with matplotlib.rc_context(_style()):
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure, *subject)
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            # A name in a script that the font lacks is drawn as boxes; page and tables show it correctly.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
    return buffer.getvalue()


def _style() -> dict[Any, Any]:
    return {
        "font.size": 9.5,
        "figure.facecolor": GROUND,
        "axes.facecolor": GROUND,
        "axes.edgecolor": LINE,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": LINE,
        "text.color": INK,
        "legend.frameon": False,
        "legend.labelcolor": INK,
        **dict.fromkeys(("axes.labelcolor", "xtick.color", "ytick.color"), SOFT),
    }


def scale(axes: Axes, values: Iterable[float]) -> None:
    """Use a logarithmic scale if the largest value is at least three times the smallest."""
    positive = [value for value in values if value > 0]
    if not positive or max(positive) < 3 * min(positive):
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(FixedLocator(log_ticks(*axes.get_ylim())))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def log_ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Return round numbers for a logarithmic axis, with one near each end; as `logTicks` in scales.js."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for factors in (range(1, 10), (1, 2, 5), (1, 3), (1,)):
        values = [factor * 10.0**power for power in powers for factor in factors]
        ticks = [value for value in values if low <= value <= high]
        if len(ticks) <= most:
            break
    # Without these, an axis from 28 to 480 would begin at 50.
    near = math.log(high / low) / (2 * most)
    first, last = _two_digits(low, math.ceil), _two_digits(high, math.floor)
    before = [first] if first <= high and (not ticks or math.log(ticks[0] / first) > near) else []
    after = [last] if last > first and (not ticks or math.log(last / ticks[-1]) > near) else []
    return [*before, *ticks, *after]


def _two_digits(value: float, towards: Callable[[float], int]) -> float:
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return towards(value / unit) * unit


def place_legend(axes: Axes, handles: list[Any]) -> None:
    for handle in handles:
        handle.set_label(plain(str(handle.get_label())))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def plain(name: str) -> str:
    """Return a name that Matplotlib shows unchanged: no formula, not hidden, not too long."""
    shown = name if len(name) <= 24 else f"…{name[-23:]}"
    return shown.replace("$", r"\$").lstrip("_") or name
