"""Commands of `gan-search` that are too long for `search/cli.py`, and what several of them share."""
