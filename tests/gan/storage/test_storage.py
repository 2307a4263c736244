"""Storage: the same behaviour on a local folder and on an object store."""

from __future__ import annotations

import pickle
import signal
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from object_store import S3
from pyarrow import fs

from gan.errors import InputError
from gan.storage.storage import Storage, split_file


@pytest.fixture(params=["local", "s3", "given"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return Storage(tmp_path / "root")
    s3: S3 = request.getfixturevalue("s3")
    if request.param == "s3":
        return Storage(s3.uri("root"))
    given = fs.S3FileSystem(
        access_key="a", secret_key="b", endpoint_override=s3.endpoint, scheme="http", region="us-east-1"
    )
    return Storage(f"s3://{s3.bucket}/root", given)


def test_files_and_folders(storage: Storage) -> None:
    assert storage.list() == [] and not storage.exists("a")
    storage.write_bytes("a/b/one", b"1")
    storage.write_bytes("a/two", b"2")
    storage.write_bytes("a/two", b"two" * 1000)
    assert storage.read_bytes("a/two") == b"two" * 1000
    assert storage.list("a") == ["b", "two"]
    assert storage.exists("a/two") and storage.exists("a") and storage.is_folder("a/b")
    assert not storage.is_folder("a/two")
    assert storage.child("a").child("b").read_bytes("one") == b"1"
    storage.delete("a/two")
    storage.delete("a/two")
    assert storage.list("a") == ["b"]
    storage.write_bytes("ab", b"3")
    storage.delete("a")
    assert not storage.exists("a/b/one") and not storage.exists("a")
    assert storage.list() == ["ab"]
    with pytest.raises(FileNotFoundError):
        storage.read_bytes("a/b/one")


def test_an_object_store_has_no_empty_folders(s3: S3) -> None:
    storage = Storage(s3.uri("root"))
    storage.write_bytes("a/b/one", b"1")
    storage.delete("a/b/one")  # PyArrow leaves an object that stands for the folder.
    assert not storage.exists("a/b") and not storage.exists("a") and not storage.exists()
    assert not storage.is_folder("a")
    assert storage.list("a") == [] and storage.list() == []
    storage.write_bytes("a/c/d/two", b"2")
    assert storage.exists("a") and storage.is_folder("a/c") and not storage.exists("a/b")
    assert storage.list("a") == ["c"]


@pytest.mark.parametrize("name", ["sp ace", "ü", "a%20b", "plus+", "q?x=1", "hash#1", "[0-9]*"])
def test_any_name_will_do(storage: Storage, name: str) -> None:
    storage.write_bytes(f"{name}/{name}", b"1")
    assert storage.list(name) == [name]
    again = Storage(storage.child(name).uri, storage._given)
    assert again.read_bytes(name) == b"1"
    storage.write_bytes("other", b"2")
    storage.delete(name)
    assert storage.list() == ["other"]


def test_a_tree_of_many_files_is_listed_and_deleted_whole(s3: S3) -> None:
    storage = Storage(s3.uri("there"))
    for number in range(30):
        storage.write_bytes(f"{number % 7}/{number}", b"x")
    assert storage.list() == [str(number) for number in range(7)]
    storage.delete("3")
    assert storage.list() == ["0", "1", "2", "4", "5", "6"]
    Storage(s3.uri("")).delete("there")
    assert s3.objects() == {}


def test_a_failed_put_leaves_no_object(s3: S3, tmp_path: Path) -> None:
    storage = Storage(s3.uri("a"))
    with pytest.raises(OSError):
        storage.put(tmp_path / "none", "x")
    assert not storage.exists("x")


def test_ctrl_c_leaves_the_old_object_or_the_new(s3: S3) -> None:
    """PyArrow would name what had come by then, most often nothing."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    storage, random, interrupted = Storage(s3.uri("runs")), Random(0), 0
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for number in range(150):
            old, new = f"{number} old".encode(), f"{number} new".encode()
            storage.write_bytes("journal", old)
            with suppress(KeyboardInterrupt):
                try:
                    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, 6e-3))
                    storage.write_bytes("journal", new)
                    interrupted -= 1
                finally:
                    interrupted += 1
                    signal.setitimer(signal.ITIMER_REAL, 0)
            assert storage.read_bytes("journal") in (old, new)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 20


def test_compressed_names_are_left_alone(storage: Storage) -> None:
    storage.write_bytes("a.gz", b"not gzip")
    assert storage.read_bytes("a.gz") == b"not gzip"


def test_it_travels_to_other_processes(storage: Storage) -> None:
    storage.write_bytes("a", b"1")
    other = pickle.loads(pickle.dumps(storage))
    assert (other.uri, other.read_bytes("a")) == (storage.uri, b"1")
    assert pickle.loads(pickle.dumps(storage.child("x"))).uri == storage.child("x").uri


def test_whole_files_are_fetched_and_put(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(range(256)) * 50_000)
    storage.make_dirs()
    storage.put(tmp_path / "big", "copy")
    storage.fetch("copy", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "big").read_bytes()
    with pytest.raises(FileNotFoundError):
        storage.fetch("none", tmp_path / "none")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "root") == ["again", "big"]


@pytest.mark.parametrize("name", ["..", "../x", "a/../../x", "/etc/passwd", "a/..", "a\0b"])
def test_names_do_not_lead_out(name: str, tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    for use in (storage.read_bytes, storage.delete, storage.child, storage.list, storage.exists):
        with pytest.raises(InputError, match="leads out"):
            use(name)
    with pytest.raises(InputError, match="leads out"):
        storage.write_bytes(name, b"")


def test_a_storage_does_not_delete_itself(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="from its parent"):
        Storage(tmp_path).delete(".")
    assert tmp_path.exists()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(tmp_path)
    storage.write_bytes("a", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        storage.write_bytes("a", b"new")
    assert storage.read_bytes("a") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_temporaries_of_killed_processes_are_not_listed(tmp_path: Path) -> None:
    (tmp_path / ".a.1-ff.tmp").write_bytes(b"")
    (tmp_path / ".keep").write_bytes(b"")
    assert Storage(tmp_path).list() == [".keep"]


def test_local_locations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Storage("a b%20c").root == f"{tmp_path}/a b%20c"
    assert Storage(f"file://{tmp_path}/a%20b").root == f"{tmp_path}/a b"
    assert Storage("x").local_path == tmp_path / "x"
    assert Storage("x").child("y/z").uri == f"{tmp_path}/x/y/z"
    assert Storage("/").child("y").uri == "/y"
    assert split_file("x/y")[1] == "y"


def test_remote_locations_need_no_network_until_used() -> None:
    storage = Storage("s3://bucket/a b?region=eu-west-1")
    assert storage.local_path is None
    assert (storage.root, storage.uri) == ("bucket/a b", "s3://bucket/a%20b?region=eu-west-1")
    assert storage.child("c").uri == "s3://bucket/a%20b/c?region=eu-west-1"
    assert Storage("gs://bucket").child("c").root == "bucket/c"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("", "is not a path"),
        ("a\0b", "is not a path"),
        ("ftp://host/x", "unknown storage 'ftp://'"),
        ("S4://bucket", "unknown storage"),
        ("s3://", "use s3://BUCKET/PATH"),
        ("s3:///path", "use s3://BUCKET/PATH"),
        ("s3://bucket/../other", "use s3://BUCKET/PATH"),
        ("s3://key:secret@bucket/x", "must not hold credentials"),
        ("file://host/x", "file:///absolute/path"),
        ("s3://[bucket/x", "malformed"),
    ],
)
def test_malformed_locations_are_one_line(uri: str, message: str) -> None:
    for use in (Storage, split_file):
        with pytest.raises(InputError, match=message) as error:
            use(uri)
        assert "\n" not in str(error.value) and "secret" not in str(error.value)


def test_options_that_do_not_exist_are_told() -> None:
    with pytest.raises(InputError, match=r"cannot open storage.*unheard"):
        Storage("s3://bucket/x?region=us-east-1&unheard=1").exists("a")
