"""An assessment for people: one self-contained page, a picture and the figures as JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from gan.evaluation.assessment.assessment import Assessment, Pairs
from gan.evaluation.assessment.lines import JSON, PAGE, PICTURE, lines
from gan.palette import css_variables
from gan.storage.storage import Storage
from gan.tensors.images import encode_png, grid

_LEAST_SIDE = 64  # pixels; smaller images are enlarged by a whole factor


def write_assessment(
    folder: Storage, name: str, assessment: Assessment, facts: Mapping[str, Any] | None = None
) -> None:
    """Write evaluation.json, neighbours.png and evaluation.html; each whole or not at all.

    Args:
        folder: destination.
        name: of the generator.
        assessment: its figures and pictures.
        facts: further fields of the JSON.
    """
    summary = {"bundle": name, **(facts or {}), **assessment.as_dict()}
    folder.write_bytes(JSON, json.dumps(summary, indent=2).encode())
    if assessment.pairs:
        sheets = [_sheet(pairs) for pairs in assessment.pairs]
        folder.write_bytes(PICTURE, encode_png(np.concatenate(sheets)))
    folder.write_bytes(PAGE, page(name, assessment).encode())


def page(name: str, assessment: Assessment) -> str:
    """Return the page, with its pictures in it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("gan.evaluation.assessment"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    values = assessment.as_dict()
    return templates.get_template("evaluation.html").render(
        name=name,
        metric=assessment.identity.metric,
        values=values,
        lines=lines(values),
        pictures=[(pairs.title, base64.b64encode(encode_png(_sheet(pairs))).decode()) for pairs in assessment.pairs],
        colours=css_variables(),
    )


def _sheet(pairs: Pairs) -> np.ndarray:
    """Lay generated images over their neighbours: uint8 [H', W', C]."""
    both = np.concatenate([pairs.generated, pairs.neighbours])
    factor = -(-_LEAST_SIDE // both.shape[1])
    enlarged = both.repeat(factor, 1).repeat(factor, 2)
    return grid(enlarged, columns=len(pairs.generated), pad=4)
