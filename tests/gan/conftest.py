"""A trained generator, and the command line in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import TINY, Cli, Result


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """A function that runs a command in this process."""

    def run(*arguments: object) -> Result:
        from gan.commands.app import main

        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        return Result(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def trained(tiny_data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of 0.4 kimg; tests leave it as it is."""
    from gan.commands.app import main

    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", *TINY, "--data", tiny_data, "--kimg", "0.4", "--out", str(folder), "--json"]) == 0
    return folder


@pytest.fixture(scope="session")
def bundle(trained: Path) -> Path:
    """The bundle of that training."""
    return next(trained.glob("best-*"))
