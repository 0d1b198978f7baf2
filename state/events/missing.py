"""Words that stand for a missing value where an identity is expected."""

_WORDS = frozenset({"null", r"\n", "nan", "none", "<na>", "nat", "#n/a", "n/a", "(null)", "<null>"})
"""What databases, spreadsheets and data frames write for a missing cell, in lower case."""


def is_missing(text: str) -> bool:
    """Whether the text of a code, an invoice number or a customer is empty or a word for missing."""
    return not (word := text.strip()) or (len(word) <= 6 and word.lower() in _WORDS)
