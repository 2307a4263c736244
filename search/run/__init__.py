"""A run on storage: its journal, folder, owner, and what is kept."""
