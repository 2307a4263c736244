"""What the documentation points at is there: pages, anchors, files, commands, options."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import typer
from doc_pages import FILES, PAGES, ROOT, RUN, SHOWN, all_commands, anchors, blocks, inline_code, links

from search.commands.app import app
from search.plan.spec import SweepSpec

NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
EXTERNAL = re.compile(r"https://[\w.-]+\.[a-z]{2,}(/[^\s]*)?")
OF_THE_PROJECT = re.compile(r"(?:gan|search|docs|benchmarks|tests|deploy)/[\w./-]*")


def options(command: Any) -> set[str]:
    """Return the options that a command or any below it takes."""
    found = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for below in getattr(command, "commands", {}).values():
        found |= options(below)
    return found | {"--help"}


def command_names(command: Any, above: str = "") -> set[str]:
    """Return the full names of the commands of a program: sweep, data pack, …"""
    below = getattr(command, "commands", None)
    if below is None:
        return {above}
    return {name for key, each in below.items() for name in command_names(each, f"{above} {key}".strip())}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for target in links(page):
        parts = urlsplit(target)
        if parts.scheme:
            assert EXTERNAL.fullmatch(target), f"{name}: {target}"
            continue
        file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        assert file.exists() and file.is_relative_to(ROOT), f"{name}: {target}: there is no such file"
        if parts.fragment:
            assert parts.fragment in anchors(file), f"{name}: {target}: no such heading; there is {anchors(file)}"


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {(ROOT / urlsplit(target).path).resolve() for target in links(ROOT / "README.md")}
    assert [page.name for page in PAGES[1:] if page not in linked] == []


@pytest.mark.parametrize("name", NAMES)
def test_files_of_the_project_that_are_named_exist(name: str) -> None:
    for code in inline_code(ROOT / name):
        if OF_THE_PROJECT.fullmatch(code):
            assert (ROOT / code).exists(), f"{name}: `{code}`: there is no such file"


@pytest.mark.parametrize("name", NAMES)
def test_commands_and_options_that_are_named_exist(name: str) -> None:
    program = typer.main.get_command(app)
    known = options(program)
    commands = command_names(program)
    groups = {command.split()[0] for command in commands}
    for code in inline_code(ROOT / name):
        for option in re.findall(r"(?:^| )(--[a-z][a-z0-9-]*)", code):
            assert option in known or not code.startswith(("gan-search", "--")), f"{name}: `{code}`: no {option}"
        words = code.split()
        if words[:1] == ["gan-search"] and len(words) > 1 and not words[1].startswith("-"):
            assert words[1] in groups, f"{name}: `{code}`: no such command"


def test_the_readme_lists_every_command_and_no_other() -> None:
    text = (ROOT / "README.md").read_text()
    table = text.split("## Commands")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([^`]+)`", row)} == command_names(
        typer.main.get_command(app)
    )


def test_every_command_takes_json_and_shows_an_example() -> None:
    def leaves(command: Any) -> list[Any]:
        below = getattr(command, "commands", {}).values()
        return [leaf for each in below for leaf in leaves(each)] if below else [command]

    for command in leaves(typer.main.get_command(app)):
        assert "--json" in options(command), command.name
        assert re.search(r"Examples?:\s+gan-search", command.help), command.name


def test_every_field_of_a_sweep_is_explained() -> None:
    text = (ROOT / "docs" / "search-spaces.md").read_text()
    table = text.split("## Every field of a sweep's file")[1]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([^`]+)`", row)} == {*SweepSpec.model_fields} - {"kind"}


@pytest.mark.parametrize("name", NAMES)
def test_every_block_says_what_it_is(name: str) -> None:
    """A block without a language, or of another one, would be run by no test."""
    for block in blocks(ROOT / name):
        assert block.language in {*RUN, *FILES, *SHOWN}, f"{block}: '{block.language}'"
        if block.language in FILES and block.language not in RUN:
            assert block.file, f"{block}: its first line must be a comment with the name of the file"


def test_there_is_something_to_check() -> None:
    assert len(PAGES) > 5 and len(all_commands()) > 20
    assert sum(len(links(page)) for page in PAGES) > 15


def test_anchors_are_github_s(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b` c\n## What's new?\n## What's new?\n## [link](x.md) – é_1\n")
    assert anchors(page) == {"a-b-c", "whats-new", "whats-new-1", "link--é_1"}
