"""The page in a real browser: no sideways scrolling, both colour schemes, no cut or overlapping words, no network."""

import html
import json
import os
import re
import shutil
import subprocess

import pytest

from equipoise.reports import write_report

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTHS = {"phone": 390, "desktop": 1200}

# The page itself holds no script, so a page around it looks inside.
PROBE = """<!DOCTYPE html><body style="margin:0">
<iframe id="page" style="width:%dpx;height:800px;border:0" src="%s"></iframe>
<pre id="found"></pre><script>
document.getElementById("page").onload = function () {
  const page = this.contentDocument, root = page.documentElement, style = this.contentWindow.getComputedStyle(root);
  const found = {scroll: root.scrollWidth, client: root.clientWidth, paper: style.backgroundColor, ink: style.color,
    fetched: this.contentWindow.performance.getEntriesByType("resource").length, cut: [], overlapping: [], drawings: 0};
  for (const drawing of page.querySelectorAll("figure svg")) {
    const box = drawing.getBoundingClientRect();
    const words = [...drawing.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
    found.drawings += box.width > 100 && box.height > 60;
    words.forEach(([word, w], i) => {
      if (w.left < box.left - 1 || w.right > box.right + 1 || w.top < box.top - 1 || w.bottom > box.bottom + 1)
        found.cut.push(word);
      for (const [other, o] of words.slice(i + 1))
        if (Math.min(w.right, o.right) - Math.max(w.left, o.left) > 1
            && Math.min(w.bottom, o.bottom) - Math.max(w.top, o.top) > 3) found.overlapping.push([word, other]);
    });
  }
  document.getElementById("found").textContent = JSON.stringify(found);
};
</script>"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Run a browser that talks to nobody."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium here, which CI must have")
        pytest.skip("no Chromium here")

    def run(*arguments) -> str:
        profile = tmp_path_factory.mktemp("profile")
        done = subprocess.run(
            [
                path, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
                "--disable-background-networking", "--disable-component-update", "--allow-file-access-from-files",
                "--hide-scrollbars", f"--user-data-dir={profile}", "--virtual-time-budget=20000", *arguments,
            ],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        return done.stdout

    return run


@pytest.fixture(scope="module")
def page(simulated, tmp_path_factory):
    fit, truth = simulated
    return write_report(fit, tmp_path_factory.mktemp("page") / "report.html", truth=truth)


@pytest.fixture(scope="module")
def look(browser, page, tmp_path_factory):
    """What is seen at a width, in the light or in the dark."""

    def look(width: int, dark: bool) -> dict:
        probe = tmp_path_factory.mktemp("probe") / "probe.html"
        probe.write_text(PROBE % (width, page.as_uri()), encoding="utf-8")
        scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
        dom = browser(scheme, "--window-size=1400,900", "--dump-dom", probe.as_uri())
        return json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', dom, re.S)[1]))

    return look


@pytest.mark.parametrize(("width", "dark"), [("phone", False), ("desktop", True)])
def test_page_fits_and_is_readable(width, dark, look):
    found = look(WIDTHS[width], dark)
    assert found["scroll"] == found["client"] == WIDTHS[width]
    assert found["fetched"] == 0
    assert found["drawings"] >= 13
    assert found["cut"] == [] and found["overlapping"] == []
    paper, ink = (_luminance(found[name]) for name in ("paper", "ink"))
    assert (ink > paper) == dark
    assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) > 7  # WCAG's enhanced contrast


def test_a_screenshot_shows_something(browser, page, tmp_path):
    from matplotlib.image import imread

    picture = tmp_path / "page.png"
    browser("--window-size=1200,2000", f"--screenshot={picture}", page.as_uri())
    pixels = imread(picture)
    assert pixels.shape[:2] == (2000, 1200)
    assert pixels[..., :3].std() > 0.05


def test_it_prints(browser, page, tmp_path):
    browser("--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'page.pdf'}", page.as_uri())
    printed = (tmp_path / "page.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    assert 5 <= printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") + printed.count(b"/Type /Page/") <= 30


def _luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)`` (WCAG 2)."""
    channels = [int(c) / 255 for c in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
