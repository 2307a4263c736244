"""Augmentations of what the discriminator sees: one file each, one line each here."""

from gan.augmentations.base import Augmentation
from gan.registry import Registry

AUGMENTATIONS = Registry("augmentation", "gan_search.augmentations", {}, optional=True)

__all__ = ["AUGMENTATIONS", "Augmentation"]
