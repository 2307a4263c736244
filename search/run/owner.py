"""Who drives a run: one process at a time, whose heartbeat is in owner.json."""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from gan.errors import InputError
from gan.storage.storage import Storage

OWNER = "owner.json"
HEARTBEAT_SECONDS = 5.0
ABANDONED_SECONDS = 60.0
"""After so long without a heartbeat, another driver may take the run over."""
_RACE_SECONDS = 0.2
"""Two drivers that start at the same moment have both written by then."""

_log = logging.getLogger(__name__)


class Owner:
    """Holds a run for this process, with a heartbeat, so that a second driver is refused.

    Attributes:
        lost: whether another driver has taken the run over, because this one gave no sign of life for a minute (on a
            suspended machine). This one must stop then.

    Raises:
        InputError: a live driver owns the run; the message says which.
    """

    def __init__(self, run: Storage) -> None:
        self.lost = False
        self._run = run
        self._last_beat = _clock()
        self._stop = threading.Event()
        self._me = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": process_start(os.getpid()),
            "token": os.urandom(8).hex(),
        }
        require_free(run)
        self._beat()
        # Of two drivers that start at the same moment, the one that wrote last wins.
        time.sleep(_RACE_SECONDS)
        if not self._is_mine():
            require_free(run)
            raise InputError(f"{run.uri}: another driver has just started on it; wait for it or end it first")
        self._thread = threading.Thread(target=self._keep_beating, daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Let go of the run, at the end of a launch or an orderly interruption."""
        self._stop.set()
        self._thread.join(timeout=HEARTBEAT_SECONDS)
        with suppress(OSError):  # A file that stays does no harm: this process will be dead, its heartbeat old.
            if self._is_mine():
                self._run.delete(OWNER)

    def require_mine(self) -> None:
        """Raise `PermissionError` if another driver has taken the run over, or may have done so unnoticed."""
        if self.lost or _clock() - self._last_beat > ABANDONED_SECONDS - HEARTBEAT_SECONDS:
            reason = "this driver could give no sign of life for a minute, so that another may have taken the run over"
            raise PermissionError(errno.EPERM, reason, f"{self._run.uri}/{OWNER}")

    def _keep_beating(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            try:
                if not self._is_mine():
                    _log.info("%s: another driver has taken it over", self._run.uri)
                    self.lost = True
                    return
                self._beat()
            except OSError:
                # The next heartbeat makes up for it. Only a minute without any loses the run.
                _log.debug("%s: no heartbeat", self._run.uri, exc_info=True)

    def _is_mine(self) -> bool:
        """Tell whether the file is this process's. If it cannot be read, OSError is raised: nobody knows."""
        try:
            holder = json.loads(self._run.read_bytes(OWNER))
        except (FileNotFoundError, ValueError):
            return False
        return isinstance(holder, dict) and holder.get("token") == self._me["token"]

    def _beat(self) -> None:
        now = _clock()
        self._run.write_bytes(OWNER, json.dumps({**self._me, "beat": time.time()}).encode())
        self._last_beat = now


def _clock() -> float:
    """Return seconds of a clock that runs on while the machine sleeps, where the system has one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def require_free(run: Storage) -> None:
    """Raise `InputError`, with the process and host, if a live driver owns the run."""
    holder = read_owner(run)
    if holder is not None and is_alive(holder):
        raise InputError(
            f"{run.uri} is run by process {holder['pid']} on {holder['host']}; wait for it or end it first"
        )


def read_owner(run: Storage) -> dict[str, Any] | None:
    """Return the last owner of the run, or None."""
    try:
        holder = json.loads(run.read_bytes(OWNER))
    except (OSError, ValueError):
        return None
    if not isinstance(holder, dict) or not isinstance(holder.get("pid"), int) or "started" not in holder:
        return None
    return holder if isinstance(holder.get("beat"), (int, float)) and "host" in holder else None


def is_alive(holder: dict[str, Any]) -> bool:
    """Tell whether an owner still runs: on this host by its process, elsewhere by its heartbeat."""
    if holder["host"] == socket.gethostname() and holder["started"] is not None:
        return process_start(holder["pid"]) == holder["started"]
    return bool(time.time() - holder["beat"] < ABANDONED_SECONDS)


def is_driven(run: Storage) -> bool:
    """Tell whether a driver is at work on a run now."""
    owner = read_owner(run)
    return owner is not None and is_alive(owner)


def process_start(pid: int) -> str | None:
    """Return the start of a process of this host, in ticks since boot; None if it does not run or has no /proc entry.

    The start tells a process from a later one with the same pid.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command, in parentheses, may itself hold spaces and parentheses.
    state, *rest = stat.rpartition(")")[2].split()
    return None if state in "ZX" else rest[18]
