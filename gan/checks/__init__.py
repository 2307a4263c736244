"""Checks before work begins: of the machine, and of a training's inputs."""
