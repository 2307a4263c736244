"""Data by count, and how data is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from album import FOLDER, official_zip, partition

from gan.data.dataset import DataSet
from gan.data.packed.opening import open_data
from gan.data.sources.faces import draw
from gan.data.sources.opening import absolute_uri, open_source
from gan.data.sources.subset import PartedSubset
from gan.data.uri import DataUri
from gan.errors import InputError


def content(dataset: DataSet) -> np.ndarray:
    return np.concatenate([part.gather(np.arange(len(part))) for part in (dataset.train, dataset.held_out)])


def chosen(uri: str) -> list[int]:
    source = open_source(uri, 16)
    assert isinstance(source, PartedSubset)
    return source._rows.tolist()


def test_a_subset_keeps_the_shares_the_order_and_the_rows(tmp_path: Path) -> None:
    data = open_data("faces?limit=120", 16, cache_dir=tmp_path)
    assert (len(data.train), len(data.held_out)) == (100, 20)
    rows = chosen("faces?limit=120")
    assert rows == sorted(set(rows)) and sum(row >= 50_000 for row in rows) == 20
    assert np.array_equal(content(data), draw(rows, 16))
    assert data.source == "faces?limit=120" and data.default_features == "random-conv"


def test_subsets_are_nested_spread_and_differ_in_hash(tmp_path: Path) -> None:
    few, many = set(chosen("faces?limit=60")), set(chosen("faces?limit=600"))
    assert few < many
    assert np.histogram(list(many), 6, (0, 60_000))[0].min() > 50
    hashes = {open_data(uri, 16, cache_dir=tmp_path).content_hash for uri in ("faces?limit=60", "faces?limit=61")}
    assert len(hashes) == 2


def test_a_limit_beyond_the_end_takes_all(tmp_path: Path) -> None:
    archive = official_zip(tmp_path / "a.zip", range(1, 21))
    all_, limited = (open_data(f"celeba:{archive}{query}", 16, cache_dir=tmp_path) for query in ("", "?limit=99"))
    assert all_.content_hash == limited.content_hash
    assert (len(limited.train), len(limited.held_out)) == (19, 1)


def test_a_subset_of_official_parts_is_of_both(tmp_path: Path) -> None:
    archive = official_zip(tmp_path / "a.zip", range(1, 41))
    (tmp_path / "list_eval_partition.txt").write_text(partition(range(1, 41), range(5, 15)))
    data = open_data(f"celeba:{archive}?limit=12", 16, cache_dir=tmp_path)
    assert (len(data.train), len(data.held_out)) == (9, 3)
    test = ((data.held_out.gather(np.arange(3)).reshape(3, -1).mean(1) - 19.5) / 2).round()
    assert set(test) <= set(range(5, 15))


def test_files_outside_the_subset_are_not_read(tmp_path: Path) -> None:
    archive = official_zip(tmp_path / "a.zip", range(1, 41))
    names = [f"{FOLDER}/{row + 1:06}.jpg" for row in range(40) if row not in chosen(f"celeba:{archive}?limit=10")]
    data = archive.read_bytes()
    for name in names:  # What is there of them cannot be read any more.
        at = data.index(b"PK\x03\x04", data.index(name.encode()) - 31)
        data = data[:at] + b"XXXX" + data[at + 4 :]
    archive.write_bytes(data)
    assert open_data(f"celeba:{archive}?limit=10", 16, cache_dir=tmp_path).skipped == 0
    with pytest.raises(InputError, match="more than 1%"):
        open_data(f"celeba:{archive}", 16, cache_dir=tmp_path)


def test_sources_that_are_read_as_a_whole_have_subsets_too(tmp_path: Path) -> None:
    data = open_data("curves?limit=110", cache_dir=tmp_path)
    assert (len(data.train), len(data.held_out)) == (100, 10)
    everything = {row.tobytes() for row in open_source("curves")}
    assert {row.tobytes() for row in content(data)} <= everything


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_the_smallest_subsets(limit: int, tmp_path: Path) -> None:
    data = open_data(f"faces?limit={limit}", 16, cache_dir=tmp_path)
    assert len(data.train) + len(data.held_out) == limit and len(data.train) >= 1


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("faces?limit=0", "limit: '0' is not a number of images above 0"),
        ("faces?limit=-5", "limit: '-5' is not"),
        ("faces?limit=", "limit: '' is not"),
        ("faces?limit=1e3", "limit: '1e3' is not"),
        ("faces?limits=3", "data has no option 'limits': did you mean 'limit'"),
        ("faces?limit=3&crop=center", "data has no option 'crop'"),
        ("packed:a.arrow?limit=3", "a packed set takes no limit"),
        ("packed:s3://b/a.arrow?region=x&limit=3", "a packed set takes no limit"),
        ("folders:x?limit=3", "unknown data source 'folders'"),
        ("photos?limit=3", r"use folder:photos\?limit=3"),
    ],
)
def test_a_bad_limit_is_one_line(uri: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match=message) as error:
        open_data(uri, 16, cache_dir=tmp_path / "cache")
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_uris_taken_apart() -> None:
    assert DataUri.parse("faces") == DataUri("faces")
    assert DataUri.parse("faces:") == DataUri("faces", "")
    assert DataUri.parse("folder:/a/b?limit=7") == DataUri("folder", "/a/b", 7)
    assert DataUri.parse("folder:what? really") == DataUri("folder", "what? really")
    assert DataUri.parse("packed:s3://b/x?region=y") == DataUri("packed", "s3://b/x?region=y")


def test_absolute_uris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_uri("celeba:a.zip?limit=9") == f"celeba:{tmp_path}/a.zip?limit=9"
    assert absolute_uri("faces?limit=9") == "faces?limit=9"
    assert absolute_uri("packed:s3://b/x?region=y") == "packed:s3://b/x?region=y"
    assert absolute_uri("packed:x.arrow") == f"packed:{tmp_path}/x.arrow"
    assert absolute_uri("plain/folder") == "plain/folder"
