"""The commands that train, judge and sample one generator; `gan.cli` puts them together."""
