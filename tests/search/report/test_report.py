"""Leaderboard, plots and page: they say what the journal says, whatever state it is in."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image
from pyarrow import parquet

from search.journal import JOURNAL
from search.report import build_report, collect
from search.report.data import grid_path
from search.report.leaderboard import CSV, PARQUET, leaderboard, write_leaderboard
from search.report.page import page
from search.report.pictures import over_training
from search.report.plots import DARK, draw, loss_panels

VOID = {"meta", "img", "source", "br"}


class Checker(HTMLParser):
    """Collects what a page loads, and checks that its elements close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "srcset", "href", "action", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    assert all(load.startswith("data:image/") for load in checker.loads)
    assert "script" not in checker.tags
    assert "url(" not in html and "@import" not in html
    return checker


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
    found = {comparison.recipe: comparison for comparison in collect(run).comparisons}
    assert found["dcgan"].found == "t0003"
    assert found["dcgan"].gain == pytest.approx(1 - 60 / 90)
    assert found["wgan"].found == "t0008"
    assert found["wgan"].kimg == 4.0
    assert found["wgan"].gain == pytest.approx(1 - 120 / 140)


def test_losses_show_winner_published_and_diverged(run):
    shown = [(why, row.id) for why, row in loss_panels(collect(run))]
    assert shown == [
        ("winner", "t0003"),
        ("published", "t0000"),
        ("published", "t0001"),
        ("published", "t0002"),
        ("diverged", "t0005"),
    ]


def test_names_that_are_no_formula(writer):
    writer.begin(trials=1)
    writer.trial(0, "dcgan", "published", "finished", 2, 50.0)
    writer.lines = [line.replace('"dcgan"', '"$_{x$^ and a very long recipe name.yaml"') for line in writer.lines]
    assert len(draw(collect(writer.write()), DARK)) == 3


def test_only_inception_is_called_fid(run):
    assert collect(run).metric == "Fréchet distance (random-conv features)"
    content = run.read_bytes(JOURNAL).replace(b'"features": "random-conv"', b'"features": "inception"')
    run.write_bytes(JOURNAL, content)
    assert collect(run).metric == "FID"


def test_a_report_is_whole_and_loads_nothing(run):
    build_report(run)
    assert run.list("plots") == ["best_over_time.png", "fid.png", "losses.png"]
    for name in run.list("plots"):
        with Image.open(io.BytesIO(run.read_bytes(f"plots/{name}"))) as image:
            assert image.width > 400
    html = run.read_bytes("report.html").decode()
    # The winner's faces, three plots in two themes, six grids of the winner, two of the diverged one.
    assert len(check(html).loads) == 1 + 6 + 6 + 2
    for text in ("t0003", "t0006", "out of memory: 3 GiB", "rung 2 kimg", "gan-search resume"):
        assert text in html
    assert "cd" * 32 in html


def test_page_escapes_what_others_wrote(run):
    html = page(run, collect(run), {})
    assert "<script" not in html
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; more" in html
    assert "--name demo &lt;b&gt;" in html


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


def test_damaged_pictures_are_left_out(run):
    for kimg in range(1, 7):
        path = grid_path("t0003", kimg)
        run.write_bytes(path, run.read_bytes(path)[:100] if kimg > 1 else b"")
    run.write_bytes("best/t0003/samples.png", b"no picture")
    assert len(check(page(run, collect(run), {})).loads) == 2


@pytest.mark.parametrize("state", ["diverged", "failed", "stopped"])
def test_a_sweep_that_came_to_nothing_says_what_to_try(writer, state):
    writer.begin(trials=2)
    for index in range(2):
        writer.trial(index, "wgan", "sampled", state, 2 if state == "stopped" else 0, 99.0)
    writer.event("end", state="finished")
    html = page(writer.write(), collect(writer.run), {})
    check(html)
    assert "No trial has run to its full length" in html
    assert ("What to try" in html) and (f"2 {state}" in html)
    assert ("No generator yet" in html) == (state != "stopped")


def test_runs_that_have_hardly_begun(writer):
    writer.begin(trials=3)
    for run in (writer.run, writer.write()):
        build_report(run)
        check(run.read_bytes("report.html").decode())
        assert run.read_bytes("leaderboard.csv").decode().startswith("rank,trial,recipe")
        assert read_parquet(run).num_rows == 0


def test_a_journal_cut_at_any_line(run):
    lines = run.read_bytes(JOURNAL).splitlines(keepends=True)
    for end in range(1, len(lines), 6):
        run.write_bytes(JOURNAL, b"".join(lines[:end]) + lines[end][:20])
        data = collect(run)
        assert leaderboard(data).num_rows == len(data.leaderboard)
        check(page(run, data, {}))


def test_many_trials_stay_light(writer):
    writer.begin(trials=200)
    for index in range(200):
        writer.trial(index, "dcgan", "sampled", "stopped", 1, 50.0 + index)
    html = page(writer.write(), collect(writer.run), {})
    check(html)
    assert "150 more trials" in html
    assert len(html) < 2_000_000
    assert len(re.findall(r"<tr", html)) > 200
