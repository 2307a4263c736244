"""Plot of one training: both losses, and the distance, against the images shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gan.palette import COLOURS, SERIES
from gan.tensors.images import encode_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES, _DPI = (10.0, 4.2), 100
_COLOURS = {"g_loss": SERIES[0][0], "d_loss": SERIES[1][0], "fid": SERIES[2][0], "best_fid": COLOURS["edge"][0]}


def plot_training(reports: list[dict[str, Any]], metric: str) -> bytes:
    """Draw a training's reports, with a line where it diverged.

    Args:
        reports: as `gan.training.run.Report.metrics` gives them, in order; missing values are left out.
        metric: name of the distance.

    Returns:
        A PNG.
    """
    # Imported here, and not pyplot: see `gan.plots.vector_plot`.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(_INCHES, dpi=_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    losses, distance = figure.subplots(1, 2)
    _draw(losses, reports, {"d_loss": ("discriminator", ".-"), "g_loss": ("generator", ".-")}, "loss, mean of a report")
    _draw(distance, reports, {"fid": ("at each report", ".-"), "best_fid": ("best so far", "--")}, metric)
    canvas.draw()
    return encode_png(np.asarray(canvas.buffer_rgba())[..., :3])


def _draw(axes: Axes, reports: list[dict[str, Any]], lines: dict[str, tuple[str, str]], label: str) -> None:
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
