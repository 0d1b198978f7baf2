"""Names of months in English, German, French, Spanish, Italian, Portuguese, Dutch and Scandinavian, whole or shortened.

A word is known by all its letters: ``marraskuu`` is November in Finnish, not March. Names that languages share with
different meanings, such as ``listopad``, are not known, so that they are refused. The names are those of CLDR.
"""

import unicodedata

MONTH_NAME = r"([^\W\d_]{3,12})\.?"
"""Regular expression of a word that may be the name of a month."""

_NAMES = (
    "january jan januar janner janvier janv enero ene gennaio gen janeiro januari",
    "february feb februar febrar fevrier fevr fev febrero febbraio fevereiro februari",
    "march mar marz mrz maerz mars marzo marco maart mrt marts",
    "april apr avril avr abril abr aprile",
    "may mai mayo maggio mag maio mei maj",
    "june jun juni juin junio giugno giu junho",
    "july jul juli juillet juil julio luglio lug julho",
    "august aug aout agosto ago augustus augusti",
    "september sep sept septembre septiembre setiembre settembre set sett setembro",
    "october oct oktober okt octobre octubre ottobre ott outubro out",
    "november nov novembre noviembre novembro",
    "december dec dezember dez decembre diciembre dic dicembre dezembro desember des",
)
_ENGLISH = (
    "january jan february feb march mar april apr may june jun july jul august aug september sep sept october oct "
    "november nov december dec"
)
_NUMBERS = {name: number for number, names in enumerate(_NAMES, 1) for name in names.split()}


def month_number(name: str) -> int | None:
    """The number of a month, 1 to 12, by its name, in any case, with or without accents; None for an unknown name."""
    letters = unicodedata.normalize("NFKD", name.rstrip(".").casefold())
    return _NUMBERS.get("".join(letter for letter in letters if not unicodedata.combining(letter)))


def is_english(name: str) -> bool:
    """Whether a name of a month is English."""
    return name.rstrip(".").casefold() in _ENGLISH.split()
