"""Encodings of text that is not in UTF-8."""

_CONTROLS = range(0x80, 0xA0)
_WINDOWS_1252 = {byte: text for byte in _CONTROLS if (text := bytes([byte]).decode("cp1252", errors="ignore"))}
"""Signs that Windows-1252 has where Latin-1 has control characters."""


def decode_windows_1252(content: bytes) -> str:
    """Text of Windows-1252; bytes that it does not define, which Python's codec refuses, are those of Latin-1.

    Currency signs, dashes and quotes differ from Latin-1, and are part of prices, numbers and codes.
    """
    return content.decode("latin-1").translate(_WINDOWS_1252)
