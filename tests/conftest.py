"""What all tests share: a cache of their own, and data small enough to train on in a second."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from object_store import S3, new_bucket, running_server

# A shell ignores Ctrl-C for what it runs in the background, and whoever is started then ignores it too: tests of
# Ctrl-C would wait in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Before PyTorch is imported, and for processes that tests start: on networks this small, threads only
# wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

TINY_COUNT, TINY_TRAIN, TINY_SIZE = 600, 550, 16
Tree = dict[str, tuple[int, int] | None]


@pytest.fixture(scope="session", autouse=True)
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for the session, so that data is packed once, and never the user's own.

    In the environment, where commands in processes of their own find it too.
    """
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_SEARCH_CACHE", str(folder))
        patch.delenv("GAN_SEARCH_INCEPTION_WEIGHTS", raising=False)
        patch.setenv("GAN_SEARCH_OFFLINE", "1")
        yield folder


@pytest.fixture(scope="session")
def random_inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights in the layout of the 2015 Inception network; tests leave it as it is."""
    from fid import write_weights

    path = tmp_path_factory.mktemp("weights") / "random.pth"
    write_weights(path)
    return path


class FewFaces:
    """The first faces alone: a source that packs in an instant."""

    uri = "faces"
    shape = (TINY_SIZE, TINY_SIZE, 3)
    dtype: np.dtype[Any] = np.dtype(np.uint8)
    default_features = "random-conv"
    held_out = range(TINY_TRAIN, TINY_COUNT)

    def fingerprint(self) -> str:
        return "few faces"

    def __len__(self) -> int:
        return TINY_COUNT

    def __iter__(self) -> Iterator[np.ndarray]:
        from gan.data.sources.faces import draw

        return iter(draw(np.arange(TINY_COUNT), TINY_SIZE))


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The data URI of 600 faces at 16×16 (550 to train on), with random-conv features."""
    from gan.data.packed.packing import pack

    return pack(FewFaces(), tmp_path_factory.mktemp("data") / "tiny.arrow").uri


@pytest.fixture
def snapshot() -> Callable[[Path], Tree]:
    """A function that tells all below a folder, to be compared before and after: path → (size, mtime)."""

    def take(folder: Path) -> Tree:
        return {
            str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None
            for path in sorted(folder.rglob("*"))
        }

    return take


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """Host and port of an S3 server; tests want `s3`."""
    with running_server() as endpoint:
        yield endpoint


@pytest.fixture
def s3(object_store: str, monkeypatch: pytest.MonkeyPatch) -> S3:
    """An empty bucket on an S3 server."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return new_bucket(object_store)
