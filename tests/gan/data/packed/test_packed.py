"""Packed sets: what is written comes back, the cache packs once, and damage is told in one line."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan.data.dataset import DataSet, describe
from gan.data.packed import packed
from gan.data.packed.opening import open_data
from gan.data.packed.packed import Header, Writer, open_file
from gan.data.packed.packing import open_packed, pack
from gan.data.sources.opening import SOURCES, open_source
from gan.errors import InputError


class Made:
    """A source of numbered images, which notes each time it is read."""

    default_features = "inception"
    dtype: np.dtype[Any] = np.dtype(np.uint8)

    def __init__(self, path: str, size: int = 4, crop: str | None = None) -> None:
        self.uri, self.shape, self.crop = f"made:{path}", (size, size, 3), crop
        self.held_out: range | None = None
        self.count = 100
        self.skipped: list[str] = []
        self._log = path

    def __len__(self) -> int:
        return self.count

    def fingerprint(self) -> str:
        return "1"

    def __iter__(self) -> Iterator[np.ndarray]:
        with Path(self._log).open("a") as log:
            log.write("read\n")
        for number in range(self.count):
            yield np.full(self.shape, number % 256, np.uint8)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setitem(SOURCES._entries, "made", f"{__name__}:Made")
    return f"made:{tmp_path}/log"


@pytest.fixture
def source(tmp_path: Path) -> Made:
    return Made(str(tmp_path / "log"))


def content(dataset: DataSet) -> np.ndarray:
    return np.concatenate([part.gather(np.arange(len(part))) for part in (dataset.train, dataset.held_out)])


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 50), shape=st.sampled_from([(3, 5, 1), (2, 2, 3), (4,)]), rows=st.integers(1, 60))
def test_rows_come_back_whatever_the_chunks(
    tmp_path_factory: pytest.TempPathFactory, count: int, shape: tuple[int, ...], rows: int
) -> None:
    kind = "uint8" if len(shape) == 3 else "float32"
    data = np.random.default_rng(count).integers(0, 255, (count, *shape)).astype(kind)
    header = Header(shape, kind, "made", "inception", held_out=(count // 2, count // 2))
    path = tmp_path_factory.mktemp("packed") / "a.arrow"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "CHUNK_BYTES", rows * header.row_bytes)
        with Writer(path, header) as writer:
            for start in range(0, count, 9):
                writer.add(data[start : start + 9])
            writer.finish()
    dataset = open_file(path, "packed:a")
    assert (dataset.shape, dataset.dtype) == (shape, kind)
    assert np.array_equal(dataset.train.gather(np.arange(count)), data)
    assert np.array_equal(dataset.train.gather(np.arange(count)[::-2]), data[::-2])


def test_the_held_out_part_is_5_percent_and_always_the_same(source: Made, tmp_path: Path) -> None:
    first = pack(source, tmp_path / "a.arrow")
    again = open_packed(str(tmp_path / "a.arrow"))
    assert (len(first.train), len(first.held_out)) == (95, 5)
    numbers = content(first)[:, 0, 0, 0]
    assert sorted(numbers) == list(range(100))
    assert np.array_equal(numbers, content(again)[:, 0, 0, 0])
    assert sorted(numbers[95:]) != list(range(95, 100))


def test_a_source_may_hold_out_a_range_of_its_own(source: Made, tmp_path: Path) -> None:
    source.held_out = range(90, 100)
    dataset = pack(source, tmp_path / "a.arrow")
    assert dataset.held_out.gather(np.arange(10))[:, 0, 0, 0].tolist() == list(range(90, 100))


def test_metadata_and_hash(source: Made, tmp_path: Path) -> None:
    source.crop, source.skipped = "center-9", ["x.png: is empty"]
    one = pack(source, tmp_path / "a.arrow")
    assert (one.source, one.crop, one.skipped) == (source.uri, "center-9", 1)
    assert (one.skipped_names, one.default_features) == (("x.png: is empty",), "inception")
    source.crop = None
    assert pack(source, tmp_path / "b.arrow").content_hash == one.content_hash  # Of the rows alone.
    source.count = 99
    assert pack(source, tmp_path / "c.arrow").content_hash != one.content_hash
    said = json.loads(json.dumps(describe(one)))
    assert (said["size"], said["channels"], said["train"], said["held_out"]) == (4, 3, 95, 5)
    assert said["mean"] == pytest.approx(content(one)[:95].mean(), abs=1e-3)


def test_rows_are_views_of_the_mapped_file(source: Made, tmp_path: Path) -> None:
    before = pa.total_allocated_bytes()
    dataset = pack(source, tmp_path / "a.arrow")
    chunk = dataset.train._chunks[0]
    assert not chunk.flags.owndata and not chunk.flags.writeable
    assert pa.total_allocated_bytes() - before < 10_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's account of memory")
def test_packing_holds_little_in_memory(source: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "CHUNK_BYTES", 1 << 20)
    source.shape, source.count = (256, 256, 3), 600  # 118 MB
    before = resident_bytes()
    most = 0

    def progress(done: int, total: int) -> None:
        nonlocal most
        most = max(most, resident_bytes())

    monkeypatch.setattr(Made, "batches", lambda self: (row[None] for row in self), raising=False)
    dataset = pack(source, tmp_path / "a.arrow", progress)
    assert len(dataset.train) + len(dataset.held_out) == 600
    assert most - before < 30 << 20


def test_progress_ends_at_the_total(source: Made, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    pack(source, tmp_path / "a.arrow", lambda done, total: calls.append((done, total)))
    assert calls[-1] == (100, 100)


def test_a_failed_packing_leaves_nothing(source: Made, tmp_path: Path) -> None:
    def fail(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(source, tmp_path / "out" / "a.arrow", fail)
    source.count = 0
    with pytest.raises(InputError, match="nothing in it to pack"):
        pack(source, tmp_path / "out" / "a.arrow")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_existing_file_is_not_overwritten(source: Made, tmp_path: Path) -> None:
    (tmp_path / "a.arrow").write_text("precious")
    with pytest.raises(InputError, match="exists"):
        pack(source, tmp_path / "a.arrow")
    assert (tmp_path / "a.arrow").read_text() == "precious"


def test_a_place_that_cannot_be_written_is_named(source: Made, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file.*cannot be written"):
        pack(source, tmp_path / "file" / "a.arrow")
    with pytest.raises(InputError, match=r"file.*cannot be written"):
        open_data("curves", cache_dir=tmp_path / "file")


def test_open_data_of_a_packed_set(source: Made, tmp_path: Path) -> None:
    pack(source, tmp_path / "a.arrow")
    uri = f"packed:{tmp_path}/a.arrow"
    assert open_data(uri).uri == uri
    assert open_data(uri, 4).shape == (4, 4, 3)
    assert open_data(f"packed:file://{tmp_path}/a.arrow").shape == (4, 4, 3)
    with pytest.raises(InputError, match="packed at size 4×4, not 8"):
        open_data(uri, 8)
    with pytest.raises(InputError, match="cannot be cropped"):
        open_data(uri, crop="center")


def rewrite(path: Path, schema: dict[str, Any], trailer: dict[str, Any], width: int = 48, rows: int = 2) -> None:
    """Write a packed set by hand, with metadata that is wrong in some way."""
    kind = pa.binary(width)
    fields = pa.schema([pa.field("row", kind, nullable=False)], {b"gan_search": json.dumps(schema)})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, fields) as writer:
        writer.write_batch(pa.record_batch([pa.array([b"x" * width] * rows, kind)], schema=fields))
        last = pa.record_batch([pa.array([], kind)], schema=fields)
        writer.write_batch(last, custom_metadata={b"gan_search": json.dumps(trailer)})


HEADER: dict[str, Any] = {
    "shape": [4, 4, 3], "dtype": "uint8", "source": "s", "default_features": "inception",
    "crop": None, "held_out": None, "version": 1,
}  # fmt: skip
TRAILER: dict[str, Any] = {"count": 2, "content_hash": "0", "skipped": 0, "skipped_names": []}


@pytest.mark.parametrize(
    ("header", "trailer", "message"),
    [
        ({}, {}, None),
        ({"version": 2}, {}, "newer than 1"),
        ({"version": "x"}, {}, "metadata cannot be read"),
        ({"version": 2, "shape": None}, {}, "newer than 1"),
        ({"shape": [4, 4, 4]}, {}, "cannot have shape"),
        ({"shape": [4, 4, -3]}, {}, "rows of uint8"),
        ({"shape": [48]}, {}, "rows of uint8"),
        ({"shape": None}, {}, "metadata cannot be read"),
        ({"dtype": "object"}, {}, "rows of object"),
        ({"held_out": [1, 9]}, {}, "holds out"),
        ({"held_out": [0, 2]}, {}, "holds out"),
        ({"held_out": ["a", 2]}, {}, "metadata cannot be read"),
        ({}, {"count": 3}, "does not hold the 3 rows"),
        ({}, {"count": None}, "metadata cannot be read"),
    ],
)
def test_damaged_metadata(tmp_path: Path, header: dict[str, Any], trailer: dict[str, Any], message: str | None) -> None:
    rewrite(tmp_path / "a.arrow", HEADER | header, TRAILER | trailer)
    if message is None:
        assert open_packed(str(tmp_path / "a.arrow")).shape == (4, 4, 3)
        return
    with pytest.raises(InputError, match=message) as error:
        open_packed(str(tmp_path / "a.arrow"))
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_files_that_are_not_packed_sets(tmp_path: Path) -> None:
    for name, data in (("text", b"hello"), ("empty", b""), ("magic", b"ARROW1\0\0")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=r"is not a packed set|is cut short") as error:
            open_packed(str(tmp_path / name))
        assert "\n" not in str(error.value)
    with pa.OSFile(str(tmp_path / "other"), "wb") as sink:
        table = pa.table({"a": [1]})
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    with pytest.raises(InputError, match="not a packed set"):
        open_packed(str(tmp_path / "other"))
    with pytest.raises(InputError, match="no such file"):
        open_packed(str(tmp_path / "none"))
    with pytest.raises(InputError, match="is a folder"):
        open_packed(str(tmp_path))


def test_any_truncation_is_told(source: Made, tmp_path: Path) -> None:
    pack(source, tmp_path / "a.arrow")
    data = (tmp_path / "a.arrow").read_bytes()
    for length in range(8, len(data), 97):
        (tmp_path / "b.arrow").write_bytes(data[:length])
        with pytest.raises(InputError, match="cut short"):
            open_packed(str(tmp_path / "b.arrow"))


def reads(tmp_path: Path) -> int:
    return len((tmp_path / "log").read_text().splitlines())


def test_the_cache_packs_once_for_the_same_data(made: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = open_data(made, 4, cache_dir=cache)
    assert first.uri == made
    assert np.array_equal(content(first), content(open_data(made, 4, cache_dir=cache)))
    assert reads(tmp_path) == 1
    open_data(made, 8, cache_dir=cache)
    open_data(made, 8, crop="center", cache_dir=cache)
    assert reads(tmp_path) == 3


def test_the_cache_mends_itself(made: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = content(open_data(made, 4, cache_dir=cache))
    (file,) = cache.rglob("*.arrow")
    file.write_bytes(file.read_bytes()[:-5])
    leftover = file.with_name(f".{file.name}.1-ab.tmp")
    leftover.write_bytes(b"of a killed process")
    assert np.array_equal(first, content(open_data(made, 4, cache_dir=cache)))
    assert not leftover.exists()


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str) -> None:
    monkeypatch.delenv("GAN_SEARCH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    open_data(made, 4)
    assert list((tmp_path / "xdg" / "gan-search").rglob("*.arrow"))
    monkeypatch.setenv("GAN_SEARCH_CACHE", str(tmp_path / "own"))
    open_data(made, 4)
    assert list((tmp_path / "own").rglob("*.arrow"))


def _open_in_child(uri: str, cache: Path, queue: Any) -> None:
    queue.put((os.getpid(), open_data(uri, 4, cache_dir=cache).content_hash))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_many_processes_pack_once(made: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")  # The registry's extra entry goes with it.
    queue = context.Queue()
    children = [context.Process(target=_open_in_child, args=(made, tmp_path, queue)) for _ in range(4)]
    for child in children:
        child.start()
    answers = [queue.get(timeout=60) for _ in children]
    for child in children:
        child.join()
    assert len({pid for pid, _ in answers}) == 4
    assert len({digest for _, digest in answers}) == 1
    assert reads(tmp_path) == 1


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("folders:/x", r"unknown data source 'folders': did you mean 'folder'\?.*curves.*packed"),
        ("zzz", r"unknown data source 'zzz': there is celeba"),
        ("", "unknown data source ''"),
        ("s3://bucket/a.arrow", "use packed:s3://bucket/a.arrow"),
        ("packed:", "packed: needs a path"),
        ("packed:ftp://x/y", "unknown storage 'ftp://'"),
        ("faces:/x", "faces takes no path"),
        ("faces", "faces needs a size"),
        ("mnist", "mnist needs a path"),
    ],
)
def test_a_bad_uri_is_one_line(uri: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as error:
        open_data(uri, cache_dir=tmp_path)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_bare_path_gets_a_hint(source: Made, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"use folder:{tmp_path}"):
        open_data(str(tmp_path), 8)
    pack(source, tmp_path / "a.arrow")
    with pytest.raises(InputError, match=f"use packed:{tmp_path}/a.arrow"):
        open_data(f"{tmp_path}/a.arrow")
    with pytest.raises(InputError, match="crop"):
        open_source("faces", 32, "center")
