"""Splits the input of map, cut anywhere, into its records."""

from __future__ import annotations

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
        self._bom = BOM
        self._too_long = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Returns the records that chunk completes, without their separators.

        Raises Incomplete for a record longer than the limit. If complete records stand before it in the chunk, they
        are returned, and the next call raises.
        """
        if self._too_long:
            raise self._error()
        *records, partial = chunk.split(self._separator)
        if records and self._partial:
            records[0] = bytes(self._partial) + records[0]
            self._partial.clear()
        for at, record in enumerate(records):
            if len(record) > self._limit:
                self._too_long = True
                del records[at:]
                break
            records[at] = self._without_bom(record).removesuffix(self._line_end)
        else:
            self._partial += partial
            self._too_long = len(self._partial) > self._limit
        if self._too_long:
            self._partial.clear()
            if not records:
                raise self._error()
        return records

    def close(self) -> list[bytes]:
        """Returns the last record, if the input does not end with a separator. Raises Incomplete as `feed` does."""
        if self._too_long:
            raise self._error()
        last = self._without_bom(bytes(self._partial))
        self._partial.clear()
        return [last] if last else []

    def _without_bom(self, record: bytes) -> bytes:
        """Returns the record without the byte order mark that the first one may have."""
        bom, self._bom = self._bom, b""
        return record.removeprefix(bom)

    def _error(self) -> Incomplete:
        return Incomplete(f"a record of the input is longer than {self._limit} bytes: split it")
