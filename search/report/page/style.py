"""Colours of report and plots, each for light ground and for dark, and the page's style sheet."""

from __future__ import annotations

from importlib.resources import files

COLOURS = {
    "ground": ("#f5f6f8", "#12151b"),
    "card": ("#ffffff", "#1a1e27"),
    "ink": ("#1f2430", "#e6e9ef"),
    "soft": ("#5a6472", "#9aa4b2"),
    "line": ("#e1e5ea", "#2f3542"),
    "edge": ("#828b98", "#727c8b"),
    "accent": ("#2f5f98", "#8db8ec"),
    "good": ("#1d7a3a", "#63c985"),
    "bad": ("#c02f42", "#ff8090"),
    "stop": ("#8a5a00", "#e0b060"),
    "mark": ("#eef3fa", "#222b3a"),
}
"""Name → (on light ground, on dark). Text has a contrast of 4.5 on `ground`, `card` and `mark`; what is drawn, and the
`edge` of a control, has 3 on `card` (WCAG 2.2, AA)."""

PALETTE = (
    ("#2f6fb3", "#6aa7ea"),
    ("#c8551b", "#f0925a"),
    ("#1f8a4c", "#57c785"),
    ("#9b3fa0", "#cf8ad6"),
    ("#857000", "#d3bf4a"),
    ("#0b8193", "#4fc4d6"),
    ("#8a5a3c", "#c99b78"),
    ("#5b5bd6", "#a3a3f5"),
    ("#6b7280", "#a7b0bd"),
)
"""One for each recipe. Red is for what was lost; shapes tell recipes apart where colours do not."""


def style_sheet() -> str:
    """Return the page's CSS. `light-dark()` follows `color-scheme`: the system's, or the one chosen on the page."""
    named = {f"--{name}": pair for name, pair in COLOURS.items()}
    named |= {f"--c{index}": pair for index, pair in enumerate(PALETTE)}
    variables = " ".join(f"{name}: light-dark({light}, {dark});" for name, (light, dark) in named.items())
    series = "\n".join(f".c{index} {{ --c: var(--c{index}); }}" for index in range(len(PALETTE)))
    rest = files("search.report.page").joinpath("assets", "page.css").read_text(encoding="utf-8")
    return f":root {{ {variables} }}\n{series}\n{rest}"
