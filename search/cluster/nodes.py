"""Checks on every node of a cluster, before the first trial, that it has what the run needs."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from gan.data.packed.opening import open_data
from gan.errors import InputError
from gan.storage.storage import Storage
from gan.terminal import note, one_line
from gan.versions import differing, versions
from search.plan.spec import RunSpec

_NOTICE_SECONDS = 30.0
"""Time after which the user hears that a node has not answered yet."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Needs:
    """What a node must reach.

    Attributes:
        data, size, crop: as `open_data` takes them.
        data_hash: of the images that this run trains on.
        storage: as the user named it.
        folder: where the driver has left a marker file: the storage, or the nearest folder above that exists.
        mark: the name of that file.
    """

    data: str
    size: int | None
    crop: str | None
    data_hash: str
    storage: str
    folder: Storage
    mark: str

    def missing(self) -> str | None:
        """Return, in one line, what this machine does not reach; None if it reaches everything."""
        try:
            if not self.folder.exists(self.mark):
                return (
                    f"--storage {self.storage}: it does not see what this machine writes there;"
                    " use a folder that all nodes share, s3:// or gs://"
                )
            probe = f"{self.mark}-{secrets.token_hex(4)}"
            self.folder.write_bytes(probe, b"")
            self.folder.delete(probe)
        except OSError as error:
            return f"--storage {self.storage}: cannot be written ({one_line(error)})"
        try:
            # This brings a packed set on an object store into the node's cache, once for all its trials.
            content_hash = open_data(self.data, self.size, crop=self.crop).content_hash
        except (InputError, OSError) as error:
            return f"--data: {one_line(error)}"
        same = content_hash == self.data_hash
        return None if same else f"--data {self.data}: its images are not those of this machine"


def check_nodes(spec: RunSpec, data_hash: str) -> None:
    """Check every node of a cluster that can hold a trial.

    Raises:
        InputError: which node lacks what. Nothing stays written.
    """
    if spec.address is None:
        return
    nodes = nodes_for_trials(spec)
    if not nodes:
        raise InputError(
            f"--cpus-per-trial {spec.cpus_per_trial:g}, --gpus-per-trial {spec.gpus:g}:"
            " no node of the cluster has as much; ask for less, or add a node"
        )
    _log.info("checking %d nodes", len(nodes))
    driver_versions, waiting = versions(), "it fetches the data, or hangs on its storage"
    with _marked(spec.storage) as (folder, mark):
        needs = Needs(spec.data, spec.size, spec.crop, data_hash, spec.storage, folder, mark)
        answers = {node["NodeManagerAddress"]: _ask(node["NodeID"], needs) for node in nodes}
        for address, answer in answers.items():
            try:
                node_versions, missing = wait_for_answer(address, answer, waiting)
            except (RayError, ImportError, AttributeError) as error:
                last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
                raise InputError(f"node {address}: gan-search does not run there ({last})") from None
            problem = differing(driver_versions, node_versions) or missing
            if problem:
                raise InputError(f"node {address}: {problem}")


def nodes_for_trials(spec: RunSpec) -> list[dict[str, Any]]:
    """Return Ray's description of each node that can hold a trial."""
    return [node for node in ray.nodes() if node["Alive"] and holds_a_trial(node["Resources"], spec)]


def holds_a_trial(resources: Mapping[str, float], spec: RunSpec) -> bool:
    """Tell whether a node has what a trial takes."""
    return resources.get("CPU", 0.0) >= spec.cpus_per_trial and resources.get("GPU", 0.0) >= spec.gpus


def most_cores() -> float:
    """Return how many CPUs the largest node has, as Ray counts them."""
    return max((node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]), default=1.0)


def trials_that_fit(resources: Mapping[str, float], spec: RunSpec) -> int:
    """Return how many trials a node with these resources holds at once."""
    # A share lies on a single GPU, and Ray counts in ten-thousandths.
    share = spec.gpus if spec.gpus >= 1 or not spec.gpus else 1 / int(1 / spec.gpus + 1e-4)
    takes = {"CPU": spec.cpus_per_trial, "GPU": share}
    return int(min(resources.get(kind, 0.0) / need for kind, need in takes.items() if need) + 1e-9)


def _answer(needs: Needs) -> tuple[dict[str, str], str | None]:
    return versions(), needs.missing()


def _ask(node: str, needs: Needs) -> Any:
    on_node = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(_answer).options(num_cpus=0, max_retries=0, scheduling_strategy=on_node).remote(needs)


def wait_for_answer(address: str, answer: Any, waiting: str) -> Any:
    """Return a node's answer. It may never come: meanwhile the user is told what the node may be waiting for."""
    while not ray.wait([answer], timeout=_NOTICE_SECONDS)[0]:
        note(f"node {address}: no answer yet; {waiting} (Ctrl-C ends this)")
    return ray.get(answer)


@contextmanager
def _marked(storage: str) -> Iterator[tuple[Storage, str]]:
    """Leave a file where every node must see it: in the storage, or in the nearest folder above that exists."""
    folder, mark = Storage(storage), f".gan-search-probe-{secrets.token_hex(8)}"
    path = folder.local_path
    if path is not None:
        folder = Storage(next(parent for parent in (path, *path.parents) if parent.is_dir()))
    try:
        folder.write_bytes(mark, b"")
    except OSError as error:
        raise InputError(f"--storage {storage}: cannot be written ({one_line(error)})") from None
    try:
        yield folder, mark
    finally:
        folder.delete(mark)
