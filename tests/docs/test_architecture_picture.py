"""docs/images/architecture.svg is what the code's imports look like today, and docs/architecture.md explains it."""

from __future__ import annotations

import importlib.util
import re
import sys
import xml.etree.ElementTree as ElementTree
from types import ModuleType

import networkx as nx
import pytest
from doc_pages import ROOT


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_architecture", ROOT / "docs" / "draw_architecture.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


picture = load()


@pytest.fixture(scope="module")
def folders() -> nx.DiGraph:
    graph: nx.DiGraph = picture.folders()
    return graph


def test_the_picture_is_up_to_date() -> None:
    assert picture.PICTURE.read_text() == picture.draw(), "run: python docs/draw_architecture.py"


def test_it_shows_every_folder_module_and_arrow(folders: nx.DiGraph) -> None:
    root = ElementTree.fromstring(picture.PICTURE.read_text())
    drawn = {group.get("id"): " ".join(group.itertext()) for group in root.iter() if group.get("id")}
    shapes = [element.get("class") for element in root.iter()]
    assert shapes.count("arrow") == picture.boxes(folders).number_of_edges() > 20
    for name in folders:
        box = drawn[picture.box_of(name)]
        assert name == picture.box_of(name) or f"{'.'.join(name.split('.')[2:])}/" in box
    for module, file in picture.modules().items():
        folder = picture.folder_of(module, file)
        if file.stem not in ("__init__", "__main__") and folder in drawn:
            assert file.stem in drawn[folder]


def test_no_arrow_runs_through_a_box() -> None:
    root = ElementTree.fromstring(picture.PICTURE.read_text())
    areas = [
        tuple(float(element.get(key, "")) for key in ("x", "y", "width", "height"))
        for element in root.iter()
        if element.get("class") == "box"
    ]
    for arrow in (element for element in root.iter() if element.get("class") == "arrow"):
        for x, y in points(arrow.get("d", "")):
            assert not [a for a in areas if a[0] < x < a[0] + a[2] and a[1] + 0.5 < y < a[1] + a[3] - 0.5]


def points(path: str) -> list[tuple[float, float]]:
    """Return points along an arrow: ends of lines, and ten on each Bézier curve."""
    found: list[tuple[float, float]] = []
    for command, rest in re.findall(r"([MCV])([^MCV]*)", path):
        numbers = [float(number) for number in rest.split()]
        if command == "M":
            found.append((numbers[0], numbers[1]))
        elif command == "V":
            x, y = found[-1]
            found += [(x, y + (numbers[0] - y) * step / 10) for step in range(1, 11)]
        else:
            (x0, y0), (x1, y1, x2, y2, x3, y3) = found[-1], numbers
            for t in (step / 10 for step in range(1, 11)):
                a, b, c, d = (1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3
                found.append((a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3))
    return found


def test_the_page_explains_every_folder(folders: nx.DiGraph) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `([^`]+)/` \| .+ \| `([^`]+)` \|$", text, re.MULTILINE)
    assert sorted(folder.replace("/", ".") for folder, _ in rows) == sorted(folders)
    for folder, start in rows:
        assert (ROOT / start).is_file() and start.rpartition("/")[0] == folder


def test_arrows_point_one_way(folders: nx.DiGraph) -> None:
    assert nx.is_directed_acyclic_graph(folders), nx.find_cycle(folders)
    assert not [(a, b) for a, b in folders.edges if a.startswith("gan") and b.startswith("search")]
    circle = nx.DiGraph([("gan.a", "gan.b"), ("gan.b.c", "gan.a.d")])
    with pytest.raises(SystemExit, match=r"round in a circle: gan\.a → gan\.b → gan\.a"):
        picture.boxes(circle)


def test_facades_are_imported_by_nothing_of_ours() -> None:
    known = picture.modules()
    for file in known.values():
        source = file.read_text()
        assert not re.search(r"^\s*(from gan\.extend import|import gan\.extend)", source, re.MULTILINE), file


def test_folders_stay_small(folders: nx.DiGraph) -> None:
    for name in folders:
        files = list((ROOT / name.replace(".", "/")).glob("*.py"))
        most = 11 if "." not in name else 13
        assert len(files) <= most, f"{name}: {len(files)} modules"
