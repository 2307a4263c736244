"""An S3 server (moto's) that refuses writes while a file exists.

python benchmarks/object_server.py 127.0.0.1 5000 /tmp/refuse
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

_BUSY = b"<Error><Code>ServiceUnavailable</Code><Message>told to refuse writes</Message></Error>"


def refusing(app: Callable[..., Iterable[bytes]], flag: Path) -> Callable[..., Iterable[bytes]]:
    """Return an application that answers 503 to whatever would change something, while `flag` exists."""

    def answer(environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environment["REQUEST_METHOD"] not in ("GET", "HEAD") and flag.exists():
            start("503 Service Unavailable", [("Content-Type", "application/xml")])
            return [_BUSY]
        return app(environment, start)

    return answer


def main() -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    host, port, flag = sys.argv[1:]
    app = DomainDispatcherApplication(create_backend_app)
    run_simple(host, int(port), refusing(app, Path(flag)), threaded=True)


if __name__ == "__main__":
    main()
