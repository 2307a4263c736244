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
SETTLE_SECONDS = 0.2

_log = logging.getLogger(__name__)


class Owner:
    """Holds a run for this process, with a heartbeat, so that a second driver is refused.

    Attributes:
        lost: whether another driver has taken the run over, because this one showed no sign of life
            for a minute (a suspended machine). It must stop then.

    Raises:
        InputError: a live driver has it; the message says which.
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
        # Of two drivers that start in the same moment, the one whose file stands wins.
        time.sleep(SETTLE_SECONDS)
        if not self._is_mine():
            require_free(run)
            raise InputError(f"{run.uri}: another driver has just started on it; wait for it or end it first")
        self._thread = threading.Thread(target=self._keep_beating, daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Let go of the run, at the end of a sweep or an orderly interruption."""
        self._stop.set()
        self._thread.join(timeout=HEARTBEAT_SECONDS)
        with suppress(OSError):  # What stays says that this process is dead, or grows old.
            if self._is_mine():
                self._run.delete(OWNER)

    def require_mine(self) -> None:
        """Raise `PermissionError` if another driver has taken the run over, or may have, unseen by this one."""
        if self.lost or _clock() - self._last_beat > ABANDONED_SECONDS - HEARTBEAT_SECONDS:
            reason = "this driver could give no sign of life for a minute, so that another may have taken the run over"
            raise PermissionError(errno.EPERM, reason, f"{self._run.uri}/{OWNER}")

    def _keep_beating(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            try:
                if not self._is_mine():
                    self.lost = True
                    return
                self._beat()
            except OSError:
                # A missed beat is made good by the next; only a minute without any loses the run.
                continue

    def _is_mine(self) -> bool:
        """Tell whether the file is this process's. That it cannot be read says nothing: then OSError is raised."""
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
    """Return seconds that go on while the machine sleeps, where the system has such a clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def require_free(run: Storage) -> None:
    """Raise `InputError`, saying who, if a live driver owns the run."""
    holder = read_owner(run)
    if holder is not None and is_alive(holder):
        raise InputError(
            f"{run.uri} is run by process {holder['pid']} on {holder['host']}; wait for it or end it first"
        )


def read_owner(run: Storage) -> dict[str, Any] | None:
    """Return who last owned the run, or None."""
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
    """Tell whether a driver is at work on a run at this moment."""
    owner = read_owner(run)
    return owner is not None and is_alive(owner)


def process_start(pid: int) -> str | None:
    """Return when a process of this host began, in ticks since boot; None if it does not run or
    this system does not tell.

    The number tells a process from a later one of the same pid.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command, in parentheses, may itself hold spaces and parentheses.
    state, *rest = stat.rpartition(")")[2].split()
    return None if state in "ZX" else rest[18]
