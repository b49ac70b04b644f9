"""An input of many records, cut anywhere, into its records."""

from __future__ import annotations

from ..errors import Incomplete

MAX_RECORD = 64 * 1024 * 1024
BOM = b"\xef\xbb\xbf"


class Records:
    """Splits bytes at a separator of one byte. Holds one unfinished record of at most `limit` bytes.

    The limit is for what stands between two separators, as it came: a CR and a byte order mark count.
    """

    def __init__(self, separator: bytes = b"\n", limit: int = MAX_RECORD) -> None:
        self._separator, self._limit = separator, limit
        self._line_end = b"\r" if separator == b"\n" else b""
        self._rest = bytearray()  # grows in place: single bytes are cheap, in time and in memory
        self._mark = BOM
        self._too_long = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The records that chunk completes, without their separators. Raises Incomplete where one passes the limit.

        What is complete before that record comes first: it is raised by the next call.
        """
        if self._too_long:
            raise self._error()
        *records, rest = chunk.split(self._separator)
        if records and self._rest:
            records[0] = bytes(self._rest) + records[0]
            self._rest.clear()
        for at, record in enumerate(records):
            if len(record) > self._limit:
                self._too_long = True
                del records[at:]
                break
            records[at] = self._bare(record).removesuffix(self._line_end)
        else:
            self._rest += rest
            self._too_long = len(self._rest) > self._limit
        if self._too_long:
            self._rest.clear()
            if not records:
                raise self._error()
        return records

    def close(self) -> list[bytes]:
        """The last record, where the input does not end with a separator. Raises Incomplete as `feed` does."""
        if self._too_long:
            raise self._error()
        last = self._bare(bytes(self._rest))
        self._rest.clear()
        return [last] if last else []

    def _bare(self, record: bytes) -> bytes:
        """The record without the mark that the first one may have."""
        mark, self._mark = self._mark, b""
        return record.removeprefix(mark)

    def _error(self) -> Incomplete:
        return Incomplete(f"a record of the input is longer than {self._limit} bytes: divide it")
