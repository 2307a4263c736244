"""Everything that the documentation tells people to type works."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import typer
from doc_pages import PAGES, ROOT, Block, Command, all_commands, line_of
from doc_runner import (
    SIZES,
    Reader,
    cache_few_faces,
    check_options,
    copy_of,
    prepare,
    smaller,
    smaller_python,
    smaller_yaml,
    why_skipped,
)
from PIL import Image

README = ROOT / "README.md"
MORE = "With a GPU and a night"
"""Heading in the README after which only make test-full goes on."""

FAST = {"exporting.md", "extending.md"}
"""Pages whose commands take seconds, after the first half of the README; make test-full runs the others."""

_PAGES = [
    pytest.param(page, id=page.name, marks=() if page.name in FAST else pytest.mark.slow)
    for page in PAGES[1:]
    if page.name != "exporting.md"  # It has a test of its own.
]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache apart from that of other tests, with few faces in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_SEARCH_CACHE", str(tmp_path_factory.mktemp("docs-cache")))
        for size in SIZES.values():
            cache_few_faces(size)
        yield


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Somebody who has followed the README from the top to their first picture."""
    folder = tmp_path_factory.mktemp("reader") / "checkout"
    folder.mkdir()
    prepare(folder)
    reader = Reader(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        reader.follow(README, end=line_of(README, MORE))
    return reader


@pytest.fixture(scope="module")
def old_hand(newcomer: Reader, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Somebody who has followed it to the end."""
    reader = Reader(copy_of(newcomer.folder, tmp_path_factory.mktemp("old-hand") / "checkout"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(reader.folder)
        reader.follow(README, start=line_of(README, MORE))
    return reader


@pytest.fixture
def turn_to(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Path], Reader]]:
    """A function: follow a page, after as much of the README as it takes, in a folder that is not used again."""
    folder = tmp_path / "checkout"
    # A page may install a package, which another must not see.
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))

    def turn(page: Path) -> Reader:
        before: Reader = request.getfixturevalue("newcomer" if page.name in FAST else "old_hand")
        reader = Reader(copy_of(before.folder, folder))
        monkeypatch.chdir(folder)
        reader.follow(page)
        return reader

    yield turn
    for name in [name for name, module in sys.modules.items() if _lies_in(module, folder)]:
        del sys.modules[name]


def _lies_in(module: object, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return bool(file) and Path(str(file)).is_relative_to(folder)


def test_the_readme_leads_from_a_folder_of_images_to_a_sampled_picture(newcomer: Reader) -> None:
    folder = newcomer.folder
    assert {path.name for path in (folder / "my-generator").iterdir()} >= {
        "README.md",
        "config.json",
        "generator.safetensors",
        "samples.png",
    }
    with Image.open(folder / "samples.png") as picture:
        assert picture.size == (2 + 8 * 18, 2 + 8 * 18)
    assert (folder / "results" / "first" / "report.html").is_file()
    assert [text.split()[1] for text in newcomer.done if text.startswith("gan-search")] == ["sweep", "export", "sample"]


@pytest.mark.slow
def test_the_rest_of_the_readme_can_be_followed(old_hand: Reader) -> None:
    assert sum(text.startswith("gan-search resume results/photos") for text in old_hand.done) == 2


def test_onnx_gives_the_images_that_the_page_says(turn_to: Callable[[Path], Reader]) -> None:
    names = turn_to(ROOT / "docs" / "exporting.md").names
    wanted = names["load_bundle"]("my-generator").sample(16, seed=0)
    # A value on the edge between two grey levels may fall to either side.
    assert np.abs(names["pixels"].astype(int) - wanted).max() <= 1
    assert (names["pixels"] != wanted).mean() < 0.01
    assert names["tensor"].shape == names["made"].shape


@pytest.mark.parametrize("page", _PAGES)
def test_a_page_can_be_followed(page: Path, turn_to: Callable[[Path], Reader]) -> None:
    turn_to(page)


@pytest.mark.parametrize("command", all_commands(), ids=str)
def test_options_are_valid(command: Command) -> None:
    """Also of what is not run, and of pages that only make test-full runs."""
    check_options(command)


# ---- the tests' own honesty


def test_most_commands_are_run() -> None:
    skipped = [command for command in all_commands() if why_skipped(command)]
    assert len(skipped) < len(all_commands()) / 3


@pytest.mark.parametrize(
    ("typed", "run"),
    [
        (
            "gan-search sweep --data folder:photos --size 64 --kimg 500 --set width_g=32",
            "gan-search sweep --data folder:photos --size 20 --kimg 1.5 --set width_g=4 --samples 64 --set width_d=4"
            " --set batch=16 --features random-conv",
        ),
        ("gan-search resume results/photos --trials +20", "gan-search resume results/photos --trials +1"),
        ("gan-search sample b -n 64 --seed 0", "gan-search sample b -n 64 --seed 0"),
        ("gan-search fid a b --features inception", "gan-search fid a b --features inception --samples 64"),
        ("gan-search export a:t0017", "gan-search export a:t0002"),
    ],
)
def test_only_the_listed_numbers_change(typed: str, run: str) -> None:
    assert " ".join(smaller(tuple(typed.split()))) == run


def test_files_and_snippets_shrink_too() -> None:
    text = "kimg: 36\nsettings: {width_g: 32, lr_g: 0.1}\nspace: {batch: [32, 64], lr_d: {low: 1, high: 2}}\n"
    assert smaller_yaml(text) == (
        "kimg: 1.036\nsettings:\n  width_g: 4\n  lr_g: 0.1\nspace:\n  batch:\n  - 16\n  - 32\n  lr_d:\n"
        "    low: 1\n    high: 2\n"
    )
    python = 'SweepSpec(size=32, trials=12, kimg=36, seed=99, settings={"width_g": 32, "lr_g": 1})'
    assert smaller_python(python) == (
        'SweepSpec(size=16, trials=3, kimg=1.036, seed=99, settings={"width_g": 4, "lr_g": 1})'
    )


@pytest.mark.parametrize("wrong", ["gan-search swepe", "gan-search sweep --sise 3", "gan-search data pack a"])
def test_a_wrong_command_is_found(wrong: str) -> None:
    block = Block("bash", wrong, "page.md", 1)
    kind = next(each for each in typer.BadParameter.__mro__ if each.__name__ == "ClickException")
    with pytest.raises(kind):
        check_options(Command(tuple(wrong.split()), block))
