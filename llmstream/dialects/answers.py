"""The answers of an input, each read by an exchange of its own."""

from __future__ import annotations

import base64
from typing import Any

from ..core.events import Event, Finish, Start
from ..core.exchange import Exchange
from ..core.json_codec import loads_or_none
from ..core.pieces import Piece
from ..core.timing import Timeouts, Timing
from ..errors import Error
from . import detect, dialect
from .detect import Sign

JSON = "application/json"
INPUT = "the input"  # in the place of a URL in messages


class Answer:
    """One answer of an input; `number` counts from 1.

    Once `over` is true, `failure` is why the answer is not complete, or None.
    """

    def __init__(self, number: int, sign: Sign, timeouts: Timeouts, now: float) -> None:
        self.number, self.sign = number, sign
        self.id = ""
        self.id_repeats = self._id_varies = False
        self.finish_is_end = False  # an event came before the finish, so that text behind it is another answer's
        self.is_json: bool | None = None  # whether its events are JSON texts
        decoder = sign.make_decoder()
        self._exchange = Exchange(decoder, timeouts, Timing(now), now, INPUT)
        self._exchange.head(200, {"content-type": decoder.content_types[0]})

    @property
    def place(self) -> str:
        """Where it stands in the input, for messages."""
        return f"answer {self.number}"

    @property
    def over(self) -> bool:
        return self._exchange.over

    @property
    def failure(self) -> Error | None:
        return self._exchange.failure

    @property
    def finish(self) -> Finish | None:
        return self._exchange.finish

    @property
    def tool_calls(self) -> int:
        """The number of tool calls so far."""
        return self._exchange.tool_calls

    @property
    def warning(self) -> str:
        return self._exchange.warning

    def deadline(self) -> float | None:
        """Returns when to call `expire` unless something arrives; None for never."""
        return self._exchange.deadline()

    def expire(self, now: float) -> list[Event]:
        """Returns the last events when the wait for a usage record is over."""
        return self._exchange.expire(now)

    def feed(self, pieces: list[Piece], now: float, at_end: bool = False) -> tuple[list[Event], int]:
        """Returns the events of pieces, and how many of them were read: the others come after the answer's end.

        `at_end` says that the input ends with them, maybe within the last.
        """
        exchange = self._exchange
        self.is_json = pieces[0].is_json
        if self.is_json and self.sign.whole:
            exchange.head(200, {"content-type": JSON})
            return exchange.feed(pieces[0].data, now) + exchange.close(now), 1
        before = exchange.frame_count
        events = exchange.feed_frames([(piece.name, piece.data) for piece in pieces], now, at_end)
        self.finish_is_end |= exchange.finish is None
        return events, max(exchange.frame_count - before, 1)

    def close(self, now: float, reason: str = "") -> list[Event]:
        """Ends the answer; `reason` is why, unless the input ends."""
        return self._exchange.close(now, reason)

    def continues(self, id: str, *, is_beginning: bool) -> bool:
        """Whether an event with this id may be of this answer.

        A beginning is, if it has the answer's id. Of other events a second id tells another answer; but where ids may
        vary, as some servers give each event one of its own, only if the first id was in several events, or the answer
        has its finish.
        """
        if not id or not self.id or id == self.id:
            self.id_repeats |= bool(id) and id == self.id
            self.id = self.id or id
            return True
        is_certain = is_beginning or not self.sign.id_may_vary or self.id_repeats or self.finish is not None
        if is_certain and not self._id_varies:
            return False
        self._id_varies = True
        return True


class Recording(Answer):
    """The answer in a recording of `gen --record`: that of its last response, as a request may have been repeated."""

    def __init__(self, number: int, sign: Sign, timeouts: Timeouts, now: float, head: dict[str, Any]) -> None:
        super().__init__(number, detect.FAILURE, timeouts, now)
        self.sign = sign
        self._head, self._timeouts = head, timeouts
        self._exchange = self._make(INPUT, now)
        self._has_started = self._closed = False

    def _make(self, url: str, now: float) -> Exchange:
        decoder = dialect(self._head["api"]).Decoder(str(self._head["provider"]), str(self._head["model"]))
        return Exchange(decoder, self._timeouts, Timing(now), now, url)

    @property
    def over(self) -> bool:
        return self._closed

    def deadline(self) -> float | None:
        return None

    def feed(self, pieces: list[Piece], now: float, at_end: bool = False) -> tuple[list[Event], int]:
        return self._once_started(self._read(loads_or_none(pieces[0].data), now)), 1

    def _read(self, value: Any, now: float) -> list[Event]:
        """Returns the events of a line of the recording."""
        events: list[Event] = []
        if not isinstance(value, dict):
            return events
        exchange = self._exchange
        if isinstance(value.get("request"), dict):
            events = exchange.close(now) if exchange.status else []
            self._exchange = self._make(str(value["request"].get("url", INPUT)), now)
        elif isinstance(value.get("status"), int) and isinstance(value.get("headers"), dict):
            exchange.head(value["status"], {k: v for k, v in value["headers"].items() if isinstance(v, str)})
        elif isinstance(value.get("data"), str):
            events = exchange.feed(value["data"].encode("utf-8", "replace"), now)
        elif isinstance(value.get("base64"), str):
            events = exchange.feed(_from_base64(value["base64"]), now)
        elif isinstance(value.get("end"), str):
            events = exchange.close(now, value["end"])
        return events

    def close(self, now: float, reason: str = "") -> list[Event]:
        self._closed = True
        return self._once_started(self._exchange.close(now, "the recording ends here"))

    def _once_started(self, events: list[Event]) -> list[Event]:
        """Leaves out all Start events but the first."""
        events_left = []
        for event in events:
            if not isinstance(event, Start) or not self._has_started:
                events_left.append(event)
            self._has_started |= isinstance(event, Start)
        return events_left


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except ValueError:
        return b""
