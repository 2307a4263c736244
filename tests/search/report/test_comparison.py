"""What a comparison says: figures against SciPy, diverged trainings counted, tables that agree with each other."""

from __future__ import annotations

import csv
import io
import json
import statistics
from typing import Any

import pytest
import scipy.stats
from PIL import Image
from rich.console import Console

from gan.storage.storage import Storage
from search.report.build import build_report
from search.report.data.collect import collect
from search.report.data.comparison import ComparisonResult, Difference, Estimate
from search.report.text import status
from search.report.text.comparison_tables import as_json, as_markdown
from search.report.text.status import plain, render

KIMG = 3.0
TRAININGS: list[tuple[str, list[float | None], str]] = [  # recipe, FID at each kimg, state
    ("dcgan", [90.0, 60.0, 50.0], "finished"),
    ("wgan", [80.0, 40.0, 42.0], "finished"),
    ("dcgan", [95.0, 55.0, 56.0], "finished"),
    ("wgan", [85.0, 70.0, None], "diverged"),
    ("dcgan", [99.0, 66.0, 45.0], "finished"),
    ("wgan", [79.0, 47.0, 44.0], "finished"),
]
DRAWS = {0: [51.0, 53.0, 52.0], 1: [41.0, 41.0, 44.0], 2: [57.0, 55.0, 56.0], 4: [46.0, 47.0, 48.0]}


def compare(writer: Any, trainings: list[tuple[str, list[float | None], str]], name: str = "") -> Storage:
    """Write a comparison's folder: trainings in turn, seed by seed, with sample grids."""
    recipes = list(dict.fromkeys(recipe for recipe, _, _ in trainings))
    settings = {"kind": "compare", "recipes": recipes, "kimg": KIMG, "seeds": 3, "draws": 3, "name": "fair"}
    writer.begin(0, **settings)
    for index, (recipe, fids, state) in enumerate(trainings):
        trial = f"t{index:04d}"
        writer.event(
            "trial",
            trial=trial,
            recipe=recipe,
            objective=recipe,
            source="published",
            params={},
            settings={"batch": 50, "n_critic": 5} if recipe == "wgan" else {"batch": 50},
            seed=7 + index // len(recipes),
        )
        writer.event("start", trial=trial)
        for step, fid in enumerate(fids, start=1):
            known = [value for value in fids[:step] if value is not None]
            best = min(known, default=None)
            writer.event(
                "report",
                trial=trial,
                kimg=float(step),
                fid=fid,
                best_fid=best,
                best_kimg=None if best is None else float(fids.index(best) + 1),
                g_loss=1.0,
                d_loss=0.5,
                curve=[],
                seconds=step,
            )
            picture = io.BytesIO()
            Image.new("RGB", (66, 66), (step * 60, 0, index * 40)).save(picture, "PNG")
            writer.run.write_bytes(f"trials/{trial}/samples/{step * 1000:09d}.png", picture.getvalue())
        if state != "running":
            writer.event("verdict", trial=trial, state=state, reason="losses at $1e6$" if state == "diverged" else None)
        if index in DRAWS:
            writer.event("draws", trial=trial, latent_seeds=[1, 2, 3], fids=DRAWS[index])
    return writer.write()


@pytest.fixture
def comparison(writer: Any) -> ComparisonResult:
    found = collect(compare(writer, TRAININGS)).comparison
    assert found is not None
    return found


def test_intervals_are_those_of_students_t() -> None:
    values = [31.0, 35.5, 29.2, 33.3]
    estimate = Estimate.of(values)
    assert estimate is not None
    low, high = scipy.stats.t.interval(0.95, 3, loc=statistics.mean(values), scale=scipy.stats.sem(values))
    assert (estimate.low, estimate.high) == (pytest.approx(low), pytest.approx(high))
    assert (estimate.mean, estimate.std) == (pytest.approx(32.25), pytest.approx(statistics.stdev(values)))


def test_one_value_has_no_interval_and_none_no_estimate() -> None:
    assert Estimate.of([3.0]) == Estimate(3.0, None, None, None, 1)
    assert Estimate.of([]) is None


def test_a_difference_has_welchs_interval() -> None:
    better, worse = [31.0, 35.5, 29.2], [39.0, 44.1, 61.0, 40.2]
    one, other = Estimate.of(better), Estimate.of(worse)
    assert one is not None and other is not None
    difference = Difference.between(one, other)
    wanted = scipy.stats.ttest_ind(worse, better, equal_var=False).confidence_interval(0.95)
    assert difference.mean == pytest.approx(statistics.mean(worse) - statistics.mean(better))
    assert (difference.low, difference.high) == (pytest.approx(wanted.low), pytest.approx(wanted.high))
    same = Estimate.of([2.0, 2.0])
    assert same is not None
    assert Difference.between(same, same) == Difference(0.0, 0.0, 0.0)


def test_the_lowest_mean_leads_not_the_lowest_fid(comparison: ComparisonResult) -> None:
    """A wgan has the best single training, and the worst; dcgan is better on average."""
    assert [(recipe.rank, recipe.name) for recipe in comparison.recipes] == [(1, "dcgan"), (2, "wgan")]
    dcgan, wgan = comparison.recipes
    assert [seed.best_fid for seed in dcgan.seeds] == [50.0, 55.0, 45.0]
    assert [seed.seed for seed in dcgan.seeds] == [7, 8, 9]
    assert dcgan.best_fid is not None and wgan.best_fid is not None
    assert (dcgan.best_fid.mean, dcgan.best_fid.std) == (50.0, 5.0)
    assert wgan.behind == Difference.between(dcgan.best_fid, wgan.best_fid)
    assert comparison.winner == dcgan


def test_a_diverged_training_counts_with_its_best_and_has_no_final_distance(
    comparison: ComparisonResult,
) -> None:
    dcgan, wgan = comparison.recipes
    assert (dcgan.diverged, wgan.diverged, wgan.without_fid) == (0, 1, 0)
    assert wgan.best_fid is not None and wgan.final_fid is not None and dcgan.final_fid is not None
    assert (wgan.best_fid.mean, wgan.best_fid.count) == (pytest.approx((40 + 70 + 44) / 3), 3)
    assert (wgan.final_fid.mean, wgan.final_fid.count) == (43.0, 2)
    assert dcgan.final_fid.mean == pytest.approx((50 + 56 + 45) / 3)
    assert wgan.median_seed is not None and wgan.median_seed.trial == "t0005"


def test_spread_over_draws_is_within_a_seed_and_apart_from_spread_over_seeds(comparison: ComparisonResult) -> None:
    dcgan, wgan = comparison.recipes
    assert dcgan.draws_std == pytest.approx(1.0)
    assert wgan.draws_std == pytest.approx(statistics.stdev(DRAWS[1]))
    assert dcgan.redrawn_fid is not None
    assert (dcgan.redrawn_fid.mean, dcgan.redrawn_fid.count) == (pytest.approx((52 + 56 + 47) / 3), 3)
    assert dcgan.redrawn_fid.std == pytest.approx(statistics.stdev([52, 56, 47]))


def test_bands_count_their_trainings_and_the_best_outlives_divergence(
    comparison: ComparisonResult,
) -> None:
    wgan = comparison.recipes[1]
    assert [(band.kimg, band.count) for band in wgan.fid] == [(1.0, 3), (2.0, 3), (3.0, 2)]
    assert wgan.fid[2].mean == 43.0
    assert [(band.mean, band.count) for band in wgan.best_so_far][2] == (pytest.approx((40 + 70 + 44) / 3), 3)
    assert wgan.fid[0].std == pytest.approx(statistics.stdev([80, 85, 79]))


def test_a_recipe_with_a_training_that_never_had_a_fid_is_behind_those_that_all_have(writer: Any) -> None:
    lucky: list[tuple[str, list[float | None], str]] = [
        ("dcgan", [90.0, 60.0, 50.0], "finished"),
        ("wgan", [None], "diverged"),
        ("dcgan", [95.0, 55.0, 56.0], "finished"),
        ("wgan", [10.0, 9.0, 8.0], "finished"),
    ]
    run = compare(writer, lucky)
    found = collect(run).comparison
    assert found is not None
    assert [recipe.name for recipe in found.recipes] == ["dcgan", "wgan"]
    assert found.recipes[1].without_fid == 1
    assert "Ended before their first evaluation, so in no mean: 1 of wgan" in as_markdown(found, collect(run))


def test_json_names_both_spreads(comparison: ComparisonResult) -> None:
    result = as_json(comparison)
    json.dumps(result, allow_nan=False)
    assert (result["winner"], result["seeds"], result["draws"], result["kimg"]) == ("dcgan", 3, 3, KIMG)
    first = result["recipes"][0]
    assert first["best_fid"]["std_over_seeds"] == 5.0
    assert first["redrawn_fid"]["std_over_draws"] == pytest.approx(1.0)
    assert {"low", "high"} <= result["recipes"][1]["behind_first"].keys()
    assert [trial["trial"] for trial in first["trials"]] == ["t0000", "t0002", "t0004"]


def test_a_report_writes_tables_that_agree_and_plots(writer: Any) -> None:
    run = compare(writer, TRAININGS)
    data = build_report(run)
    result = json.loads(run.read_bytes("compare.json"))
    assert result["evaluation"]["features"] == "random-conv"
    rows = list(csv.DictReader(io.StringIO(run.read_bytes("compare.csv").decode())))
    for row, recipe in zip(rows, result["recipes"], strict=True):
        assert (row["recipe"], row["features"]) == (recipe["name"], "random-conv")
        assert float(row["best_fid_mean"]) == recipe["best_fid"]["mean"]
        assert float(row["final_fid_std_over_seeds"]) == recipe["final_fid"]["std_over_seeds"]
        assert float(row["redrawn_fid_std_over_draws"]) == recipe["redrawn_fid"]["std_over_draws"]
        assert int(row["diverged"]) == recipe["diverged"]
    assert data.comparison is not None
    markdown = run.read_bytes("compare.md").decode()
    assert markdown == as_markdown(data.comparison, data)
    assert "| dcgan | 50.00 ± 5.00 (3) | 37.58 to 62.42 |" in markdown
    assert "Fréchet distance in random-conv features" in markdown
    assert "A training that diverged counts with its best before that" in markdown
    names = {"compare_fid.png", "compare_means.png", "compare_grids.png"}
    assert names <= set(run.list("plots"))
    for name in names:
        with Image.open(io.BytesIO(run.read_bytes(f"plots/{name}"))) as image:
            assert image.width > 400


def test_status_shows_it_too_and_counts_what_is_planned(writer: Any) -> None:
    run = compare(writer, TRAININGS[:3])
    result = status.as_json(collect(run))
    assert result["comparison"]["winner"] == "wgan"
    assert [trial["state"] for trial in result["trials"]] == ["finished"] * 3 + ["pending"] * 3
    data = collect(run)
    assert data.improvements == []
    text = "\n".join(plain(data))
    assert "best: mean ± std over seeds" in text
    console = Console(file=io.StringIO(), width=60)
    console.print(render(data, 60))
    assert isinstance(console.file, io.StringIO)
    assert "95% interval" in console.file.getvalue()


def test_a_comparison_that_has_hardly_begun(writer: Any) -> None:
    for trainings in ([], [("dcgan", [], "running")]):
        writer.lines = []
        run = compare(writer, trainings)  # type: ignore[arg-type]
        data = build_report(run)
        assert data.comparison is not None
        assert data.comparison.winner is None
        assert as_json(data.comparison)["winner"] is None


def test_finalists_are_shown_in_the_sweeps_report(writer: Any, run: Storage) -> None:
    assert collect(run).finalists is None
    inner = type(writer)(writer.run.local_path / "finalists")
    compare(inner, TRAININGS)
    data = build_report(run)
    assert data.finalists is not None and data.finalists.winner is not None
    assert data.finalists.winner.name == "dcgan"
    assert status.as_json(collect(run))["finalists"]["recipes"][0]["name"] == "dcgan"
    assert {"finalists_fid.png", "finalists_grids.png"} <= set(run.list("plots"))
    assert run.exists("finalists/compare.md")
