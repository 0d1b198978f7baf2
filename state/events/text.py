"""Repairs the encoding of text and normalises its white space. Codes are identities and are never changed."""

import re
import unicodedata

_WINDOWS_1252 = {byte: bytes([byte]).decode("cp1252", "ignore") for byte in range(0x80, 0xA0)}
"""The Windows-1252 characters of the bytes 0x80 to 0x9F, which Latin-1 reads as control characters; empty if none."""
_BYTE_OF = {chr(byte): byte for byte in range(256)} | {sign: byte for byte, sign in _WINDOWS_1252.items() if sign}
"""The byte of a character, where bytes were decoded as Windows-1252 or Latin-1."""

_LIKELY = re.compile(r"[\x00-\x7f\xa0-\xff\u0800-\U0010ffff]*")
_LIKELY_LETTERS = re.compile(
    r"[\x00-\x7f\xa0-\xff\u0100-\u017f\u0384-\u045f\u05d0-\u05ea\u0621-\u064a\u0800-\U0010ffff]*"
)
"""Results of decoding again that are accepted. Western characters and those of three or more bytes always are. Others
of two bytes may be a capital before a sign (``NESTLÉ®`` would be ``NESTLɮ``), so they must be letters, and several."""

_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffd]"
)
"""Characters to remove: controls, marks of direction and of byte order, and the replacement character ``�``."""


def clean_text(text: str) -> str:
    """A text with its encoding repaired and its white space normalised; idempotent.

    - UTF-8 that was decoded as Windows-1252 or Latin-1 is decoded again: ``Â£`` becomes ``£``, ``â€™`` becomes ``’``;
    - so is Windows-1252 that was decoded as Latin-1: 0x92 becomes ``’``;
    - accents become one character with their letter (Unicode's NFC);
    - control characters, marks of direction and the replacement character ``�`` are removed;
    - runs of white space become one space, and none is left at the ends.
    """
    if not text.isascii():
        before = None
        while text != before:  # the wrong decoding may have happened more than once
            before, text = text, _INVISIBLE.sub("", _decode_again(text))
    elif not text.isprintable():
        text = _INVISIBLE.sub("", text)
    return " ".join(text.split())


def _decode_again(text: str) -> str:
    """A text decoded again with the right encoding, where it is likely that it was decoded with a wrong one."""
    try:
        decoded = bytes(map(_BYTE_OF.__getitem__, text)).decode()
    except (KeyError, UnicodeDecodeError):
        return unicodedata.normalize("NFC", text.translate(_WINDOWS_1252))
    non_ascii = sum(not character.isascii() for character in decoded)
    if _LIKELY.fullmatch(decoded) or (non_ascii > 1 and _LIKELY_LETTERS.fullmatch(decoded)):
        return decoded
    return unicodedata.normalize("NFC", text.translate(_WINDOWS_1252))
