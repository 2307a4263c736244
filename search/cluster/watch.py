"""Watches a cluster: how much of it is in use, and which nodes come and go."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import ray

_SECONDS = 2.0
"""Between two looks at the cluster. They take less than a thousandth of a core."""


@dataclass(frozen=True)
class Use:
    """A cluster at one moment, and how much of it is taken.

    Attributes:
        cpus, gpus: (taken, total).
        nodes: resources of each live node, by Ray's names: {"CPU": 16.0, "GPU": 1.0, …}.
        addresses: of the live nodes, by Ray's id.
    """

    cpus: tuple[float, float]
    gpus: tuple[float, float]
    nodes: tuple[Mapping[str, float], ...]
    addresses: Mapping[str, str] = field(default_factory=dict)


class ClusterWatch:
    """Looks at the cluster now and then, in its own thread: the answer may take long.

    Args:
        look: returns the present state of the cluster.
        seconds: between two looks.

    Attributes:
        use: as of the last look; None before the first, and while the cluster does not answer.
    """

    def __init__(self, look: Callable[[], Use] | None = None, seconds: float = _SECONDS) -> None:
        self.use: Use | None = None
        self._look = look or look_at_ray
        self._seconds = seconds
        self._addresses: Mapping[str, str] | None = None
        self._changes: deque[tuple[str, str]] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, name="cluster watch", daemon=True)

    def __enter__(self) -> ClusterWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # The thread is a daemon: a look that hangs does not keep the driver from ending.
        self._stop.set()

    def changes(self) -> list[tuple[str, str]]:
        """Return the changes since the last call: ("lost" or "joined", address of a node)."""
        return [self._changes.popleft() for _ in range(len(self._changes))]

    def _keep_looking(self) -> None:
        while not self._stop.is_set():
            try:
                self._update(self._look())
            except Exception:
                # The head does not answer, or Ray is being shut down.
                self.use = None
            self._stop.wait(self._seconds)

    def _update(self, use: Use) -> None:
        self.use = use
        before, now = self._addresses, use.addresses
        self._addresses = now
        if before is not None:
            lost = [("lost", before[node]) for node in before if node not in now]
            joined = [("joined", now[node]) for node in now if node not in before]
            self._changes += lost + joined


def look_at_ray() -> Use:
    """Return the cluster that this process is connected to."""
    total, free = ray.cluster_resources(), ray.available_resources()
    alive = [node for node in ray.nodes() if node["Alive"]]

    def taken(kind: str) -> tuple[float, float]:
        return total.get(kind, 0.0) - free.get(kind, 0.0), total.get(kind, 0.0)

    addresses = {node["NodeID"]: node["NodeManagerAddress"] for node in alive}
    return Use(taken("CPU"), taken("GPU"), tuple(node["Resources"] for node in alive), addresses)
