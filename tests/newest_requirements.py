"""Prints what the tests need, without upper limits of versions; `make test-newest` installs it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path


def newest() -> list[str]:
    """Return the requirements of pyproject.toml, of its extra `test` and of the extras named there."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["test"]]
    for own in [line for line in wanted if line.startswith(f"{project['name']}[")]:
        wanted.remove(own)
        wanted += [line for extra in own[own.index("[") + 1 : -1].split(",") for line in extras[extra]]
    return [re.sub(r",?<=?[^,;]+", "", line) for line in wanted]


if __name__ == "__main__":
    print(*newest(), sep="\n")
