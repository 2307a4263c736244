"""Scores for generators: features, their statistics, and the distance between them."""
