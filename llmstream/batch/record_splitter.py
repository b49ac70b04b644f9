"""Splits the input of map, cut anywhere, into its records."""

from __future__ import annotations

from itertools import takewhile

from ..errors import Incomplete

MAX_RECORD_BYTES = 64 * 1024 * 1024
BOM = b"\xef\xbb\xbf"


class RecordSplitter:
    """Splits bytes at a separator of one byte. Holds one unfinished record of at most `limit` bytes.

    The limit counts all bytes between two separators, a CR and a byte order mark included.
    """

    def __init__(self, separator: bytes = b"\n", limit: int = MAX_RECORD_BYTES) -> None:
        self._separator, self._limit = separator, limit
        self._line_end = b"\r" if separator == b"\n" else b""
        self._partial = bytearray()  # grows in place: single bytes are cheap, in time and in memory
        self._bom = BOM  # which only the first record may have
        self._too_long = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Returns the records that chunk completes, without their separators.

        Raises Incomplete for a record longer than the limit. If complete records stand before it in the chunk, they
        are returned, and the next call raises.
        """
        self._raise_if(self._too_long)
        *records, partial = chunk.split(self._separator)
        if records:
            records[0] = bytes(self._partial) + records[0]
            self._partial.clear()
        self._partial += partial
        complete = list(takewhile(lambda record: len(record) <= self._limit, records))
        if len(complete) < len(records) or len(self._partial) > self._limit:
            self._too_long = True
            self._partial.clear()
            self._raise_if(not complete)
        return [self._without_bom(record).removesuffix(self._line_end) for record in complete]

    def close(self) -> list[bytes]:
        """Returns the last record, if the input does not end with a separator. Raises Incomplete as `feed` does."""
        self._raise_if(self._too_long)
        last = self._without_bom(bytes(self._partial))
        return [last] if last else []

    def _without_bom(self, record: bytes) -> bytes:
        bom, self._bom = self._bom, b""
        return record.removeprefix(bom)

    def _raise_if(self, too_long: bool) -> None:
        if too_long:
            raise Incomplete(f"a record of the input is longer than {self._limit} bytes: split it")
