"""An object store for tests: moto's S3 server, in this process, on loopback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4


@dataclass(frozen=True)
class S3:
    """An empty bucket.

    Attributes:
        endpoint: host and port of the server.
    """

    endpoint: str
    bucket: str
    client: Any

    @property
    def options(self) -> str:
        """What leads a URI to this server."""
        return f"endpoint_override={self.endpoint}&scheme=http&region=us-east-1"

    def uri(self, path: str) -> str:
        return f"s3://{self.bucket}/{path}?{self.options}"

    def objects(self) -> dict[str, int]:
        """Return the bytes of every object but the empty ones that stand for folders."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        found = {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}
        return {key: size for key, size in found.items() if not key.endswith("/")}

    def write(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data)

    def read(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read())


@contextmanager
def running_server() -> Iterator[str]:
    """Run the server; yield its host and port."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # It would tell of every request.
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"{host}:{port}"
    server.stop()


def new_bucket(endpoint: str) -> S3:
    import boto3

    client = boto3.client("s3", endpoint_url=f"http://{endpoint}", region_name="us-east-1")
    bucket = f"test-{uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    return S3(endpoint, bucket, client)
