"""Leaderboard, plots and page of a run, made from its journal; needs neither Ray nor PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.report.data.collect import collect
from search.report.data.report_data import ReportData
from search.run.run_folder import FINALISTS

if TYPE_CHECKING:
    from gan.storage.storage import Storage

__all__ = ["ReportData", "build_report", "collect"]


def build_report(run: Storage) -> ReportData:
    """Write a run's leaderboard, plots and page into its folder, as far as it has come.

    Raises:
        InputError: this is no run, or one of a newer version.
        OSError: the folder cannot be written.
    """
    from search.report.page.page import write_page
    from search.report.plots.contest_plots import contest_plots
    from search.report.plots.plots import draw_plots, write_plots
    from search.report.plots.training_plots import training_plots
    from search.report.text.contest_tables import write_tables
    from search.report.text.leaderboard import write_leaderboard

    data = collect(run)
    write_leaderboard(run, data)
    plots = draw_plots(data) | training_plots(run, data)
    for contest, prefix in ((data.contest, "compare"), (data.finalists, "finalists")):
        if contest is not None:
            # Finalists are a run of their own, with a report of its own when asked for; their tables are there.
            folder = run if contest is data.contest else run.child(FINALISTS)
            write_tables(folder, data, contest)
            plots |= contest_plots(folder, contest, data.metric, prefix)
    write_plots(run, plots)
    write_page(run, data, plots)
    return data
