"""The settings of one training, each declared once and with its source."""
