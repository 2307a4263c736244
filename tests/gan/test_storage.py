"""Storage: the same behaviour on a local folder and on an object store."""

from __future__ import annotations

import io
import pickle
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pytest
from pyarrow import fs

from gan.data import open_data, open_packed, open_source, pack
from gan.errors import InputError
from gan.storage import Storage, copy_tree, resolve, split_file


def unchunk(stream: BinaryIO) -> bytes:
    """Take a body out of its chunks; HTTP's and Amazon's own are alike."""
    data = b""
    while length := int(stream.readline().split(b";")[0], 16):
        data += stream.read(length)
        stream.readline()
    return data


class FakeS3(BaseHTTPRequestHandler):
    """As much of S3's protocol as pyarrow speaks, over a dictionary."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    uploads: dict[str, dict[int, bytes]]

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def parse(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        return unquote(parts.path).lstrip("/"), query

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = unchunk(self.rfile)
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        signed = "aws-chunked" in self.headers.get("Content-Encoding", "")
        return unchunk(io.BytesIO(data)) if signed else data

    def do_HEAD(self) -> None:
        key, _ = self.parse()
        if "/" not in key.rstrip("/"):
            self.answer(200, x_amz_bucket_region="us-east-1")
        elif key in self.objects:
            length = str(len(self.objects[key]))
            modified = "Sun, 01 Jan 2023 00:00:00 GMT"
            self.answer(200, Content_Length=length, Last_Modified=modified, ETag='"1"')
        else:
            self.answer(404)

    def do_GET(self) -> None:
        key, query = self.parse()
        if "list-type" in query:
            self.answer(200, self.listing(key.rstrip("/"), query).encode(), Content_Type="application/xml")
        elif key not in self.objects:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            start, stop = re.findall(r"\d+", self.headers.get("Range", "bytes=0-999999999"))
            self.answer(206, self.objects[key][int(start) : int(stop) + 1])

    def listing(self, bucket: str, query: dict[str, str]) -> str:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        keys, folders = [], set()
        for key in sorted(self.objects):
            name = key.removeprefix(f"{bucket}/")
            if not key.startswith(f"{bucket}/{prefix}"):
                continue
            head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
            if found:
                folders.add(prefix + head + delimiter)
            else:
                keys.append((name, len(self.objects[key])))
        contents = "".join(
            f"<Contents><Key>{name}</Key><Size>{size}</Size>"
            "<LastModified>2023-01-01T00:00:00.000Z</LastModified></Contents>"
            for name, size in keys
        )
        prefixes = "".join(f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>" for name in sorted(folders))
        count = len(keys) + len(folders)
        return f"<ListBucketResult><KeyCount>{count}</KeyCount>{contents}{prefixes}</ListBucketResult>"

    def do_PUT(self) -> None:
        key, query = self.parse()
        data = self.body()
        if "uploadId" in query:
            self.uploads.setdefault(key, {})[int(query["partNumber"])] = data
        elif "x-amz-copy-source" in self.headers:
            self.objects[key] = self.objects[unquote(self.headers["x-amz-copy-source"]).lstrip("/")]
            self.answer(200, b"<CopyObjectResult><ETag>1</ETag></CopyObjectResult>")
            return
        else:
            self.objects[key] = data
        self.answer(200, ETag='"1"')

    def do_POST(self) -> None:
        key, query = self.parse()
        data = self.body()
        if "uploads" in query:
            answer = "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
        elif "uploadId" in query:
            parts = self.uploads.pop(key)
            self.objects[key] = b"".join(parts[number] for number in sorted(parts))
            answer = "<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>"
        else:
            for name in re.findall(r"<Key>(.*?)</Key>", data.decode()):
                self.objects.pop(f"{key.rstrip('/')}/{name}", None)
            answer = "<DeleteResult></DeleteResult>"
        self.answer(200, answer.encode(), Content_Type="application/xml")

    def do_DELETE(self) -> None:
        self.objects.pop(self.parse()[0], None)
        self.answer(204)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, dict[str, bytes]]]:
    """A fake object store: the options that lead to it, and what it holds by bucket/key."""
    handler = type("Handler", (FakeS3,), {"objects": {}, "uploads": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield (
            f"endpoint_override=127.0.0.1:{running.server_port}&scheme=http&region=us-east-1",
            handler.objects,
        )
        running.shutdown()


@pytest.fixture(params=["local", "s3", "given"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return Storage(tmp_path / "root")
    options, _ = request.getfixturevalue("server")
    if request.param == "s3":
        return Storage(f"s3://bucket/root?{options}")
    endpoint = options.partition("=")[2].partition("&")[0]
    given = fs.S3FileSystem(
        access_key="a", secret_key="b", endpoint_override=endpoint, scheme="http", region="us-east-1"
    )
    return Storage("s3://bucket/root", given)


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
    storage.delete("a")
    assert not storage.exists("a/b/one")
    with pytest.raises(FileNotFoundError):
        storage.read_bytes("a/b/one")


def test_compressed_names_are_left_alone(storage: Storage) -> None:
    storage.write_bytes("a.gz", b"not gzip")
    assert storage.read_bytes("a.gz") == b"not gzip"


def test_it_travels_to_other_processes(storage: Storage) -> None:
    storage.write_bytes("a", b"1")
    other = pickle.loads(pickle.dumps(storage))
    assert (other.uri, other.read_bytes("a")) == (storage.uri, b"1")
    assert pickle.loads(pickle.dumps(storage.child("x"))).uri == storage.child("x").uri


def test_trees_are_copied_within_and_between(storage: Storage, tmp_path: Path) -> None:
    storage.write_bytes("from/x/one", b"1")
    storage.write_bytes("from/two", b"2")
    storage.copy_tree("from", "to")
    assert storage.read_bytes("to/x/one") == b"1"
    local = Storage(tmp_path / "elsewhere" / "deep")
    copy_tree(storage.child("to"), local)
    copy_tree(local, storage.child("back"))
    assert storage.read_bytes("back/two") == b"2"
    with pytest.raises(FileNotFoundError):
        storage.copy_tree("none", "x")


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
    assert resolve("a b%20c")[1] == f"{tmp_path}/a b%20c"
    assert resolve(f"file://{tmp_path}/a%20b")[1] == f"{tmp_path}/a b"
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
    for use in (resolve, Storage, split_file):
        with pytest.raises(InputError, match=message) as error:
            use(uri)
        assert "\n" not in str(error.value) and "secret" not in str(error.value)


def test_options_that_do_not_exist_are_told() -> None:
    with pytest.raises(InputError, match=r"cannot open storage.*unheard"):
        Storage("s3://bucket/x?region=us-east-1&unheard=1").exists("a")


def test_a_packed_set_on_an_object_store(
    server: tuple[str, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, objects = server
    monkeypatch.setenv("GAN_SEARCH_CACHE", str(tmp_path / "cache"))
    uri = f"s3://bucket/sets/curves.arrow?{options}"
    there = pack(open_source("curves"), uri)
    assert "bucket/sets/curves.arrow" in objects
    again = open_data(f"packed:{uri}")
    assert again.content_hash == there.content_hash
    assert np.array_equal(again.train.gather(np.arange(9)), there.train.gather(np.arange(9)))
    assert len(list((tmp_path / "cache").rglob("*.arrow"))) == 1
    with pytest.raises(InputError, match="exists"):
        pack(open_source("curves"), uri)
    with pytest.raises(InputError, match="no such file"):
        open_packed(f"s3://bucket/none?{options}")
