"""The data of a report, read from a run's journal."""
