"""The cache of packed sets: its bound, sets in use, and sets that come from an object store."""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from object_store import S3

from gan.data.dataset import DataSet
from gan.data.packed import packing
from gan.data.packed.cache import cache_limit, make_room
from gan.data.packed.opening import open_data
from gan.data.packed.packing import open_packed, pack
from gan.data.sources.opening import open_source
from gan.errors import InputError
from gan.storage.storage import Storage

FACES = "faces?limit=40"
SIZES = (16, 20, 24)
BYTES = {size: 40 * size * size * 3 for size in SIZES}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GAN_SEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "packed"


def cached(cache: Path) -> list[int]:
    """Tell the sizes of the images that are in the cache."""
    rows = [path.stat().st_size // 40 for path in cache.glob("*.arrow")]
    return sorted(min(SIZES, key=lambda size: abs(size * size * 3 - row)) for row in rows)


def use(size: int, age: float) -> None:
    """Open a set and close it again, as if that had been some seconds ago."""
    before = set(_locks())
    open_data(FACES, size)
    gc.collect()
    lock = max(_locks(), key=lambda path: (path not in before, path.stat().st_mtime))
    stat = lock.stat()
    os.utime(lock, (stat.st_atime - age, stat.st_mtime - age))


def _locks() -> list[Path]:
    return list((Path(os.environ["GAN_SEARCH_CACHE"]) / "packed").glob("*.lock"))


def limit(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setenv("GAN_SEARCH_CACHE_LIMIT", str(size))


BESIDE = 2_500  # What a file has beside its rows, at most.
ALL = sum(BYTES.values()) + 3 * BESIDE


def test_the_least_recently_used_set_makes_room(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, ALL - BYTES[16] // 2)
    use(16, age=100)
    use(20, age=300)
    use(24, age=200)  # Room for this was made of the oldest.
    assert cached(cache) == [16, 24]
    use(20, age=0)
    assert cached(cache) == [16, 20]


def test_without_need_nothing_is_removed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, ALL)
    for size in SIZES:
        use(size, age=100)
    assert cached(cache) == list(SIZES)


@pytest.mark.parametrize("kept", ["the set", "its training rows", "its held-out rows"])
def test_a_set_in_use_stays_whatever_the_limit(cache: Path, monkeypatch: pytest.MonkeyPatch, kept: str) -> None:
    data = open_data(FACES, 16)
    held: Any = {"the set": data, "its training rows": data.train, "its held-out rows": data.held_out}[kept]
    del data
    limit(monkeypatch, 1)
    use(20, age=100)
    assert cached(cache) == [16, 20]
    use(24, age=0)
    assert cached(cache) == [16, 24]
    del held
    gc.collect()
    use(20, age=0)
    assert cached(cache) == [20]


def _hold(ready: Any, done: Any) -> None:
    data = open_data(FACES, 16)
    ready.set()
    done.wait(60)
    del data


def test_a_set_in_use_by_another_process_stays(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(ready, done))
    other.start()
    try:
        assert ready.wait(60)
        limit(monkeypatch, 1)
        use(20, age=0)
        assert cached(cache) == [16, 20]
        done.set()
        other.join()
        use(24, age=0)
        assert cached(cache) == [24]
    finally:
        other.kill()


def test_what_killed_processes_left_makes_room_too(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(16, age=0)
    parts = cache / ".0123456789abcdef.arrow.parts"
    parts.mkdir()
    (parts / "0000000.part").write_bytes(bytes(50_000))
    (cache / ".fedcba9876543210.arrow.1-ff.tmp").write_bytes(bytes(50_000))
    for old in (parts / "0000000.part", cache / ".fedcba9876543210.arrow.1-ff.tmp"):
        os.utime(old, (1e9, 1e9))
    limit(monkeypatch, BYTES[16] + BYTES[20] + 2 * BESIDE)
    use(20, age=0)
    assert cached(cache) == [16, 20] and not parts.exists()
    assert not list(cache.glob("*.tmp"))


@pytest.mark.parametrize(
    ("said", "size"),
    [("1000", 1000), ("2K", 2048), ("1.5G", 3 << 29), ("10 GB", 10 << 30), ("1TiB", 1 << 40), ("", 64 << 30)],
)
def test_the_limit_is_a_size(said: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_SEARCH_CACHE_LIMIT", said)
    assert cache_limit() == size


@pytest.mark.parametrize("said", ["much", "-1", "5X", "1e9", "nan"])
def test_a_limit_that_is_none_is_named(said: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_SEARCH_CACHE_LIMIT", said)
    with pytest.raises(InputError, match=f"GAN_SEARCH_CACHE_LIMIT: '{said}' is not a size") as error:
        open_data(FACES, 16)
    assert "\n" not in str(error.value)
    assert cached(cache) == []


def test_making_room_in_a_cache_that_is_not_there_yet(tmp_path: Path) -> None:
    make_room(tmp_path / "none", 10**15)


# ---- sets on an object store


def same(one: DataSet, other: DataSet) -> bool:
    return one.content_hash == other.content_hash and np.array_equal(
        one.train.gather(np.arange(len(one.train))), other.train.gather(np.arange(len(other.train)))
    )


class Fetches:
    """Counts what is copied from object stores."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        fetch = Storage.fetch

        def counted(storage: Storage, path: str, to: Path) -> None:
            self.count += 1
            fetch(storage, path, to)

        monkeypatch.setattr(Storage, "fetch", counted)


@pytest.fixture
def fetches(monkeypatch: pytest.MonkeyPatch) -> Fetches:
    return Fetches(monkeypatch)


def test_a_set_is_fetched_once_then_mapped(
    s3: S3, cache: Path, tmp_path: Path, fetches: Fetches, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = pack(open_source(FACES, 16), tmp_path / "a.arrow")
    s3.write("sets/a.arrow", (tmp_path / "a.arrow").read_bytes())
    uri = f"packed:{s3.uri('sets/a.arrow')}"
    there = open_data(uri, 16)
    assert (there.uri, same(there, local)) == (uri, True)
    assert not there.train._chunks[0].flags.owndata  # A view of the mapped file.
    open_data(uri)
    assert fetches.count == 1
    s3.write("sets/a.arrow", b"")
    with pytest.raises(InputError, match="is not a packed set"):
        open_data(uri)  # Another object is another set, though its name is the same.
    assert fetches.count == 2
    assert len(list(cache.glob("*.arrow*"))) == 1
    assert same(there, local)


def test_a_set_that_was_damaged_on_its_way_or_there_is_refused(s3: S3, cache: Path, tmp_path: Path) -> None:
    pack(open_source(FACES, 16), tmp_path / "a.arrow")
    data = bytearray((tmp_path / "a.arrow").read_bytes())
    data[len(data) // 2] ^= 1  # In the middle of the rows: nothing but the hash can tell.
    s3.write("a.arrow", bytes(data))
    with pytest.raises(InputError, match="its rows are not those that were packed") as error:
        open_packed(s3.uri("a.arrow"))
    assert str(error.value).startswith(s3.uri("a.arrow")) and "\n" not in str(error.value)
    assert list(cache.glob("*.arrow*")) == [] and list(cache.glob(".*")) == []


def test_packing_to_an_object_store(
    s3: S3, cache: Path, tmp_path: Path, fetches: Fetches, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = pack(open_source(FACES, 16), s3.uri("sets/a.arrow"))
    local = pack(open_source(FACES, 16), tmp_path / "a.arrow")
    assert same(there, local)
    assert fetches.count == 0  # What was sent is in the cache already.
    assert s3.read("sets/a.arrow") == (tmp_path / "a.arrow").read_bytes()
    (one, two) = cache.glob("*.arrow")
    assert one.samefile(two)  # Of the faces, and of the object: they take the room of one.
    monkeypatch.setenv("GAN_SEARCH_CACHE", str(tmp_path / "other node"))
    assert same(open_packed(s3.uri("sets/a.arrow")), local)
    assert fetches.count == 1
    with pytest.raises(InputError, match="exists: remove it"):
        pack(open_source(FACES, 16), s3.uri("sets/a.arrow"))


def test_a_failed_upload_is_told_and_packing_goes_on_from_there(
    s3: S3, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = s3.uri("a.arrow").replace(s3.bucket, "no-such-bucket")
    with pytest.raises(InputError, match="cannot be written") as error:
        pack(open_source(FACES, 16), uri)
    assert "\n" not in str(error.value)
    s3.client.create_bucket(Bucket="no-such-bucket")
    monkeypatch.setattr(packing, "write", lambda *_: pytest.fail("it is packed already"))
    assert len(pack(open_source(FACES, 16), uri).train) == 33


def test_what_is_not_there_is_named(s3: S3, cache: Path) -> None:
    for uri in (s3.uri("none.arrow"), s3.uri("none.arrow").replace(s3.bucket, "none")):
        with pytest.raises(InputError, match=r"none\.arrow.*: no such file") as error:
            open_packed(uri)
        assert "\n" not in str(error.value)


READ = "import sys; from gan.data.packed.packing import open_packed; print(open_packed(sys.argv[1]).content_hash)"


def test_processes_fetch_once_between_them(s3: S3, cache: Path, tmp_path: Path) -> None:
    local = pack(open_source("faces?limit=500", 16), tmp_path / "a.arrow")
    s3.write("a.arrow", (tmp_path / "a.arrow").read_bytes())
    command = [sys.executable, "-c", READ, s3.uri("a.arrow")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=120)[0].strip() for process in running]
    assert said == [local.content_hash] * 3
    (only,) = cache.glob("*.arrow")
    assert only.read_bytes() == (tmp_path / "a.arrow").read_bytes()
