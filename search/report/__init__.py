"""Leaderboard, plots and page of a run, made from its journal; needs neither Ray nor PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.report.data import ReportData, collect

if TYPE_CHECKING:
    from gan.storage import Storage

__all__ = ["ReportData", "build_report", "collect"]


def build_report(run: Storage) -> ReportData:
    """Write a run's leaderboard, plots and page into its folder, as far as it has come.

    Raises:
        InputError: this is no run, or one of a newer version.
        OSError: the folder cannot be written.
    """
    from search.report.leaderboard import write_leaderboard
    from search.report.page import write_page
    from search.report.plots import draw_plots, write_plots

    data = collect(run)
    write_leaderboard(run, data)
    plots = draw_plots(data)
    write_plots(run, plots)
    write_page(run, data, plots)
    return data
