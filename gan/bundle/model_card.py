"""The README.md of a bundle: a model card for people and model hubs."""

from __future__ import annotations

from typing import Any

import yaml

from gan.metric import FID

TASK = "unconditional-image-generation"


def model_card(config: dict[str, Any]) -> str:
    """Return the model card, Markdown with YAML front matter, for a bundle's config.

    The front matter follows the Hugging Face Hub's specification. It names no licence: that depends on
    the data, and is for the publisher of the bundle to say.
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
    """Return the score in the format of the Hub's model index."""
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
    """Return type and name of the score. Bundles of early versions do not have its name."""
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
        score += " This is not FID as published: compare it only with distances measured in the same way."
    identity = _table(config.get("evaluation") or {}, ("evaluation", "value"))
    return f"## Quality\n\n{_rescored(config)}{score}\n\nHow it was measured:\n\n{identity}"


def _rescored(config: dict[str, Any]) -> str:
    """Return the score by better features or more samples, if the bundle was judged again after the search."""
    rescored = config.get("rescored")
    if not rescored or rescored["fid"] is None:
        return ""
    std = "" if rescored["fid_std"] is None else f" ± {rescored['fid_std']:.2f}"
    label = f"{rescored['metric']}, {_counts(rescored['evaluation'])}"
    identity = _table(rescored["evaluation"], ("evaluation", "value"))
    return (
        f"{label}, mean over {rescored['draws']} draws of latents: **{rescored['fid']:.2f}**{std}.\n\n{identity}\n\n"
        "The search itself ranked by another number:\n\n"
    )


def _usage(config: dict[str, Any]) -> str:
    array = f"{'uint8' if _is_image(config) else 'float32'}, 16×{_shape(config)}"
    form = "samples.png --grid" if _is_image(config) else "samples.npy"
    return (
        "## Use\n\nWith the packages `gan` (of gan-search) and PyTorch, from a folder that holds these files:\n\n"
        "```python\nfrom gan import load_bundle\n\n"
        'bundle = load_bundle("path/to/this/folder")\n'
        f"images = bundle.sample(16, seed=0)  # {array}\n```\n\n"
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
