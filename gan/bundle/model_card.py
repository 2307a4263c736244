"""The README.md of a bundle: a model card that people and model hubs read."""

from __future__ import annotations

from typing import Any

import yaml

from gan.metric import FID

TASK = "unconditional-image-generation"


def model_card(config: dict[str, Any]) -> str:
    """Return the model card, Markdown with YAML front matter, for a bundle's config.

    The front matter follows the Hugging Face Hub's specification. It names no licence: that depends on
    the data, and is for whoever publishes the bundle to say.
    """
    sections = [
        _front_matter(config),
        f"# {_title(config)}",
        "![64 samples from fixed latents](samples.png)" if _is_image(config) else "",
        _quality(config),
        _usage(config),
        "## Settings\n\n" + _table(config.get("settings", {}), ("setting", "value")),
        _origin(config),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _is_image(config: dict[str, Any]) -> bool:
    return len(config["shape"]) == 3


def _shape(config: dict[str, Any]) -> str:
    return "×".join(str(n) for n in config["shape"])


def _title(config: dict[str, Any]) -> str:
    return f"{config.get('recipe', config['network'])} generator, {_shape(config)}"


def _front_matter(config: dict[str, Any]) -> str:
    metadata: dict[str, Any] = {"library_name": "pytorch", "tags": ["gan", "gan-search"]}
    if _is_image(config):
        metadata |= {"pipeline_tag": TASK, "tags": ["gan", "gan-search", "image-generation"]}
    if config.get("fid") is not None:
        metadata |= {"metrics": [_metric(config)["type"]], "model-index": [_results(config)]}
    return f"---\n{yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)}---"


def _results(config: dict[str, Any]) -> dict[str, Any]:
    """Return the scores as the Hub's model index has them."""
    data = str(config.get("data", "unknown"))
    return {
        "name": _title(config),
        "results": [
            {
                "task": {"type": TASK},
                "dataset": {"type": data.partition(":")[0], "name": data},
                "metrics": [{**_metric(config), "value": round(float(config["fid"]), 4)}],
            }
        ],
    }


def _metric(config: dict[str, Any]) -> dict[str, str]:
    """Return what the score is called. Bundles from before the name was kept do not tell."""
    name = config.get("metric", "Fréchet distance")
    type_ = "fid" if name == FID else "frechet-distance"
    return {"type": type_, "name": f"{name}, {_counts(config.get('evaluation') or {})}"}


def _counts(identity: dict[str, Any]) -> str:
    return f"{identity.get('samples', 'unknown')} samples against {identity.get('reference_samples', 'unknown')} images"


def _quality(config: dict[str, Any]) -> str:
    if config.get("fid") is None:
        return ""
    score = f"{_metric(config)['name']}: **{config['fid']:.2f}** after {config.get('kimg', 0):g} kimg."
    if config.get("metric") != FID:
        score += " This is not FID as published: compare it only with distances that were measured alike."
    identity = _table(config.get("evaluation") or {}, ("evaluation", "value"))
    return f"## Quality\n\n{_rescored(config)}{score}\n\nHow it was measured:\n\n{identity}"


def _rescored(config: dict[str, Any]) -> str:
    """Say what better features or more samples said after the search, where it was judged again."""
    found = config.get("rescored")
    if not found or found["fid"] is None:
        return ""
    std = "" if found["fid_std"] is None else f" ± {found['fid_std']:.2f}"
    label = f"{found['metric']}, {_counts(found['evaluation'])}"
    identity = _table(found["evaluation"], ("evaluation", "value"))
    return (
        f"{label}, mean over {found['draws']} draws of latents: **{found['fid']:.2f}**{std}.\n\n{identity}\n\n"
        "The search itself went by another number:\n\n"
    )


def _usage(config: dict[str, Any]) -> str:
    made = f"uint8, 16×{_shape(config)}" if _is_image(config) else f"float32, 16×{_shape(config)}"
    form = "samples.png --grid" if _is_image(config) else "samples.npy"
    return (
        "## Use\n\nWith the packages `gan` (of gan-search) and PyTorch, from a folder that holds these files:\n\n"
        "```python\nfrom gan import load_bundle\n\n"
        'bundle = load_bundle("path/to/this/folder")\n'
        f"images = bundle.sample(16, seed=0)  # {made}\n```\n\n"
        f"or `gan-search sample path/to/this/folder -n 16 --seed 0 --out {form}`.\n\n"
        "`generator.onnx` and `generator.pt2`, where they lie beside this file, hold the same generator for ONNX\n"
        "Runtime and `torch.export.load`; `gan-search convert path/to/this/folder --onnx --pt2` makes them."
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
