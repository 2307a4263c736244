"""Plots and sheets of samples of a run, as PNG files."""
