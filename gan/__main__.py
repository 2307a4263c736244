"""`python -m gan`: the commands of one generator, where Ray is not installed."""

import sys

from gan.commands.app import main

if __name__ == "__main__":
    sys.exit(main())
