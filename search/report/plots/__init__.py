"""Pictures of a run, drawn by Matplotlib."""
