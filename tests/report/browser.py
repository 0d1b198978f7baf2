"""Chromium, which lays pages out: what of a page does not fit a screen or a sheet of paper."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

PAPER = 688
"""Width of an A4 sheet between the margins of the page's style, in pixels of CSS."""

_MEASURE = """
const frames = JSON.parse(document.getElementById("frames").textContent);
Promise.all(frames.map(([html, width]) => new Promise(done => {
  const frame = document.createElement("iframe");
  frame.width = width; frame.height = 4000;
  frame.onload = () => {
    const page = frame.contentDocument, found = [];
    for (const each of page.querySelectorAll("body, body *")) {
      const box = each.getBoundingClientRect();
      if (box.right > width + 1 || box.left < -1 || each.scrollWidth > each.clientWidth + 1 &&
          each.clientWidth && getComputedStyle(each).display !== "inline")
        found.push(each.tagName + ": " + each.textContent.trim().slice(0, 40));
    }
    done(found);
  };
  frame.srcdoc = html;
  document.body.append(frame);
}))).then(all => { document.documentElement.innerHTML = "<pre></pre>";
                   document.querySelector("pre").textContent = "RESULT" + JSON.stringify(all) + "END"; });
"""


def overflowing(pages: list[tuple[str, int]], folder: Path) -> list[list[str]]:
    """The elements of each page that are wider than there is room, and so are cut or must be scrolled.

    Args:
        pages: HTML, and the width of the screen in pixels.
        folder: A temporary folder.
    """
    frames = json.dumps(pages).replace("</", "<\\/")
    file = folder / "frames.html"
    file.write_text(
        f"<!doctype html><meta charset=utf-8><body><script type=application/json id=frames>{frames}</script>"
        f"<script>{_MEASURE}</script>",
        encoding="utf-8",
    )
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"),
            *("--window-size=1400,2000", "--virtual-time-budget=20000", "--dump-dom", file.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    result = re.search("RESULT(.*)END", done.stdout, re.DOTALL)
    assert result is not None, done.stderr[-2000:]
    found: list[list[str]] = json.loads(result[1].replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"))
    return found


def as_printed(html: str) -> str:
    """A page whose rules for paper hold on the screen too."""
    return html.replace("@media print", "@media all").replace("@media screen and", "@media not all and")
