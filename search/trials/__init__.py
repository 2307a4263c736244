"""Trials under Ray Tune: what hands them out, runs them, stops them and records them."""
