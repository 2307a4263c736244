"""The command line as tests run it: in this process, and what it leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Small enough that a report takes a second; healthy, so that no test meets a diverged training.
TINY = ["--recipe", "dcgan", "--set", "batch=16", "--set", "width_g=8", "--set", "width_d=8"]
TINY += ["--samples", "64", "--device", "cpu", "--interval-kimg", "0.2"]


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)

    def bad_input(self) -> str:
        """Check that this is how bad input ends; return the one line."""
        assert self.status == 2, (self.out, self.err)
        assert self.out == ""
        assert self.err.startswith("gan-search: error: ")
        assert self.err.count("\n") == 1
        assert "Traceback" not in self.err
        return self.err


Cli = Callable[..., Result]
