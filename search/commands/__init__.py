"""Commands of `gan-search` that are too long for `search/commands/app.py`, and what several of them share."""
