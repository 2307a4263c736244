"""`gan-search tensorboard` and `gan-search dashboard`: servers on this machine's loopback address alone."""

from __future__ import annotations

import contextlib
import io
import shlex
import signal
import socketserver
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from gan.errors import InputError
from gan.storage.storage import Storage
from gan.terminal import one_line
from search.run.journal import JOURNAL
from search.run.owner import is_driven
from search.run.record import Follower, SweepRecord, read_record
from search.run.run_folder import EXTENDED
from search.trackers.tensorboard import EventFiles

HOST = "127.0.0.1"

_POLL_SECONDS = 2.0
_POLL_REMOTE_SECONDS = 15.0
_LOOK_SECONDS = 0.5
_KEPT = "images=500,scalars=5000,text=100"
"""How much TensorBoard keeps of each tag; its default is only ten images."""


# ---- TensorBoard


def serve_tensorboard(run: Storage, port: int, announce: Callable[[str], None]) -> None:
    """Serve a run in TensorBoard until interrupted.

    The event files are made from the journal, in a temporary folder, as the run goes on. So they are right whatever
    became of those in the run's folder, and a run on an object store, which has none, is shown alike.

    Args:
        run: the run's folder.
        port: 0 takes a free one.
        announce: called with the server's address, once it answers.

    Raises:
        InputError: the run has nothing to show yet, or the port is taken.
    """
    record, follower = _read(run), Follower(run)
    with _polls(run) as polls, tempfile.TemporaryDirectory(prefix="gan-search-tensorboard-") as folder:
        files = EventFiles(run, Path(folder), record if record.trials else follower.record)
        extended: dict[str, tuple[Follower, EventFiles]] = {}

        def write_numbers() -> None:
            for event, trial, at in follower.news():
                files.write(event, trial, at)
            for name in set(run.list(EXTENDED)) - extended.keys():
                longer = Follower(run.child(f"{EXTENDED}/{name}"))
                extended[name] = longer, EventFiles(longer.run, Path(folder) / EXTENDED, longer.record)
            for longer, its_files in extended.values():
                for event, trial, at in longer.news():
                    # A row of its own among the hyperparameters would need the columns of the sweep.
                    if event == "report":
                        its_files.write(event, trial, at)

        def write_grids() -> None:
            for each in (files, *(its_files for _, its_files in extended.values())):
                each.write_grids()

        write_numbers()
        announce(_launch_tensorboard(Path(folder), port))
        # After the numbers: over a network the grids take their time.
        write_grids()
        for _ in polls:
            write_numbers()
            write_grids()


def _launch_tensorboard(folder: Path, port: int) -> str:
    from tensorboard import program

    server = program.TensorBoard()
    # It prints a long introduction, and warnings about packages that it does not need.
    with contextlib.redirect_stderr(io.StringIO()):
        flags = ("--logdir", str(folder), "--host", HOST, "--port", str(port))
        server.configure(argv=[None, *flags, "--reload_interval", "5", "--samples_per_plugin", _KEPT])
        try:
            return str(server.launch())
        except program.TensorBoardServerException as error:
            raise InputError(f"--port {port}: {one_line(error)}; choose another, or 0 for any free one") from None


# ---- Optuna's dashboard


def serve_dashboard(run: Storage, port: int, announce: Callable[[str], None]) -> None:
    """Serve a run in optuna-dashboard until interrupted.

    It shows a copy in memory, made from the journal as it grows: right whatever became of the driver and of the copy
    in the run's folder.

    Args:
        run: the run's folder.
        port: 0 takes a free one.
        announce: called with the server's address, once it answers.

    Raises:
        InputError: optuna-dashboard is not installed, the run has nothing to show yet, or the port is taken.
    """
    record, follower = _read(run), Follower(run)
    try:
        import optuna_dashboard
    except ImportError:
        raise InputError("optuna-dashboard is not installed: pip install 'gan-search[dashboard]'") from None
    import optuna

    from search.trackers.study import StudyCopy

    # It reports every study that is created, and every parameter that has too few trials to be judged.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", module="optuna")
    storage = optuna.storages.InMemoryStorage()
    copy = StudyCopy(storage, run, record)

    def update() -> None:
        for _ in follower.news():
            pass
        copy.update(follower.record, driven=is_driven(run))

    with _polls(run) as polls:
        update()
        with _http_server(optuna_dashboard.wsgi(storage), port) as address:
            announce(address)
            for _ in polls:
                update()


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """A server with a thread for each request: a page makes several at once."""

    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def _http_server(app: Any, port: int) -> Iterator[str]:
    """Serve an application from a thread; yield its address."""
    try:
        server = make_server(HOST, port, app, server_class=_Server, handler_class=_Silent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"--port {port}: {reason}; choose another, or 0 for any free one") from None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{HOST}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


# ---- both


def _read(run: Storage) -> SweepRecord:
    """Return the record of a run.

    Raises:
        InputError: no trial has begun, and no driver is at work.
    """
    record = read_record(run) if run.exists(JOURNAL) else SweepRecord()
    if not record.trials and not is_driven(run):
        how = f"gan-search resume {shlex.quote(run.uri)}"
        raise InputError(f"{run.uri}: no trial has begun yet, so there is nothing to show; go on with: {how}")
    return record


@contextmanager
def _polls(run: Storage) -> Iterator[Iterator[None]]:
    """Yield an iterator that returns whenever the journal is to be read again, until Ctrl-C or SIGTERM.

    Ctrl-C is how a server is meant to end. Both signals raise KeyboardInterrupt at once, which ends this context. Code
    that swallows every exception (a finaliser, a callback of the interpreter) may lose it; then the iterator ends.
    """
    interrupted = False

    def receive(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    def poll() -> Iterator[None]:
        while True:
            end = time.monotonic() + (_POLL_REMOTE_SECONDS if run.local_path is None else _POLL_SECONDS)
            while time.monotonic() < end:
                if interrupted:
                    return
                time.sleep(_LOOK_SECONDS)
            yield

    handlers = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield poll()
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
