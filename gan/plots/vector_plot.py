"""The counterpart of a sample grid for data that is not images: generated and real rows as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gan.tensors.images import encode_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES, _DPI = (10.0, 4.2), 100
_GENERATED, _REAL, _BOUNDS = "#1f6fb4", "#5a5a5a", "#e9e4d4"


def plot_vectors(generated: np.ndarray, real: np.ndarray, lines: int = 64) -> bytes:
    """Draw rows as lines over their index, and shade the range between the bounds of the real rows.

    Args:
        generated, real: float rows [n, F]. All of them determine the bounds and the share within them; the
            first `lines` are drawn.

    Returns:
        A PNG.
    """
    # Imported here, as trainings on images do not need it. pyplot is not used, because it keeps figures in
    # memory and may need a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    low, high = real.min(0), real.max(0)
    share = ((generated >= low) & (generated <= high)).all(1).mean()
    figure = Figure(_INCHES, dpi=_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    _draw(left, f"generated: {share:.0%} inside the bounds of the real", generated[:lines], low, high, _GENERATED)
    _draw(right, "real", real[:lines], low, high, _REAL)
    canvas.draw()
    return encode_png(np.asarray(canvas.buffer_rgba())[..., :3])


def _draw(axes: Axes, title: str, rows: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str) -> None:
    places = np.arange(rows.shape[1])
    axes.fill_between(places, low, high, color=_BOUNDS, linewidth=0)
    for edge in (low, high):
        axes.plot(places, edge, color="#8a7f5c", linewidth=1.2)
    axes.plot(places, rows.T, color=colour, linewidth=0.7, alpha=0.6)
    axes.set(title=title, xlabel="place in the row", xlim=(0, rows.shape[1] - 1), ylim=(-1.15, 1.15))
    axes.spines[["top", "right"]].set_visible(False)
