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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from gan.errors import InputError
from gan.storage.storage import Storage
from gan.terminal import note, one_line, progress_bar
from search.run.active_parameters import recipes_of
from search.run.follow import Follower
from search.run.journal import JOURNAL
from search.run.owner import is_driven
from search.run.record import SweepRecord, TrialRecord, read_record
from search.trackers.event_files import event_files, is_whole
from search.trackers.tensorboard import FOLDER, EventLog, read_picture, table_of

if TYPE_CHECKING:
    from search.trackers.study import Copy

HOST = "127.0.0.1"
Announce = Callable[[str], None]
"""Called with the server's address."""

_POLL_SECONDS = 2.0
_POLL_REMOTE_SECONDS = 15.0
_LOOK_SECONDS = 0.5
_FETCHERS = 8
"""Sample grids that are fetched from an object store at once."""

_KEPT = "images=500,scalars=5000,text=100"
"""What TensorBoard keeps of each tag; by default only ten images."""


# ---- TensorBoard


def serve_tensorboard(run: Storage, port: int, announce: Announce, *, quiet: bool = False) -> None:
    """Serve a run in TensorBoard until interrupted.

    The event files in the run's folder are shown where they are. Where there are none, or damaged
    ones, or the run is on an object store, they are made again from the journal, in a temporary
    folder, and follow a run that goes on.

    Args:
        run: the run's folder.
        port: 0 takes a free one.
        announce: called once the server answers.
        quiet: show no progress.

    Raises:
        InputError: the run has nothing to show yet, or the port is taken.
    """
    record = _read(run)
    with _Interrupt() as interrupt, tempfile.TemporaryDirectory(prefix="gan-search-tensorboard-") as scratch:
        reason = _why_not_in_place(run, record, quiet)
        if reason is None:
            assert run.local_path is not None
            announce(_launch_tensorboard(run.local_path / FOLDER, port))
            while not interrupt.came:
                interrupt.pause(run)
            return
        note(f"{reason}: showing what the journal tells")
        rebuilt = _Rebuilt(run, Path(scratch))
        rebuilt.take_in()
        announce(_launch_tensorboard(Path(scratch), port))
        while not interrupt.came:
            rebuilt.fetch_pictures()
            interrupt.pause(run)
            rebuilt.take_in()


def _why_not_in_place(run: Storage, record: SweepRecord, quiet: bool) -> str | None:
    """Return why a run's own event files cannot be shown; None if they can."""
    if run.local_path is None:
        return f"{run.uri} is not on this machine"
    folder = run.local_path / FOLDER
    running = is_driven(run)
    # What is being written may be half a record at this moment.
    trials = [trial.id for trial in record.trials.values() if trial.final or (trial.reports and not running)]
    damaged = []
    with progress_bar("checking event files", quiet) as progress:
        for done, name in enumerate(trials, start=1):
            files = event_files(folder / name)
            if not files or not all(map(is_whole, files)):
                damaged.append(name)
            progress(done, len(trials))
    if not damaged:
        return None
    some = ", ".join(damaged[:3]) + (", …" if len(damaged) > 3 else "")
    return f"{folder}: event files are missing or damaged ({some})"


class _Rebuilt:
    """Event files made from a run's journal, and kept up to date with it."""

    def __init__(self, run: Storage, folder: Path) -> None:
        self._run = run
        self._folder = folder
        self._follower = Follower(run)
        self._log: EventLog | None = None
        self._pictures: list[tuple[TrialRecord, dict[str, Any], float]] = []

    def take_in(self) -> None:
        """Write what is new, but for the pictures: numbers are there at once, pictures take their time."""
        record = self._follower.record
        for event, trial, at in self._follower.news():
            if self._log is None:
                self._log = EventLog(self._folder, table_of(recipes_of(self._run, record), record))
            if event == "start":
                self._log.begin(trial, at)
            elif event == "report" and self._log.report(trial, at):
                self._pictures.append((trial, trial.last, at))
            elif event == "verdict":
                self._log.end(trial, at)

    def fetch_pictures(self) -> None:
        """Write the sample grids that are still owed, in order: at a step back TensorBoard drops what follows it."""
        owed, self._pictures = self._pictures, []
        with ThreadPoolExecutor(_FETCHERS) as pool:
            found = pool.map(lambda each: read_picture(self._run, each[0].id, each[1]), owed)
            try:
                for (trial, report, at), png in zip(owed, found, strict=True):
                    assert self._log is not None
                    self._log.picture(trial, report["kimg"], png, at)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _launch_tensorboard(folder: Path, port: int) -> str:
    from tensorboard import program

    server = program.TensorBoard()
    # It introduces itself at length, and warns of what it does not need.
    with contextlib.redirect_stderr(io.StringIO()):
        place = ("--logdir", str(folder), "--host", HOST, "--port", str(port))
        server.configure(argv=[None, *place, "--reload_interval", "5", "--samples_per_plugin", _KEPT])
        try:
            return str(server.launch())
        except program.TensorBoardServerException as error:
            raise InputError(f"--port {port}: {one_line(error)}; choose another, or 0 for any free one") from None


# ---- Optuna's dashboard


def serve_dashboard(run: Storage, port: int, announce: Announce) -> None:
    """Serve a run in optuna-dashboard until interrupted.

    Shown is a copy made from the journal as it grows, in memory: it is right whatever became of the
    driver and of the copy in the run's folder.

    Args:
        run: the run's folder.
        port: 0 takes a free one.
        announce: called once the server answers.

    Raises:
        InputError: optuna-dashboard is not installed, the run has nothing to show yet, or the port is taken.
    """
    record = _read(run)
    make_app = _import_dashboard()
    import optuna

    from search.trackers.study import Copy, describe

    # It tells of every study that is made, and of every parameter that has too few trials to be judged.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", module="optuna")
    storage = optuna.storages.InMemoryStorage()
    name = str(record.settings.get("name") or run.root.rpartition("/")[2])
    shown = _Shown(run, Copy(storage, name, recipes_of(run, record), describe(record)))
    with _Interrupt() as interrupt:
        shown.take_in()
        with _http_server(make_app(storage), port) as address:
            announce(address)
            while not interrupt.came:
                interrupt.pause(run)
                shown.take_in()


class _Shown:
    """A copy of a study, kept up to date with a run's journal."""

    def __init__(self, run: Storage, copy: Copy) -> None:
        self._run = run
        self._copy = copy
        self._follower = Follower(run)
        self._states: dict[str, str] = {}

    def take_in(self) -> None:
        """Write what is new. A trial whose driver is gone waits."""
        from search.trackers.study import Times, times_of

        changed = {trial.id for _, trial, _ in self._follower.news()}
        record, driven = self._follower.record, is_driven(self._run)
        times = times_of(record) if changed else {}
        for trial in record.trials.values():
            state = "pending" if trial.state == "running" and not driven else trial.state
            if trial.id in changed or self._states.get(trial.id) != state:
                self._copy.sync(replace(trial, state=state), times.get(trial.id, Times()))
                self._states[trial.id] = state


def _import_dashboard() -> Callable[[Any], Any]:
    try:
        from optuna_dashboard import wsgi
    except ImportError:
        raise InputError("optuna-dashboard is not installed: pip install 'gan-search[dashboard]'") from None
    made: Callable[[Any], Any] = wsgi
    return made


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """A page asks for several things at once."""

    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def _http_server(app: Any, port: int) -> Iterator[str]:
    """Serve an application from a thread; give its address."""
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
        InputError: nothing has happened in it, and nothing will unless it is gone on with.
    """
    record = read_record(run) if run.exists(JOURNAL) else SweepRecord()
    if not record.trials and not is_driven(run):
        how = f"gan-search resume {shlex.quote(run.uri)}"
        raise InputError(f"{run.uri}: no trial has begun yet, so there is nothing to show; go on with: {how}")
    return record


class _Interrupt:
    """Ctrl-C is how a server is meant to end; SIGTERM ends it as well, in order.

    Either raises KeyboardInterrupt at once. That is lost where it meets code that swallows everything (a
    finaliser, a callback of the interpreter's), so whoever waits looks at `came` as well.
    """

    def __init__(self) -> None:
        self.came = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._take)
        return self

    def _take(self, *_: object) -> None:
        self.came = True
        raise KeyboardInterrupt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        return kind is KeyboardInterrupt

    def pause(self, run: Storage) -> None:
        """Wait until it is worth looking for news."""
        end = time.monotonic() + (_POLL_REMOTE_SECONDS if run.local_path is None else _POLL_SECONDS)
        while not self.came and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
