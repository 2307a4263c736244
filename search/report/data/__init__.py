"""What there is to say of a run, read from its journal."""
