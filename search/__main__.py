"""`python -m search`: the same as `gan-search`."""

from search.cli import main

main()
