"""What a run needs of every node of a cluster, checked on the nodes themselves before the first trial."""

from __future__ import annotations

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
from gan.terminal import note
from gan.versions import differing, versions
from search.plan.spec import RunSpec

_PATIENCE = 30.0
"""Seconds after which a node that has not answered is named."""


@dataclass(frozen=True)
class Needs:
    """What a node must reach.

    Attributes:
        data, size, crop: as `open_data` takes them.
        data_hash: of the images that this run is about.
        storage: as the user named it.
        folder: where the driver has left a mark: the storage, or what there is of the way to it.
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
        """Return, in one line, what this machine does not reach; None if all is well."""
        try:
            if not self.folder.exists(self.mark):
                return (
                    f"--storage {self.storage}: it does not see what this machine writes there;"
                    " use a folder that all nodes share, s3:// or gs://"
                )
            mine = f"{self.mark}-{secrets.token_hex(4)}"
            self.folder.write_bytes(mine, b"")
            self.folder.delete(mine)
        except OSError as error:
            return f"--storage {self.storage}: cannot be written ({' '.join(str(error).split())})"
        try:
            # A packed set on an object store comes into the node's cache here, once for all its trials.
            found = open_data(self.data, self.size, crop=self.crop).content_hash
        except (InputError, OSError) as error:
            return f"--data: {' '.join(str(error).split())}"
        return None if found == self.data_hash else f"--data {self.data}: its images are not those of this machine"


def check_nodes(spec: RunSpec, data_hash: str) -> None:
    """Check every node that can hold a trial; where Ray is this machine's alone there is nothing to check.

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
    mine = versions()
    with _marked(spec.storage) as (folder, mark):
        needs = Needs(spec.data, spec.size, spec.crop, data_hash, spec.storage, folder, mark)
        asked = {node["NodeManagerAddress"]: _ask(node["NodeID"], needs) for node in nodes}
        for address, answer in asked.items():
            try:
                theirs, missing = heard(address, answer, "it fetches the data, or hangs on its storage")
            except (RayError, ImportError, AttributeError) as error:
                last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
                raise InputError(f"node {address}: gan-search does not run there ({last})") from None
            problem = differing(mine, theirs) or missing
            if problem:
                raise InputError(f"node {address}: {problem}")


def nodes_for_trials(spec: RunSpec) -> list[dict[str, Any]]:
    """Return what Ray tells of each node that can hold a trial."""
    return [node for node in ray.nodes() if node["Alive"] and holds_a_trial(node["Resources"], spec)]


def holds_a_trial(resources: Mapping[str, float], spec: RunSpec) -> bool:
    """Tell whether a node has, by itself, what a trial takes."""
    wanted = {"CPU": spec.cpus_per_trial, "GPU": spec.gpus}
    return all(resources.get(kind, 0.0) >= need for kind, need in wanted.items())


def trials_that_fit(resources: Mapping[str, float], spec: RunSpec) -> int:
    """Return how many trials a node with such resources holds side by side."""
    # A share of a GPU lies on one; and Ray counts in ten-thousandths.
    share = spec.gpus if spec.gpus >= 1 or not spec.gpus else 1 / int(1 / spec.gpus + 1e-4)
    takes = {"CPU": spec.cpus_per_trial, "GPU": share}
    return int(min(resources.get(kind, 0.0) / need for kind, need in takes.items() if need) + 1e-9)


def _answer(needs: Needs) -> tuple[dict[str, str], str | None]:
    return versions(), needs.missing()


def _ask(node: str, needs: Needs) -> Any:
    here = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(_answer).options(num_cpus=0, max_retries=0, scheduling_strategy=here).remote(needs)


def heard(address: str, answer: Any, waiting: str) -> Any:
    """Return a node's answer. The user is told what it may be doing while there is none: it may never come."""
    while not ray.wait([answer], timeout=_PATIENCE)[0]:
        note(f"node {address}: no answer yet; {waiting} (Ctrl-C ends this)")
    return ray.get(answer)


@contextmanager
def _marked(storage: str) -> Iterator[tuple[Storage, str]]:
    """Leave a file where every node must see it: on the way to the storage, as far as that exists."""
    folder, mark = Storage(storage), f".gan-search-probe-{secrets.token_hex(8)}"
    path = folder.local_path
    if path is not None:
        folder = Storage(next(parent for parent in (path, *path.parents) if parent.is_dir()))
    try:
        folder.write_bytes(mark, b"")
    except OSError as error:
        raise InputError(f"--storage {storage}: cannot be written ({' '.join(str(error).split())})") from None
    try:
        yield folder, mark
    finally:
        folder.delete(mark)
