"""The page that reports are: complete in itself, safe with whatever text, the same bytes again."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.figure
import pytest

from training.report import HALF, WIDE, Figure, Page, Section, Table, draw, render, save_pictures
from training.report.style import DARK, INK, bars, percent, short, thousands

HOSTILE = '<script src="https://example.com/x.js">alert(1)</script>" onload="x'


def _line(figure: matplotlib.figure.Figure) -> None:
    axes = figure.subplots()
    axes.plot([1, 2, 3], [1_000, 250_000, 2_000_000])
    thousands(axes.yaxis)


def _page() -> Page:
    wide = Figure("by-day", draw("By day", _line), HOSTILE, f"It rises. {HOSTILE}")
    left, right = (Figure(name, draw(name, _line, size=HALF), "A line.", "Half.") for name in ("left", "right"))
    dots = Figure("dots", draw("Dots", _line, kind="png"), "Dots.", "A PNG.")
    table = Table(HOSTILE, ["item", "units"], [[HOSTILE, "1,000"]])
    return Page(
        f"Report {HOSTILE}",
        HOSTILE,
        [Section("Sales & more", HOSTILE, [wide, left, right, table]), Section("Cleaning", blocks=[dots])],
        facts=[("rows", "541,909")],
        footer=HOSTILE,
    )


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader


def test_nothing_is_fetched_and_nothing_runs() -> None:
    reader = _read(render(_page()))
    assert "script" not in {tag for tag, _ in reader.tags}
    assert "link" not in {tag for tag, _ in reader.tags}
    addresses = [
        value for _, attributes in reader.tags for name, value in attributes.items() if name in ("src", "href")
    ]
    assert addresses
    assert all(value is not None and value.startswith(("data:image/", "#")) for value in addresses)
    assert not [name for _, attributes in reader.tags for name in attributes if name.startswith("on")]


def test_text_is_escaped() -> None:
    reader = _read(render(_page()))
    assert reader.text.count(HOSTILE) >= 6
    assert ("img", HOSTILE) in {(tag, attributes.get("alt")) for tag, attributes in reader.tags}


def test_the_contents_lead_to_every_section() -> None:
    reader = _read(render(_page()))
    links = [attributes["href"] for tag, attributes in reader.tags if tag == "a"]
    assert links == ["#sales-more", "#cleaning"]
    assert {"sales-more", "cleaning"} <= {attributes["id"] for _, attributes in reader.tags if "id" in attributes}


def test_every_picture_has_an_alternative_and_half_ones_share_a_row() -> None:
    html = render(_page())
    images = [attributes for tag, attributes in _read(html).tags if tag == "img"]
    assert len(images) == 4
    assert all(attributes["alt"] for attributes in images)
    row = html[html.index('<div class="row halves">') :]
    row = row[: row.index("</div>")]
    assert 'id="left"' in row
    assert 'id="right"' in row


def test_inlined_pictures_are_the_files(tmp_path: Path) -> None:
    page = _page()
    paths = save_pictures(page, tmp_path / "pictures")
    assert [path.name for path in paths] == ["by-day.svg", "left.svg", "right.svg", "dots.png"]
    inlined = re.findall(r'src="data:[a-z/+]+;base64,([^"]+)"', render(page))
    assert [base64.b64decode(text) for text in inlined] == [path.read_bytes() for path in paths]


def test_the_same_page_gives_the_same_bytes() -> None:
    assert render(_page()) == render(_page())


def test_drawing_changes_no_global_state_of_matplotlib() -> None:
    before = dict(matplotlib.rcParams)
    draw("Title", _line)
    assert dict(matplotlib.rcParams) == before


def test_a_picture_has_its_dark_colours() -> None:
    svg = draw("Title", _line).content.decode()
    assert f"fill: {INK}" in svg
    assert "prefers-color-scheme: dark" in svg
    assert f"fill:{DARK[INK]} !important" in svg


@pytest.mark.parametrize("text", ["50% OFF $5 $6", "a_b^c {d}", "抹茶", "–£é€", "\\frac"])
def test_any_text_can_be_drawn(text: str) -> None:
    assert draw(text, lambda figure: bars(figure, [text], [1.0])).size == WIDE


def test_bars_of_nothing_and_of_shares() -> None:
    draw("None", lambda figure: bars(figure, [], []))

    def shares(figure: matplotlib.figure.Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0.05, 0.1])
        percent(axes.yaxis)

    draw("Shares", shares)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7, "7"), (2.5, "2.5"), (950, "950"), (12_345.6, "12,346"), (1_200_000, "1.2 M"), (-3e9, "-3 bn")],
)
def test_numbers_in_short_form(value: float, text: str) -> None:
    assert short(value) == text
