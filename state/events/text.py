"""Text as people wrote it: mends what programs did to it on its way. Codes are identities and are never mended."""

import re
import unicodedata

_WINDOWS = {byte: bytes([byte]).decode("cp1252", "ignore") for byte in range(0x80, 0xA0)}
"""What the control characters 0x80 to 0x9F are where Windows-1252 was taken for Latin-1; nothing where it has none."""
_BYTES = {chr(byte): byte for byte in range(256)} | {sign: byte for byte, sign in _WINDOWS.items() if sign}
"""The byte that a character came from, where bytes were taken for Windows-1252 or Latin-1."""

_SURE = re.compile(r"[\x00-\x7f\xa0-\xff\u0800-\U0010ffff]*")
_LETTERS = re.compile(r"[\x00-\x7f\xa0-\xff\u0100-\u017f\u0384-\u045f\u05d0-\u05ea\u0621-\u064a\u0800-\U0010ffff]*")
"""What text is likely to have been. Western signs and what takes three bytes are sure. Two bytes from elsewhere may
be a capital before a sign (``NESTLÉ®`` would be ``NESTLɮ``), so they must be of an alphabet, and not alone."""

_NOTHING = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f\xad\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffd]"
)
"""Characters that show nothing, or only that something was lost: controls, marks of direction and of order, ``�``."""


def clean_text(text: str) -> str:
    """A text as it was meant; mending it again changes nothing.

    - UTF-8 that was taken for Windows-1252 or Latin-1 is taken back: ``Â£`` is ``£``, ``â€™`` is ``’``;
    - Windows-1252 that was taken for Latin-1 likewise: 0x92 is ``’``;
    - accents are one character with their letter (Unicode's NFC);
    - control characters, marks of direction and the replacement character ``�`` go;
    - runs of white space become one space, and there is none at the ends.
    """
    if not text.isascii():
        before = None
        while text != before:  # it may have been mistaken more than once
            before, text = text, _NOTHING.sub("", _meant(text))
    elif not text.isprintable():
        text = _NOTHING.sub("", text)
    return " ".join(text.split())


def _meant(text: str) -> str:
    """What a text was before it was taken for another encoding, as far as that is likely."""
    try:
        meant = bytes(map(_BYTES.__getitem__, text)).decode()
    except (KeyError, UnicodeDecodeError):
        return unicodedata.normalize("NFC", text.translate(_WINDOWS))
    strange = sum(not character.isascii() for character in meant)
    if _SURE.fullmatch(meant) or (strange > 1 and _LETTERS.fullmatch(meant)):
        return meant
    return unicodedata.normalize("NFC", text.translate(_WINDOWS))
