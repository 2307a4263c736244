"""The commands that train, judge and sample one generator; `gan.commands.app` puts them together."""
