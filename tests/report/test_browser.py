"""The report in a browser: no script fails, every figure is drawn, the table sorts and filters, on a phone's width."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from lightsweep.report.page.report import write_report
from tests.report.test_page import MARKUP, STATES, hostile_study, make_study, make_trial

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
NO_NETWORK = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
FLAGS = [*NO_NETWORK, "--disable-sync", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000"]
WIDTH = 390
# A frame has the width of a phone; a window of Chromium is wider. The page may run no other script than its own, so
# this one has its nonce. It tells the frame's parent what it found.
PARENT = """<!doctype html><iframe src="report.html" style="width: {width}px; height: 800px; border: 0"></iframe>
<pre></pre><script>
addEventListener("message", (event) => {{ document.querySelector("pre").textContent = event.data; }});
</script>"""
PROBE = """<script nonce="{nonce}">
const errors = [];
addEventListener("error", (event) => errors.push(event.message));
addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => errors.push(event.violatedDirective));
addEventListener("load", async () => {{
  const figures = [...document.querySelectorAll(".figure")];
  const nDrawn = () => figures.filter((figure) => figure.querySelector(".main-svg")).length;
  for (let i = 0; i < 300 && nDrawn() < figures.length; i++) await new Promise((done) => setTimeout(done, 50));
  const column = (i) => [...document.querySelectorAll(".trials tbody tr")]
    .filter((row) => !row.hidden).map((row) => row.cells[i].textContent);
  const [input, select] = document.querySelectorAll(".filters input, .filters select");
  const choose = (element, value) => {{ element.value = value; element.dispatchEvent(new Event("input"));
    element.dispatchEvent(new Event("change")); }};
  const heading = document.querySelector(".trials thead button");
  const sorted = [0, 1].map(() => {{ heading.click(); return [heading.parentElement.ariaSort, ...column(0)]; }});
  choose(select, "failed");
  const failed = column(1);
  choose(select, "");
  choose(input, "sgd");
  const found = document.querySelector(".filters output").textContent;
  parent.postMessage(JSON.stringify({{
    errors, sorted, failed, found, nDrawn: nDrawn(), nFigures: figures.length,
    width: innerWidth, overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    title: document.title, images: document.querySelectorAll("img").length,
    nCopyButtons: document.querySelectorAll(".copy:not([hidden])").length,
  }}), "*");
}});
</script></head>"""


def in_browser(page: Path) -> dict[str, Any]:
    """Return what the probe found in a page."""
    html = page.read_text(encoding="utf-8")
    nonce = re.search("nonce-([^']+)'", html)
    assert nonce is not None
    page.write_text(html.replace("</head>", PROBE.format(nonce=nonce.group(1)), 1), encoding="utf-8")
    parent = page.with_name("parent.html")
    parent.write_text(PARENT.format(width=WIDTH), encoding="utf-8")
    command = [str(CHROMIUM), *FLAGS, "--dump-dom", f"--user-data-dir={page.parent / 'profile'}", parent.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found = re.search("<pre>(.*?)</pre>", done.stdout, flags=re.DOTALL)
    assert found is not None
    result: dict[str, Any] = json.loads(unescape(found.group(1)))
    return result


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium or Chrome on the PATH")
@pytest.mark.parametrize("hostile", [False, True], ids=["usual", "hostile"])
def test_the_page_works_in_a_browser_of_the_width_of_a_phone(hostile: bool, tmp_path: Path) -> None:
    study = hostile_study() if hostile else make_study([make_trial(i, STATES[i % 5]) for i in range(50)])
    title, monitor = (MARKUP, f"val/{MARKUP}") if hostile else ("mlp", "val/acc")
    write_report(study, tmp_path / "report.html", title=title, monitor=monitor, folder=tmp_path)
    found = in_browser(tmp_path / "report.html")
    numbers = [str(trial.number) for trial in study.trials]
    assert found["errors"] == []
    assert found["nDrawn"] == found["nFigures"] >= 6
    assert (found["width"], found["overflow"]) == (WIDTH, 0)
    assert found["sorted"] == [["ascending", *numbers], ["descending", *reversed(numbers)]]
    assert found["nCopyButtons"] > 0
    assert found["images"] == 0
    assert found["title"] != "evil"
    if not hostile:
        assert found["failed"] == ["failed"] * 10
        assert found["found"] == "25 of 50 trials"
