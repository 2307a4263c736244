"""`python -m search`: the same as `gan-search`."""

from search.commands.app import main

main()
