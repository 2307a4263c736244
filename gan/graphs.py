"""CUDA graphs: what is the same at every call is recorded once, and replayed without the host's part in it.

A small network's training cycle is some hundreds of kernels, each of which takes the GPU less time than the host
needs to launch it. A graph launches them all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WARM_UP = 3
"""Calls before the recording: optimisers make their moments, libraries choose algorithms, neither of which records."""

Recorder = Callable[[Callable[[], Tensor]], Callable[[], Tensor]]
"""Records what a function does, without doing it; what it returns does it, and returns what the function would."""


def record_cuda(function: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Record what a function has the current CUDA device do."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = function()

    def replay() -> Tensor:
        graph.replay()
        # The next replay writes its result in the same place.
        return result.clone()

    return replay


def run_again(function: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Stand in for a recording where there is nothing to record on: the same numbers at the same cost."""
    return function


class Replay:
    """A function of tensors whose every call does the same work, from the fourth call on as a recording.

    The function may use and change what lies on the device, and draw from its default random stream; it must not look
    at a value, nor may anything that it uses be replaced by another tensor afterwards.

    Args:
        function: from tensors, of the same shapes at each call, to one tensor.
        device: where they are.
    """

    def __init__(self, function: Callable[[Sequence[Tensor]], Tensor], device: torch.device) -> None:
        self._function = function
        self._device = device
        self._calls = 0
        self._inputs: list[Tensor] = []
        self._replay: Callable[[], Tensor] | None = None

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        self._calls += 1
        if self._calls <= WARM_UP:
            return self._warm_up(inputs)
        if self._replay is None:
            self._inputs = [given.clone() for given in inputs]
            record: Recorder = record_cuda if self._device.type == "cuda" else run_again
            self._replay = record(lambda: self._function(self._inputs))
        for place, given in zip(self._inputs, inputs, strict=True):
            place.copy_(given)
        return self._replay()

    def _warm_up(self, inputs: Sequence[Tensor]) -> Tensor:
        if self._device.type != "cuda":
            return self._function(inputs)
        # On a stream of its own, as the recording will be: libraries keep a workspace for each stream.
        current, side = torch.cuda.current_stream(self._device), torch.cuda.Stream(self._device)
        side.wait_stream(current)
        with torch.cuda.stream(side):
            result = self._function(inputs)
        current.wait_stream(side)
        return result
