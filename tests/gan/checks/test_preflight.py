"""Size and crop where nobody says otherwise: what the recipes recommend for this source of data."""

from __future__ import annotations

from typing import Any

import pytest

from gan.checks.preflight import size_and_crop
from gan.errors import InputError
from gan.recipe.recipe import Recipe, load_recipe, parse_recipe


def recipe(**text: Any) -> Recipe:
    return parse_recipe(text, "mine.yaml")


SIZED, CROPPED = recipe(size=32), recipe(size=32, crop={"folder": "center-20", "faces": "center-8"})


@pytest.mark.parametrize(
    ("uri", "given", "recipes", "expected"),
    [
        ("faces", (None, None), [SIZED], (32, None)),
        ("faces", (None, None), [recipe()], (None, None)),
        ("faces", (None, None), [recipe(), SIZED], (32, None)),
        ("faces", (64, None), [SIZED, recipe(size=16)], (64, None)),
        ("packed:faces.arrow", (None, None), [CROPPED], (32, None)),
        # Curves are what they are: neither of any size, nor to be cropped.
        ("curves", (None, None), [CROPPED], (None, None)),
        ("folder:photos", (None, None), [CROPPED], (32, "center-20")),
        ("folder:photos", (None, None), [CROPPED, SIZED], (32, "center-20")),
        ("folder:photos", (None, "center"), [CROPPED], (32, "center")),
        ("folder:photos?limit=500", (None, None), [CROPPED], (32, "center-20")),
        ("faces?limit=500", (None, None), [CROPPED], (32, None)),
        ("celeba:photos.zip", (None, None), [load_recipe("cheng-96-l2")], (96, "top-bottom-20")),
        # Both crops keep the same square of a photograph of 178×218.
        ("celeba:photos", (96, None), [load_recipe("cheng-96-l2"), load_recipe("beauregard-64")], (96, "center-178")),
        ("mnist:digits", (None, None), [load_recipe("wang-mnist")], (32, None)),
        # Drawn faces take no crop, whatever a recipe says.
        ("faces", (None, None), [CROPPED], (32, None)),
        # An unknown source is refused when it is opened.
        ("unknown:photos", (None, None), [CROPPED], (32, None)),
    ],
)
def test_what_is_taken(
    uri: str, given: tuple[Any, Any], recipes: list[Recipe], expected: tuple[int | None, str | None]
) -> None:
    assert size_and_crop(uri, *given, recipes) == expected


def test_a_crop_that_no_photograph_holds_is_told() -> None:
    wide = recipe(size=32, crop={"celeba": "center-300"})
    with pytest.raises(InputError, match="too few to crop 300"):
        size_and_crop("celeba:photos", None, None, [wide])


def test_recipes_that_differ_need_a_word() -> None:
    with pytest.raises(InputError, match=r"the recipes are of different sizes \(16, 32\): give --size"):
        size_and_crop("faces", None, None, [SIZED, recipe(size=16)])
    other = recipe(size=32, crop={"folder": "center"})
    with pytest.raises(InputError, match=r"the recipes are of different crops \(center, center-20\): give --crop"):
        size_and_crop("folder:photos", None, None, [CROPPED, other])
    assert size_and_crop("folder:photos", 32, "center", [CROPPED, other]) == (32, "center")
