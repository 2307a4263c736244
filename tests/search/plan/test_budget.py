"""What a time budget buys."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gan.checks.speed import Speed
from gan.data.packed.opening import open_data
from gan.errors import InputError
from gan.storage.storage import Storage
from search.plan import budget as module
from search.plan.budget import FEWEST, MOST, Budget, Choice, Rung, choose, is_open, mean_speed, with_choice
from search.plan.spec import REST, TRAINED_SHARE, SweepSpec, make_spec
from search.run.run_folder import write_settings

RUNGS = [Rung(16, 16), Rung(32, 32), Rung(64, 32)]
ALONE = Budget(600, at_once=2, images=10_000, samples=5000)


def speed_of(rung: Rung, scale: float = 1.0) -> Speed:
    """A machine on which an image takes as long as its pixels times the width."""
    work = (rung.size / 32) ** 2 * rung.width / 32
    return Speed(900 * scale / work, 0.02, 2e-4 * work / scale)


def seconds(choice: Choice) -> float:
    """How long the trials, the finalists and the finishing of a choice would take."""
    budget = choice.budget
    together = choice.trials * TRAINED_SHARE + budget.in_full
    searching = together * each(choice) / min(budget.at_once, choice.trials)
    return searching / (1 - module.FINISH_SHARE * budget.finishes)


def each(choice: Choice) -> float:
    """How long a trial of full length takes."""
    reports = module.REPORTS if choice.budget.interval is None else choice.kimg / choice.budget.interval
    return choice.speed.seconds(choice.kimg, reports, choice.budget.samples)


@pytest.mark.parametrize("at_once", [1, 2, 8, 16, 64])
@pytest.mark.parametrize("given", [{}, {"in_full": 18}, {"interval": 5.0}, {"fewest": 30}], ids=str)
def test_a_budget_is_spent_and_not_exceeded(at_once: int, given: dict[str, Any]) -> None:
    for minutes, scale in itertools.product((30, 120, 480, 1440), (0.5, 1.0, 20.0)):
        budget = dataclasses.replace(ALONE, seconds=60 * minutes, images=10_000_000, at_once=at_once, **given)
        try:
            choice = choose(budget, RUNGS, partial(speed_of, scale=scale))
        except InputError:
            assert minutes == 30 and scale < 1 and given
            continue
        assert seconds(choice) < budget.seconds
        assert seconds(choice) > 0.5 * budget.seconds or choice.trials == MOST
        assert choice.kimg >= choice.rung.least_kimg and choice.trials >= budget.fewest
        # A trial that nothing stops comes to its end, and others can learn from it.
        assert each(choice) <= 0.5 * budget.seconds * (1 - module.FINISH_SHARE)


def test_a_given_interval_bounds_the_length(tmp_path: Path) -> None:
    spec, _ = with_choice(open_spec(data="faces", interval_kimg=300.0, time_budget="20h"), Storage(tmp_path), machine)
    assert spec.kimg >= 300 == spec.interval


def test_what_does_not_fit_into_the_memory_is_too_much() -> None:
    fits = choose(ALONE, RUNGS, lambda rung: speed_of(rung) if rung.size == 16 else Speed(0.0, 0.0, 0.0))
    assert fits.rung.size == 16
    with pytest.raises(InputError, match="does not fit into the memory"):
        choose(ALONE, RUNGS, lambda rung: Speed(0.0, 0.0, 0.0))


def test_more_time_or_speed_gives_larger_images_or_longer_trials() -> None:
    choices = [choose(dataclasses.replace(ALONE, seconds=60 * m), RUNGS, speed_of) for m in (3, 10, 60, 480)]
    assert [choice.rung.size for choice in choices] == sorted(choice.rung.size for choice in choices)
    assert {choices[0].rung.size, choices[-1].rung.size} == {16, 64}
    for earlier, later in itertools.pairwise(choices):
        assert later.rung.size > earlier.rung.size or later.kimg > earlier.kimg


def test_no_rung_beyond_the_first_that_is_too_much_is_measured() -> None:
    asked = []

    def measured(rung: Rung) -> Speed:
        asked.append(rung)
        return speed_of(rung)

    assert choose(ALONE, RUNGS, measured).rung == RUNGS[1]
    assert asked == RUNGS
    asked.clear()
    choose(dataclasses.replace(ALONE, seconds=120), RUNGS, measured)
    assert asked == RUNGS[:2]


def test_few_images_get_more_trials_instead_of_longer_ones() -> None:
    many, few = (choose(dataclasses.replace(ALONE, seconds=7200, images=n), RUNGS[:1], speed_of) for n in (10**6, 500))
    assert few.kimg == pytest.approx(module.EPOCHS * 500 / 1000)
    assert many.kimg > few.kimg
    assert many.trials == module.TRIALS < few.trials <= MOST


def test_what_is_given_stays() -> None:
    by_kimg = choose(dataclasses.replace(ALONE, kimg=20.0), RUNGS[:2], speed_of)
    assert by_kimg.kimg == 20.0 and by_kimg.trials >= FEWEST
    by_trials = choose(dataclasses.replace(ALONE, trials=40), RUNGS[:1], speed_of)
    assert by_trials.trials == 40
    alone = choose(dataclasses.replace(ALONE, finishes=False), RUNGS[:1], speed_of)
    assert alone.kimg > choose(ALONE, RUNGS[:1], speed_of).kimg


def test_a_budget_that_is_too_short_says_what_would_do() -> None:
    short = dataclasses.replace(ALONE, seconds=20)
    with pytest.raises(InputError, match=r"give at least (\d+)m") as error:
        choose(short, RUNGS, speed_of)
    minutes = int(str(error.value).rpartition(" ")[2].removesuffix("m"))
    assert choose(dataclasses.replace(short, seconds=60 * minutes), RUNGS, speed_of).trials >= FEWEST


def test_speeds_that_were_measured_together_are_averaged() -> None:
    assert mean_speed([Speed(100, 1, 0.1), Speed(300, 3, 0.3)]) == Speed(200, 2, 0.2)
    assert mean_speed([Speed(100, 1, 0.1), Speed(0, 0, 0)]).rate == 0


# ---- for a sweep


@contextmanager
def machine(spec: SweepSpec) -> Iterator[tuple[int, Callable[[Any], list[Speed]]]]:
    yield 2, lambda task: [speed_of(Rung(task.args[1][0], task.args[0].settings["width_g"]))]


@pytest.fixture
def photos(tmp_path: Path) -> str:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(600):
        Image.fromarray(np.full((70, 90, 3), number % 256, np.uint8)).save(folder / f"{number}.png")
    return f"folder:{folder}"


def open_spec(**values: Any) -> SweepSpec:
    return make_spec({"time_budget": "1h", **values})


def test_only_what_is_not_given_is_chosen(photos: str, tmp_path: Path) -> None:
    run = Storage(tmp_path / "run")
    spec, choice = with_choice(open_spec(data=photos), run, machine)
    assert choice is not None
    # No larger than the photos are: 70 pixels.
    assert spec.size == choice.rung.size in (16, 32, 64)
    assert spec.settings == {"width_g": choice.rung.width, "width_d": choice.rung.width}
    assert (spec.trials, spec.kimg, spec.finish) == (choice.trials, choice.kimg, REST)
    assert spec.features == "random-conv"  # The weights of the Inception network are not here.
    given = {"size": 16, "settings": {"width_g": 8, "width_d": 8}, "trials": 7, "finish": 4, "features": "random-conv"}
    spec, _ = with_choice(open_spec(data=photos, **given), run, machine)
    assert {name: getattr(spec, name) for name in given} == given


@pytest.mark.parametrize(("side", "sizes"), [(20, {16}), (40, {16, 32})])
def test_images_are_not_enlarged(side: int, sizes: set[int], tmp_path: Path) -> None:
    for number in range(600):
        Image.fromarray(np.full((side, side, 3), number % 256, np.uint8)).save(tmp_path / f"{number}.png")
    spec, _ = with_choice(open_spec(data=f"folder:{tmp_path}", time_budget="8h"), Storage(tmp_path / "run"), machine)
    assert spec.size == max(sizes)


def test_the_size_of_packed_images_is_their_own(tiny_data: str, tmp_path: Path) -> None:
    spec, choice = with_choice(open_spec(data=tiny_data), Storage(tmp_path / "run"), machine)
    assert choice is not None and choice.rung.size == spec.size == 16
    assert choice.budget.images == len(open_data(tiny_data).train)


def test_a_run_that_has_begun_keeps_what_was_chosen_and_nothing_is_measured(photos: str, tmp_path: Path) -> None:
    run = Storage(tmp_path / "run")
    chosen, _ = with_choice(open_spec(data=photos), run, machine)
    write_settings(run, chosen.model_dump(), {}, {})

    def never(spec: SweepSpec) -> Any:
        raise AssertionError

    again, choice = with_choice(open_spec(data=photos, concurrent=1), run, never)
    assert choice is None
    assert again == chosen.model_copy(update={"concurrent": 1})


@pytest.mark.parametrize(
    ("values", "decides"),
    [({}, True), ({"trials": 9}, True), ({"kimg": 9}, True), ({"trials": 9, "kimg": 9}, False)],
)
def test_with_trials_and_length_given_a_budget_only_ends_the_sweep(values: dict[str, Any], decides: bool) -> None:
    assert is_open(open_spec(**values)) is decides
    assert not is_open(make_spec(values))
