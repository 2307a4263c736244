"""Data sets: where rows come from, packing them once, and batches on the device."""
