"""Work in other processes, for what keeps more than one core busy: decoding and drawing images.

Not by `multiprocessing`: children that it spawns import the caller's `__main__` again (a script without
the usual guard starts itself over and over), and they outlive a parent that is killed. These import only
what their work needs, and end when the pipe from their parent does.
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
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
_PROGRAM = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); import {0}; {0}.serve()"


def available_processes() -> int:
    """Return how many processes are worth starting here: one a core that this one may use, 16 at most."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(16, usable) if sys.executable else 1


class Workers:
    """A few processes that run picklable work. Use it as a context manager: they end with it."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._all = [_Worker() for _ in range(count)]
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self._all:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(count, "worker")  # Each waits for the answer of one process.

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._all:
            worker.kill()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._all:
            worker.close()

    def run(self, works: Iterable[Callable[[], T]]) -> Iterator[T]:
        """Run pieces of work, only a few of them ahead; yield their results in order.

        Raises:
            RuntimeError: a process ended that should not have.
            Exception: what the work raised.
        """
        waiting: deque[Future[T]] = deque()
        for work in works:
            waiting.append(self._threads.submit(self._run, work))
            if len(waiting) > 4 * self._count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _run(self, work: Callable[[], T]) -> T:
        worker = self._idle.get()
        try:
            return worker.run(work)
        finally:
            self._idle.put(worker)


class _Worker:
    """One process, which reads work from its standard input and answers on its standard output."""

    def __init__(self) -> None:
        # In a process group of its own Ctrl-C does not reach it; its parent decides what is to happen.
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

    def run(self, work: Callable[[], T]) -> T:
        assert self._process.stdout is not None
        try:
            self._send(work)
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
            with suppress(BrokenPipeError):  # Work was on its way when the process ended.
                pipe.close()


def serve() -> None:
    """Run what comes in until nothing more does: the whole life of a worker's process."""
    warnings.simplefilter("ignore")  # Pillow's, of odd files: what matters is told of each that is skipped.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # Whatever a library prints must not get in between.
    while True:
        try:
            work = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answers.write(_answer(work))
            answers.flush()
        except BrokenPipeError:
            os._exit(0)  # Nobody is left to hear it.


def _answer(work: Callable[[], Any]) -> bytes:
    """Return, pickled, (True, the result) or (False, the exception)."""
    try:
        answer: tuple[bool, Any] = (True, work())
    except Exception as error:
        answer = (False, error)
    try:
        return pickle.dumps(answer)
    except Exception:  # An exception may hold anything.
        return pickle.dumps((False, RuntimeError(f"{type(answer[1]).__name__}: {answer[1]}")))
