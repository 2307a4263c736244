"""What a part of your own is built from: the stable names for packages that extend gan-search.

See docs/extending.md. A part is one file that imports from here, and one entry point that names it.
"""

from gan.augmentations.base import Augmentation
from gan.data.dataset import Source
from gan.errors import InputError
from gan.evaluation.features import FeatureExtractor
from gan.networks.base import Family, kernel, kernels
from gan.networks.initialise import INITIALISATIONS, initialise
from gan.objectives.base import JudgedPair, Objective
from gan.penalties.base import Penalty
from gan.schedules.base import Schedule
from gan.settings import Choices, Range, parameter
from gan.tensors.images import to_pixels, to_unit

__all__ = [
    "INITIALISATIONS",
    "Augmentation",
    "Choices",
    "Family",
    "FeatureExtractor",
    "InputError",
    "JudgedPair",
    "Objective",
    "Penalty",
    "Range",
    "Schedule",
    "Source",
    "initialise",
    "kernel",
    "kernels",
    "parameter",
    "to_pixels",
    "to_unit",
]
