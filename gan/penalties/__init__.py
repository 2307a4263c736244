"""Penalties on the discriminator that go with any objective: one file each, one line each here."""

from gan.penalties.base import Penalty
from gan.registry import Registry

PENALTIES = Registry("penalty", "gan_search.penalties", {}, optional=True)

__all__ = ["PENALTIES", "Penalty"]
