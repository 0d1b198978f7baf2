"""A page: sections of text, figures and tables, rendered as one HTML file without other files.

    draw_curve: Callable[[matplotlib.figure.Figure], None]
    curve = Figure("loss", style.draw("Loss by epoch", draw_curve), "Line chart: loss by epoch.", "It falls to 2.1.")
    page = Page("Evaluation", "Models on the autumn span.", [Section("Training", "Loss by epoch.", [curve])])
    Path("report.html").write_text(render(page), encoding="utf-8")
    save_pictures(page, Path("pictures"))

All text is plain text: it is escaped, so that a description such as ``<b>`` is shown as it is. Pictures are inlined, no
script runs, nothing is fetched (a content security policy forbids it), and the page follows the reader's light or dark
scheme. The same page gives the same bytes.
"""

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from training.report.style import HALF, Picture

TOO_WIDE = {"tablet": 65, "phone": 27}
"""Characters in a row that do not fit the page of such a screen, with lines broken where they can be."""

BREAKS = "[@_:=/]"
"""In the names of metrics and models a line may be broken after these."""


@dataclass(frozen=True)
class Figure:
    """A picture and a sentence on what it shows.

    Attributes:
        name: Its file's name without an ending, unique in the page: small letters, digits and hyphens.
        picture: What ``style.draw`` returned.
        alt: The kind of picture and its subject, for readers who cannot see it.
        sentence: What it shows, with numbers from the data.
    """

    name: str
    picture: Picture
    alt: str
    sentence: str

    @property
    def file_name(self) -> str:
        """The name of its file."""
        return f"{self.name}.{self.picture.kind}"

    @property
    def half(self) -> bool:
        """Whether two of its kind go side by side."""
        return self.picture.size == HALF

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        return self._data_uri(self.picture.content)

    @property
    def narrow_source(self) -> str:
        """The picture for phones as a data URI; empty where the picture is narrow already."""
        return "" if self.picture.narrow is None else self._data_uri(self.picture.narrow)

    def _data_uri(self, content: bytes) -> str:
        media = {"svg": "image/svg+xml", "png": "image/png"}[self.picture.kind]
        return f"data:{media};base64,{base64.b64encode(content).decode()}"


@dataclass(frozen=True)
class Table:
    """A small table; cells are formatted text (``f"{value:,}"``).

    Attributes:
        caption: One sentence on its content; may be empty.
        columns: Headings.
        rows: Cells, each row as long as ``columns``.
        texts: How many columns from the left are text; the others are numbers, aligned to the right.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1

    @property
    def layout(self) -> str:
        """The page that its columns do not fit, where each row is a list: ``phone``, ``tablet``, or none."""
        needed = sum(max(map(_unbroken, cells)) for cells in zip(self.columns, *self.rows, strict=True))
        return next((name for name, characters in TOO_WIDE.items() if needed + len(self.columns) >= characters), "")


def _unbroken(cell: str) -> int:
    """Length of the longest part of a cell that cannot be broken into lines."""
    return max(map(len, re.split(rf"(?<={BREAKS})| ", cell)))


@dataclass(frozen=True)
class Section:
    """A heading with a paragraph, then figures and tables in their order; the table of contents lists the heading."""

    title: str
    text: str = ""
    blocks: Sequence[Figure | Table] = ()

    @property
    def anchor(self) -> str:
        """Its id in the page, for links."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class Page:
    """A whole report.

    Attributes:
        title: Of the document.
        lead: The paragraph below the title.
        sections: In their order, with distinct titles.
        facts: The few numbers to see first: name ("customers") and value ("4,372").
        footer: How to make the report again.
        warning: A sentence on why its figures are not to be trusted; empty where they are.
    """

    title: str
    lead: str
    sections: Sequence[Section]
    facts: Sequence[tuple[str, str]] = ()
    footer: str = ""
    warning: str = ""

    def figures(self) -> Iterator[Figure]:
        """All figures in their order."""
        for section in self.sections:
            yield from (block for block in section.blocks if isinstance(block, Figure))


def render(page: Page) -> str:
    """The page as HTML."""
    sections = [(section, list(_groups(section.blocks))) for section in page.sections]
    return _template().render(page=page, sections=sections)


def save_pictures(page: Page, folder: Path) -> list[Path]:
    """Write every picture into a folder, which is made; files of the same name are replaced, others stay.

    Returns:
        The files, in the order of the page.

    Raises:
        OSError: The folder cannot be made or written into.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for figure in page.figures():
        path = folder / figure.file_name
        path.write_bytes(figure.picture.content)
        written.append(path)
    return written


def _groups(blocks: Sequence[Figure | Table]) -> Iterator[list[Figure | Table]]:
    """Blocks by row of the page: consecutive half-size figures share a row, every other block has its own."""
    row: list[Figure | Table] = []
    for block in blocks:
        if isinstance(block, Figure) and block.half:
            row.append(block)
            continue
        if row:
            yield row
            row = []
        yield [block]
    if row:
        yield row


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("training.report", ""),
        autoescape=True,  # descriptions of items are free text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"breakable": breakable, "unbroken_dates": unbroken_dates}
    return environment.get_template("page.html")


def breakable(text: str) -> Markup:
    """Text whose lines may be broken after ``BREAKS`` too."""
    return Markup(re.sub(f"({BREAKS})", r"\1<wbr>", str(escape(text))))


def unbroken_dates(text: str) -> Markup:
    """Text whose dates are not broken at their hyphens."""
    return Markup(re.sub(r"(\d{4}-\d\d-\d\d)", r"<span class=date>\1</span>", str(escape(text))))
