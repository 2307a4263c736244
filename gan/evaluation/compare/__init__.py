"""The distance between any two: folders, sets, bundles, saved statistics."""
