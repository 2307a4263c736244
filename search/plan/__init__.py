"""What is asked for, checked before the first trial."""
