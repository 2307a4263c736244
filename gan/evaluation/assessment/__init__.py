"""A generator judged closely: diversity, copying, distance at infinity."""
