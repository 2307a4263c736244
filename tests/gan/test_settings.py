"""A hyperparameter declared once: its types, bounds and errors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan.errors import InputError
from gan.settings import Choices, Range, build, parameter, parameters


@dataclass(frozen=True)
class Oven:
    """An owner of one setting of every kind."""

    heat: float = parameter(180.0, "degrees", above=0.0, maximum=300.0, search=Range(1.0, 300.0, log=True))
    trays: int = parameter(2, "trays", minimum=1, search=Range(1, 4))
    fan: bool = parameter(False, "whether air moves")
    mode: str = parameter("bake", "what to do", choices=("bake", "grill"), search=Choices(("bake", "grill")))
    serial = 7


def test_a_declaration_carries_what_is_said_of_it() -> None:
    known = parameters(Oven)
    assert list(known) == ["heat", "trays", "fan", "mode"]
    assert list(parameters(Oven())) == list(known)
    assert [known[name].kind for name in known] == [float, int, bool, str]
    assert [known[name].default for name in known] == [180.0, 2, False, "bake"]
    assert known["heat"].search == Range(1.0, 300.0, log=True)
    assert Range(1, 4).integer and not Range(1.0, 4).integer


def test_a_space_knows_what_lies_in_it_and_how_it_is_written() -> None:
    assert 1e-5 in Range(1e-5, 1e-2, log=True) and 1e-2 in Range(1e-5, 1e-2)
    assert 9e-6 not in Range(1e-5, 1e-2) and "1" not in Range(0, 2)
    assert "adam" in Choices(("adam", "rmsprop")) and 48 not in Choices((32, 64))
    assert str(Range(1e-5, 1e-2, log=True)) == "1e-05 to 0.01, log"
    assert (str(Range(1, 4)), str(Choices((16, 0.25, "adam")))) == ("1 to 4", "16, 0.25, adam")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"heat": 200}, 200.0),
        ({"heat": "2e2"}, 200.0),
        ({"heat": 300}, 300.0),
        ({"trays": "3"}, 3),
        ({"trays": 3.0}, 3),
        ({"trays": 1}, 1),
        ({"fan": "True"}, True),
        ({"fan": "false"}, False),
        ({"fan": True}, True),
        ({"mode": "grill"}, "grill"),
    ],
)
def test_values_arrive_in_their_type(given: dict[str, Any], wanted: Any) -> None:
    (name,) = given
    value = getattr(build(Oven, given), name)
    assert value == wanted and type(value) is type(wanted)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"heat": 0}, "heat: 0 is out of range, it must be above 0"),
        ({"heat": -1}, "above 0"),
        ({"heat": 301}, "heat: 301 is out of range, it must be at most 300"),
        ({"heat": math.nan}, "heat: 'nan' is not a number"),
        ({"heat": "inf"}, "is not a number"),
        ({"heat": "warm"}, "heat: 'warm' is not a number"),
        ({"heat": None}, "is not a number"),
        ({"heat": [1]}, "is not a number"),
        ({"heat": True}, "is not a number"),
        ({"trays": 0}, "trays: 0 is out of range, it must be at least 1"),
        ({"trays": 1.5}, "trays: '1.5' is not a whole number"),
        ({"trays": False}, "is not a whole number"),
        ({"fan": "yes"}, "fan: 'yes' is not true or false"),
        ({"fan": 2}, "is not true or false"),
        ({"fan": [True]}, "is not true or false"),
        ({"mode": "boil"}, "mode: 'boil' is not one of bake, grill"),
        ({"mode": 3}, "mode: '3' is not a name"),
        ({"heta": 3}, "unknown setting 'heta': did you mean 'heat'?"),
        ({"serial": 3}, "unknown setting 'serial'"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        build(Oven, given)
    assert message in str(caught.value)


@given(st.one_of(st.text(), st.none(), st.booleans(), st.floats(), st.integers(), st.lists(st.integers())))
def test_any_value_is_either_valid_or_an_input_error(value: Any) -> None:
    for name, kind in (("heat", float), ("trays", int), ("fan", bool), ("mode", str)):
        try:
            oven = build(Oven, {name: value})
        except InputError:
            continue
        assert type(getattr(oven, name)) is kind
