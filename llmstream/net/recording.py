"""Records the traffic with a provider, and plays it back in the provider's place.

A recording is NDJSON, a line for each event, `t` in seconds since the first request:

    {"recording": 1, "provider": ..., "model": ..., "api": ...}
    {"t": 0.0, "request": {"method": ..., "url": ..., "body": ...}}
    {"t": 0.2, "status": 200, "headers": {...}}
    {"t": 0.2, "data": "..."}  or  {"t": 0.2, "base64": "..."} where the bytes are no UTF-8
    {"t": 3.1, "end": ""}  or why the connection ended

Lines are written as events happen; where a crash cut a recording, playing it back is cut too. The key is hidden.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .. import inputs
from ..core.json_codec import loads_or_none, to_json
from ..core.secrets import show_url
from ..core.text import encode
from ..dialects import APIS
from ..errors import UNLIMITED, OutputFailed, UsageError, option
from ..providers.target import Target
from .loop import EventLoop
from .transfer import HttpRequest, Transfer, Transport

HEAD = ("provider", "model", "api")
MAX_RECORDING_BYTES = 256_000_000
MAX_S = 1e9  # from the first request to any later line


class Recorder(Transport):
    """A Transport that records the traffic of another one.

    Raises UsageError where `path` cannot be opened, OutputFailed where it cannot be written.
    """

    def __init__(self, inner: Transport, path: str, target: Target) -> None:
        self._inner, self._path = inner, path
        self._secrets = target.secrets
        self._stream = self._secrets.stream()
        self.loop = inner.loop
        self._has_head = self._ended = False
        self._started: float | None = None
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from None
        self._write({"recording": 1, "provider": target.provider, "model": target.model, "api": target.api})

    def send(self, request: HttpRequest, connect_timeout: float | None, wake: Callable[[], object]) -> Transfer:
        now = self.loop.now()
        self._started = now if self._started is None else self._started
        fields = {"method": request.method, "url": show_url(request.url), "body": request.body}
        self._line(now, request=self._secrets.hide_values(fields))
        self._has_head = self._ended = False

        def on_wake() -> None:
            self._record(transfer)
            wake()

        transfer = self._inner.send(request, connect_timeout, on_wake)
        return transfer

    def send_and_forget(self, request: HttpRequest) -> None:
        self._inner.send_and_forget(request)

    def _record(self, transfer: Transfer) -> None:
        """Records what has arrived in a transfer."""
        now = self.loop.now()
        if not self._has_head and (head := transfer.head()) is not None:
            self._has_head = True
            headers = {
                name: self._secrets.hide_credential(value) for name, value in head[1].items() if name != "set-cookie"
            }
            self._line(now, status=head[0], headers=headers)
        if transfer.chunks:
            self._data(self._stream.feed(b"".join(transfer.chunks)), now)
        if transfer.ended:
            self._end(transfer.reason, now)

    def end(self, transfer: Transfer) -> None:
        self._inner.end(transfer)  # first, so that a full disk keeps no connection open
        self._end("the client closed the connection", self.loop.now())

    def close(self) -> None:
        self._inner.close()
        os.close(self._fd)

    def _end(self, reason: str, now: float) -> None:
        if self._ended:
            return
        self._ended = True
        self._data(self._stream.close(), now)
        self._line(now, end=self._secrets.hide(reason))

    def _data(self, chunk: bytes, now: float) -> None:
        if not chunk:
            return
        try:
            self._line(now, data=chunk.decode())
        except UnicodeDecodeError:
            self._line(now, base64=base64.b64encode(chunk).decode())

    def _line(self, now: float, **fields: object) -> None:
        self._write({"t": round(now - (self._started or now), 6), **fields})

    def _write(self, record: dict[str, object]) -> None:
        data = encode(to_json(record) + "\n")
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            raise OutputFailed(f"cannot write {self._path}: {error.strerror}") from None


class Player(Transport):
    """A Transport that plays a recording back, `speed` times as fast as it was recorded (0: at once).

    Its `target` has the provider, model and dialect of the recording. Raises UsageError for a file of another kind.
    """

    def __init__(self, target: Target, speed: float, loop: EventLoop) -> None:
        path = target.model
        self._speed = speed
        self.loop = loop
        self._records, head = _read(path)
        self.target = Target(head["provider"], head["model"], head["api"], f"replay:{path}", "", target.row)
        self._next = 0
        self._offset = 0.0  # the clock's time at the recording's time 0

    def send(self, request: HttpRequest, connect_timeout: float | None, wake: Callable[[], object]) -> Transfer:
        """Plays the response to the next request of the recording, whatever the request is."""
        while self._next < len(self._records) and "request" not in self._records[self._next]:
            self._next += 1
        self._offset = self.loop.now()
        if self._next < len(self._records):
            self._offset -= self._due(self._records[self._next])
            self._next += 1
        transfer = Transfer()
        self._schedule(transfer, wake)
        return transfer

    def end(self, transfer: Transfer) -> None:
        transfer.ended = True

    def _schedule(self, transfer: Transfer, wake: Callable[[], object]) -> None:
        """Schedules the next record, if it belongs to the same response."""
        record = self._records[self._next] if self._next < len(self._records) else {"end": "the recording ends here"}
        if "request" not in record:
            self.loop.call_at(self._offset + self._due(record), partial(self._play, record, transfer, wake))

    def _play(self, record: Mapping[str, Any], transfer: Transfer, wake: Callable[[], object]) -> None:
        if transfer.ended:
            return
        self._next += 1
        if "status" in record:
            transfer.response_head = record["status"], record["headers"]
        elif "data" in record:
            transfer.chunks.append(encode(record["data"]))
        elif "base64" in record:
            transfer.chunks.append(base64.b64decode(record["base64"]))
        else:
            transfer.ended, transfer.reason = True, record["end"]
        transfer.max_retries = UNLIMITED if self._next < len(self._records) else 0
        if not transfer.ended:
            self._schedule(transfer, wake)
        wake()

    def _due(self, record: Mapping[str, Any]) -> float:
        return float(record.get("t", 0.0)) / self._speed if self._speed else 0.0


def _read(path: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Returns the records after the head, and the head. A torn last line is left out.

    Raises UsageError for a file of another kind, and for a line that Recorder does not write.
    """
    first, *lines = inputs.read_file(path, limit=MAX_RECORDING_BYTES).split(b"\n")
    head = _parse(first)
    has_names = all(isinstance(head.get(name), str) for name in HEAD)
    if head.get("recording") != 1 or not has_names or head["api"] not in APIS:
        raise UsageError(f"{path} is not a recording of {option('record')}")
    records = [_parse(line) for line in lines]
    if records and not _is_valid(records[-1]):  # torn, or what follows the last newline: nothing
        records.pop()
    for number, record in enumerate(records, 2):
        if not _is_valid(record):
            raise UsageError(f"{path}:{number} is not a line of a recording: record it again")
    return records, {name: head[name] for name in HEAD}


def _parse(line: bytes) -> dict[str, Any]:
    """Returns the object in a line, an empty one where it has none."""
    record = loads_or_none(line)
    return record if isinstance(record, dict) else {}


def _is_valid(record: dict[str, Any]) -> bool:
    """Returns whether a record is one that Recorder writes."""
    t: Any = record.get("t")
    if type(t) not in (int, float) or not 0 <= t < MAX_S:  # nan, too
        return False
    if "status" in record:
        status, headers = record["status"], record.get("headers")
        return (
            type(status) is int
            and 100 <= status <= 999
            and isinstance(headers, dict)
            and all(isinstance(value, str) for value in headers.values())
        )
    if "base64" in record:
        try:
            return bool(base64.b64decode(record["base64"], validate=True))
        except (TypeError, ValueError):
            return False
    return "request" in record or isinstance(record.get("data", record.get("end")), str)
