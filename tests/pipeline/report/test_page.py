"""The page, as text and in a real browser."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from components.evaluator.judgement import Failure, FailureKind
from components.measurer.comparison import ClassBalance, LostClass
from components.measurer.measured import SliceValue, UnjudgedSlices
from pipeline.report import write, write_comparison
from pipeline.report.data import ReportData
from pipeline.report.page import render
from pipeline.run.verdict_table import verdict_table
from pipeline.store.records import Run
from pipeline.store.state import State
from tests.pipeline.report.browser import Browser, browser
from tests.pipeline.report.made_run import MadeRun
from tests.pipeline.report.made_verdicts import CONVERT, DISTILL, PRUNE, passing, verdict

SECTIONS = (
    *("verdict", "candidates", "tradeoffs", "latency", "curves", "layers"),
    *("slices", "lineage", "config", "usage"),
)
NASTY = "<script>document.title = 'broken'</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page(pushed_run: tuple[MadeRun, Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    made, run = pushed_run
    path = tmp_path_factory.mktemp("page") / "report.html"
    write(made.reader, run, path)
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


class Outline(HTMLParser):
    """Headings, ids, tables and what could be loaded from elsewhere."""

    def __init__(self, text: str):
        super().__init__()
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.heads: list[dict] = []
        self.counts: dict[str, int] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        values = dict(attributes)
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "th":
            self.heads.append(values)
        if tag == "a":
            self.links.append(values["href"])
        for name in ("src", "srcset", "data", "action", "poster", "background"):
            if values.get(name):
                self.loads.append(f"{tag} {name}")
        if tag in ("link", "iframe", "object", "embed", "base"):
            self.loads.append(tag)


def test_page_is_whole_and_needs_nothing_else(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    outline = Outline(text)
    assert set(SECTIONS) <= set(outline.ids)
    assert outline.loads == []
    assert all(link.startswith("#") for link in outline.links)
    assert {link[1:] for link in outline.links} <= set(outline.ids), "every link leads somewhere"
    assert len(outline.ids) == len(set(outline.ids))
    assert page.stat().st_size < 3_000_000


def test_page_is_sound_for_screen_readers(page: Path) -> None:
    outline = Outline(page.read_text(encoding="utf-8"))
    assert outline.headings[0] == 1 and outline.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(outline.headings, outline.headings[1:], strict=False))
    assert outline.counts["caption"] == outline.counts["table"]
    assert all(head.get("scope") in ("row", "col") for head in outline.heads)
    assert outline.links[0] == "#main"


def test_numbers_are_those_of_the_terminal(page: Path, pushed: ReportData) -> None:
    text = page.read_text(encoding="utf-8")
    console = Console(file=io.StringIO(), width=1000, color_system=None)
    console.print(verdict_table(pushed.verdicts, pushed.winner_name, 1000))
    cells = re.split(r"\s{2,}", console.file.getvalue().partition("baseline (float32)")[2].strip())
    assert len(cells) > 3 * 9
    for plain in cells:
        assert f">{plain}<" in text, plain
    assert "3.6 × " not in text and "11.2 × smaller" in text, "900 kB / 80 kB"
    assert "1.8 × faster" in text and "4.0 × smaller" in text


def test_slices_that_only_train_has_are_named(pushed: ReportData) -> None:
    candidate = pushed.candidates[0]
    unjudged = UnjudgedSlices(
        ("label",), 2, 12, ((SliceValue("label", "<7>"),), (SliceValue("label", "8"),))
    )
    accuracy = replace(candidate.measured.accuracy, unjudged=(unjudged,))
    verdict = replace(candidate.verdict, measured=replace(candidate.measured, accuracy=accuracy))
    page = render(replace(pushed, candidates=(replace(candidate, verdict=verdict),)))
    assert (
        "2 slices by label are not judged: train has 12 examples of them and eval none (label=&lt;7&gt;; label=8)"
        in page
    )


def test_uneven_classes_and_lost_ones_are_named_below_the_candidates(pushed: ReportData) -> None:
    candidate = pushed.candidates[0]
    lost = LostClass(2, 40, 0.1, 0.9, "<cat>")
    classes = ClassBalance(0, 0.8, (lost,))
    accuracy = replace(candidate.measured.accuracy, classes=classes, lost=(lost,))
    verdict = replace(candidate.verdict, measured=replace(candidate.measured, accuracy=accuracy))
    page = render(replace(pushed, candidates=(replace(candidate, verdict=verdict),)))
    assert "80.0% of the examples are of class 0" in page
    assert (
        f"{candidate.name}: the candidate finds 10% of the 40 examples of class &lt;cat&gt;, the baseline 90%"
        in page
    )


def test_what_data_say_is_escaped(tmp_path: Path, chromium: Browser) -> None:
    made = MadeRun(tmp_path)
    first = made.prepare()
    made.evaluate(
        f"a{NASTY}-evaluate",
        {**first, "model": first["trained"]},
        verdict([CONVERT], 0.5, 1, 1, 0.1, failures=[Failure(FailureKind.MEASUREMENT_FAILED, NASTY)]),
    )
    made.node(
        f"prune{NASTY}",
        "x.Pruner",
        {"base_model": first["trained"]},
        {},
        state=State.FAILED,
        parameters={NASTY: NASTY},
    )
    run = made.finish("failed", 3, failed_node=f"prune{NASTY}", reason=NASTY)
    path = tmp_path / "page.html"
    write(made.reader, run, path)
    assert NASTY not in path.read_text(encoding="utf-8")
    loaded = chromium.open(path)
    assert chromium.evaluate("document.title") == f"small: prune{NASTY} failed"
    assert chromium.evaluate("document.querySelectorAll('img').length") == 0
    assert loaded.errors == []
    assert chromium.evaluate("document.querySelector('.reason').textContent") == NASTY


def test_page_in_a_browser(page: Path, pushed: ReportData, chromium: Browser) -> None:
    loaded = chromium.open(page)
    assert loaded.errors == []
    assert loaded.requests == [page.absolute().as_uri()], "no request leaves the page"
    plots = chromium.evaluate("document.querySelectorAll('.canvas').length")
    traces = "p.querySelector('svg.main-svg .trace, svg.main-svg .scatterlayer path')"
    drawn = chromium.evaluate(f"[...document.querySelectorAll('.canvas')].filter(p => {traces}).length")
    assert plots == drawn == int(chromium.evaluate("document.documentElement.dataset.drawn")) == 11
    for section in SECTIONS:
        assert (
            chromium.evaluate(f"document.getElementById('{section}').getBoundingClientRect().height") > 60
        )
    # What the charts hold is what the verdicts say.
    selected = chromium.evaluate(
        "document.getElementById('tradeoff-file').data.find(t => t.name === 'selected').x[0]"
    )
    assert selected == pushed.winner.figure("file")


def test_both_themes(page: Path, chromium: Browser) -> None:
    # If the system says dark, the page begins dark: test_page_prints.
    loaded = chromium.open(page, theme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    font = "document.getElementById('tradeoff-file').layout.font.color"
    assert chromium.evaluate(background) == "rgb(255, 255, 255)"
    before = chromium.evaluate(font)
    chromium.evaluate("document.getElementById('theme').click()")
    assert chromium.evaluate(background) == "rgb(18, 22, 28)" and chromium.evaluate(font) != before
    assert chromium.evaluate("document.getElementById('theme').getAttribute('aria-pressed')") == "true"
    chromium.evaluate("document.getElementById('theme').click()")
    assert chromium.evaluate(background) == "rgb(255, 255, 255)" and chromium.evaluate(font) == before
    chromium.evaluate("localStorage.clear()")
    assert loaded.errors == [] and chromium.console() == []


def test_narrow_pages_do_not_scroll_sideways(page: Path, chromium: Browser) -> None:
    plots = "[...document.querySelectorAll('.canvas svg')]"
    for width in (390, 768):
        chromium.open(page, width=width)
        assert chromium.evaluate("document.documentElement.scrollWidth") <= width
        assert (
            chromium.evaluate(f"{plots}.filter(s => s.getBoundingClientRect().right > {width} + 1).length")
            == 0
        )


def test_page_is_used_by_keyboard_and_links(page: Path, chromium: Browser) -> None:
    chromium.open(page)
    focused = "document.activeElement.textContent.trim()"
    chromium.key("Tab")
    assert chromium.evaluate(focused) == "Skip to the report"
    assert chromium.evaluate("document.activeElement.getBoundingClientRect().left") >= 0, (
        "seen when focused"
    )
    chromium.key("Enter")
    assert chromium.evaluate("document.activeElement.id") == "main"
    box = "document.querySelector('fieldset.choice input:not(:checked), fieldset.choice input')"
    name = chromium.evaluate(f"{box}.value")
    shown = f"document.getElementById('layers-0').data.find(t => t.name === '{name}').visible"
    before = chromium.evaluate(shown)
    chromium.evaluate(f"{box}.focus()")
    chromium.key(" ")
    assert chromium.evaluate(shown) != before
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert chromium.evaluate(outline) == "solid"

    # A link into a part that is closed opens it.
    chromium.evaluate(
        "document.querySelector('.nodes a').dispatchEvent("
        "new MouseEvent('click', {bubbles: true, cancelable: true, view: window}))"
    )
    chromium.evaluate("new Promise(resolve => setTimeout(resolve, 50))")
    assert chromium.evaluate("document.querySelector(location.hash).closest('details').open")


def test_page_prints(page: Path, chromium: Browser, tmp_path: Path) -> None:
    chromium.open(page, width=760, theme="dark")
    chromium.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes()[:5] == b"%PDF-"
    assert chromium.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 28)", (
        "as before"
    )
    assert chromium.evaluate("'theme' in document.documentElement.dataset") is False
    # On paper: light, no wider than the paper, and nothing of a chart is hidden.
    chromium.call("Emulation.setEmulatedMedia", media="print")
    chromium.evaluate("void dispatchEvent(new Event('beforeprint'))")
    assert chromium.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert (
        chromium.evaluate("getComputedStyle(document.querySelector('#latency-plot path.box')).display")
        != "none"
    )
    box = "document.querySelector('#latency-plot .boxes').getBoundingClientRect().width"
    assert chromium.evaluate(box) > 20
    assert chromium.evaluate("document.getElementById('latency-plot').layout.width") == 680
    chromium.evaluate("void dispatchEvent(new Event('afterprint'))")
    assert chromium.console() == []


def test_no_candidate_passed_says_what_to_try(tmp_path: Path, chromium: Browser) -> None:
    made = MadeRun(tmp_path)
    verdicts = {
        "int8": verdict([CONVERT], 0.979, 350_000, 220_000, 0.1),
        "pruned-int8": verdict([PRUNE, CONVERT], 0.9, 250_000, 80_000, 0.11, sparsity=0.8),
        "student": verdict([DISTILL, CONVERT], 0.5, 9_000, 6_000, 0.02),
    }
    path = tmp_path / "page.html"
    write(made.reader, made.whole(verdicts, None), path)
    loaded = chromium.open(path)
    assert loaded.errors == []
    assert chromium.evaluate("document.querySelector('h1').innerText") == "✗ No candidate passed"
    nearest = chromium.evaluate("document.querySelector('.advice > li').innerText")
    assert nearest.startswith("int8 nearest\nint8 missed size.max_ratio 0.3 by 0.05: raise it to 0.35")
    assert (
        chromium.evaluate("document.querySelector('#usage .note').innerText")
        == "Nothing was pushed in this run."
    )


def test_a_run_that_has_only_begun_gets_a_page(tmp_path: Path) -> None:
    made = MadeRun(tmp_path)
    path = tmp_path / "page.html"
    write(made.reader, made.run(), path)
    text = path.read_text(encoding="utf-8")
    assert "The run goes on" in text and "No candidate was judged in this run." in text


def test_twenty_candidates_are_written_in_three_seconds_of_the_processor(
    tmp_path: Path, chromium: Browser
) -> None:
    made = MadeRun(tmp_path)
    found = passing()["pruned-int8"]
    first = made.prepare()
    for index in range(20):
        made.evaluate(f"candidate-{index:02}-evaluate", {**first, "model": first["trained"]}, found)
    run = made.finish("interrupted", 130)
    path = tmp_path / "page.html"
    start = time.thread_time()
    write(made.reader, run, path)
    assert time.thread_time() - start < 3
    loaded = chromium.open(path, width=390)
    assert loaded.errors == [] and chromium.evaluate("document.documentElement.scrollWidth") <= 390


def test_comparison_in_a_browser(
    pushed_run: tuple[MadeRun, Run], tmp_path: Path, chromium: Browser
) -> None:
    made, run = pushed_run
    path = tmp_path / "page.html"
    write_comparison(made.reader, run, made.reader, run, path)
    loaded = chromium.open(path, width=390)
    assert loaded.errors == [] and loaded.requests == [path.as_uri()]
    assert chromium.evaluate("document.documentElement.dataset.drawn") == "3"
    assert chromium.evaluate("document.documentElement.scrollWidth") <= 390
    outline = Outline(path.read_text(encoding="utf-8"))
    assert all(b - a <= 1 for a, b in zip(outline.headings, outline.headings[1:], strict=False))
    assert {link[1:] for link in outline.links} <= set(outline.ids)


def test_the_same_run_gives_the_same_page(pushed: ReportData) -> None:
    assert render(pushed) == render(pushed)
