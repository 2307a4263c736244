"""Leaderboard and plots: they say what the journal says, whatever state it is in."""

from __future__ import annotations

import csv
import io
import math
import re
import statistics
from dataclasses import replace

import pytest
from matplotlib.figure import Figure
from pyarrow import parquet

from gan.metric import REFERENCE_INCEPTION
from gan.palette import SERIES
from search.report.data.collect import collect
from search.report.data.pictures import over_training
from search.report.data.report_data import Expected
from search.report.page.chart_data import chart_data
from search.report.page.page import page
from search.report.plots.drawing import colours_of, log_ticks
from search.report.plots.plots import _losses, draw_plots
from search.report.text.leaderboard import CSV, PARQUET, write_leaderboard
from search.report.text.status import as_json, plain
from search.run.journal import JOURNAL
from search.run.record import read_record


def read_csv(run):
    write_leaderboard(run, collect(run))
    return list(csv.DictReader(io.StringIO(run.read_bytes(CSV).decode())))


def read_parquet(run):
    return parquet.read_table(io.BytesIO(run.read_bytes(PARQUET)))


def test_leaderboard_is_the_same_in_both_formats(run):
    rows = read_csv(run)
    table = read_parquet(run)
    assert list(rows[0]) == table.column_names
    for row, other in zip(rows, table.to_pylist(), strict=True):
        assert row == {name: "" if value is None else str(value) for name, value in other.items()}


def test_leaderboard_is_ranked(run):
    rows = read_csv(run)
    fids = [float(row["best_fid"]) for row in rows if row["best_fid"]]
    assert fids == sorted(fids)
    assert [row["rank"] for row in rows] == [*map(str, range(1, 10)), "", ""]
    assert {row["trial"] for row in rows[9:]} == {"t0006", "t0010"}
    assert {row["features"] for row in rows[:9]} == {"random-conv"}


def test_how_settings_were_chosen_is_in_every_form_of_the_report(writer):
    writer.begin(trials=4)
    writer.trial(0, "dcgan", "published", "finished", 6, 90.0, provenance="published")
    writer.trial(1, "dcgan", "sampled", "finished", 6, 40.0, provenance="points")
    writer.trial(2, "dcgan", "sampled", "stopped", 2, 80.0, provenance="model")
    writer.trial(3, "l2", "sampled", "stopped", 2, 80.0)  # begun by version 0.1.0
    run = writer.write()
    wanted = {"t0000": "published", "t0001": "points", "t0002": "model", "t0003": ""}
    assert {row["trial"]: row["provenance"] for row in read_csv(run)} == wanted
    data = collect(run)
    assert {trial["id"]: trial["provenance"] or "" for trial in as_json(data)["trials"][:4]} == wanted
    html = page(run, data, {})
    assert "dcgan <small>points</small></td>" in html and "dcgan <small>published</small></td>" in html
    assert "from the sweep&#39;s list of points" in html
    assert {trial["id"]: trial["provenance"] or "" for trial in chart_data(data)["trials"]} == wanted
    lines = plain(data)
    assert next(line.split()[:4] for line in lines if "trial" in line.split()) == ["#", "trial", "recipe", "provenance"]
    assert [line.split()[3] for line in lines if " t0002 " in line] == ["model"]


def test_a_run_of_an_earlier_version_has_no_column_for_it(run):
    assert not any("provenance" in line for line in plain(collect(run)))


def test_parameters_have_columns_and_are_empty_where_they_have_no_effect(run):
    rows = {row["trial"]: row for row in read_csv(run)}
    searched = ["lr_g", "beta1", "l2_lambda", "clip", "n_critic"]
    assert list(rows["t0000"])[-5:] == searched
    assert rows["t0002"]["clip"] == "0.01"
    assert rows["t0002"]["beta1"] == ""
    assert rows["t0003"]["clip"] == ""
    table = read_parquet(run)
    assert str(table.schema.field("n_critic").type) == "int64"


def test_published_is_compared_at_equal_kimg(run):
    found = {comparison.recipe: comparison for comparison in collect(run).improvements}
    assert found["dcgan"].found == "t0003"
    assert found["dcgan"].gain == pytest.approx(1 - 60 / 90)
    assert found["wgan"].found == "t0008"
    assert found["wgan"].kimg == 4.0
    assert found["wgan"].gain == pytest.approx(1 - 120 / 140)


def test_what_was_found_is_compared_where_both_sides_have_been_trained_longest(writer):
    """A trial cut short that looks best by its few kimg is not what published settings are measured against."""
    writer.begin(trials=4)
    writer.trial(0, "dcgan", "published", "finished", 6, 90.0)
    writer.trial(1, "dcgan", "sampled", "running", 2, 50.0)
    writer.trial(2, "dcgan", "sampled", "stopped", 4, 100.0)
    writer.trial(3, "dcgan", "sampled", "stopped", 4, 80.0)
    run = writer.write()
    data = collect(run)
    (compared,) = data.improvements
    assert (compared.found, compared.kimg) == ("t0003", 4.0)
    assert compared.gain == pytest.approx(1 - 80 / 90)
    assert data.winner.id == "t0001"
    html = page(run, data, {})
    assert '4 kimg</td><td class="n">t0000 → t0003<' in html
    # At two kimg each: 50/90 of the distance, though published settings have come further since.
    assert "44% lower than the best published settings (dcgan: 138.7), both after 2 kimg." in html


def test_published_settings_that_lead_say_how_far_the_others_came(writer):
    writer.begin(trials=2)
    writer.trial(0, "dcgan", "published", "finished", 6, 50.0)
    writer.trial(1, "dcgan", "sampled", "running", 2, 60.0)
    run = writer.write()
    sentence = "after 6 kimg: the search has found none better. Its trials have had 2 kimg at most."
    assert sentence in page(run, collect(run), {})


def test_a_stopped_published_trial_is_compared_where_it_stopped(writer):
    """Neither what the search came to later, nor what other published settings came to, is held against it."""
    writer.begin(trials=5)
    writer.trial(0, "dcgan", "published", "stopped", 2, 90.0)
    writer.trial(1, "l2", "published", "stopped", 4, 110.0)
    writer.trial(2, "wgan", "published", "stopped", 4, 140.0)
    winner = writer.trial(3, "dcgan", "sampled", "finished", 6, 60.0)
    writer.trial(4, "dcgan", "sampled", "stopped", 2, 50.0)  # ahead at two kimg, where dcgan's published one stopped
    run = writer.write()
    data = collect(run)
    dcgan, l2, _ = data.improvements
    assert (dcgan.found, dcgan.kimg, dcgan.full) == ("t0004", 2.0, False)
    assert dcgan.gain == pytest.approx(1 - 50 / 90)
    assert (l2.found, l2.published_fid) == (None, pytest.approx(data.row("t0001").best_fid))
    # None ran in full: of those that were trained longest, the best.
    compared = as_json(data)["over_published"]
    assert (compared["published"], compared["found"], compared["kimg"]) == ("t0001", winner, 4.0)
    assert (compared["full"], compared["gain"]) == (False, pytest.approx(1 - 60 / 110))
    sentence = "45% lower than the published settings that were trained longest (l2: 118.1), both after 4 kimg."
    sentence += " No published settings have been trained to the full length."
    assert f"{winner}: {sentence}" in plain(data)
    html = page(run, data, {})
    assert f"<p>{sentence}</p>" in html
    assert '2 kimg</td><td class="n">t0000 (stopped) → t0004<' in html
    _losses(figure := Figure(), data)
    assert "dcgan · t0000 · published, stopped" in [axes.get_title() for axes in figure.axes]


def test_samples_beside_each_other_have_had_equal_training(writer):
    writer.begin(trials=2)
    writer.trial(0, "dcgan", "published", "stopped", 2, 90.0)
    writer.trial(1, "dcgan", "sampled", "finished", 6, 60.0)
    run = writer.write()
    html = page(run, collect(run), {})
    shown = re.findall(r"<figcaption>(Published|Found): (t\d+), (\S+) kimg", html)
    assert shown == [("Published", "t0000", "2"), ("Found", "t0001", "2")]


def test_published_settings_that_ran_in_full_are_the_measure(writer):
    writer.begin(trials=3)
    writer.trial(0, "dcgan", "published", "finished", 6, 90.0)
    writer.trial(1, "l2", "published", "stopped", 2, 70.0)  # 107.9 by then; dcgan came to 96.6
    writer.trial(2, "dcgan", "sampled", "finished", 6, 60.0)
    data = collect(writer.write())
    assert "t0002: 33% lower than the best published settings (dcgan: 96.6), both after 6 kimg." in plain(data)


def test_what_published_settings_would_have_come_to_is_named_an_expectation(writer):
    writer.begin(trials=2)
    writer.trial(0, "dcgan", "published", "stopped", 2, 90.0)
    writer.trial(1, "dcgan", "sampled", "finished", 6, 60.0)
    run = writer.write()
    data = replace(collect(run), expected_published=Expected("dcgan", 91.25, 70.0, 130.5, 0.8))
    sentence = "Those of dcgan would be expected at 91.2 there (70.0 to 130.5 with a probability of 80%)."
    assert sentence in page(run, data, {}) and any(sentence in line for line in plain(data))
    expected = as_json(data)["expected_published"]
    assert expected == {"recipe": "dcgan", "fid": 91.25, "low": 70.0, "high": 130.5, "level": 0.8}
    assert as_json(collect(run))["expected_published"] is None


def test_published_settings_are_expected_to_fall_as_far_as_trials_that_were_trained_in_full(writer):
    writer.begin(trials=5)
    writer.trial(0, "dcgan", "published", "stopped", 2, 55.0)
    for number, fid in enumerate((60.0, 50.0), 1):
        writer.trial(number, "dcgan", "sampled", "finished", 6, fid)
    assert collect(writer.write()).expected_published is None  # two full trainings are too few
    writer.trial(3, "dcgan", "sampled", "finished", 6, 40.0)
    run = writer.write()
    record = read_record(run)
    falls = [math.log(t.best_fid / t.best_fid_at(2)) for t in record.trials.values() if t.state == "finished"]
    stopped, expected = record.trials["t0000"].best_fid, collect(run).expected_published
    assert expected is not None and (expected.recipe, expected.level) == ("dcgan", 0.8)
    assert expected.fid == pytest.approx(stopped * math.exp(sum(falls) / 3))
    # Student's t with two degrees of freedom: 80% lie within 1.8856 deviations.
    half = 1.8856 * statistics.stdev(falls) * math.sqrt(4 / 3)
    assert expected.low == pytest.approx(expected.fid * math.exp(-half), rel=1e-3)
    assert expected.fid < expected.high <= stopped
    writer.trial(4, "l2", "published", "finished", 6, 90.0)
    assert collect(writer.write()).expected_published is None


def test_nothing_is_expected_of_published_settings_that_are_worse_than_all_that_were_trained_in_full(writer):
    """Those were trained in full because they were good: their falls say nothing about others."""
    writer.begin(trials=4)
    writer.trial(0, "dcgan", "published", "stopped", 2, 90.0)
    for number, fid in enumerate((60.0, 50.0, 40.0), 1):
        writer.trial(number, "dcgan", "sampled", "finished", 6, fid)
    assert collect(writer.write()).expected_published is None


def test_what_the_winners_settings_promise_is_told_while_it_leads(writer):
    promise = {"trial": "t0001", "kimg": 24.0, "ratio": 0.62, "low": 0.41, "high": 0.953, "level": 0.8}
    writer.begin(trials=2)
    writer.trial(0, "dcgan", "published", "finished", 6, 90.0)
    writer.trial(1, "dcgan", "sampled", "finished", 6, 60.0)
    writer.event("end", state="finished", promise=promise)
    run = writer.write()
    data = collect(run)
    sentence = (
        "Trained to 24 kimg, such settings came to 0.62 times their distance on other images"
        " (0.41 to 0.95 with a probability of 80%)."
    )
    assert sentence in plain(data) and sentence in page(run, data, {})
    assert as_json(data)["promise"] == promise
    writer.event("end", state="finished", promise={**promise, "trial": "t0000"})
    assert collect(writer.write()).promise is None
    for damaged in ({"trial": "t0001", "in_words": "much"}, {**promise, "ratio": "much"}, ["t0001"], 3):
        writer.event("end", state="finished", promise=damaged)
        data = collect(writer.write())
        assert (data.promise, data.state) == (None, "finished")


def test_published_settings_that_lead_where_they_were_stopped(writer):
    writer.begin(trials=2)
    writer.trial(0, "dcgan", "published", "stopped", 2, 20.0)
    writer.trial(1, "dcgan", "sampled", "finished", 6, 60.0)
    run = writer.write()
    sentence = "Published settings are the best so far, after 2 kimg, where they were stopped: the search has"
    assert sentence in page(run, collect(run), {})
    assert as_json(collect(run))["over_published"] is None


@pytest.mark.parametrize(("reports", "saves"), [(6, False), (4, True)])
def test_nothing_saved_is_not_shown_as_nought_beside_a_full_bar(writer, reports, saves):
    writer.begin(trials=2)
    writer.trial(0, "dcgan", "published", "finished", 6, 50.0)
    writer.trial(1, "dcgan", "sampled", "finished" if reports == 6 else "stopped", reports, 60.0)
    run = writer.write()
    html = page(run, collect(run), {})
    assert ("17% of the training" in html) == saves
    assert ('class="share"' in html) == saves
    assert ("every trial that has ended ran to its full length" in html) != saves
    assert ("17% saved by stopping" in plain(collect(run))[2]) == saves
    assert not re.search(r"\b0%", html)


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (28, 480, [28, 50, 100, 200, 480]),
        (30, 500, [30, 50, 100, 200, 500]),
        (1, 10, [1, 2, 5, 10]),
        (260, 380, [260, 300, 380]),
        (3, 3e6, [3, 10, 100, 1000, 10000, 100000, 1e6, 3e6]),
    ],
)
def test_a_logarithmic_axis_has_a_label_near_either_end(low, high, wanted):
    assert log_ticks(low, high) == pytest.approx(wanted)


def test_losses_show_winner_published_and_diverged(run):
    shown = [(why, row.id) for why, row in collect(run).loss_panels]
    assert shown == [
        ("winner", "t0003"),
        ("published", "t0000"),
        ("published", "t0001"),
        ("published", "t0002"),
        ("diverged", "t0005"),
    ]


def test_a_recipe_has_the_same_colour_in_plots_and_on_the_page(run):
    data = collect(run)
    places = {recipe: place for place, recipe in enumerate(chart_data(data)["recipes"])}
    assert colours_of(data.recipe_names) == {recipe: SERIES[place][0] for recipe, place in places.items()}
    html = page(run, data, {})
    for recipe, place in places.items():
        assert f'<span class="swatch c{place}" aria-hidden="true"></span>{recipe}' in html
        assert f"--c{place}: light-dark({SERIES[place][0]}, {SERIES[place][1]})" in html


def test_names_that_are_no_formula(writer):
    writer.begin(trials=1)
    writer.trial(0, "dcgan", "published", "finished", 2, 50.0)
    writer.lines = [line.replace('"dcgan"', '"$_{x$^ and a very long recipe name.yaml"') for line in writer.lines]
    assert len(draw_plots(collect(writer.write()))) == 3


def test_only_the_reference_network_measures_fid(run):
    data = collect(run)
    assert data.metric == "Fréchet distance in random-conv features"
    content = run.read_bytes(JOURNAL).replace(b'"features": "random-conv"', b'"features": "inception"')
    run.write_bytes(JOURNAL, content)
    assert (collect(run).metric.startswith("Fréchet distance"), collect(run).metric_short) == (True, "FD")
    run.write_bytes(JOURNAL, content.replace(data.evaluation["weights_sha256"].encode(), REFERENCE_INCEPTION.encode()))
    assert (collect(run).metric, collect(run).metric_short) == ("FID", "FID")


def test_grids_span_the_training_and_hold_the_best(writer):
    writer.begin(trials=1)
    writer.trial(0, "dcgan", "published", "running", 20, 50.0)
    run = writer.write()
    data = collect(run)
    shown = over_training(run, data, data.rows[0])
    kimgs = [picture.kimg for picture in shown]
    assert len(kimgs) == 6
    assert kimgs[0] == 1.0 and kimgs[-1] == 20.0
    assert data.rows[0].best_kimg in kimgs
