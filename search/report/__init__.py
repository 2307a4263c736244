"""The report of a run: leaderboard, tables, plots and page."""
