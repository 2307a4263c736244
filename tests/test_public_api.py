"""The public names are those of docs/api.md, exist, and cost nothing until they are used."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["gan", "gan.extend", "search"]


def listed(package: str) -> set[str]:
    """Return the names in a package's table: the first cell of each row."""
    page = (ROOT / "docs" / "api.md").read_text()
    section = re.search(rf"^## `{re.escape(package)}`\n(.*?)^## ", page, re.MULTILINE | re.DOTALL)
    assert section, f"docs/api.md has no section on {package}"
    rows = re.findall(r"^\| (`.+?) \|", section[1], re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_those_of_the_page(package: str) -> None:
    module = importlib.import_module(package)
    assert listed(package) == set(module.__all__)
    assert len(module.__all__) == len(set(module.__all__))
    for name in module.__all__:
        assert getattr(module, name) is not None
    others = {name for name, value in vars(module).items() if name[0] != "_" and not inspect.ismodule(value)}
    assert others <= {*module.__all__, "annotations", "TYPE_CHECKING", "Any"}


@pytest.mark.parametrize("package", ["gan", "search"])
def test_other_names_are_refused(package: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'Nothing'"):
        importlib.import_module(package).Nothing  # noqa: B018


@pytest.mark.parametrize("package", ["gan", "search"])
def test_types_hold_for_users(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def test_a_run_is_opened_by_name_and_place(tmp_path: Path) -> None:
    from fabricated_run import fabricate

    import search
    from gan import InputError

    fabricate(tmp_path / "some", 3)
    assert search.open_run("some", str(tmp_path)).rows == search.open_run(str(tmp_path / "some")).rows != []
    for refused in (search.open_run, search.resume):
        with pytest.raises(InputError, match="there is no run here"):
            refused(str(tmp_path / "none"))
