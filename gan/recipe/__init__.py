"""The settings of one training: each is declared once and has a source."""
