"""The report in a real browser: ten, a thousand and ten thousand pairs, and three candidates."""

import csv
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from shadoweval.reporting.html import report

sys.path.insert(0, str(Path(__file__).parent))
from many import cluster, clustered, evaluation_of
from sample import HOSTILE, evaluation

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
"""
SHOWN = "[role=status]:not([aria-busy=true])"
"""How many match, once what was typed has been searched for."""

pytestmark = [pytest.mark.service("chromium")]


@pytest.fixture(name="chromium", scope="module")  # while it is open its event loop runs in this thread
def _chromium():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if BROWSER is None or sync_playwright is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium or no Playwright, which CI must have")
        pytest.skip("no Chromium or no Playwright on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(name="written", scope="module")
def _written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    pages = {
        "sample": evaluation(),
        "10": evaluation_of(10),
        "1000": evaluation_of(1_000),
        "10000": evaluation_of(10_000, of=1_000_000),
        "clusters": clustered(cluster(("attribute plan", (HOSTILE[0],)))),
        "three": evaluation_of(60, candidates=("hybrid", "rerank", "hyde")),
    }
    return {name: report(one, folder / f"{name}.html") for name, one in pages.items()}


@pytest.fixture(name="show")
def _show(chromium, written):
    """Opens a page, ready; at the end nothing was asked of the network, refused by the policy or raised."""
    opened, asked, raised = [], [], []

    def show(name, *, fragment="", width=1440, script=True):
        page = chromium.new_page(viewport={"width": width, "height": 900}, java_script_enabled=script)
        page.add_init_script(WATCH)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: raised.append(str(error)))
        page.goto(written[name].as_uri() + fragment)
        if script:
            page.wait_for_selector("html[data-ready]")
            opened.append(page)
        return page

    yield show
    assert [page.evaluate("violations") for page in opened] == [[]] * len(opened)
    assert raised == []
    assert [url for url in asked if not url.startswith(("file:", "blob:"))] == []
    for page in opened:
        page.close()


def nodes(page):
    return page.evaluate("document.getElementsByTagName('*').length")


def cpu_of_longest_task(page, work):
    """Milliseconds of processor time, whatever else the machine does, of the page's longest task during `work`."""
    browser = page.context.browser
    browser.start_tracing(page=page, categories=["toplevel", "__metadata"])
    work()
    events = json.loads(browser.stop_tracing())["traceEvents"]
    mains = {
        (each["pid"], each["tid"])
        for each in events
        if each.get("name") == "thread_name" and each["args"].get("name") == "CrRendererMain"
    }
    tasks = [each["tdur"] for each in events if "tdur" in each and (each["pid"], each["tid"]) in mains]
    assert tasks
    return max(tasks) / 1000


def test_hostile_texts_do_nothing(show):
    """Opened, searched for and unfolded, texts are texts: the title is ours and nothing they ask for is there."""
    page = show("sample")
    for words in ("<script>", "onerror", "</script>", "{{ 7", "javascript:"):
        page.fill("input[type=search]", words)
        page.locator(SHOWN, has_text=re.compile(r"^[1-9]\d? match")).wait_for()
        page.locator("[data-at]").first.click()
        page.wait_for_selector(".detail:not([hidden])")

    assert page.title() == "documentation: hybrid hold"
    assert page.locator("img, iframe, object, [onerror], a[href^=javascript]").count() == 0
    assert page.locator("script").count() == 2
    assert page.evaluate("[...document.querySelectorAll('.detail bdi')].every(b => getComputedStyle(b).unicodeBidi"
                         ".includes('isolate'))")  # fmt: skip


@pytest.mark.parametrize(("name", "size"), [("10", 200_000), ("1000", 500_000), ("10000", 2_000_000), ("three", 10**6)])
def test_a_page_is_small_and_so_is_what_is_laid_out(show, written, name, size):
    """However many pairs: bytes as promised, and at most 5,000 nodes with a query opened."""
    page = show(name)
    page.locator("[data-at]").first.click()
    page.wait_for_selector(".detail:not([hidden])")

    assert written[name].stat().st_size <= size
    assert nodes(page) <= 5_000


def test_no_task_takes_long_at_ten_thousand_pairs(show):
    """Opening, searching, filtering and scrolling: at most 100 ms of processor time at a stretch."""
    page = show("10")

    def use():
        page.goto(page.url.replace("10.html", "10000.html"))
        page.wait_for_selector("html[data-ready]")
        page.fill("input[type=search]", "timeout")
        page.locator(SHOWN, has_text=re.compile(r"^\d+ match")).wait_for()
        page.select_option("select[aria-label=Show]", "regressions")
        page.select_option("select[aria-label=Order]", "best first")
        page.evaluate("document.querySelector('.frame').scrollTop = 4000")

    assert cpu_of_longest_task(page, use) <= 100


def test_all_pairs_can_be_found_filtered_and_sorted(show):
    """How many match is said; what is not in the report is said too."""
    page = show("10000")
    said = page.text_content(SHOWN)
    assert said.startswith("10,000 match; shown 10,000 of 1,000,000 pairs (of ")

    page.select_option("select[aria-label=Show]", "failures")
    failures = int(page.text_content(SHOWN).split()[0].replace(",", ""))
    page.select_option("select[aria-label=Slice]", "language: de")
    assert 0 < int(page.text_content(SHOWN).split()[0].replace(",", "")) < failures
    page.select_option("select[aria-label=Show]", "regressions")
    shown = page.locator("[data-at] td:nth-child(2) div.small").all_text_contents()
    changes = [float(text.split()[0]) for text in shown]
    assert changes == sorted(changes)
    assert changes[0] < 0


def test_a_link_opens_its_query_and_keys_do_all(show):
    """A deep link shows the query side by side; arrows, Enter and Escape go through the table."""
    page = show("1000", fragment="#q=q-5")
    page.wait_for_selector(".detail:not([hidden])")
    assert "how do I read file number 5" in page.text_content(".detail")
    for words in ("up 1", "only the candidate", "refund(id=5)", "write, stubbed", "Loop over the open file."):
        assert words in page.text_content(".detail")

    page.keyboard.press("Escape")
    assert page.locator(".detail").is_hidden()
    for key in ("ArrowDown", "ArrowDown", "End", "Home", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector(".detail:not([hidden])")
    assert page.evaluate("document.activeElement.className").startswith("detail")
    second = page.locator("[data-at='1'] .asked").text_content()
    assert second in page.text_content(".detail h3")
    assert "#q=" in page.url


def test_each_candidate_has_its_table(show):
    """A link says whose query it is."""
    page = show("three", fragment="#q=q-5&candidate=hyde")
    page.wait_for_selector(".detail:not([hidden])")

    assert page.locator(".frame").count() == 3
    assert page.locator("[data-queries='2'] .detail:not([hidden])").count() == 1


def test_what_is_shown_can_be_saved_and_starts_no_formula(show):
    """JSON and CSV of what matches; a spreadsheet takes no text of them for a formula."""
    page = show("1000")
    page.evaluate("""() => { const click = HTMLAnchorElement.prototype.click; window.saved = [];
      URL.createObjectURL = (blob) => { saved.push(blob.text()); return "blob:none"; };
      HTMLAnchorElement.prototype.click = function () {}; }""")
    page.select_option("select[aria-label=Show]", "improvements")
    count = int(page.text_content(SHOWN).split()[0])
    for kind in ("JSON", "CSV"):
        page.get_by_role("button", name=f"Save as {kind}").click()
    for _ in range(100):  # the page's policy forbids the expressions that Playwright waits by
        if page.evaluate("saved.length") == 2:
            break
        page.wait_for_timeout(50)
    as_json, as_csv = page.evaluate("Promise.all(saved)")

    assert len(json.loads(as_json)["queries"]) == count
    lines = list(csv.reader(as_csv.splitlines()))
    assert len(lines) == count + 1
    texts = [cell for line in lines[1:] for cell in line if not cell.replace(".", "").replace("-", "").isdigit()]
    assert not [text for text in texts if text[:1] in tuple("=+-@\t\r")]


def test_what_is_filtered_is_printed(show):
    """Paper does not scroll: the first hundred rows as they are filtered, and how many there are; then they go."""
    page = show("1000")
    page.get_by_label("Show").first.select_option("regressions")
    page.wait_for_selector(SHOWN)
    lost = int(page.locator("[role=status]").inner_text().split(" ")[0].replace(",", ""))
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    printed = page.locator("table.printed")
    assert printed.locator("tbody tr").count() == min(100, lost)
    assert f"of {lost} that match" in printed.locator("caption").inner_text()
    assert printed.is_visible()
    assert not page.locator(".frame").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert printed.count() == 0
    assert len(page.pdf()) > 10_000  # the browser itself says both


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_runs_off_the_page(show, width):
    """With a query opened, at desktop and phone width."""
    page = show("sample", fragment="#q=q-7", width=width)
    page.wait_for_selector(".detail:not([hidden])")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_without_script_the_worst_can_be_read(show):
    """The queries that matter most stand in the page itself."""
    page = show("1000", script=False)
    details = page.locator(".plain details")

    assert details.count() == 12
    assert "refund(id=" in details.first.text_content()


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)], ids=["desk", "phone"])
@pytest.mark.parametrize("decision", ["promote", "hold", "rollback"])
def test_the_first_screen_decides(chromium, tmp_path, size, decision):
    """Decision, candidate, worst values with their ratio, pairs, dates, what is missing and what to do: unscrolled."""
    path = report(evaluation(decision=decision), tmp_path / "report.html")
    page = chromium.new_page(viewport={"width": size[0], "height": size[1]})
    page.goto(path.as_uri())
    bar = page.locator("#verdict-1")

    for words in (decision.upper(), "hybrid", "0.59 s instead of 0.09 s (6.7 x)", "251 pairs", "What to do now",
                  "Missing", "1 Jan 2026 12:00 UTC (23.0 hours"):  # fmt: skip
        box = bar.get_by_text(words).first.bounding_box()
        assert box is not None, words
        assert box["y"] + box["height"] <= size[1], words
        assert box["x"] + box["width"] <= size[0], words
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["sample", "1000", "three"])
def test_everything_unfolded_is_accessible(show, name, scheme):
    """By axe, in both color schemes, with every detail and one query open; and small enough for any browser."""
    page = show(name)
    page.emulate_media(color_scheme=scheme)
    page.locator("[data-at]").first.click()
    page.wait_for_selector(".detail:not([hidden])")
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    grave = [
        (rule["id"], [node["html"][:200] for node in rule["nodes"][:3]])
        for rule in axe.run(page).response["violations"]
        if rule["impact"] in {"serious", "critical"}
    ]
    assert grave == []
    assert nodes(page) <= 5_000


def test_the_table_shows_the_queries_of_a_part_that_loses(show):
    """Named as the section names it; where nothing was named there is nothing to choose."""
    page = show("clusters")
    choice = page.get_by_label("Where it loses or wins")
    choice.select_option(label=f"attribute plan: {HOSTILE[0]}")
    page.locator(SHOWN, has_text=re.compile(r"^6 match")).wait_for()

    assert show("10").get_by_label("Where it loses or wins").is_hidden()
