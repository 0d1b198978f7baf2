"""Words that stand for a missing value where an identity is expected."""

_WORDS = frozenset(
    [
        *("null", r"\n", "nan", "none", "<na>", "nat", "#n/a", "n/a", "(null)", "<null>", "[null]", "nil", "undefined"),
        *("(blank)", "#na", "#null!", "#ref!", "#value!", "#name?", "#num!", "#div/0!"),
    ]
)
"""What databases, spreadsheets and data frames write for a missing cell, in lower case."""
_LONGEST = max(map(len, _WORDS))


def is_missing(text: str) -> bool:
    """Whether the text of a code, an invoice number or a customer is blank or a word for missing."""
    return not text.strip() or is_word_for_missing(text)


def is_word_for_missing(text: str) -> bool:
    """Whether a text is one of the words, such as ``NULL``, in any case and with blanks around it."""
    return len(word := text.strip()) <= _LONGEST and word.lower() in _WORDS
