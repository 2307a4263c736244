"""Generators and discriminators: one file a family, one line each here."""

from gan.networks.base import Family
from gan.registry import Registry

FAMILIES = Registry(
    "network",
    "gan_search.networks",
    {
        "dcgan": "gan.networks.dcgan:DCGAN",
    },
)

__all__ = ["FAMILIES", "Family"]
