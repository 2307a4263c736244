"""What to try next and what to stop. No Ray, no storage."""
