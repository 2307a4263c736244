"""The losses of generator and discriminator: one file for each objective, and one line here."""

from gan.objectives.base import JudgedPair, Objective
from gan.registry import Registry

OBJECTIVES = Registry(
    "objective",
    "gan_search.objectives",
    {
        "non-saturating": "gan.objectives.non_saturating:NonSaturating",
        "minimax": "gan.objectives.minimax:Minimax",
        "l2": "gan.objectives.l2:L2",
        "wgan": "gan.objectives.wgan:WGAN",
        "wgan-gp": "gan.objectives.wgan_gp:WGANGP",
    },
)

__all__ = ["OBJECTIVES", "JudgedPair", "Objective"]
