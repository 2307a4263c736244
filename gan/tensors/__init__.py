"""Devices, pixels and latents: where data enters and leaves the networks."""
