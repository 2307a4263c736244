"""Plots of one training: losses and distance; for data that is not images, generated and real rows as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gan.palette import COLOURS, SERIES
from gan.tensors.images import encode_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES, _DPI = (10.0, 4.2), 100
_COLOURS = {"g_loss": SERIES[0][0], "d_loss": SERIES[1][0], "fid": SERIES[2][0], "best_fid": COLOURS["edge"][0]}
_GENERATED, _REAL, _BOUNDS = "#1f6fb4", "#5a5a5a", "#e9e4d4"


def plot_training(reports: list[dict[str, Any]], metric: str) -> bytes:
    """Draw a training's reports, with a line where it diverged.

    Args:
        reports: as `gan.training.run.Report.metrics` gives them, in order; missing values are left out.
        metric: name of the distance.

    Returns:
        A PNG.
    """
    picture = _Pair()
    losses, distance = picture.axes
    _plot(losses, reports, {"d_loss": ("discriminator", ".-"), "g_loss": ("generator", ".-")}, "loss, mean of a report")
    _plot(distance, reports, {"fid": ("at each report", ".-"), "best_fid": ("best so far", "--")}, metric)
    return picture.png()


def _plot(axes: Axes, reports: list[dict[str, Any]], lines: dict[str, tuple[str, str]], label: str) -> None:
    for name, (title, style) in lines.items():
        points = [(report["kimg"], report[name]) for report in reports if report.get(name) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), style, color=_COLOURS[name], label=title)
    if reports[-1].get("diverged"):
        axes.axvline(reports[-1]["kimg"], color=COLOURS["bad"][0], linestyle=":", label="diverged")
    axes.set(xlabel="thousands of images shown (kimg)", ylabel=label)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.lines:
        axes.legend(frameon=False)


def plot_vectors(generated: np.ndarray, real: np.ndarray, lines: int = 64) -> bytes:
    """Draw rows as lines over their index, and shade the range between the bounds of the real rows.

    Args:
        generated, real: float rows [n, F]. All of them determine the bounds and the share within them; the
            first `lines` are drawn.

    Returns:
        A PNG.
    """
    low, high = real.min(0), real.max(0)
    share = ((generated >= low) & (generated <= high)).all(1).mean()
    picture = _Pair(share_axes=True)
    left, right = picture.axes
    _lines(left, f"generated: {share:.0%} inside the bounds of the real", generated[:lines], low, high, _GENERATED)
    _lines(right, "real", real[:lines], low, high, _REAL)
    return picture.png()


def _lines(axes: Axes, title: str, rows: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str) -> None:
    places = np.arange(rows.shape[1])
    axes.fill_between(places, low, high, color=_BOUNDS, linewidth=0)
    for edge in (low, high):
        axes.plot(places, edge, color="#8a7f5c", linewidth=1.2)
    axes.plot(places, rows.T, color=colour, linewidth=0.7, alpha=0.6)
    axes.set(title=title, xlabel="place in the row", xlim=(0, rows.shape[1] - 1), ylim=(-1.15, 1.15))
    axes.spines[["top", "right"]].set_visible(False)


class _Pair:
    """A figure of two plots side by side."""

    def __init__(self, share_axes: bool = False) -> None:
        # Imported here, as trainings on images do not need it. pyplot is not used, because it keeps figures in
        # memory and may need a display.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(_INCHES, dpi=_DPI, layout="constrained")
        self._canvas = FigureCanvasAgg(figure)
        self.axes: tuple[Axes, Axes] = figure.subplots(1, 2, sharex=share_axes, sharey=share_axes)

    def png(self) -> bytes:
        self._canvas.draw()
        return encode_png(np.asarray(self._canvas.buffer_rgba())[..., :3])
