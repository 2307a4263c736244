"""Pictures of data and of one training."""
