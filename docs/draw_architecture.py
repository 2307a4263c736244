"""Draws docs/images/architecture.svg from the imports that the code really has: python docs/draw_architecture.py

A module that belongs to no box, imports that go round in a circle, and an arrow that would run through
a box are errors: put the module into a box, mend the imports, or move the boxes. A test draws the
picture again and compares.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import wrap

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "architecture.svg"


@dataclass(frozen=True)
class Box:
    """Modules that are drawn as one.

    Attributes:
        title: its name in the picture.
        modules: what is in it; a package's modules belong where the package does, unless named elsewhere.
        x, y: the left upper corner in pixels.
        width: in pixels.
        height: in pixels.
    """

    title: str
    modules: tuple[str, ...]
    x: int
    y: int
    width: int = 190
    height: int = 62


BOXES = (
    Box("command line", ("search.commands.app", "search.commands", "search.commands.machine", "search.__main__"), 20, 60),
    Box("sweep and compare", ("search.sweep", "search.compare", "search.plan.contestants", "search.finalists",
        "search.trials.rejudge"), 250, 60),
    Box("launch", ("search.trials.launch", "search.cluster.cluster", "search.cluster.nodes", "search.cluster.gpu_share", "search.cluster.mps"), 250, 150),
    Box("trackers", ("search.trackers.terminal", "search.trackers.screen", "search.trackers.estimate", "search.trackers.trackers", "search.trackers.tensorboard",
        "search.trackers.event_files", "search.trackers.hparams", "search.run.active_parameters", "search.trackers.study", "search.run.follow", "search.trackers.serving"),
        250, 240, 400),
    Box("report", ("search.report", "search.run.export", "search.rescore"), 560, 340),
    Box("trials under Tune", ("search.algorithm.asha", "search.algorithm.futility", "search.trials.scheduler", "search.trials.planner", "search.trials.searcher",
        "search.algorithm.sampler", "search.algorithm.gaussian_process", "search.algorithm.axes", "search.trials.trial", "search.trials.recorder",
        "search.cluster.lost_workers", "search.cluster.watch"), 250, 340, 280),
    Box("plan", ("search.plan.spec", "search.algorithm.space", "search.plan.preflight"), 250, 430),
    Box("record", ("search.run.journal", "search.run.record", "search.run.run_folder", "search.run.retention"), 650, 430),
    Box("commands", ("gan.commands", "gan.commands.app", "gan.__main__"), 20, 560),
    Box("one training", ("gan.training.run", "gan.checks.preflight", "gan.plots.pictures", "gan.plots.vector_plot", "gan.plots.training_plot",
        "gan.checks.health", "gan.training.gpu_memory"), 250, 560),
    Box("training loop", ("gan.training.trainer", "gan.training.ema", "gan.training.cuda_graph", "gan.training.checkpoints", "gan.training.divergence"), 130, 650),
    Box("evaluation", ("gan.evaluation",), 400, 650),
    Box("recipes", ("gan.recipe.recipe", "gan.recipe.training_settings"), 20, 740),
    Box("data", ("gan.data",), 260, 740),
    Box("bundles", ("gan.bundle.bundle", "gan.bundle.files", "gan.bundle.model_card", "gan.bundle.portable"), 650, 740),
    Box("objectives", ("gan.objectives",), 20, 830),
    Box("networks", ("gan.networks",), 260, 830),
    Box("what all use", ("gan", "gan.errors", "gan.settings", "gan.registry", "gan.storage.storage", "gan.tensors.images",
        "gan.tensors.latents", "gan.metric", "gan.evaluation.assessment.lines", "gan.tensors.device", "gan.storage.retrying", "gan.terminal",
        "gan.versions"), 20, 920, 820, 46),
)  # fmt: skip
GROUND = BOXES[-1]
"""It imports no other box, and arrows to it are left out."""
LANES = (("search/: Ray Tune, Optuna", 10, 496), ("gan/: PyTorch, without Ray", 516, 464))
WIDTH, HEIGHT = 860, 990


# ---- what the code says


def modules() -> dict[str, Path]:
    """Return every module of both packages by its dotted name."""
    found = {}
    for package in ("gan", "search"):
        for file in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = file
    return found


def imported(file: Path, known: dict[str, Path]) -> set[str]:
    """Return the modules of ours that a file imports, anywhere in it."""
    found = set()
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
                found.add(name)
    return found


def box_of(module: str) -> Box | None:
    """Return the box that names a module, or the nearest package above it; None if there is none."""
    name = module
    while name:
        for box in BOXES:
            # The two packages themselves only hand out what is in them.
            if name in box.modules and (name == module or name not in ("gan", "search")):
                return box
        name = name.rpartition(".")[0]
    return None


def arrows() -> dict[str, set[str]]:
    """Return which box imports which, by title, without what all use.

    Raises:
        SystemExit: a module belongs to no box, or the ground imports what stands on it.
    """
    known = modules()
    # What `from search import Sweep` hands out belongs to no box, as nothing of ours imports it.
    facades = ("gan", "search")
    homeless = [name for name in known if name not in facades and box_of(name) is None]
    if homeless:
        raise SystemExit(f"{', '.join(homeless)}: in no box of docs/draw_architecture.py; put it into one")
    found: dict[str, set[str]] = {box.title: set() for box in BOXES}
    for name, file in known.items():
        if name in facades:
            continue
        mine = box_of(name)
        for other in imported(file, known) - set(facades):
            theirs = box_of(other)
            assert mine and theirs
            if theirs not in (mine, GROUND):
                found[mine.title].add(theirs.title)
    if found[GROUND.title]:
        raise SystemExit(f"'{GROUND.title}' imports {', '.join(found[GROUND.title])}, which stands on it")
    return found


def reached(start: str, edges: dict[str, set[str]]) -> set[str]:
    """Return all that can be reached from a box along the arrows."""
    seen: set[str] = set()
    waiting = list(edges[start])
    while waiting:
        title = waiting.pop()
        if title not in seen:
            seen.add(title)
            waiting += edges[title]
    return seen


def reduced(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """Leave out arrows that follow from others: A → C where A → B → C.

    Raises:
        SystemExit: the arrows go round in a circle.
    """
    for title in edges:
        if title in reached(title, edges):
            raise SystemExit(f"the imports of '{title}' lead back to it")
    return {
        title: {other for other in others if not any(other in reached(via, edges) for via in others - {other})}
        for title, others in edges.items()
    }


# ---- the picture


Point = tuple[float, float]


def ends(source: Box, target: Box) -> tuple[Point, Point]:
    """Return where an arrow leaves a box and where it arrives."""
    if source.y == target.y:
        right = target.x > source.x
        return (source.x + source.width * right, source.y + source.height / 2), (
            target.x + target.width * (not right),
            target.y + target.height / 2,
        )
    left = max(source.x, target.x)
    right_end = min(source.x + source.width, target.x + target.width)
    if right_end - left > 20:  # They overlap: straight down.
        middle = (left + right_end) / 2
        return (middle, source.y + source.height), (middle, target.y)
    # Between the quarters that are nearest to each other.
    near, far = (0.75, 0.25) if target.x > source.x else (0.25, 0.75)
    return (source.x + near * source.width, source.y + source.height), (target.x + far * target.width, target.y)


def crossed(start: Point, end: Point, but: tuple[Box, Box]) -> Iterator[Box]:
    """Yield the boxes that a line runs through."""
    for box in BOXES:
        if box in but:
            continue
        for step in range(1, 200):
            x, y = (a + (b - a) * step / 200 for a, b in zip(start, end, strict=True))
            if box.x - 4 < x < box.x + box.width + 4 and box.y - 4 < y < box.y + box.height + 4:
                yield box
                break


def draw() -> str:
    """Return the picture as SVG.

    Raises:
        SystemExit: see `arrows` and `reduced`; or an arrow runs through a box.
    """
    by_title = {box.title: box for box in BOXES}
    parts = [_line(by_title[a], by_title[b]) for a, others in reduced(arrows()).items() for b in sorted(others)]
    lanes = [
        f'<rect class="lane" x="8" y="{y}" width="{WIDTH - 16}" height="{height}" rx="8"/>'
        f'<text class="name" x="{WIDTH - 235}" y="{y + 22}">{escape(name)}</text>'
        for name, y, height in LANES
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'font-family="system-ui, sans-serif">',
            "<title>Which parts of gan-search import which</title>",
            f"<style>{_STYLE}</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
            'orient="auto"><path d="M0 0L8 4L0 8z" fill="#57606a"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            *lanes,
            *parts,
            *(_box(box) for box in BOXES),
            "</svg>\n",
        ]
    )


_STYLE = (
    ".lane{fill:#f6f8fa;stroke:#d0d7de}.name{font-size:13px;fill:#57606a;text-anchor:end}"
    ".box{fill:#ffffff;stroke:#0969da;stroke-width:1.5}.title{font-size:14px;font-weight:600;fill:#1f2328}"
    ".files{font-size:11px;fill:#57606a}.arrow{stroke:#57606a;stroke-width:1.4;fill:none;marker-end:url(#tip)}"
)


def _line(source: Box, target: Box) -> str:
    start, end = ends(source, target)
    for box in crossed(start, end, (source, target)):
        raise SystemExit(f"the arrow from '{source.title}' to '{target.title}' runs through '{box.title}': move one")
    return f'<path class="arrow" d="M{start[0]:g} {start[1]:g}L{end[0]:g} {end[1]:g}"/>'


def _box(box: Box) -> str:
    known = modules()
    names = []
    for module in box.modules:
        short = module.partition(".")[2]
        if short and not short.startswith("__"):
            names.append(f"{short}/" if known[module].name == "__init__.py" else short)
    lines = wrap(" · ".join(names), box.width // 6)
    text = "".join(
        f'<text class="files" x="{box.x + 10}" y="{box.y + 36 + 14 * number}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    return (
        f'<rect class="box" x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="6"/>'
        f'<text class="title" x="{box.x + 10}" y="{box.y + 20}">{escape(box.title)}</text>{text}'
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
