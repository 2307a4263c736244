"""The README.md of a bundle: a model card that people and model hubs read."""

from __future__ import annotations

from typing import Any

import yaml


def model_card(config: dict[str, Any]) -> str:
    """Return the model card, Markdown with YAML front matter, for a bundle's config."""
    shape = "×".join(str(n) for n in config["shape"])
    sections = [
        _front_matter(),
        f"# {config.get('recipe', config['network'])} generator, {shape}",
        "![samples](samples.png)" if len(config["shape"]) == 3 else "",
        _quality(config),
        _usage(),
        "## Settings\n\n" + _table(config.get("settings", {}), ("setting", "value")),
        _origin(config),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front_matter() -> str:
    metadata = {
        "library_name": "pytorch",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["gan", "image-generation", "gan-search"],
    }
    return f"---\n{yaml.safe_dump(metadata, sort_keys=False)}---"


def _quality(config: dict[str, Any]) -> str:
    if config.get("fid") is None:
        return ""
    identity = config.get("evaluation") or {}
    features = identity.get("features", "unknown")
    name = "FID (Inception)" if features == "inception" else f"Fréchet distance ({features} features)"
    note = "" if features == "inception" else " This is not the standard FID: compare it only with its like."
    text = f"## Quality\n\n{name}: **{config['fid']:.2f}** after {config.get('kimg', 0):g} kimg.{note}"
    return text + "\n\n" + _table(identity, ("evaluation", "value"))


def _usage() -> str:
    return (
        "## Use\n\n```python\nfrom gan import load_bundle\n\n"
        'images = load_bundle("path/to/this/folder").sample(16, seed=0)   # uint8, 16×H×W×C\n```\n\n'
        "or `gan-search sample path/to/this/folder -n 16 --seed 0 --out samples.png --grid`."
    )


def _origin(config: dict[str, Any]) -> str:
    rows = {
        key: config[key]
        for key in ("recipe", "source", "data", "data_hash", "seed", "kimg", "run", "trial")
        if config.get(key) is not None
    }
    rows |= {f"{name} version": version for name, version in config.get("versions", {}).items()}
    text = "## Origin\n\n" + _table(rows, ("what", "value"))
    return text + (f"\n\nMade by:\n\n```\n{config['command']}\n```" if config.get("command") else "")


def _table(rows: dict[str, Any], head: tuple[str, str]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "| --- | --- |"]
    # A bar or a line break in a value would end the cell.
    for key, value in rows.items():
        shown = " ".join(str(value).split()).replace("|", "\\|")
        lines.append(f"| {key} | {shown} |")
    return "\n".join(lines)
