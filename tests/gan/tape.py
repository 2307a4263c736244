"""A stand-in for CUDA graphs on a CPU.

The tape is as blind as a graph: it repeats the operators that were called during the recording, on the same tensors,
and knows nothing of the Python code that called them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Looked(TorchDispatchMode):
    at_a_value = False

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.at_a_value |= operator is torch.ops.aten._local_scalar_dense.default
        return operator(*args, **(kwargs or {}))


class Tape(TorchDispatchMode):
    """A recorder of operators; it undoes what the recording itself has changed, as a graph's changes nothing."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._calls: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]] = []
        self._before: dict[int, tuple[Tensor, Tensor]] = {}
        self._made: dict[int, Tensor] = {}

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        assert operator is not torch.ops.aten._local_scalar_dense.default, "a recording cannot look at a value"
        for given in tree_leaves((args, kwargs)):
            if isinstance(given, Tensor) and id(given) not in self._made:
                self._before.setdefault(id(given), (given, given.detach().clone()))
        outputs = operator(*args, **kwargs)
        self._made |= {id(each): each for each in tree_leaves(outputs) if id(each) not in self._before}
        self._calls.append((operator, args, kwargs, outputs))
        return outputs

    def warm_up(self, function: Callable[[], Tensor]) -> tuple[Tensor, bool]:
        looked = Looked()
        with looked:
            result = function()
        return result, looked.at_a_value

    def record(self, function: Callable[[], Tensor]) -> Callable[[], Tensor]:
        random = torch.get_rng_state()
        with self:
            result = function()
        torch.set_rng_state(random)
        with torch.no_grad():
            for place, value in self._before.values():
                place.copy_(value)

        @torch.no_grad()
        def replay() -> Tensor:
            for operator, args, kwargs, outputs in self._calls:
                again = () if operator.is_view else tree_leaves(operator(*args, **kwargs))
                for place, value in zip(tree_leaves(outputs), again, strict=False):
                    if isinstance(place, Tensor) and place.data_ptr() != value.data_ptr():
                        place.copy_(value)
            return result.clone()

        return replay
