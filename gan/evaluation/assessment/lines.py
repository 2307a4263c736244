"""What was found of a generator, as lines for people; light to import, as reports need it without PyTorch."""

from __future__ import annotations

from typing import Any

from gan.metric import FID, label

PAGE, JSON, PICTURE = "evaluation.html", "evaluation.json", "neighbours.png"
"""The files that an evaluation leaves in its folder."""

SIGNIFICANT = 1e-3
"""Probability under which what was found is not put down to chance."""

Line = tuple[str, str, str]
"""A figure: its name, its value, and what it means."""


def lines(found: dict[str, Any]) -> list[Line]:
    """Return the figures of `Assessment.as_dict()` that could be measured."""
    return [*_distances(found), *_kinds(found), *_novelty(found)]


def _distances(found: dict[str, Any]) -> list[Line]:
    name = label(found["evaluation"])
    draws = "one draw of latents" if found["repeats"] == 1 else f"mean over {found['repeats']} draws of latents"
    said = [(name, _plus_minus(found["fid"], found["fid_std"]), f"distance from real images, {draws}; lower is better")]
    if found["fid_infinity"] is not None:
        limit = _plus_minus(found["fid_infinity"], found["fid_infinity_error"])
        said.append((f"{name} at infinity", limit, "the same without what few samples add; ± standard error"))
    if found["kid"] is not None:
        kid = "KID" if name == FID else name.replace("FD", "KD")
        value = f"{found['kid']:.6g} ± {found['kid_std']:.2g}"
        said.append((kid, value, "kernel distance, without bias in the number of samples; ± over subsets"))
    return said


def _kinds(found: dict[str, Any]) -> list[Line]:
    state = ": collapsed" if found["collapsed"] else ""
    said = [("pixel spread", f"{found['pixel_spread']:.1%}", f"how much samples vary, real images being 100%{state}")]
    if found["diversity"] is None:
        return said
    kinds = found["diversity"]
    doubles = f"{kinds['duplicates']:.2%} (under {kinds['duplicates_expected']:.2%} expected)"
    return [
        ("precision", f"{found['precision']:.3f}", "share of samples that lie among real images"),
        ("recall", f"{found['recall']:.3f}", "share of real images that lie among samples"),
        ("coverage", f"{kinds['coverage']:.3f}", f"real images with a sample close by; at best {_best(kinds)}"),
        ("near-duplicates", doubles, f"samples that repeat another; {_chance(kinds['duplicates_p_value'])}"),
        *said,
    ]


def _best(kinds: dict[str, Any]) -> str:
    return f"{kinds['coverage_expected']:.3f}"


def _novelty(found: dict[str, Any]) -> list[Line]:
    memory = found["memorisation"]
    if memory is None:
        return []
    share = f"{memory['copies']:.2%} ({memory['copies_expected']:.2%} expected)"
    nearer = "samples nearer to a training image than nearly all held-out images"
    ratio = memory["distance_ratio"]
    far = "" if ratio is None else f"; median distance {ratio:.2f} times theirs"
    among = f"{memory['train_images']:,} training and {memory['held_out_images']:,} held-out images"
    if found.get("trained_on_this_data") is False:
        nearer = f"NOT OF THE DATA THAT IT WAS TRAINED ON: {nearer}"
    return [
        ("copies", share, f"{nearer}; {_chance(memory['copies_p_value'])}"),
        ("rank statistic z", f"{memory['z']:.2f}", f"of those distances, p = {memory['z_p_value']:.2g}{far}; {among}"),
    ]


def _chance(p_value: float) -> str:
    said = "more than chance allows" if p_value < SIGNIFICANT else "no more than chance allows"
    return f"{said} (p = {p_value:.2g})"


def _plus_minus(value: float, deviation: float | None) -> str:
    return f"{value:.4f}" + ("" if deviation is None else f" ± {deviation:.4f}")
