"""Which settings to try next, and which trials to stop. It uses neither Ray nor storage."""
