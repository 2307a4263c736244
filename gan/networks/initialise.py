"""How fresh weights are drawn."""

from __future__ import annotations

from torch import nn


def normal_002(network: nn.Module) -> None:
    """Draw kernels from N(0, 0.02), batch-norm scales from N(1, 0.02) (Radford et al. 2016, section 4).

    Biases start at zero.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
