"""The report of a check in a real browser: headless Chromium over a file."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "adopt"))

from check_worlds import USE, our_use, report_of, subject_of, write_plain

from weighbridge.adopt.check.answer import Exhibit, failed
from weighbridge.adopt.check.check import Report
from weighbridge.adopt.check.page import render_report

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"
LONG = "a-place-with-a-name-that-somebody-thought-would-explain-everything/" * 4
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')

# What a reader would see, as JSON in an attribute that no text of the page can forge.
PROBE = """<script>
addEventListener("load", () => {
  const visible = (e) => e.getClientRects().length > 0 && !e.closest(".hidden, .skip");
  const all = (selector) => [...document.querySelectorAll(selector)];
  const wide = document.documentElement.clientWidth;
  const report = JSON.stringify({
    scroll: document.documentElement.scrollWidth,
    client: wide,
    title: document.title,
    over: all("body *").filter((e) => visible(e) && e.getBoundingClientRect().right > wide + 1)
      .map((e) => `${e.tagName}.${e.getAttribute("class")}`).slice(0, 9),
    badges: all("article .badge").map((e) => e.innerText),
    headings: all("h1, h2, h3").map((e) => Number(e.tagName[1])),
    unlabelled: all("section, article, nav").filter((e) => !e.getAttribute("aria-labelledby") && !e.getAttribute("aria-label")).length,
    dangling: all("[aria-labelledby]").filter((e) => !document.getElementById(e.getAttribute("aria-labelledby"))).length,
    targets: all("nav a").filter((e) => !document.querySelector(e.getAttribute("href"))).length,
    images: all("img, iframe, object, link[rel=stylesheet]").length,
    requests: performance.getEntriesByType("resource").map((e) => e.name),
    small: all("main p, main li, main dd").filter(visible)
      .filter((e) => parseFloat(getComputedStyle(e).fontSize) < 11).length,
    background: getComputedStyle(document.body).backgroundColor,
  });
  if (parent === window) document.documentElement.dataset.report = report;
  else parent.postMessage(report, "*");
});
</script>"""  # noqa: E501  # one line of JavaScript
FRAME = """<!doctype html><script>
addEventListener("message", (e) => { document.documentElement.dataset.report = e.data; });
</script><iframe src="index.html" style="width:WIDTHpx;height:900px;border:0"></iframe>"""


def chromium() -> str:
    found = shutil.which("chromium")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed, and CI must not pass without having looked at the page")
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    return found


def run_chromium(page: Path, folder: Path, *flags: str) -> tuple[str, str]:
    command = [
        chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
        "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}", *flags, page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    return done.stdout, done.stderr


def browse(html: str, folder: Path, *, width: int = 1280, flags: tuple[str, ...] = ()) -> dict[str, Any]:
    """Load `html` as a reader would, and return what the probe saw."""
    page = folder / "index.html"
    # The policy of the page would keep the probe out: in this copy alone it gives way.
    copy, replaced = POLICY.subn("", html)
    assert replaced == 1
    page.write_text(copy.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    if width < 500:
        # A window is never narrower than 500 pixels, so a narrow page is looked at through a frame of its width.
        page = folder / "frame.html"
        page.write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
        flags = (*flags, "--virtual-time-budget=4000")
    dom, console = run_chromium(page, folder, "--dump-dom", f"--window-size={max(width, 500)},900", *flags)
    found = re.search(r'data-report="([^"]*)"', dom)
    assert found is not None, f"the probe did not run: {console[-800:]}"
    report = json.loads(unescape(found[1]))
    assert isinstance(report, dict)
    return report


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A check with every outcome, a waiver, and texts of strangers everywhere."""
    card = "license: llama3.1\nlicense_name: " + json.dumps(HOSTILE) + "\nbase_model: meta-llama/Llama-3.1-8B"
    folder = write_plain(
        tmp_path_factory.mktemp("p") / "Llama-x", card, files={"pytorch_model.bin": b"\x80\x02}q\x00."}
    )
    made = report_of(subject_of(folder), our_use(USE))
    stranger = failed(f"{HOSTILE} {LONG}", Exhibit(place=f"{LONG}{HOSTILE}", text=HOSTILE), remedy=HOSTILE)
    first = replace(made.answers[0], points=(stranger, *made.answers[0].points))
    return replace(made, answers=(first, *made.answers[1:]), subject=replace(made.subject, name=f"x/{HOSTILE}"))


@pytest.fixture(scope="module")
def html(report: Report) -> str:
    return render_report(report)


@pytest.mark.parametrize("width", [390, 820, 1280])
def test_nothing_runs_over_the_edge(html: str, tmp_path: Path, width: int) -> None:
    seen = browse(html, tmp_path, width=width)
    assert seen["client"] == width
    assert seen["over"] == []
    assert seen["scroll"] == width
    assert seen["small"] == 0


def test_the_probe_sees_what_runs_over_the_edge(html: str, tmp_path: Path) -> None:
    wide = html.replace('<main id="main">', '<main id="main"><div class="wide" style="width:2000px">x</div>', 1)
    assert "DIV.wide" in browse(wide, tmp_path)["over"]


def test_every_answer_is_there_with_its_outcome(html: str, report: Report, tmp_path: Path) -> None:
    badges = browse(html, tmp_path)["badges"]
    assert len(badges) == 17
    assert "✕ fail" in badges
    assert "? unknown" in badges
    assert "✓ waived" in badges
    assert "– not asked" in badges


def test_what_strangers_wrote_is_shown_and_does_nothing(html: str, tmp_path: Path) -> None:
    seen = browse(html, tmp_path)
    assert seen["title"] == f"fail: x/{HOSTILE} · adoption check"
    assert seen["images"] == 0
    assert seen["requests"] == []
    assert HOSTILE not in html


def test_the_page_has_no_script_and_lets_none_run(html: str, tmp_path: Path) -> None:
    assert "<script" not in html
    page = tmp_path / "index.html"
    page.write_text(html.replace("</body>", "<script>document.title = 'ran'</script></body>"), encoding="utf-8")
    dom, _ = run_chromium(page, tmp_path, "--dump-dom")
    assert "<title>ran" not in dom


def test_it_can_be_read_aloud(html: str, tmp_path: Path) -> None:
    seen = browse(html, tmp_path)
    assert (seen["unlabelled"], seen["dangling"], seen["targets"]) == (0, 0, 0)
    levels = seen["headings"]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels)), "no level is left out"
    assert '<html lang="en">' in html


def test_dark_and_light_differ(html: str, tmp_path: Path) -> None:
    light = browse(html, tmp_path)
    dark = browse(html, tmp_path, flags=("--blink-settings=preferredColorScheme=0",))
    assert (light["background"], dark["background"]) == ("rgb(247, 245, 239)", "rgb(18, 22, 27)")


def test_the_page_prints(html: str, tmp_path: Path) -> None:
    page, out = tmp_path / "index.html", tmp_path / "page.pdf"
    page.write_text(html, encoding="utf-8")
    run_chromium(page, tmp_path, f"--print-to-pdf={out}")
    assert out.read_bytes().startswith(b"%PDF")
    assert out.stat().st_size > 20_000


def test_the_same_report_gives_the_same_page(report: Report, html: str) -> None:
    assert render_report(report) == html
