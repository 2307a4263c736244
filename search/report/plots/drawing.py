"""How pictures of a run are drawn: colours, themes, scales. Matplotlib is imported only where something is drawn."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Subject = TypeVar("Subject")

_DOTS_PER_INCH = 110
PALETTE = ("#4477aa", "#ee7733", "#2f9e52", "#aa3377", "#ccbb44", "#66ccee", "#bb5566", "#777777")
"""Told apart with any colour vision, on light ground and on dark."""
BAD = "#dd4455"


@dataclass(frozen=True)
class Theme:
    """Colours of what is not data."""

    ground: str
    ink: str
    soft: str
    lines: str


LIGHT = Theme(ground="#ffffff", ink="#1f2430", soft="#667080", lines="#e4e7ec")


@dataclass(frozen=True)
class Plot:
    """One plot as PNG, on light ground; the page turns it dark by its style sheet."""

    light: bytes


def picture(plot: Callable[[Figure, Subject, Theme], None], subject: Subject, theme: Theme) -> bytes:
    """Return as PNG what `plot` draws of its subject, in a theme."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A figure of its own, not pyplot's: no display, and nothing shared with a caller's plots.
    with matplotlib.rc_context(_style(theme)):
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        plot(figure, subject, theme)
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            # A name in a script that the font lacks is drawn as boxes; the page and the tables have it right.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
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


def scale(axes: Axes, values: Iterable[float]) -> None:
    """Use a logarithmic scale where the values span more than an eye can follow on a linear one."""
    positive = [value for value in values if value > 0]
    if not positive or max(positive) < 3 * min(positive):
        return
    from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(FixedLocator(log_ticks(*axes.get_ylim())))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def log_ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Return round numbers for a logarithmic axis, one near each end among them; as `logTicks` in scales.js."""
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


def place_legend(axes: Axes, handles: list[Any], theme: Theme) -> None:
    for handle in handles:
        handle.set_label(plain(str(handle.get_label())))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, labelcolor=theme.ink)


def plain(name: str) -> str:
    """Return a name that matplotlib shows as it is: no formula, not hidden, and not endless."""
    shown = name if len(name) <= 24 else f"…{name[-23:]}"
    return shown.replace("$", r"\$").lstrip("_") or name
