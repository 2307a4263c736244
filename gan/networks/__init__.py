"""Generators and discriminators: one file for each family, and one line here."""

from gan.networks.base import Family
from gan.registry import Registry

FAMILIES = Registry(
    "network",
    "gan_search.networks",
    {
        "dcgan": "gan.networks.dcgan:DCGAN",
        "transposed": "gan.networks.transposed:Transposed",
        "upsampling": "gan.networks.upsampling:Upsampling",
        "fully-connected": "gan.networks.fully_connected:FullyConnected",
    },
)

__all__ = ["FAMILIES", "Family"]
