"""The page as a document: whole, escaped, self-contained, and true in whatever state a run is."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
import yaml
from PIL import Image
from pyarrow import parquet
from run_writer import Writer

from gan.errors import InputError
from gan.palette import COLOURS, SERIES
from search.report.build import build_report
from search.report.data.collect import collect
from search.report.data.report_data import Assessed, grid_path
from search.report.page.chart_data import chart_data, thin
from search.report.page.page import environment, page, style_sheet
from search.report.text.commands import retrain
from search.report.text.leaderboard import leaderboard
from search.run.journal import JOURNAL

VOID = {"meta", "img", "source", "br", "input"}
HOSTILE = "a/b <!-- </script><script>alert(1)</script> ü 日本 \u2028'\"&amp;"


class Checker(HTMLParser):
    """Collects what a page loads, runs and holds, and checks that its elements close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.refers: list[str] = []
        self.blocks: dict[str, list[str]] = {"script": [], "style": []}
        self.data = ""
        self.policy = ""
        self.attributes: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.attributes.append((tag, known))
        self.loads += [value for name, value in attrs if name in ("src", "srcset", "action", "data", "poster")]
        self.ids += [known["id"]] if "id" in known else []
        self.refers += known.get("aria-labelledby", "").split()
        self.refers += [known["for"]] if "for" in known else []
        self.refers += [known["href"].removeprefix("#")] if "href" in known else []
        if known.get("http-equiv") == "Content-Security-Policy":
            self.policy = known["content"]
        if tag == "script":
            self.blocks["data" if known.get("type") == "application/json" else "script"] = [
                *self.blocks.get("data" if known.get("type") == "application/json" else "script", []),
                "",
            ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, content):
        if self.open and self.open[-1] == "script":
            kind = "data" if self.attributes[-1][1].get("type") == "application/json" else "script"
            self.blocks[kind][-1] += content
        elif self.open and self.open[-1] == "style":
            self.blocks["style"].append(content)


def check(html: str) -> Checker:
    """Check what holds for every page: it closes, loads nothing, runs only its own scripts, names what it shows."""
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    assert all(load.startswith("data:image/") for load in checker.loads)
    assert len(checker.blocks["script"]) == 2 and len(checker.blocks["data"]) == 1 and len(checker.blocks["style"]) == 1
    assert "url(" not in style_sheet() and "@import" not in style_sheet()
    for kind in ("script", "style"):
        allowed = re.search(rf"{kind}-src ([^;]+)", checker.policy)[1].split()
        assert allowed == [digest(content) for content in checker.blocks[kind]]
    assert checker.policy.startswith("default-src 'none'") and "unsafe" not in checker.policy
    assert not any(name == "style" or name.startswith("on") for _, known in checker.attributes for name in known)
    assert len(set(checker.ids)) == len(checker.ids)
    assert set(checker.refers) <= set(checker.ids)
    assert all(known.get("alt") for tag, known in checker.attributes if tag == "img")
    json.loads(checker.blocks["data"][0])
    return checker


def digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def test_a_report_is_whole_and_loads_nothing(run):
    build_report(run)
    drawn = ["best_over_time.png", "fid_against_kimg.png", "losses.png", "milestones.png"]
    assert run.list("plots") == drawn
    for name in run.list("plots"):
        with Image.open(io.BytesIO(run.read_bytes(f"plots/{name}"))) as image:
            assert image.width > 400
    html = run.read_bytes("report.html").decode()
    # The winner's faces, three plots, six grids of the winner, two of the diverged one, and the best of the winner's
    # recipe before and after.
    assert len(check(html).loads) == 1 + 3 + 6 + 2 + 2
    for text in ("t0003", "t0006", "out of memory: 3 GiB", "rung 2 kimg", "gan-search resume"):
        assert text in html
    assert "cd" * 32 in html


def test_every_section_is_linked(run):
    html = page(run, collect(run), {})
    sections = re.findall(r'<section id="(\w+)"', html)
    assert sections == [
        "best",
        "advice",
        "progress",
        "leaderboard",
        "parameters",
        "losses",
        "samples",
        "published",
        "quality",
        "saved",
        "reproduce",
    ]
    assert re.findall(r'<a href="#(\w+)">', html) == sections


def test_names_cannot_break_out(writer: Writer):
    writer.begin(trials=3, name=HOSTILE, data=f"folder:/{HOSTILE}")
    for index in range(3):
        writer.trial(index, "wgan", "published" if index == 0 else "sampled", "finished", 3, 50.0 + index)
    hostile = json.dumps(HOSTILE)
    writer.lines = [
        line.replace('"recipe": "wgan"', f'"recipe": {hostile}').replace('"clip"', hostile) for line in writer.lines
    ]
    writer.lines = [line.replace('"reason": null', f'"reason": {hostile}') for line in writer.lines]
    run = writer.write()
    html = page(run, collect(run), {})
    checked = check(html)
    result = json.loads(checked.blocks["data"][0])
    assert result["recipes"] == [HOSTILE]
    assert result["trials"][0]["reason"] == " ".join(HOSTILE.split())
    assert HOSTILE in result["trials"][1]["shown"]
    assert "<script>alert" not in html and "<!--" not in html
    assert f"gan-search resume '{run.uri}'" in html or f"gan-search resume {run.uri}" in html


def test_json_in_a_script_holds_no_markup():
    template = environment().from_string("{{ value|tojson }}")
    content = template.render(value={HOSTILE: [HOSTILE, 1.5]})
    assert not set("<>&") & set(content)
    assert json.loads(content) == {HOSTILE: [HOSTILE, 1.5]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        template.render(value=[float("nan")])


def test_page_escapes_what_others_wrote(run):
    html = page(run, collect(run), {})
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; more" in html
    assert '<span class="whole">--name</span> demo &lt;b&gt;' in html


def test_damaged_pictures_are_left_out(run):
    for kimg in range(1, 7):
        path = grid_path("t0003", kimg)
        run.write_bytes(path, run.read_bytes(path)[:100] if kimg > 1 else b"")
    run.write_bytes("best/t0003/samples.png", b"no picture")
    # The two of the diverged trial, and the published settings' best.
    assert len(check(page(run, collect(run), {})).loads) == 3


@pytest.mark.parametrize("state", ["diverged", "failed", "stopped"])
def test_a_sweep_that_came_to_nothing_says_what_to_try(writer, state):
    writer.begin(trials=2)
    for index in range(2):
        writer.trial(index, "wgan", "sampled", state, 2 if state == "stopped" else 0, 99.0)
    writer.event("end", state="finished")
    html = page(writer.write(), collect(writer.run), {})
    check(html)
    assert "No trial has run to its full length" in html
    assert ("What to try" in html) and (f"<b>2</b> {state}" in html)
    assert ("No generator yet" in html) == (state != "stopped")
    assert (f"All 2 trials {state}" in html) == (state != "stopped")


def test_reasons_that_differ_in_numbers_alone_are_one(writer):
    writer.begin(trials=3)
    for index in range(3):
        writer.trial(index, "wgan", "sampled", "diverged", 0, 99.0)
        writer.lines[-1] = writer.lines[-1].replace("1e7", f"{index + 1}.5e+06")
    html = page(writer.write(), collect(writer.run), {})
    assert "<li>3 × diverged: exploding: g_loss 1.5e+06 " in html and " more, or alike</li>" in html


def test_runs_that_have_hardly_begun(writer):
    writer.begin(trials=3)
    for run in (writer.run, writer.write()):
        build_report(run)
        html = run.read_bytes("report.html").decode()
        check(html)
        assert "has not begun a trial yet" in html
        assert run.read_bytes("leaderboard.csv").decode().startswith("rank,trial,recipe")
        assert parquet.read_table(io.BytesIO(run.read_bytes("leaderboard.parquet"))).num_rows == 0


def test_a_journal_cut_at_any_line(run):
    lines = run.read_bytes(JOURNAL).splitlines(keepends=True)
    for end in range(1, len(lines), 6):
        run.write_bytes(JOURNAL, b"".join(lines[:end]) + lines[end][:20])
        data = collect(run)
        assert leaderboard(data).num_rows == len(data.leaderboard)
        check(page(run, data, {}))


def test_a_journal_with_rubbish_in_it(run):
    lines = run.read_bytes(JOURNAL).decode().splitlines()
    chance = random.Random(0)
    rubbish = [None, "x", -1, 1e308, float("nan"), [], {}, True, [[1]], "</script>"]
    whole = page(run, collect(run), {})
    for _ in range(30):
        broken = list(lines)
        for _ in range(3):
            place = chance.randrange(len(lines))
            event = json.loads(lines[place])
            event[chance.choice(list(event))] = chance.choice(rubbish)
            broken[place] = json.dumps(event)
        run.write_bytes(JOURNAL, "\n".join(broken).encode())
        try:
            html = page(run, collect(run), {})
        except InputError:
            continue  # made by a newer version
        check(html)
        assert len(html) > len(whole) / 4


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"identity: [",
        b"identity: 3\nsettings: {}\nversions: {}\n",
        b"identity: {recipes: {wgan: {space: {lr_g: x, clip: {low: b}, beta1: []}}}}\nsettings: {}\nversions: {}\n",
    ],
)
def test_damaged_settings_leave_the_journal_to_tell(run, content):
    run.write_bytes("sweep.yaml", content)
    data = collect(run)
    check(page(run, data, {}))
    assert data.winner.id == "t0003"


def test_a_newer_version_is_refused_and_nothing_written(run, snapshot):
    run.write_bytes(JOURNAL, run.read_bytes(JOURNAL).replace(b'"format": 1', b'"format": 2'))
    before = snapshot(run.local_path)
    with pytest.raises(InputError, match="newer gan-search"):
        build_report(run)
    assert snapshot(run.local_path) == before


def test_many_trials_stay_light(writer):
    writer.begin(trials=200)
    for index in range(200):
        writer.trial(index, "dcgan", "sampled", "stopped", 1, 50.0 + index)
    html = page(writer.write(), collect(writer.run), {})
    check(html)
    assert len(html) < 2_000_000
    assert len(re.findall(r"<tr", html)) > 200


def test_of_very_many_trials_the_best_are_shown(writer, monkeypatch):
    monkeypatch.setattr("search.report.page.chart_data.MOST", 5)
    writer.begin(trials=8)
    for index in range(8):
        writer.trial(index, "dcgan", "sampled", "stopped", 1, 50.0 + 10 * ((index + 4) % 8))
    run = writer.write()
    html = page(run, collect(run), {})
    result = json.loads(check(html).blocks["data"][0])
    assert [trial["id"] for trial in result["trials"]] == ["t0004", "t0005", "t0006", "t0007", "t0000"]
    assert len(result["evaluations"]) == 5
    assert "These are the best 5; the other 3 are in leaderboard.csv" in html


# ---- what scripts draw


def test_chart_data_agrees_with_the_journal(run):
    data = collect(run)
    result = chart_data(data)
    assert [trial["id"] for trial in result["trials"]] == [row.id for row in data.leaderboard]
    assert result["recipes"] == ["dcgan", "l2", "wgan"]
    best = result["trials"][0]
    assert (best["id"], best["rank"], best["state"], best["published"]) == ("t0003", 1, "finished", False)
    assert best["best"] == pytest.approx(data.winner.best_fid, rel=1e-4)
    assert best["params"]["lr_g"] == pytest.approx(4e-4)
    assert len(result["evaluations"]) == len(data.evaluations)
    assert [loss["why"] for loss in result["losses"]] == ["winner", *["published"] * 3, "diverged"]


def test_axes_follow_what_is_searched(writer):
    writer.begin(trials=2)
    identity = {
        "wgan": {
            "space": {
                "lr_g": {"low": 1e-5, "high": 1e-2, "log": True},
                "n_critic": {"low": 1, "high": 5, "log": False},
                "clip": [0.01, 0.001],
            }
        }
    }
    content = {"identity": {"recipes": identity}, "settings": {}, "versions": {}}
    writer.run.write_bytes("sweep.yaml", yaml.safe_dump(content).encode())
    writer.trial(0, "wgan", "sampled", "finished", 2, 50.0)
    axes = {axis["name"]: axis for axis in chart_data(collect(writer.write()))["params"]}
    assert axes["lr_g"] == {"name": "lr_g", "log": True, "range": [1e-5, 1e-2], "choices": None}
    assert axes["n_critic"] == {"name": "n_critic", "log": False, "range": [1, 5], "choices": None}
    assert axes["clip"]["choices"] == ["0.001", "0.01"]


def test_thinning_keeps_ends_and_peaks():
    points = [[float(place), 1.0, 0.5] for place in range(5000)]
    points[1234][1], points[3210][2] = 1e9, -7.0
    thinned = thin(points, 500)
    assert len(thinned) <= 500
    assert thinned[0] == points[0] and thinned[-1] == points[-1]
    assert points[1234] in thinned and points[3210] in thinned
    assert thin(points[:400], 500) == points[:400]


# ---- commands


def test_the_winner_can_be_trained_again_by_the_command_shown(writer):
    writer.begin(trials=1, size=32, samples=500, settings={"width_g": "16"})
    writer.trial(0, "wgan", "sampled", "finished", 2, 50.0)
    data = collect(writer.write())
    command = retrain(data, data.winner)
    assert command.startswith("gan-search train --recipe wgan --data faces --size 32 --kimg 6 ")
    for words in ("--seed 0", "--set width_g=16", "--set lr_g=0.0001", "--set clip=0.01", "--samples 500"):
        assert words in command
    assert command.endswith("--out t0000-again")


def test_a_recipe_from_a_file_is_named_by_its_file(writer):
    writer.begin(trials=1, recipes=["dcgan", "my recipes/l2.yaml", "wgan"])
    writer.trial(0, "l2", "sampled", "finished", 2, 50.0)
    data = collect(writer.write())
    assert "--recipe 'my recipes/l2.yaml'" in retrain(data, data.winner)


# ---- looks


def luminance(colour: str) -> float:
    """Relative luminance of a colour, after WCAG 2.2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast(theme):
    named = {name: pair[theme] for name, pair in COLOURS.items()}
    for ground in ("ground", "card", "mark"):
        for text in ("ink", "soft", "accent", "good", "bad", "stop"):
            assert contrast(named[text], named[ground]) >= 4.5, (text, ground)
    for drawn in (named["edge"], *(pair[theme] for pair in SERIES)):
        assert contrast(drawn, named["card"]) >= 3, drawn


# ---- what other parts of a run may add


def with_fields(data, **fields):
    """Return a run's data with fields that a later part of the program adds."""
    return SimpleNamespace(**{name: getattr(data, name) for name in dir(data) if not name.startswith("__")} | fields)


def test_finalists_are_shown(run):
    def recipe(name, mean, behind):
        best = SimpleNamespace(mean=mean, std=2.25, low=mean - 5, high=mean + 5, count=3)
        return SimpleNamespace(
            rank=1,
            name=name,
            source="sampled",
            seeds=[1, 2, 3],
            best_fid=best,
            final_fid=None,
            redrawn_fid=None,
            without_fid=0,
            behind=behind,
            draws_std=0.31,
            diverged=1,
            failed=0,
        )

    behind = SimpleNamespace(mean=20.0, low=12.0, high=28.0)
    recipes = [recipe("t0003 <b>", 50.0, None), recipe("dcgan", 70.0, behind)]
    finalists = SimpleNamespace(seeds=3, draws=2, kimg=6.0, state="finished", recipes=recipes)
    plots = {"finalists_means.png": b"\x89PNG"}
    html = page(run, with_fields(collect(run), finalists=finalists), plots)
    check(html)
    for text in (
        "t0003 &lt;b&gt;",
        "50.00 ± 2.25 (3)",
        "45.00 to 55.00",
        "20.00 (12.00 to 28.00)",
        "0.31",
        "trained on 3 seeds",
    ):
        assert text in html
    assert "Means over seeds, with their intervals: plot" in html


def test_figures_of_an_evaluation_are_shown(run):
    found = Assessed("t0003", [("precision", "0.710", "share of <samples>")], {})
    html = page(run, with_fields(collect(run), assessed=found), {})
    check(html)
    assert "t0003, evaluated" in html and ">precision</th><td>0.710</td>" in html and "&lt;samples&gt;" in html


@pytest.mark.parametrize("content", [b"", b"[]", b'{"trial": "t0003"}', b"\xff"])
def test_a_damaged_evaluation_is_left_out(run, content):
    run.write_bytes("evidence/evaluation.json", content)
    assert collect(run).assessed is None
