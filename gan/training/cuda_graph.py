"""CUDA graphs: what is the same at every call is recorded once, and replayed without the host's part in it.

A small network's training cycle is some hundreds of kernels, each of which takes the GPU less time than the host
needs to launch it. A graph launches them all at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

WARM_UP = 3
"""Calls before the recording: optimisers make their moments, libraries choose algorithms, neither of which records."""
_WAITED = "called a synchronizing CUDA operation"


class CudaRecorder:
    """Records what functions have a CUDA device do, on a stream of its own.

    The warm-up runs on that stream too: memory is kept for each, and so are the workspaces of libraries, which two
    graphs that are replayed side by side must not share.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def warm_up(self, function: Callable[[], Tensor]) -> tuple[Tensor, bool]:
        """Do what a function does; return its result, and whether the host had to wait for the device meanwhile."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream), _watching() as waits:
            result = function()
        current.wait_stream(self._stream)
        return result, bool(waits)

    def record(self, function: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Record a function without doing what it does; return one that does it, and returns its result.

        Raises:
            RuntimeError: the device cannot record what the function does, though the warm-up did not see why.
        """
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads go on meanwhile, as the one that pins the batches to come.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                result = function()
        except RuntimeError as error:
            if "captur" not in str(error):  # memory that ran out, a fault of the device
                raise
            raise RuntimeError(
                "the training cycle cannot be recorded as a CUDA graph: set cuda_graph_safe = False in the class of the"
                f" network or objective that cannot be ({str(error).strip().splitlines()[0]})"
            ) from error

        def replay() -> Tensor:
            graph.replay()
            # The next replay writes its result in the same place.
            return result.clone()

        return replay


@contextmanager
def _watching() -> Iterator[list[str]]:
    """Note in a list every time that the host waits for a value from the device; let other warnings pass."""
    waits: list[str] = []
    mode = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        show = warnings.showwarning

        def seen(message: Warning | str, *rest: Any, **more: Any) -> None:
            if str(message).startswith(_WAITED):
                waits.append(str(message))
            else:
                show(message, *rest, **more)

        warnings.showwarning = seen  # type: ignore[assignment]
        warnings.filterwarnings("always", _WAITED)
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield waits
        finally:
            torch.cuda.set_sync_debug_mode(mode)


RECORDERS = {"cuda": CudaRecorder}
"""By type of device; what others do is not recorded."""


class GraphedCycle:
    """Has the same work done at every call, from the fourth on by a recording of it.

    The work may use and change what lies on the device, and draw from its default random stream; nothing that it uses
    may be replaced by another tensor afterwards. Work that looks at a value (`.item()`, a mask) cannot be recorded,
    and goes on as it is.

    Args:
        device: one whose type has a recorder.

    Attributes:
        possible: whether the work can be recorded, as far as is known.
    """

    def __init__(self, device: torch.device) -> None:
        self._recorder = RECORDERS[device.type](device)
        self._calls = 0
        self._inputs: list[Tensor] = []
        self._replay: Callable[[], Tensor] | None = None
        self.possible = True

    def __call__(self, function: Callable[[Sequence[Tensor]], Tensor], inputs: Sequence[Tensor]) -> Tensor:
        """Return what a function, at each call the same, makes of inputs of always the same shapes."""
        if not self.possible:
            return function(inputs)
        self._calls += 1
        if self._calls <= WARM_UP:
            result, waited = self._recorder.warm_up(lambda: function(inputs))
            # What libraries do at their first calls is of no account.
            self.possible = self._calls < WARM_UP or not waited
            return result
        if self._replay is None:
            self._inputs = [given.clone() for given in inputs]
            self._replay = self._recorder.record(lambda: function(self._inputs))
        for place, given in zip(self._inputs, inputs, strict=True):
            place.copy_(given)
        return self._replay()
