"""A run as text and tables: terminal, JSON, CSV, Markdown."""
