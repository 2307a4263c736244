"""Which precision is taken where nobody names one."""

from __future__ import annotations

import pytest
import torch

from gan import device
from gan.device import choose_precision
from gan.errors import InputError

CPU = torch.device("cpu")


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_is_taken_for_images_where_the_hardware_has_it(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_bf16", lambda where: native)
    assert choose_precision("auto", CPU) == ("bf16" if native else "fp32")
    assert choose_precision("auto", CPU, images=False) == "fp32"
    assert choose_precision("bf16", CPU, images=False) == "bf16"


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(InputError, match="choose one of"):
        choose_precision("fp8", CPU)
