"""The documentation as the tests of this folder read it: blocks, headings, links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = ("bash", "python")
FILES = ("yaml", "toml", "python")
SHOWN = ("text", "json")
"""Kinds of fenced blocks: run, written to a file (their first line is a comment that names it), only shown."""


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: what follows the fence.
        text: what is in it.
        page: the file's name.
        line: of the fence, counted from 1.
    """

    language: str
    text: str
    page: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that this block is the content of, if it is one."""
        found = re.match(r"# ([\w./-]+\.(?:yaml|toml|py))\n", self.text)
        return found[1] if found and self.language in FILES else None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A line of a bash block: the words of one command."""

    words: tuple[str, ...]
    block: Block

    @property
    def text(self) -> str:
        return shlex.join(self.words)

    def __str__(self) -> str:
        return f"{self.block}: {self.text}"


def tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    return [
        Block(token.info.strip(), token.content, page.relative_to(ROOT).as_posix(), _line(token))
        for token in tokens(page)
        if token.type == "fence"
    ]


def line_of(page: Path, heading: str) -> int:
    """Return the line that a heading is on."""
    found = tokens(page)
    lines = [
        _line(first) for first, then in pairwise(found) if first.type == "heading_open" and then.content == heading
    ]
    assert len(lines) == 1, f"{page.name} has {len(lines)} headings '{heading}'"
    return lines[0]


def _line(token: Token) -> int:
    assert token.map
    return token.map[0] + 1


def commands(block: Block) -> list[Command]:
    """Return the commands of a bash block; lines that end in a backslash go on."""
    lines = block.text.replace("\\\n", " ").splitlines()
    split = (tuple(shlex.split(line, comments=True)) for line in lines)
    return [Command(words, block) for words in split if words]


def all_commands() -> list[Command]:
    return [
        command for page in PAGES for block in blocks(page) if block.language == "bash" for command in commands(block)
    ]


def inline(page: Path) -> Iterator[Token]:
    """Yield the inline tokens of a page: text, code, links, images."""
    for token in tokens(page):
        yield from token.children or ()


def inline_code(page: Path) -> list[str]:
    return [token.content for token in inline(page) if token.type == "code_inline"]


def links(page: Path) -> list[str]:
    """Return the targets of a page's links and images."""
    found = []
    for token in inline(page):
        if token.type in ("link_open", "image"):
            found.append(str(token.attrs["href" if token.type == "link_open" else "src"]))
    return found


def headings(page: Path) -> list[str]:
    """Return the text of a page's headings."""
    found = tokens(page)
    return [after.content for before, after in pairwise(found) if before.type == "heading_open"]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives a page's headings."""
    seen: dict[str, int] = {}
    found = set()
    for heading in headings(page):
        plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = seen.get(slug, 0)
        seen[slug] = number + 1
        found.add(slug if not number else f"{slug}-{number}")
    return found
