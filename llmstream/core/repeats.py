"""Reads chunks that differ only in their text, without parsing their frames and their JSON.

Nearly all servers send each token as one event in a chunk of its own, whose JSON is the same but for the token. OpenAI
adds a string of random length, `obfuscation`, which hides the token's length from who watches the network.
"""

from __future__ import annotations

import re

PLAIN = re.compile(rb'[^"\\\x00-\x1f]*+')  # the inside of a JSON string that stands for itself
NOISE = re.compile(rb'"obfuscation": ?"([^"\\\x00-\x1f]*+)"')
MAX_USELESS = 8  # chunks in a row that were learned in vain: this server's have more that differs


class Repeats:
    """The bytes before and after the text of the last chunk; empty where the next chunk may differ there."""

    def __init__(self) -> None:
        self._before = b""  # with the quotation mark at the text's start, b"" where no chunk is known
        self._after = b""  # up to the noise, or to the end
        self._end = b""  # after the noise
        self._has_noise = False
        self._useless = 0

    def text(self, chunk: bytes) -> str:
        """Returns the text of a chunk that is otherwise like the one that was learned, "" for any other chunk."""
        before, after, end = self._before, self._after, self._end
        if not before or not chunk.startswith(before) or not chunk.endswith(end):
            return ""
        start = len(before)
        stop = chunk.find(after, start)
        if stop < 0 or not PLAIN.fullmatch(chunk, start, stop):
            return ""
        rest, last = stop + len(after), len(chunk) - len(end)
        if rest != last and not (self._has_noise and PLAIN.fullmatch(chunk, rest, last)):
            return ""
        self._useless = 0
        try:
            return chunk[start:stop].decode()
        except UnicodeDecodeError:
            return ""

    def learn(self, chunk: bytes, text: str) -> None:
        """Learns from a chunk that is one whole event, and whose JSON has the text as the value of one string.

        Without a backslash in it, each of its strings stands for itself. So the text is where its bytes are, if they
        are there once.
        """
        value = b'"%b"' % text.encode()
        if self._useless == MAX_USELESS or b"\\" in chunk or chunk.count(value) != 1:
            if not (chunk.startswith(self._before) and chunk.endswith(self._end or self._after)):
                self.forget()
            return
        self._useless += 1
        start = chunk.index(value) + 1
        stop = start + len(value) - 2
        noise = NOISE.search(chunk, stop)
        self._before, self._has_noise = chunk[:start], noise is not None
        self._after = chunk[stop : noise.start(1)] if noise else chunk[stop:]
        self._end = chunk[noise.end(1) :] if noise else b""

    def forget(self) -> None:
        """Forgets what was learned: an event has come that may change what the next one means."""
        self._before = b""
