"""The figures of an assessment as lines of text. It imports no PyTorch, because reports use it."""

from __future__ import annotations

from typing import Any

from gan.metric import FID, label

PAGE, JSON, PICTURE = "evaluation.html", "evaluation.json", "neighbours.png"
"""The files that an assessment writes into its folder."""

SIGNIFICANT = 1e-3
"""p-value below which a finding is reported as more than chance."""

Line = tuple[str, str, str]
"""A figure: its name, its value, and its meaning."""


def lines(assessment: dict[str, Any]) -> list[Line]:
    """Return the figures of `Assessment.as_dict()` that could be measured."""
    return [*_distances(assessment), *_diversity(assessment), *_novelty(assessment)]


def _distances(assessment: dict[str, Any]) -> list[Line]:
    name, repeats = label(assessment["evaluation"]), assessment["repeats"]
    draws = "one draw of latents" if repeats == 1 else f"mean over {repeats} draws of latents"
    fid = _plus_minus(assessment["fid"], assessment["fid_std"])
    figures = [(name, fid, f"distance from real images, {draws}; lower is better")]
    if assessment["fid_infinity"] is not None:
        limit = _plus_minus(assessment["fid_infinity"], assessment["fid_infinity_error"])
        figures.append((f"{name} at infinity", limit, "the same without the bias of few samples; ± standard error"))
    if assessment["kid"] is not None:
        kid = "KID" if name == FID else name.replace("FD", "KD")
        value = f"{assessment['kid']:.6g} ± {assessment['kid_std']:.2g}"
        figures.append((kid, value, "kernel distance, without bias in the number of samples; ± over subsets"))
    return figures


def _diversity(assessment: dict[str, Any]) -> list[Line]:
    state = ": collapsed" if assessment["collapsed"] else ""
    spread = ("pixel spread", f"{assessment['pixel_spread']:.1%}", f"variation of samples; real images: 100%{state}")
    diversity = assessment["diversity"]
    if diversity is None:
        return [spread]
    duplicates = f"{diversity['duplicates']:.2%} (under {diversity['duplicates_expected']:.2%} expected)"
    best = f"{diversity['coverage_expected']:.3f}"
    return [
        ("precision", f"{assessment['precision']:.3f}", "share of samples that lie among real images"),
        ("recall", f"{assessment['recall']:.3f}", "share of real images that lie among samples"),
        ("coverage", f"{diversity['coverage']:.3f}", f"share of real images with a sample close by; at best {best}"),
        ("near-duplicates", duplicates, f"samples that repeat another; {_chance(diversity['duplicates_p_value'])}"),
        spread,
    ]


def _novelty(assessment: dict[str, Any]) -> list[Line]:
    memory = assessment["memorisation"]
    if memory is None:
        return []
    share = f"{memory['copies']:.2%} ({memory['copies_expected']:.2%} expected)"
    nearer = "samples nearer to a training image than nearly all held-out images"
    ratio = memory["distance_ratio"]
    far = "" if ratio is None else f"; median distance {ratio:.2f} times theirs"
    among = f"{memory['train_images']:,} training and {memory['held_out_images']:,} held-out images"
    if assessment.get("trained_on_this_data") is False:
        nearer = f"NOT OF THE DATA THAT IT WAS TRAINED ON: {nearer}"
    return [
        ("copies", share, f"{nearer}; {_chance(memory['copies_p_value'])}"),
        ("rank statistic z", f"{memory['z']:.2f}", f"of those distances, p = {memory['z_p_value']:.2g}{far}; {among}"),
    ]


def _chance(p_value: float) -> str:
    verdict = "more than chance allows" if p_value < SIGNIFICANT else "no more than chance allows"
    return f"{verdict} (p = {p_value:.2g})"


def _plus_minus(value: float, deviation: float | None) -> str:
    return f"{value:.4f}" + ("" if deviation is None else f" ± {deviation:.4f}")
