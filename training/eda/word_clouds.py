"""Word clouds of descriptions, by the number of lines with a word and by the revenue of those lines after returns."""

import re
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure as Canvas
from PIL import ImageFont
from wordcloud import STOPWORDS, WordCloud

from state.wording import count
from training.eda.formatting import listed, share
from training.eda.sales import ITEM, REVENUE, Sales
from training.report import WIDE, Figure, Section, draw
from training.report.style import COLOURS

WORD = re.compile(r"[^\W\d_]{3,}(?:['’][^\W\d_]+)?")
"""Three letters or more, of any alphabet."""

LINES = "lines"
SHOWN = 120
SEED = 0

_PIXELS = 100
"""Of an inch in the layout of words."""
_TITLE = 0.42
"""Height of the title in inches."""


def words(sales: Sales) -> pd.DataFrame:
    """One row a word of the items' descriptions: ``lines`` and ``revenue`` of the items that have it, most lines first.

    A word counts once a description; codes of items without one are no words, and neither are English words that only
    join others (the list is wordcloud's).
    """
    totals = sales.lines.groupby(ITEM, observed=True)[REVENUE].agg(["size", "sum"])
    rows = [
        (word, lines, revenue)
        for item, lines, revenue in totals.itertuples()
        for word in {found.lower() for found in WORD.findall(str(item))} - STOPWORDS
    ]
    table = pd.DataFrame(rows, columns=["word", LINES, REVENUE]).groupby("word", sort=True).sum()
    return table.sort_values(LINES, ascending=False, kind="stable")


def describe_words(table: pd.DataFrame, column: str, total: float) -> str:
    """Describe a cloud; ``total`` is the number of lines, or their revenue."""
    best = table.sort_values(column, ascending=False, kind="stable").head(4)
    first, *others = (f"“{word}”" for word in best.index)
    of = "lines" if column == LINES else "revenue after returns"
    sentence = (
        f"Of {count(len(table), 'word')} {first} weighs most: {share(float(best[column].iloc[0]), total)} of {of} "
        f"{'are' if column == LINES else 'is'} of items with it"
    )
    return f"{sentence}, ahead of {listed(others)}." if others else f"{sentence}."


def cloud(canvas: Canvas, weights: pd.Series) -> None:
    """Draw words as text, larger ones for larger weights; the layout depends on words and weights alone."""
    width, height = canvas.get_figwidth(), canvas.get_figheight() - _TITLE
    font = str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")  # the font of the style, for its widths
    layout = WordCloud(
        font_path=font,
        width=int(width * _PIXELS),
        height=int(height * _PIXELS),
        max_words=SHOWN,
        max_font_size=int(height * _PIXELS / 3.5),
        min_font_size=8,
        prefer_horizontal=0.95,
        margin=5,
        relative_scaling=0.6,
        random_state=SEED,
        color_func=lambda *_, **__: "black",  # coloured below; the default function would load pyplot
    )
    ordered = weights[weights > 0].sort_values(ascending=False, kind="stable").head(SHOWN)
    layout.generate_from_frequencies({str(word): float(weight) for word, weight in ordered.items()})
    canvas.set_layout_engine("none")  # positions are those of the layout
    axes = canvas.add_axes((0, 0, 1, height / (height + _TITLE)))
    axes.set_axis_off()
    axes.set_xlim(0, width * _PIXELS)
    axes.set_ylim(height * _PIXELS, 0)
    for index, ((word, _), size, (y, x), turned, _) in enumerate(layout.layout_):
        # The layout has the corner of the ink; text is positioned by its base line, which is above or below that.
        left, top, right, _ = ImageFont.truetype(font, size).getbbox(word, anchor="ls")
        axes.text(
            x - top if turned else x - left,
            y + right if turned else y - top,
            word,
            fontsize=size * 72 / _PIXELS,
            color=COLOURS[index % len(COLOURS)],
            rotation=90 if turned else 0,
            rotation_mode="anchor",
        )


def words_section(sales: Sales) -> Section:
    """The section with word clouds by lines and by revenue."""
    table = words(sales)
    if table.empty:
        return Section("Words of descriptions", "No item has a description with a word of three letters or more.")
    totals = {LINES: float(len(sales.lines)), REVENUE: float(sales.lines[REVENUE].sum())}
    blocks = []
    for column, title in (
        (LINES, "Words of what is bought often"),
        (REVENUE, "Words of what brings revenue after returns"),
    ):
        weights = table[column]
        picture = draw(title, lambda canvas, weights=weights: cloud(canvas, weights), size=WIDE)  # type: ignore[misc]
        words_of = "revenue after returns" if column == REVENUE else column
        alt = f"Word cloud of descriptions: the larger a word, the more {words_of} it has."
        sentence = describe_words(table, column, totals[column])
        blocks.append(Figure(f"words-by-{'count' if column == LINES else 'revenue'}", picture, alt, sentence))
    return Section("Words of descriptions", "", blocks)
