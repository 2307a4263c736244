"""Worker processes that decode and draw images on several cores.

`multiprocessing` does not fit here. The processes that it spawns import the caller's `__main__` again, so
a script without the usual guard starts itself over and over. They also outlive a parent that is killed, as
loky's do. These workers import only what their work needs, and end when the pipe from their parent closes.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
Item = TypeVar("Item")
_QUOTAS = (
    ("/sys/fs/cgroup/cpu.max",),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)
"""Files that hold a container's share of the processor: microseconds it may use, and in how many."""
_PROGRAM = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); import {0}; {0}.serve()"


def usable_cores() -> int:
    """Return how many cores this process may use: not those of others, and no more than its container's share."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for files in _QUOTAS:
        try:
            quota, period = " ".join(Path(file).read_text() for file in files).split()
            return max(1, min(cores, int(quota) // int(period))) if int(quota) > 0 else cores
        except (OSError, ValueError):
            continue  # Another version of cgroups, or no limit ("max").
    return cores


def available_processes() -> int:
    """Return how many processes to start: one for each usable core, 16 at most."""
    return min(16, usable_cores()) if sys.executable else 1


class Workers:
    """Processes that run picklable work. Use it as a context manager; the processes end with it."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._workers = [_Worker() for _ in range(count)]
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(count, "worker")  # Each thread waits for the answer of one process.

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.kill()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.close()

    def run(self, tasks: Iterable[Callable[[], T]]) -> Iterator[T]:
        """Run tasks, a few of them ahead, and yield their results in order.

        Raises:
            RuntimeError: a process ended unexpectedly.
            Exception: what the task raised.
        """
        yield from map_ahead(self._threads, self._run, tasks, 4 * self.count)

    def _run(self, task: Callable[[], T]) -> T:
        worker = self._idle.get()
        try:
            return worker.run(task)
        finally:
            self._idle.put(worker)


def map_ahead(
    threads: ThreadPoolExecutor, function: Callable[[Item], T], items: Iterable[Item], ahead: int
) -> Iterator[T]:
    """Apply a function to items in threads, at most `ahead` of them in advance, and yield the results in order."""
    waiting: deque[Future[T]] = deque()
    for item in items:
        waiting.append(threads.submit(function, item))
        if len(waiting) > ahead:  # Enough to keep the threads busy; memory stays bounded.
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


class _Worker:
    """One process, which reads tasks from its standard input and writes answers to its standard output."""

    def __init__(self) -> None:
        # Its own process group keeps Ctrl-C from the worker; the parent decides what to do.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM.format(__name__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
        )
        self._send(sys.path)

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        pickle.dump(message, self._process.stdin, pickle.HIGHEST_PROTOCOL)
        self._process.stdin.flush()

    def run(self, task: Callable[[], T]) -> T:
        assert self._process.stdout is not None
        try:
            self._send(task)
            succeeded, answer = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            status = self._process.wait()
            raise RuntimeError(
                f"a process that reads images ended with status {status}: the system may be out of memory"
            ) from error
        if succeeded:
            return answer
        raise answer

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # A task was being sent when the process ended.
                pipe.close()


def serve() -> None:
    """Run tasks until the input ends; the main function of a worker process."""
    warnings.simplefilter("ignore")  # Pillow warns of odd files; those that are skipped are listed anyway.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What a library prints must not mix with the answers.
    while True:
        try:
            task = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answers.write(_answer(task))
            answers.flush()
        except BrokenPipeError:
            os._exit(0)  # The parent has gone.


def _answer(task: Callable[[], Any]) -> bytes:
    """Run a task and return the pickle of (True, its result) or of (False, its exception)."""
    try:
        answer: tuple[bool, Any] = (True, task())
    except Exception as error:
        answer = (False, error)
    try:
        return pickle.dumps(answer)
    except Exception:  # The exception cannot be pickled.
        return pickle.dumps((False, RuntimeError(f"{type(answer[1]).__name__}: {answer[1]}")))
