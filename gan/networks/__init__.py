"""Generators and discriminators: one file a family, one line each here."""

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
