"""The messages that docs/troubleshooting.md explains are still what the program says."""

from __future__ import annotations

import ast
import re

import pytest
from doc_pages import ROOT, headings

PAGE = ROOT / "docs" / "troubleshooting.md"
GAP = "…"
ENTRIES = [heading for heading in headings(PAGE) if "`" in heading]


def text_of(node: ast.expr) -> str | None:
    """Return a string as it is written in the source, with `…` for what is filled in; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else GAP for part in node.values)  # type: ignore[misc]
    return None


def messages() -> set[str]:
    """Return every string in the program that is handed to something that raises or reports, or returned."""
    found = set()
    for package in ("gan", "search"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call):
                    found |= {said for each in node.args if (said := text_of(each))}
                elif isinstance(node, ast.Return) and node.value is not None and (said := text_of(node.value)):
                    found.add(said)
    return found


SAID = messages()


def says(quoted: str) -> bool:
    """Tell whether a quoted message, with gaps, is (the beginning of) one that the program has."""
    pattern = ".*".join(re.escape(part) for part in quoted.split(GAP))
    return any(re.match(pattern, said, re.DOTALL) for said in SAID)


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_quoted_message_is_one_of_the_program_s(entry: str) -> None:
    (quoted,) = re.findall(r"`([^`]+)`", entry)
    assert says(quoted), f"no message in gan/ or search/ reads '{quoted}'"


def test_a_message_that_is_gone_is_noticed() -> None:
    assert len(ENTRIES) > 25 and len(SAID) > 200
    assert says("unknown recipe '…': …") and says("the Inception weights are missing")
    assert not says("unknown receipt '…': …")
    assert not says("the Inception weights are absent")


def test_every_entry_says_what_to_do() -> None:
    sections = PAGE.read_text().split("\n### ")[1:]
    assert len(sections) == len(ENTRIES)
    for section in sections:
        body = section.partition("\n")[2].split("\n## ")[0].strip()
        assert len(body) > 40, section
