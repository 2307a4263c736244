"""Rows packed once: Arrow sets, the cache of them, and the processes that make them."""
