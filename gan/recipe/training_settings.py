"""Training settings shared by all objectives and networks."""

from __future__ import annotations

from dataclasses import dataclass

from gan.settings import Choices, Range, parameter
from gan.tensors.latents import LATENTS

OPTIMIZERS = ("adam", "rmsprop", "sgd")
ADAM = ("optimizer_g=adam", "optimizer_d=adam")


@dataclass(frozen=True)
class Training:
    """The settings of a training that do not belong to a part."""

    batch: int = parameter(64, "real images in a batch", minimum=2, search=Choices((32, 64, 128)))
    latent_dim: int = parameter(100, "length of a latent vector", minimum=1)
    latent: str = parameter("gaussian", "distribution of latents", choices=LATENTS)
    optimizer_g: str = parameter("adam", "the generator's optimiser", choices=OPTIMIZERS)
    optimizer_d: str = parameter("adam", "the discriminator's optimiser", choices=OPTIMIZERS)
    lr_g: float = parameter(2e-4, "the generator's learning rate", above=0.0, search=Range(1e-5, 1e-2, log=True))
    lr_d: float = parameter(2e-4, "the discriminator's learning rate", above=0.0, search=Range(1e-5, 1e-2, log=True))
    beta1: float = parameter(
        0.5, "Adam's decay of the mean", minimum=0.0, maximum=0.9999, search=Range(0.0, 0.9), needs=ADAM
    )
    beta2: float = parameter(
        0.999,
        "Adam's decay of the square",
        minimum=0.0,
        maximum=0.99999,
        search=Choices((0.9, 0.99, 0.999)),
        needs=ADAM,
    )
    rho: float = parameter(
        0.99,
        "RMSprop's decay of the square",
        minimum=0.0,
        maximum=0.99999,
        search=Choices((0.9, 0.99)),
        needs=("optimizer_g=rmsprop", "optimizer_d=rmsprop"),
    )
    momentum: float = parameter(
        0.0,
        "SGD's momentum",
        minimum=0.0,
        maximum=0.9999,
        search=Range(0.0, 0.9),
        needs=("optimizer_g=sgd", "optimizer_d=sgd"),
    )
    epsilon: float = parameter(1e-8, "added to the root in Adam and RMSprop", above=0.0)
    ema_kimg: float = parameter(
        0.0,
        "half-life of the moving average of the generator's weights, in kimg; 0: none",
        minimum=0.0,
        search=Choices((0.0, 1.0, 5.0)),
    )
    d_batch: str = parameter(
        "separate",
        "real and fake images in one discriminator batch (joint) or two (separate)",
        choices=("separate", "joint"),
    )
    g_step_statistics: str = parameter(
        "batch",
        "batch-norm statistics of D in G's step; with running, D's dropout is off there too",
        choices=("batch", "running"),
    )
    flip: bool = parameter(False, "mirror half of the real images")
