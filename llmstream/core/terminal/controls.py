"""Makes control characters visible, so that text from elsewhere cannot control a terminal.

An escape sequence can write to the clipboard, change the title, move the cursor over what is on the screen, or answer
on the user's behalf; a carriage return or a backspace hides text, and Unicode's bidirectional controls reorder it. Each
such character is replaced by itself, so that no sequence has to be parsed, however the text is cut.
"""

from __future__ import annotations

import re

from ..text import Utf8Decoder

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_RAW_BYTE = 0xDC00  # the decoder's surrogate for a byte, minus that byte


def visible(text: str) -> str:
    """Returns the text with each control character as less(1) shows it: `^[`, `<U+009B>`, or `<9B>` for a raw byte.

    Newlines and tabs stay.
    """
    return text if text.isascii() and text.isprintable() else _CONTROLS.sub(_visible, text)


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x80:
        return f"^{chr(code ^ 0x40)}"
    if _RAW_BYTE < code <= _RAW_BYTE + 0xFF:
        return f"<{code - _RAW_BYTE:02X}>"
    return f"<U+{code:04X}>"


class VisibleControls:
    """Decodes UTF-8 and makes control characters visible; a carriage return before a newline is dropped.

    Holds the beginning of a character, and a carriage return whose next character has not arrived.
    """

    def __init__(self) -> None:
        self._decoder = Utf8Decoder()
        self._return = ""

    def feed(self, data: bytes) -> str:
        """Returns the text that is certain."""
        return self._take(self._decoder.feed(data))

    def close(self) -> str:
        """Returns the rest."""
        text = self._take(self._decoder.close()) + visible(self._return)
        self._return = ""
        return text

    def _take(self, text: str) -> str:
        if not text:
            return ""
        text = self._return + text
        self._return = "\r" if text[-1] == "\r" else ""
        if self._return:
            text = text[:-1]
        return visible(text.replace("\r\n", "\n"))
