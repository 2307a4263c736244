"""The page as a reader has it: opened in headless Chromium, and used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from chromium import Browser, find_chromium
from run_writer import TRIALS, Writer

from gan.storage.storage import Storage
from search.report.build import build_report
from search.report.data.collect import collect
from search.report.page.page import write_page

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no Chromium here: apt-get install chromium")

DESKTOP, PHONE = (1280, 900), (390, 844)
CHARTS = {"over-time", "curves", "parallel", "scatter", "losses"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def address_of(run: Storage) -> str:
    return (run.local_path / "report.html").as_uri()


@pytest.fixture(scope="module")
def address(folder: Path) -> str:
    """A report of trials in every state."""
    writer = Writer(folder / "demo")
    writer.begin(trials=14)
    for index, trial in enumerate(TRIALS):
        writer.trial(index, *trial)
    writer.bundle("best/t0003")
    run = writer.write()
    build_report(run)
    return address_of(run)


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def opened(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Browser]:
    """The report, just opened; at the end nothing has gone wrong, and nothing was loaded but the page."""
    width, height = request.param
    browser.resize(width, height, phone=width == PHONE[0])
    browser.prefer(prefers_color_scheme="light")
    browser.messages.clear()
    browser.requests.clear()
    show(browser, address)
    yield browser
    assert browser.messages == []
    assert {request.partition(":")[0] for request in browser.requests} <= {"file", "data"}
    assert {request for request in browser.requests if request.startswith("file")} == {address}


def show(browser: Browser, address: str) -> None:
    """Open a page, and wait for its charts."""
    browser.open(address)
    next_frame(browser)


def next_frame(browser: Browser) -> None:
    """Wait until what has changed is on the screen; charts are drawn between two frames."""
    browser.js("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))")


def texts(browser: Browser, selector: str) -> list[str]:
    return list(browser.js(f"[...document.querySelectorAll({selector!r})].map((e) => e.innerText.trim())"))


def column(browser: Browser, place: int) -> list[str]:
    return texts(browser, f".sortable tbody td:nth-child({place})")


def tooltip(browser: Browser) -> str:
    return str(
        browser.js("(() => { const t = document.querySelector('.tooltip'); return t.hidden ? '' : t.innerText; })()")
    )


def ground(browser: Browser) -> str:
    return str(browser.js("getComputedStyle(document.body).backgroundColor"))


LIGHT, DARK = "rgb(245, 246, 248)", "rgb(18, 21, 27)"


def test_all_is_drawn_and_fits(opened: Browser) -> None:
    drawn = opened.js(
        "[...document.querySelectorAll('[data-chart]')].filter((e) => e.querySelector('.plot svg path'))"
        ".map((e) => e.dataset.chart)"
    )
    assert set(drawn) == CHARTS
    assert opened.js("document.documentElement.scrollWidth <= innerWidth")
    assert opened.js("[...document.images].every((i) => i.complete && i.naturalWidth > 0)")
    assert opened.js("document.querySelector('.faces').getBoundingClientRect().top < innerHeight")
    # No number that is none has found its way into a drawing.
    assert not opened.js(
        "/NaN|undefined|Infinity/.test([...document.querySelectorAll('.drawn')].map((e) => e.innerHTML).join())"
    )


def test_columns_sort_by_pointer_and_by_keyboard(opened: Browser) -> None:
    button = ".sortable thead th:nth-child(3) button"
    for order, rising in (("ascending", True), ("descending", False)):
        opened.click(button)
        assert opened.js("document.querySelector('.sortable thead th:nth-child(3)').ariaSort") == order
        known = [float(cell) for cell in column(opened, 3) if cell != "–"]
        assert len(known) == 9 and known == sorted(known, reverse=not rising)
        assert column(opened, 3)[9:] == ["–", "–"]
    opened.js("document.querySelector('.sortable thead th:nth-child(1) button').focus()")
    opened.press("Enter", 13, "\r")
    assert texts(opened, ".sortable tbody th") == sorted(texts(opened, ".sortable tbody th"))
    assert opened.js("document.querySelectorAll('.sortable [aria-sort]').length") == 1
    opened.press("Tab", 9)
    opened.press(" ", 32, " ")
    assert column(opened, 2)[:3] == ["1", "2", "3"]
    assert opened.js("document.getElementById('live').textContent") == "sorted by #, ascending"


def test_the_table_can_be_narrowed(opened: Browser) -> None:
    opened.js("document.getElementById('filter').focus()")
    opened.send("Input.insertText", text="diverged")
    shown = (
        "[...document.querySelectorAll('.sortable tbody tr')].filter((r) => !r.hidden).map((r) => r.cells[0].innerText)"
    )
    assert opened.js(shown) == ["t0005"]


def test_a_point_tells_its_trial(opened: Browser) -> None:
    phone = opened.js("innerWidth") == PHONE[0]
    point = opened.tap if phone else opened.hover
    point(*opened.centre('[data-chart="scatter"] .plot:first-child .chosen'))
    result = tooltip(opened)
    assert "t0003 · dcgan" in result and "best FD 64.4 at 4 kimg" in result and "finished" in result
    assert "lr_g" in result and "0.0004" in result
    inside = "(() => { const r = document.querySelector('.tooltip').getBoundingClientRect();"
    inside += "return r.left >= 0 && r.right <= innerWidth && r.top >= 0 && r.bottom <= innerHeight; })()"
    assert opened.js(inside)
    assert opened.js("document.querySelector('[data-chart=\"scatter\"] .ring').getAttribute('visibility')") == "visible"
    if not phone:
        opened.hover(2, 2)
        assert tooltip(opened) == ""


def test_every_chart_answers_to_the_keyboard(opened: Browser) -> None:
    first = {}
    for chart in sorted(CHARTS):
        opened.js(f"document.querySelector('[data-chart=\"{chart}\"] .plot').focus()")
        opened.press("Home", 36)
        first[chart] = tooltip(opened)
        opened.press("ArrowRight", 39)
        second = tooltip(opened)
        assert first[chart] and second and first[chart] != second
        assert opened.js("document.getElementById('live').textContent").startswith(second.split("\n")[0])
        opened.press("Escape", 27)
        assert tooltip(opened) == ""
    assert first["curves"].startswith("t0003 · dcgan")
    assert first["parallel"].startswith("t0003 · dcgan")
    assert "after" in first["over-time"] and "generator" in first["losses"]


def test_the_theme_follows_the_system_until_one_is_chosen(opened: Browser) -> None:
    assert ground(opened) == LIGHT
    opened.prefer(prefers_color_scheme="dark")
    assert ground(opened) == DARK
    opened.click('.themes input[value="light"]')
    assert ground(opened) == LIGHT
    show(opened, opened.js("location.href"))
    assert ground(opened) == LIGHT and opened.js("document.querySelector('[name=theme]:checked').value") == "light"
    opened.js("document.querySelector('[name=theme]:checked').focus()")
    opened.press("ArrowRight", 39)
    opened.prefer(prefers_color_scheme="light")
    assert ground(opened) == DARK
    opened.click('.themes input[value="system"]')
    assert ground(opened) == LIGHT


def test_recipes_can_be_chosen(opened: Browser) -> None:
    axes = "[...document.querySelectorAll('[data-chart=\"parallel\"] .title')].map((t) => t.textContent)"
    assert opened.js(axes) == ["lr_g", "beta1", "best FD"]
    choose = "(() => { const s = document.getElementById('recipe'); s.value = %r;"
    choose += "s.dispatchEvent(new Event('change')); })()"
    opened.js(choose % "2")
    next_frame(opened)
    assert opened.js(axes) == ["lr_g", "clip", "n_critic", "best FD"]
    opened.js(choose % "")
    next_frame(opened)
    assert opened.js(axes) == ["recipe", "lr_g", "beta1", "l2_lambda", "clip", "n_critic", "best FD"]
    assert opened.js("document.querySelectorAll('[data-chart=\"scatter\"] .plot').length") == 5


def test_everything_has_a_name(opened: Browser) -> None:
    unnamed = (
        "[...document.querySelectorAll('button, input, select, [tabindex], svg[role=img]')].filter((e) => !(e.ariaLabel"
        " || e.innerText?.trim() || e.labels?.length)).map((e) => e.outerHTML.slice(0, 80))"
    )
    assert opened.js(unnamed) == []
    levels = [
        int(level[1]) for level in opened.js("[...document.querySelectorAll('h1,h2,h3,h4')].map((e) => e.tagName)")
    ]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_motion_only_where_it_is_welcome(opened: Browser) -> None:
    scrolling = "getComputedStyle(document.documentElement).scrollBehavior"
    opened.prefer(prefers_reduced_motion="no-preference")
    assert opened.js(scrolling) == "smooth"
    opened.prefer(prefers_reduced_motion="reduce")
    assert opened.js(scrolling) == "auto"


def test_the_essentials_need_no_scripts(browser: Browser, address: str) -> None:
    browser.resize(*DESKTOP)
    browser.scripting(False)
    try:
        browser.open(address)
        body = browser.send("DOM.getDocument", depth=-1)["root"]["nodeId"]
        plots = browser.send("DOM.querySelectorAll", nodeId=body, selector=".plotted")["nodeIds"]
        assert len(plots) == 3
        for node in plots:
            corners = browser.send("DOM.getBoxModel", nodeId=node)["model"]
            assert corners["width"] > 400 and corners["height"] > 200
        rows = browser.send("DOM.querySelectorAll", nodeId=body, selector=".sortable tbody tr")["nodeIds"]
        assert len(rows) == 11 and all("model" in browser.send("DOM.getBoxModel", nodeId=row) for row in rows)
        themes = browser.send("DOM.querySelector", nodeId=body, selector=".themes")["nodeId"]
        with pytest.raises(RuntimeError, match="box model"):
            browser.send("DOM.getBoxModel", nodeId=themes)
    finally:
        browser.scripting(True)


@pytest.mark.parametrize("fate", ["none", "lost", "half", "hostile", "one"])
def test_odd_runs_open_without_a_complaint(browser: Browser, tmp_path: Path, fate: str) -> None:
    hostile = "a/b </script><script>document.title='broken'</script> 日本 ü"
    writer = Writer(tmp_path / "Läufe mit Leerzeichen" / "日本")
    writer.begin(trials=6, name=hostile if fate == "hostile" else "odd")
    if fate in ("half", "one"):
        writer.trial(0, "dcgan", "published", "running" if fate == "half" else "stopped", 1, 90.0)
    if fate == "hostile":
        for index, trial in enumerate(TRIALS[:8]):
            writer.trial(index, *trial)
        writer.lines = [line.replace('"dcgan"', f'"{hostile}"').replace("lr_g", hostile) for line in writer.lines]
    if fate == "lost":
        for index in range(6):
            writer.trial(index, "wgan", "sampled", "diverged", 0, 0.0)
        writer.event("end", state="finished")
    run = writer.write()
    if fate == "half":
        run.write_bytes("journal.jsonl", run.read_bytes("journal.jsonl") + b'{"event": "report", "tri')
        run.write_bytes("sweep.yaml", run.read_bytes("sweep.yaml")[:90])
    browser.resize(*PHONE, phone=True)
    browser.messages.clear()
    write_page(run, collect(run), {})
    show(browser, address_of(run))
    assert browser.messages == []
    assert browser.js("document.title") != "broken"
    assert browser.js("document.documentElement.scrollWidth <= innerWidth")
    result = browser.js("document.querySelector('main').innerText")
    wanted = {
        "none": "has not begun a trial yet",
        "lost": "All 6 trials diverged, before a single evaluation.",
        "half": "gan-search resume",
        "hostile": hostile,
        "one": "a longer grace_kimg gives them a chance",
    }
    assert wanted[fate] in result
    if fate == "hostile":
        browser.js("document.querySelector('[data-chart=\"curves\"] .plot').focus()")
        browser.press("Home", 36)
        assert hostile in tooltip(browser)


def test_the_leaderboard_scrolls_in_its_own_frame_and_says_so(browser: Browser, address: str) -> None:
    for width, _ in ((1200, 900), PHONE):
        browser.resize(width, 900)
        show(browser, address)
        browser.js("document.querySelector('.sortable').style.width = '3000px'")
        region = "document.querySelector('.scroll:has(.sortable)')"
        browser.js(f"{region}.scrollLeft = 1")
        next_frame(browser)
        hint = "getComputedStyle(document.querySelector('.sideways')).visibility"
        assert browser.js("document.documentElement.scrollWidth <= innerWidth")
        assert browser.js(f"{region}.classList.contains('beyond')") and browser.js(hint) == "visible"
        browser.js(f"{region}.scrollLeft = 5000")
        next_frame(browser)
        assert not browser.js(f"{region}.classList.contains('beyond')") and browser.js(hint) == "hidden"


def test_a_logarithmic_axis_begins_and_ends_with_a_label(browser: Browser, tmp_path: Path) -> None:
    writer = Writer(tmp_path / "wide")
    writer.begin(trials=1)
    writer.trial(0, "dcgan", "published", "finished", 6, 31.0)
    for line, event in enumerate(map(json.loads, writer.lines)):
        if event["event"] == "report":  # From 480 down to 28.
            event["fid"] = event["best_fid"] = 480 * (28 / 480) ** ((event["kimg"] - 1) / 5)
            writer.lines[line] = json.dumps(event)
    run = writer.write()
    write_page(run, collect(run), {})
    browser.resize(*DESKTOP)
    show(browser, address_of(run))
    labels = (
        '[...document.querySelectorAll(\'[data-chart="curves"] .tick[text-anchor="end"]\')].map((t) => t.textContent)'
    )
    assert browser.js(labels) == ["27", "50", "100", "200", "500"]


def test_of_many_trials_the_first_are_shown_and_all_are_sorted(browser: Browser, tmp_path: Path) -> None:
    writer = Writer(tmp_path / "many")
    writer.begin(trials=120)
    for index in range(120):
        writer.trial(index, "dcgan", "sampled", "stopped", 1, 50.0 + index)
    run = writer.write()
    write_page(run, collect(run), {})
    browser.resize(*DESKTOP)
    browser.messages.clear()
    show(browser, address_of(run))
    assert column(browser, 2) == [str(rank) for rank in range(1, 51)]
    assert texts(browser, ".more") == ["Show all 120 trials"]
    for _ in range(2):
        browser.click(".sortable thead th:nth-child(2) button")
    assert column(browser, 2) == [str(rank) for rank in range(120, 70, -1)]
    browser.click(".more")
    assert column(browser, 2) == [str(rank) for rank in range(120, 0, -1)]
    assert browser.js("document.querySelector('.more').hidden")
    assert browser.messages == []
    browser.scripting(False)
    try:
        browser.open(address_of(run))
        body = browser.send("DOM.getDocument", depth=-1)["root"]["nodeId"]
        rows = browser.send("DOM.querySelectorAll", nodeId=body, selector=".sortable tbody tr")["nodeIds"]
        assert len(rows) == 120 and "model" in browser.send("DOM.getBoxModel", nodeId=rows[-1])
    finally:
        browser.scripting(True)
