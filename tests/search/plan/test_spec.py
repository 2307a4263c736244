"""A sweep's settings: what is accepted, what is refused and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gan.errors import RENAMED, InputError
from gan.settings import Choices, Range
from search.plan.spec import SweepSpec, make_spec, read_spec


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"trails": 3}, "did you mean 'trials'"),
        ({"trials": 0}, "trials"),
        ({"trials": "many"}, "trials"),
        ({"kimg": -1}, "kimg"),
        ({"kimg": float("nan")}, "kimg"),
        ({"name": "../up"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "name"),
        ({"recipes": []}, "recipes"),
        ({"recipes": ["dcgan", "dcgan"]}, "named twice"),
        ({"time_budget": "soon"}, "90s or 2h"),
        ({"interval_kimg": 10, "kimg": 5}, "longer than kimg"),
        ({"size": 2}, "size"),
        ({"settings": 3}, "settings"),
        ({"kimg": float("inf")}, "kimg"),
        ({"grace_kimg": 200, "kimg": 200}, "grace_kimg"),
    ],
)
def test_wrong_settings_are_refused_in_one_line_that_names_the_field(values: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        make_spec(values)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"recipes": ["dcgn"]}, "did you mean 'dcgan'"),
        ({"settings": {"lr_gg": 1}}, "did you mean 'lr_g'"),
        ({"settings": {"lr_g": -1}}, "lr_g"),
        ({"space": {"clipp": [0.1]}}, "did you mean 'clip'"),
        ({"space": {"lr_g": {"low": 1e-2, "high": 1e-3}}}, "low must be below high"),
        ({"space": {"lr_g": {"low": 0, "high": 1e-3, "log": True}}}, "lr_g"),
        ({"space": {"batch": 7}}, "list of values"),
        ({"space": {"batch": [0]}}, "batch"),
    ],
)
def test_wrong_recipes_and_ranges_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make_spec(values).load_recipes()


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([3], r"^points: point 1 is no mapping of parameters to values: 3$"),
        ([{"lr_g": 1e-3}], r"^points: point 1 does not say whose settings .* a `recipe` \(dcgan, wgan\)$"),
        ([{"recipe": "dcgan"}, {"recipe": "wgn"}], r"point 2: the sweep has no recipe 'wgn': did you mean 'wgan'\?"),
        ([{"recipe": "l2"}], r"point 1: the sweep has no recipe 'l2': there is dcgan, wgan"),
        ([{"recipe": "dcgan", "clip": 0.1}], r"point 1 \(dcgan\): there is no parameter 'clip'"),
        ([{"recipe": "dcgan", "lr_g": 1}], r"point 1 \(dcgan\): lr_g: 1\.0 lies outside .* \(1e-05 to 0\.01, log\)$"),
        ([{"recipe": "wgan"}] * 5, r"points: 5 and 2 published settings are more than the 6 trials: raise trials"),
    ],
)
def test_points_that_would_not_be_tried_as_they_stand_are_refused(points: list[Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        make_spec({"recipes": ["dcgan", "wgan"], "points": points, "trials": 6}).load_recipes()
    assert "\n" not in str(refused.value)


def test_published_settings_train_in_full_where_they_take_a_tenth_of_the_training() -> None:
    # Trials train 0.4 of their length in the mean.
    assert [make_spec({"trials": trials}).published_in_full(3) for trials in (12, 74, 75)] == [False, False, True]
    assert make_spec({"trials": 12, "prior": None}).published_in_full(3)  # as a run of version 0.1.0


def test_points_identify_a_run_only_where_there_are_some() -> None:
    points = [{"recipe": "wgan", "clip": 0.05}]
    assert make_spec({"points": points}).identity() == make_spec({}).identity() | {"points": points}
    assert "points" not in make_spec({}).identity()


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5h", 5400), ("2d", 172800), (45, 45)])
def test_durations(text: Any, seconds: float) -> None:
    assert make_spec({"time_budget": text}).time_budget == seconds


def test_the_clip_is_searched_only_where_it_is_declared_and_can_be_changed_or_fixed() -> None:
    recipes = make_spec({"space": {"clip": {"low": 0.01, "high": 0.5}, "batch": [16], "beta2": None}}).load_recipes()
    assert "clip" not in recipes["dcgan"].searchable()
    assert recipes["wgan"].searchable()["clip"][1] == Range(0.01, 0.5)
    assert recipes["l2"].searchable()["batch"][1] == Choices((16,))
    assert "beta2" not in recipes["dcgan"].searchable()


def test_what_a_sweep_sets_holds_for_every_trial_unless_its_space_says_otherwise() -> None:
    recipes = make_spec({"settings": {"lr_g": 1e-3, "batch": 16}, "space": {"batch": [16, 32]}}).load_recipes()
    for recipe in recipes.values():
        assert recipe.settings["lr_g"] == 1e-3
        assert "lr_g" not in recipe.searchable()
        assert recipe.searchable()["batch"][1] == Choices((16, 32))


def test_two_recipes_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.yaml").write_text("settings: {lr_g: 1.0e-3}\n")
    with pytest.raises(InputError, match="same name"):
        make_spec({"recipes": [str(tmp_path / f / "mine.yaml") for f in ("a", "b")]}).load_recipes()


@pytest.mark.parametrize("kimg", [1, 10, 20, 50, 100, 200, 500])
def test_rungs_and_intervals_are_whole_images_at_any_length(kimg: float) -> None:
    """A twelfth of 200 kimg is 16,666.67 images: what is reported must meet the rungs all the same."""
    spec = make_spec({"kimg": kimg})
    interval = round(spec.interval * 1000)
    assert spec.interval == interval / 1000
    assert [round(rung * 1000) % interval for rung in spec.rungs()] == [0, 0]


def test_rungs_are_multiples_of_the_interval_below_the_full_length() -> None:
    spec = make_spec({"kimg": 36, "interval_kimg": 4, "grace_kimg": 5})
    assert spec.rungs() == [4, 16]
    assert make_spec({"kimg": 120}).rungs() == [10, 40]
    assert make_spec({"kimg": 120, "reduction_factor": 2, "grace_kimg": 20}).rungs() == [20, 40, 80]


def test_identity_leaves_out_how_a_sweep_is_executed() -> None:
    one = make_spec({"trials": 5, "concurrent": 1, "time_budget": "1h", "address": "a:1"})
    two = make_spec({"trials": 9, "concurrent": 8, "gpus_per_trial": 0.5})
    assert one.identity() == two.identity()
    assert one.identity() != make_spec({"seed": 1}).identity()
    assert set(SweepSpec.model_fields) >= set(SweepSpec.identifying)


def test_a_field_that_was_renamed_is_refused_with_its_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RENAMED, "budget", "time_budget")
    monkeypatch.setitem(RENAMED, "learning_rate", "lr_g")
    with pytest.raises(InputError, match=r"^sweep: unknown field 'budget': it is called 'time_budget' now$"):
        make_spec({"budget": "2h"})
    with pytest.raises(InputError, match="it is called 'lr_g' now"):
        make_spec({"settings": {"learning_rate": 1e-3}}).load_recipes()


def test_a_spec_survives_being_written_and_read(tmp_path: Path) -> None:
    import yaml

    spec = make_spec({"kimg": 36, "recipes": ["wgan"], "space": {"clip": {"low": 0.01, "high": 0.5, "log": True}}})
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(spec.model_dump()))
    assert make_spec(read_spec(path)) == spec


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    (tmp_path / "code.yaml").write_text(f"!!python/object/apply:os.system ['touch {tmp_path}/ran']\n")
    for name in ("list.yaml", "broken.yaml", "code.yaml", "missing.yaml"):
        with pytest.raises(InputError):
            read_spec(tmp_path / name)
    assert not (tmp_path / "ran").exists()
