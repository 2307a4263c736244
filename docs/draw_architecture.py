"""Draws docs/images/architecture.svg from the folders and the imports of the code: python docs/draw_architecture.py

A box is a folder directly below gan/ or search/, or the modules of one of these two themselves. An arrow is an import.
Arrows that follow from others are left out. The layout is computed (Sugiyama et al. 1981): layers by longest path,
order within a layer by barycentres, positions by isotonic regression. Arrows run between boxes, never through one.
Imports that go round in a circle are an error. A test draws the picture again and compares.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from html import escape
from itertools import pairwise
from pathlib import Path
from textwrap import wrap

import networkx as nx
import numpy as np
from scipy.optimize import isotonic_regression

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
PACKAGES = {"search": "search/: Ray Tune, Optuna", "gan": "gan/: PyTorch, without Ray"}
"""Package → its title in the picture, from top to bottom."""
FACADES = ("gan", "gan.__main__", "search", "search.__main__")
"""Modules that hand out what is below them. Nothing of ours imports them, and they belong to no box."""

BOX, LANE, GAP, LAYER_GAP, MARGIN = 172, 14, 16, 34, 22
"""Pixels: width of a box; width of an arrow that passes a layer; between neighbours; between layers; at the edge."""
SWEEPS = 24
LINE = 13


# ---- what the code says


def modules() -> dict[str, Path]:
    """Return every module of both packages by its dotted name."""
    files: dict[str, Path] = {}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            files[name.removesuffix(".__init__")] = file
    return files


def imported(file: Path, known: Mapping[str, Path]) -> set[str]:
    """Return the modules of ours that a file imports, anywhere in it."""
    targets = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            while name and name not in known:
                name = name.rpartition(".")[0]
            if name:
                targets.add(name)
    return targets


def folder_of(module: str, file: Path) -> str:
    """Return the folder of a module, dotted: gan.data.packed."""
    return module if file.name == "__init__.py" else module.rpartition(".")[0]


def folders() -> nx.DiGraph:
    """Return which folder imports which; each node has its `modules`, sorted."""
    known = modules()
    graph = nx.DiGraph()
    for name, file in known.items():
        folder = folder_of(name, file)
        graph.add_node(folder)
        graph.nodes[folder].setdefault("modules", []).append(name)
        if name in FACADES:
            continue
        for other in imported(file, known) - set(FACADES):
            if (target := folder_of(other, known[other])) != folder:
                graph.add_edge(folder, target)
    return graph


def boxes(graph: nx.DiGraph) -> nx.DiGraph:
    """Join nested folders with the one that they lie in, and leave out arrows that follow from others.

    Raises:
        SystemExit: imports go round in a circle.
    """
    joined = nx.DiGraph()
    joined.add_nodes_from(sorted(map(box_of, graph)))
    joined.add_edges_from(sorted((box_of(a), box_of(b)) for a, b in graph.edges if box_of(a) != box_of(b)))
    try:
        circle = nx.find_cycle(joined)
    except nx.NetworkXNoCycle:
        return nx.transitive_reduction(joined)
    raise SystemExit(f"imports go round in a circle: {' → '.join(a for a, _ in circle)} → {circle[0][0]}")


def box_of(folder: str) -> str:
    """Return the box that a folder is drawn in."""
    return ".".join(folder.split(".")[:2])


def lines_of(box: str, graph: nx.DiGraph) -> list[str]:
    """Return what a box lists: its modules, then its nested folders with a slash."""
    below = sorted(name.removeprefix(f"{box}.") + "/" for name in graph if name.startswith(f"{box}.") and "." in box)
    own = [name for name in graph.nodes[box]["modules"] if name not in FACADES and name != box]
    # A space that does not break keeps each dot behind its name.
    return wrap("\u00a0· ".join([name.rpartition(".")[2] for name in own] + below), (BOX - 14) // 6)


# ---- the layout

Node = str | tuple[str, str, int]
"""A box, or the place where an arrow (from, to) passes a layer."""


def layers(graph: nx.DiGraph) -> list[list[Node]]:
    """Return boxes and passing arrows from top to bottom, each layer from left to right."""
    level: dict[str, int] = {}
    for package in PACKAGES:
        part = graph.subgraph(node for node in graph if node.partition(".")[0] == package)
        start = 1 + max(level.values(), default=-1)
        for depth, names in enumerate(nx.topological_generations(part)):
            level |= dict.fromkeys(names, start + depth)
    # Boxes that few import sink towards what they import: shorter arrows.
    for name in reversed(list(nx.lexicographical_topological_sort(graph))):
        below = [level[other] for other in graph.successors(name) if other.partition(".")[0] == name.partition(".")[0]]
        if below and graph.in_degree(name) < graph.out_degree(name):
            level[name] = max(level[name], min(below) - 1)
    used = sorted(set(level.values()))
    level = {name: used.index(depth) for name, depth in level.items()}
    rows: list[list[Node]] = [[] for _ in used]
    for name in sorted(graph):
        rows[level[name]].append(name)
    for a, b in sorted(graph.edges):
        for row in range(level[a] + 1, level[b]):
            rows[row].append((a, b, row))
    return fewest_crossings(rows, links(graph, level))


def links(graph: nx.DiGraph, level: Mapping[str, int]) -> nx.DiGraph:
    """Return the arrows in pieces that lead from one layer to the next."""
    pieces = nx.DiGraph()
    for a, b in sorted(graph.edges):
        nx.add_path(pieces, [a, *((a, b, row) for row in range(level[a] + 1, level[b])), b])
    return pieces


def fewest_crossings(rows: list[list[Node]], pieces: nx.DiGraph) -> list[list[Node]]:
    """Order each layer by the mean position of its neighbours, down and up; return the best order seen."""
    best, fewest = rows, crossings(rows, pieces)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        rows = [list(row) for row in rows]
        for index in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            fixed = rows[index - 1 if down else index + 1]
            place = {node: (number + 0.5) / len(fixed) for number, node in enumerate(fixed)}
            centre = {
                node: mean(
                    [place[other] for other in neighbours(pieces, node, down)], (number + 0.5) / len(rows[index])
                )
                for number, node in enumerate(rows[index])
            }
            rows[index].sort(key=lambda node, centre=centre: centre[node])  # type: ignore[misc]
        count = crossings(rows, pieces)
        if count < fewest:
            best, fewest = rows, count
    return best


def neighbours(pieces: nx.DiGraph, node: Node, above: bool) -> list[Node]:
    """Return what a node is joined to in the layer above or below."""
    if node not in pieces:
        return []
    return list(pieces.predecessors(node) if above else pieces.successors(node))


def mean(values: list[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def crossings(rows: list[list[Node]], pieces: nx.DiGraph) -> int:
    """Return how many pieces of arrows cross."""
    count = 0
    for upper, lower in pairwise(rows):
        place = {node: number for number, node in enumerate(lower)}
        ends = [[place[other] for other in neighbours(pieces, node, False)] for node in upper]
        for number, mine in enumerate(ends):
            count += sum(a > b for others in ends[number + 1 :] for a in mine for b in others)
    return count


def positions(rows: list[list[Node]], pieces: nx.DiGraph) -> dict[Node, float]:
    """Return the horizontal middle of every node: near its neighbours, without overlap."""
    x: dict[Node, float] = {}
    offsets = []
    for row in rows:
        sizes = np.array([BOX if isinstance(node, str) else LANE for node in row])
        offsets.append(np.concatenate([[0.0], np.cumsum((sizes[1:] + sizes[:-1]) / 2 + GAP)]))
        x |= dict(zip(row, offsets[-1] - offsets[-1][-1] / 2, strict=True))
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        order = list(zip(rows, offsets, strict=True))
        for row, offset in order if down else reversed(order):
            wanted = [mean([x[other] for other in neighbours(pieces, node, down)], x[node]) for node in row]
            # Passing arrows stay straight rather than boxes central.
            weights = [1.0 if isinstance(node, str) else 4.0 for node in row]
            spread = isotonic_regression(np.array(wanted) - offset, weights=weights).x + offset
            x |= dict(zip(row, spread.tolist(), strict=True))
    left = min(x[node] - (BOX if isinstance(node, str) else LANE) / 2 for node in x)
    return {node: round(value - left + MARGIN, 1) for node, value in x.items()}


# ---- the picture


def draw() -> str:
    """Return the picture as SVG.

    Raises:
        SystemExit: imports go round in a circle.
    """
    graph = folders()
    arrows = boxes(graph)
    rows = layers(arrows)
    level = {node: number for number, row in enumerate(rows) for node in row if isinstance(node, str)}
    pieces = links(arrows, level)
    x = positions(rows, pieces)
    width = max(x[node] + (BOX if node in level else LANE) / 2 for node in x) + MARGIN
    text = {name: lines_of(name, graph) for name in level}
    heights = {name: 28 + LINE * len(lines) for name, lines in text.items()}
    tops: list[float] = []
    bottoms: list[float] = []
    lanes: list[str] = []
    y = 8.0
    for package, title in PACKAGES.items():
        lane_top, y = y, y + 34
        for row in rows[len(tops) :]:
            names = [node for node in row if isinstance(node, str)]
            if names[0].partition(".")[0] != package:
                break
            tops.append(y)
            bottoms.append(y + max(heights[name] for name in names))
            y = bottoms[-1] + LAYER_GAP
        lanes.append(_lane(title, lane_top, bottoms[-1] + 14, width))
        y = bottoms[-1] + 44
    total = y - 22
    parts = [_box(name, text[name], x[name] - BOX / 2, tops[level[name]], heights[name]) for name in sorted(level)]
    ends = {name: tops[level[name]] + heights[name] for name in level}
    lines = [_arrow(a, b, x, level, tops, bottoms, ends[a], arrows) for a, b in sorted(arrows.edges)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {total:g}" role="img" '
            'font-family="system-ui, sans-serif">',
            "<title>Which folders of gan-search import which</title>",
            f"<style>{_STYLE}</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>',
            f'<rect class="page" width="{width:g}" height="{total:g}"/>',
            *lanes,
            *lines,
            *parts,
            "</svg>\n",
        ]
    )


_STYLE = (
    ".page{fill:#ffffff}.lane{fill:#f6f8fa;stroke:#d0d7de}.name{font-size:14px;font-weight:600;fill:#57606a}"
    ".box{fill:#ffffff;stroke:#0969da;stroke-width:1.5}.title{font-size:14px;font-weight:600;fill:#1f2328}"
    ".files{font-size:11px;fill:#57606a}.arrow{stroke:#57606a;stroke-width:1.3;fill:none;marker-end:url(#tip)}"
    ".tip{fill:#57606a}"
    "@media (prefers-color-scheme:dark){.page{fill:#0d1117}.lane{fill:#161b22;stroke:#30363d}.name,.files{fill:#9198a1}"
    ".box{fill:#0d1117;stroke:#4493f8}.title{fill:#f0f6fc}.arrow{stroke:#9198a1}.tip{fill:#9198a1}}"
)


def _lane(title: str, top: float, bottom: float, width: float) -> str:
    return (
        f'<rect class="lane" x="8" y="{top:g}" width="{width - 16:g}" height="{bottom - top:g}" rx="8"/>'
        f'<text class="name" x="{MARGIN}" y="{top + 22:g}">{escape(title)}</text>'
    )


def _box(name: str, lines: list[str], left: float, top: float, height: float) -> str:
    package, _, short = name.partition(".")
    text = "".join(
        f'<text class="files" x="{left + 8:g}" y="{top + 33 + LINE * number:g}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    return (
        f'<g id="{name}"><rect class="box" x="{left:g}" y="{top:g}" width="{BOX}" height="{height:g}" rx="6"/>'
        f'<text class="title" x="{left + 8:g}" y="{top + 18:g}">{escape(f"{short or package}/")}</text>{text}</g>'
    )


def _arrow(
    a: str,
    b: str,
    x: Mapping[Node, float],
    level: Mapping[str, int],
    tops: list[float],
    bottoms: list[float],
    start: float,
    arrows: nx.DiGraph,
) -> str:
    """Draw curves between layers and straight lines through them, where no box is."""
    passing: list[Node] = [(a, b, row) for row in range(level[a] + 1, level[b])]

    def port(box: str, others: Iterable[str], far: str, towards: Mapping[str, float]) -> float:
        """Return where an arrow touches a box: in the order of the arrows' other ends, so that they do not cross."""
        ordered = sorted(others, key=lambda other: (towards[other], other))
        return x[box] + (ordered.index(far) - (len(ordered) - 1) / 2) * min(26, (BOX - 30) / len(ordered))

    leaving = {c: x[(a, c, level[a] + 1)] if level[c] > level[a] + 1 else x[c] for c in arrows.successors(a)}
    arriving = {c: x[(c, b, level[b] - 1)] if level[c] < level[b] - 1 else x[c] for c in arrows.predecessors(b)}
    at, y = port(a, leaving, b, leaving), bottoms[level[a]]
    path = f"M{at:g} {start:g}V{y:g}"
    for node in [*passing, b]:
        row = level[a] + 1 + passing.index(node) if node in passing else level[b]
        to = x[node] if node in passing else port(b, arriving, a, arriving)
        half = (y + tops[row]) / 2
        path += f"C{at:g} {half:g} {to:g} {half:g} {to:g} {tops[row]:g}"
        at, y = to, bottoms[row]
        if node in passing:
            path += f"V{y:g}"
    return f'<path class="arrow" d="{path}"><title>{a} imports {b}</title></path>'


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
