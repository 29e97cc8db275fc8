"""The report in a real browser."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shadoweval.reporting.html import report

sys.path.insert(0, str(Path(__file__).parent))
from sample import evaluation

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
]  # fmt: skip

pytestmark = [pytest.mark.service("chromium")]


@pytest.fixture(name="browse", scope="module")
def _browse(tmp_path_factory):
    if BROWSER is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium, which CI must have")
        pytest.skip("no Chromium on this machine")
    folder = tmp_path_factory.mktemp("browser")

    def browse(*arguments, page):
        command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments, page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    return browse


@pytest.fixture(name="page", scope="module")
def _page(tmp_path_factory):
    return report(evaluation(), tmp_path_factory.mktemp("page") / "report.html")


def test_hostile_texts_do_nothing(browse, page):
    """After scripts have run the title is ours, and the page's own script has shown the filter."""
    dom = browse("--virtual-time-budget=2000", "--dump-dom", page=page).stdout

    assert "<title>documentation: hybrid hold</title>" in dom
    assert 'type="search" data-filter="examples-1"' in dom.replace(' hidden=""', "")
    assert "owned</title>" not in dom


def test_nothing_is_refused_by_the_policy(browse, page):
    """The browser's log has no violation and no script error."""
    log = browse("--enable-logging=stderr", "--v=0", "--virtual-time-budget=2000", "--dump-dom", page=page).stderr

    assert "Content Security Policy" not in log
    assert "Uncaught" not in log


@pytest.mark.parametrize("width", [1280, 500])
def test_nothing_runs_off_the_page(browse, page, tmp_path, width):
    """At desktop and phone width a picture is drawn and the page is not wider than the window."""
    probe = tmp_path / "probe.html"
    script = "<script>document.title = document.documentElement.scrollWidth + ' ' + innerWidth</script>"
    html = page.read_text(encoding="utf-8").replace("</main>", "</main>" + script)
    probe.write_text(html.replace("Content-Security-Policy", "x-off"), encoding="utf-8")

    dom = browse(f"--window-size={width},900", "--virtual-time-budget=2000", "--dump-dom", page=probe).stdout
    scroll, inner = map(int, dom.split("<title>")[1].split("</title>")[0].split())

    assert scroll <= inner
