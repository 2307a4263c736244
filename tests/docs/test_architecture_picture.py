"""docs/images/architecture.svg is what the code's imports look like today."""

from __future__ import annotations

import importlib.util
import re
import sys
import xml.etree.ElementTree as ElementTree
from types import ModuleType

import pytest
from doc_pages import ROOT


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_architecture", ROOT / "docs" / "draw_architecture.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


picture = load()


def test_the_picture_is_up_to_date() -> None:
    assert picture.PICTURE.read_text() == picture.draw(), "run: python docs/draw_architecture.py"


def test_it_shows_every_box_and_arrow() -> None:
    root = ElementTree.fromstring(picture.PICTURE.read_text())
    shapes = [element.get("class") for element in root.iter()]
    edges = picture.reduced(picture.arrows())
    assert shapes.count("box") == len(picture.BOXES)
    assert shapes.count("arrow") == sum(map(len, edges.values())) > 10


def test_the_page_explains_every_box() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| ([^|`]+) \| .* \| `([^`]+)` \|$", text, re.MULTILINE)
    assert [title for title, _ in rows] == [box.title for box in picture.BOXES]
    for title, start in rows:
        module = start.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        assert picture.box_of(module).title == title, start


def test_arrows_point_one_way() -> None:
    edges = picture.arrows()
    above = {box.title for box in picture.BOXES if box.modules[0].startswith("search")}
    assert not [(a, b) for a, others in edges.items() for b in others if a not in above and b in above]
    with pytest.raises(SystemExit, match="the imports of 'a' lead back to it"):
        picture.reduced({"a": {"b"}, "b": {"a"}})
    assert picture.reduced({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": {"b"}, "b": {"c"}, "c": set()}


def test_a_module_without_a_box_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    known = picture.modules()
    monkeypatch.setattr(picture, "modules", lambda: known | {"search.brand_new": known["search.plan.spec"]})
    with pytest.raises(SystemExit, match=r"search\.brand_new: in no box"):
        picture.arrows()
