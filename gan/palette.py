"""The colours of every page and plot, each as a pair: on a light background, on a dark one."""

from __future__ import annotations

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
"""Text has a contrast of 4.5 on `ground`, `card` and `mark`; marks of a chart and the `edge` of a control have 3 on
`card` (WCAG 2.2, AA)."""

SERIES = (
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
"""One colour for each recipe, in order. The losses of a generator have the first, those of a discriminator the second.
Red is kept for trials that diverged or failed; shapes tell recipes apart where colours do not."""


def css_variables() -> str:
    """Return all colours as CSS variables, which follow the page's `color-scheme`: --ink, --bad, …, --c0, --c1, …"""
    named = {**COLOURS, **{f"c{place}": pair for place, pair in enumerate(SERIES)}}
    return " ".join(f"--{name}: light-dark({light}, {dark});" for name, (light, dark) in named.items())
