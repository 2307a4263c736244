"""Scores of different evaluations are told apart; names of the same data are not."""

from __future__ import annotations

import dataclasses
import json

import pytest

from gan.errors import InputError
from gan.evaluation.identity import EvaluationIdentity, require_same

IDENTITY = EvaluationIdentity(
    features="random-conv",
    weights_sha256="ab",
    resize="none",
    samples=5000,
    reference_samples=5000,
    reference_seed=0,
    latent_seed=0,
    data="faces",
    data_hash="cd",
    size=32,
)
OTHER = {field.name: 7 if field.type == "int" else "other" for field in dataclasses.fields(IDENTITY)}


def test_survives_json() -> None:
    back = EvaluationIdentity.from_dict(json.loads(json.dumps(IDENTITY.as_dict())))
    assert back == IDENTITY and back.data == "faces"


def test_the_name_of_the_data_does_not_count() -> None:
    renamed = dataclasses.replace(IDENTITY, data="packed:/elsewhere")
    assert renamed == IDENTITY
    require_same(IDENTITY, renamed)


@pytest.mark.parametrize("name", [name for name in OTHER if name != "data"])
def test_every_other_field_counts(name: str) -> None:
    changed = dataclasses.replace(IDENTITY, **{name: OTHER[name]})
    assert changed != IDENTITY
    with pytest.raises(InputError) as error:
        require_same(IDENTITY, changed)
    assert str(error.value).endswith(f"cannot be compared: {name}: {getattr(IDENTITY, name)}, not {OTHER[name]}")


@pytest.mark.parametrize("name", OTHER)
def test_the_reference_is_shared_by_what_only_concerns_the_generated_side(name: str) -> None:
    changed = dataclasses.replace(IDENTITY, **{name: OTHER[name]})
    shared = changed.reference_digest() == IDENTITY.reference_digest()
    assert shared == (name in ("samples", "latent_seed", "data"))


def test_missing_and_unknown_keys_are_named() -> None:
    values = IDENTITY.as_dict() | {"colour": 1}
    del values["size"]
    with pytest.raises(InputError, match="colour, size"):
        EvaluationIdentity.from_dict(values)
