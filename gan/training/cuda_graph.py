"""CUDA graphs: the training cycle's work on the device is recorded once and then replayed without the host.

The training cycle of a small network is a few hundred kernels. Each takes the GPU less time than the host needs to
launch it. A graph launches all of them at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

WARM_UP = 3
"""Warm-up calls before the recording: optimisers allocate moments and libraries choose algorithms, which cannot be
recorded."""
_SYNC_WARNING = "called a synchronizing CUDA operation"


class CudaRecorder:
    """Records the work of functions on a CUDA device, in a stream of its own.

    The warm-up runs on the same stream. PyTorch keeps memory and the workspaces of libraries for each stream, and two
    graphs that are replayed at the same time must not share them.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def warm_up(self, function: Callable[[], Tensor]) -> tuple[Tensor, bool]:
        """Run a function; return its result, and whether the host had to wait for the device meanwhile."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream), _collecting_waits() as waits:
            result = function()
        current.wait_stream(self._stream)
        return result, bool(waits)

    def record(self, function: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Record a function without running it; return a function that replays it and returns its result.

        Raises:
            RuntimeError: the function's work cannot be recorded, though the warm-up did not detect it.
        """
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads go on meanwhile, such as the one that pins the next batches.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                result = function()
        except RuntimeError as error:
            if "captur" not in str(error):  # out of memory, a fault of the device
                raise
            raise RuntimeError(
                "the training cycle cannot be recorded as a CUDA graph: set cuda_graph_safe = False in the class of the"
                f" part that cannot be ({str(error).strip().splitlines()[0]})"
            ) from error

        def replay() -> Tensor:
            graph.replay()
            # The next replay overwrites `result`.
            return result.clone()

        return replay


@contextmanager
def _collecting_waits() -> Iterator[list[str]]:
    """Collect each warning that the host waits for a value from the device; pass other warnings on."""
    waits: list[str] = []
    mode = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        show = warnings.showwarning

        def collect(message: Warning | str, *args: Any, **kwargs: Any) -> None:
            if str(message).startswith(_SYNC_WARNING):
                waits.append(str(message))
            else:
                show(message, *args, **kwargs)

        warnings.showwarning = collect  # type: ignore[assignment]
        warnings.filterwarnings("always", _SYNC_WARNING)
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield waits
        finally:
            torch.cuda.set_sync_debug_mode(mode)


RECORDERS = {"cuda": CudaRecorder}
"""Device type → recorder. On other devices nothing is recorded."""


class GraphedCycle:
    """Runs the same function at every call, from the fourth on as a replay of a recording.

    The function may use and change tensors on the device, and draw from the device's default random stream. None of the
    tensors that it uses may be replaced by another one later. A function that reads a value on the host (`.item()`, a
    mask) cannot be recorded; it is called as usual.

    Args:
        device: a device whose type has a recorder.

    Attributes:
        possible: whether the function can be recorded, as far as is known.
    """

    def __init__(self, device: torch.device) -> None:
        self._recorder = RECORDERS[device.type](device)
        self._calls = 0
        self._inputs: list[Tensor] = []
        self._replay: Callable[[], Tensor] | None = None
        self.possible = True

    def __call__(self, function: Callable[[Sequence[Tensor]], Tensor], inputs: Sequence[Tensor]) -> Tensor:
        """Return `function(inputs)`. The function and the shapes of its inputs must be the same at every call."""
        if not self.possible:
            return function(inputs)
        self._calls += 1
        if self._calls <= WARM_UP:
            result, waited = self._recorder.warm_up(lambda: function(inputs))
            # Waits in the first calls do not count: libraries initialise themselves there.
            self.possible = self._calls < WARM_UP or not waited
            return result
        if self._replay is None:
            self._inputs = [tensor.clone() for tensor in inputs]
            self._replay = self._recorder.record(lambda: function(self._inputs))
        for recorded, tensor in zip(self._inputs, inputs, strict=True):
            recorded.copy_(tensor)
        return self._replay()
