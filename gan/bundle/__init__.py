"""The exported generator: written, loaded, sampled, described, converted."""
