"""Which precision is taken where nobody names one, and what memory is free."""

from __future__ import annotations

import pytest
import torch

from gan.errors import InputError
from gan.tensors import device
from gan.tensors.device import choose_precision, free_memory

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


@pytest.mark.parametrize(
    ("used", "kept", "share", "free"),
    [
        (0, 0, 1.0, 70),
        # Another's 10 are not ours; what this process keeps of memory that it no longer uses is.
        (5, 20, 1.0, 65),
        (5, 20, 0.25, 15),
        (5, 5, 0.25, 15),
        (30, 30, 0.25, 0),
    ],
)
@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_free_is_what_this_process_may_still_take(
    name: str, used: int, kept: int, share: float, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(value: object) -> object:
        def tell(index: object) -> object:
            # Some of PyTorch's functions know no device without an index.
            assert index == 0 and isinstance(index, int)
            return value

        return tell

    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", told((70 - kept, 80)))
    monkeypatch.setattr(torch.cuda, "memory_allocated", told(used))
    monkeypatch.setattr(torch.cuda, "memory_reserved", told(kept))
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", told(share))
    assert free_memory(torch.device(name)) == free
