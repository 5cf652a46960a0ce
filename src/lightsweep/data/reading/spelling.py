"""One spelling for texts that look the same."""

import unicodedata

INVISIBLE = dict.fromkeys((0x00AD, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF))  # soft hyphen, zero width, directions
SPACES = dict.fromkeys((0x00A0, 0x2007, 0x202F), " ")  # that do not break the line
TABLE = {**INVISIBLE, **SPACES}


def normalized(text: str) -> str:
    """Return the text in Unicode's form NFC, without surrounding blanks and without characters of no width."""
    if text.isascii():
        return text.strip()
    return unicodedata.normalize("NFC", text.translate(TABLE)).strip()
