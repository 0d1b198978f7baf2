r"""Control characters: refused in ids and codes, and escaped wherever a text is printed or logged.

They are those of C0 and C1 (ESC, line breaks, tabs), separators of lines and paragraphs, marks that change the
direction of the text after them, and halves of surrogate pairs. On a terminal they rewrite lines, change colours, or
show one id as another; in a log they begin lines that the program did not write.
"""

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def has_control(text: str) -> bool:
    """Whether a text has a control character."""
    return not text.isprintable() and _CONTROL.search(text) is not None


def escape_control(text: str, *, but: str = "") -> str:
    r"""A text with its control characters as ``\x1b``, ``\n`` or ``\u202e``, but for those in ``but``."""
    if text.isprintable():
        return text
    return _CONTROL.sub(lambda match: match[0] if match[0] in but else _escaped(match[0]), text)


def escape_control_in_json(json: str) -> str:
    r"""JSON with the control characters that JSON allows in strings escaped as ``\u009b``; it means the same."""
    if json.isprintable():
        return json
    return _CONTROL.sub(lambda match: match[0] if match[0] in "\n\r\t" else f"\\u{ord(match[0]):04x}", json)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()
