"""The rules of the house that a program can check."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def imported_modules(file: Path) -> set[str]:
    """Return the modules that a file imports, anywhere in it."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            modules.add(node.module)
    return modules


def imports(file: Path) -> set[str]:
    """Return the top-level packages that a file imports, anywhere in it."""
    return {module.partition(".")[0] for module in imported_modules(file)}


def sources(package: str) -> list[Path]:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    return files


def test_gan_never_imports_what_belongs_to_search() -> None:
    for file in sources("gan"):
        assert not imports(file) & {"ray", "optuna", "pydantic", "search"}, file


def test_the_algorithm_knows_nothing_of_ray_storage_or_runs() -> None:
    for file in sources("search/algorithm"):
        assert "ray" not in imports(file), file
        modules = imported_modules(file)
        ours = {module for module in modules if module.startswith(("search.", "gan.storage"))}
        assert all(module.startswith("search.algorithm.") for module in ours), file


def test_search_does_no_tensor_mathematics() -> None:
    """PyTorch is named in one place: to tell running out of memory."""
    with_torch = {file.name for file in sources("search") if "torch" in imports(file)}
    assert with_torch == {"trial.py"}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import gan.commands.app", {"torch", "ray", "optuna"}),
        ("import search.commands.app", {"torch", "ray", "optuna"}),
        ("import search.report.build, search.report.text.status", {"torch", "ray", "optuna"}),
        ("import gan; gan.load_bundle; gan.Trainer", {"ray", "optuna", "pydantic"}),
    ],
)
def test_imports_stay_cheap(statement: str, absent: set[str]) -> None:
    program = f"import sys; {statement}; print(*(m for m in {sorted(absent)} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == ""
