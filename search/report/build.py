"""Write all of a run's report: tables, plots and page. Needs neither Ray nor PyTorch."""

from __future__ import annotations

from gan.storage.storage import Storage
from search.report.data.collect import collect
from search.report.data.report_data import ReportData
from search.report.page.page import write_page
from search.report.plots.comparison_plots import comparison_plots
from search.report.plots.plots import draw_plots
from search.report.plots.sheets import draw_sheets
from search.report.text.comparison_tables import write_tables
from search.report.text.leaderboard import write_leaderboard
from search.run.run_folder import FINALISTS


def build_report(run: Storage) -> ReportData:
    """Write a run's leaderboard, plots and page into its folder, as far as the run has come.

    Raises:
        InputError: this is no run, or one of a newer version.
        OSError: the folder cannot be written.
    """
    data = collect(run)
    write_leaderboard(run, data)
    plots = draw_plots(data) | draw_sheets(run, data)
    # Finalists are a run of their own; their tables are written there.
    for comparison, folder, prefix in (
        (data.comparison, run, "compare"),
        (data.finalists, run.child(FINALISTS), "finalists"),
    ):
        if comparison is not None:
            write_tables(folder, data, comparison)
            plots |= comparison_plots(folder, comparison, data, prefix)
    for name, png in plots.items():
        run.write_bytes(f"plots/{name}", png)
    write_page(run, data, plots)
    return data
