"""One training: the loop, its state, what it writes, and when it is lost."""
