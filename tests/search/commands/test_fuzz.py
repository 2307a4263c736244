"""Whatever a spec, a recipe or a command line says: it is taken, or refused in one line, and nothing is written."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gan.recipe.recipe import declarations
from gan.terminal import run_app
from search.commands.app import app
from search.plan.spec import SweepSpec

OFTEN = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PARAMETERS = sorted({name for kind in ("wgan", "l2") for name in declarations({"network": "dcgan", "objective": kind})})

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
small = st.integers(-1, 40) | st.floats(-1, 40, allow_nan=False)
per_parameter = st.dictionaries(st.sampled_from(PARAMETERS) | st.text(max_size=8), small | junk, max_size=3)
spec_values = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(SweepSpec.model_fields, small | junk),
        "recipes": st.lists(st.sampled_from(["dcgan", "l2", "wgan", "dcgn", ""]), max_size=3) | junk,
        "settings": per_parameter | junk,
        "space": per_parameter | junk,
        "name": st.sampled_from(["a", "..", "a/b", "", "x" * 101, "ä ö"]) | junk,
        "time_budget": st.sampled_from(["2h", "soon", "-1s", "1e9d"]) | junk,
        "unknown": junk,
    },
)


@pytest.fixture
def outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Runs a command in a folder of its own; checks how it ends, and that it wrote nothing."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> tuple[int, str]:
        said, printed = io.StringIO(), io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(printed):
            status = run_app(app, list(arguments))
        assert status in (0, 2), said.getvalue()
        if status == 2:
            assert said.getvalue().startswith("gan-search: error: ")
            assert said.getvalue().count("\n") == 1, said.getvalue()
        assert list(folder.iterdir()) == []
        return status, said.getvalue()

    return run


def write(path: Path, values: Any) -> str:
    path.write_text(yaml.safe_dump(values, allow_unicode=True))
    return str(path)


@OFTEN
@given(values=spec_values)
@example(values={"trials": 3})
@example(values={"settings": {"lr_g": float("nan")}})
def test_any_spec(
    values: dict[str, Any], outcome: Callable[..., tuple[int, str]], tmp_path: Path, tiny_data: str
) -> None:
    spec = write(tmp_path / "spec.yaml", values)
    outcome("sweep", spec, "--data", tiny_data, "--dry-run", "--json")


@OFTEN
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@example(content=b"!!python/object/apply:os.system [touch owned]")
@example(content=b"a: &a [*a]")
def test_any_bytes_for_a_spec_or_a_recipe(
    content: bytes, outcome: Callable[..., tuple[int, str]], tmp_path: Path, tiny_data: str
) -> None:
    path = tmp_path / "given.yaml"
    path.write_bytes(content)
    outcome("sweep", str(path), "--data", tiny_data, "--dry-run", "--json")
    assert outcome("recipes", "show", str(path))[0] == 2


@OFTEN
@given(
    values=st.fixed_dictionaries(
        {"name": st.just("mine") | junk, "settings": per_parameter},
        optional={"size": small | junk, "crop": junk, "source": junk, "space": per_parameter | junk, "more": junk},
    )
)
def test_any_recipe(values: dict[str, Any], outcome: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    outcome("recipes", "show", write(tmp_path / "recipe.yaml", values), "--json")


FLAGS = ("--trials", "--kimg", "--size", "--seed", "--samples", "--top-k", "--name", "--storage", "--time-budget")
FLAGS += (
    "--concurrent",
    "--cpus-per-trial",
    "--gpus-per-trial",
    "--set",
    "--space",
    "--features",
    "--recipe",
    "--crop",
)
value = st.integers(-3, 40).map(str) | st.sampled_from(["1e400", "nan", "", "-", "lr_g=1e-3", "lr_g=x", "s3:/x", "\0"])
value |= st.text(max_size=8)


@OFTEN
@given(flags=st.lists(st.tuples(st.sampled_from(FLAGS), value), max_size=3))
def test_any_flags(flags: list[tuple[str, str]], outcome: Callable[..., tuple[int, str]], tiny_data: str) -> None:
    outcome("sweep", "--data", tiny_data, "--dry-run", "--json", *(word for flag in flags for word in flag))


@OFTEN
@given(command=st.sampled_from(["status", "report", "resume", "export", "fid"]), place=value)
def test_any_name_of_a_run(command: str, place: str, outcome: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    more = {"export": ["--out", str(tmp_path / "out")], "fid": ["faces-that-are-none"]}.get(command, [])
    status, _ = outcome(command, place, *more)
    assert status == 2 or place.startswith("-")
