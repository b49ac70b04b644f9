"""Reads chunks that differ only in their text, without parsing their frames and their JSON.

Nearly all servers send each token as one event in a chunk of its own, whose JSON is the same but for the token. Two
fields may differ as well: OpenAI adds `obfuscation`, a string of random length, which hides the token's length from who
watches the network, and it numbers the events of a response.
"""

from __future__ import annotations

import re

from . import json_codec

SPECIAL = b'"\\' + bytes(range(0x20))  # bytes that do not stand for themselves in a JSON string
ESCAPED = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt])*+')  # the inside of a JSON string without \uXXXX
NOISE = re.compile(rb'"obfuscation": ?"([0-9A-Za-z]*+)"')
NUMBER_NAME = b'"sequence_number"'
NUMBER = re.compile(NUMBER_NAME + rb": ?([1-9][0-9]{0,14})[,}]")
MAX_USELESS = 8  # chunks in a row that were learned in vain: this server's have more that differs


class Repeats:
    """The bytes around the text of the next chunk, if that repeats the last one."""

    def __init__(self) -> None:
        self._before = b""  # with the quotation mark at the text's start, b"" where no chunk is known
        self._after = b""  # up to the noise, or to the end
        self._end: bytes | None = None  # after the noise, None where there is none
        self._number = 0  # of the next chunk, 0 where chunks are not numbered
        self._numbered_part = ""  # the attribute that contains the number
        self._around_number = b"", b""
        self._useless = 0

    def text(self, chunk: bytes) -> str:
        """Returns the text of a chunk that is otherwise what was expected, "" for any other chunk."""
        before, after = self._before, self._after
        if not before or not chunk.startswith(before):
            return ""
        start = len(before)
        if self._end is not None:
            stop = self._stop_before_noise(chunk, start, self._end)
        elif chunk.endswith(after):
            stop = len(chunk) - len(after)
        else:
            return ""
        inside = chunk[start:stop]
        try:
            if len(inside.translate(None, SPECIAL)) == len(inside):
                text = inside.decode()
            else:
                text = json_codec.decode(b'"%b"' % inside) if ESCAPED.fullmatch(inside) else ""
        except UnicodeDecodeError:
            return ""
        if text:
            self._useless = 0
            if self._number:
                self._expect_number(self._number + 1)
        return text

    def _stop_before_noise(self, chunk: bytes, start: int, end: bytes) -> int:
        """Returns where the text ends, if noise and `end` follow it; otherwise `start`, as for an empty text."""
        stop = chunk.find(self._after, start)
        noise = chunk[stop + len(self._after) : -len(end)]
        is_noise = noise.isalnum() or (not noise and len(chunk) == stop + len(self._after) + len(end))
        return stop if stop >= 0 and is_noise and chunk.endswith(end) else start

    def learn(self, chunk: bytes, text: str, number: int) -> None:
        """Learns from a chunk that is one whole event, and whose JSON has the text as the value of one string.

        `number` is the event's, if that is positive: then the next chunk is expected to have the next number.

        Without a backslash in it, each of its strings stands for itself. So the text is where its bytes are, if they
        are there once, and so is the number.
        """
        self.forget()
        value = b'"%b"' % text.encode()
        if self._useless == MAX_USELESS or b"\\" in chunk or chunk.count(value) != 1:
            return
        self._useless += 1
        start = chunk.index(value) + 1
        stop = start + len(value) - 2
        noise = NOISE.search(chunk, stop)
        self._after = chunk[stop : noise.start(1)] if noise else chunk[stop:]
        self._end = chunk[noise.end(1) :] if noise else None
        self._before = chunk[:start]
        if number > 0 and not (chunk.count(NUMBER_NAME) == 1 and self._find_number(number)):
            self.forget()

    def forget(self) -> None:
        """Forgets what was learned: an event has come that may change what the next one means."""
        self._before, self._number = b"", 0

    def _find_number(self, number: int) -> bool:
        """Finds the number in one of the parts; the next chunk is expected to have the next one."""
        for part in ("_before", "_after", "_end"):
            data = getattr(self, part) or b""
            match = NUMBER.search(data)
            if match and int(match[1]) == number:
                self._numbered_part = part
                self._around_number = data[: match.start(1)], data[match.end(1) :]
                self._expect_number(number + 1)
                return True
        return False

    def _expect_number(self, number: int) -> None:
        self._number = number
        setattr(self, self._numbered_part, b"%b%d%b" % (self._around_number[0], number, self._around_number[1]))
