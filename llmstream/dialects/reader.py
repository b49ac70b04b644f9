"""Reads an input in which answers of any dialects stand one after the other."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

from ..core import framing
from ..core.decoder import items, string
from ..core.events import Event, Finish, Start
from ..core.exchange import Exchange
from ..core.framing import Framing
from ..core.json_codec import loads_or_none
from ..core.pieces import ARRAY, DOCUMENT, TEXT, Piece
from ..core.timing import Timeouts, Timing
from ..errors import Error, Incomplete
from . import detect, dialect
from .detect import RECORDING, Sign

JSON = "application/json"
INPUT = "the input"  # in the place of a URL in messages
START_BYTES = 64  # of a piece: most have their id or type there, so one that begins like the last is of its answer
ANOTHER = "another answer begins before the end mark"


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


class Unknown:
    """A part of an input that is of an unknown type; `count` answers precede it."""

    over, finish, warning, tool_calls = True, None, "", 0

    def __init__(self, count: int, data: bytes) -> None:
        self.place = f"after answer {count}" if count else "before answer 1"
        self.failure: Error | None = framing.unknown(data, "unrecognised")


class Batch(NamedTuple):
    """Events of an answer; `ends` says that they are its last. An unknown part has none."""

    answer: Answer | Unknown
    events: list[Event]
    ends: bool


class StreamReader:
    """Reads an input: bytes in, the events of its answers out, in batches that are each of one answer.

    An answer's last batch, which may be empty, comes when the answer is over. An unknown part before, between or behind
    answers is a batch of its own; of several such parts that no answer is between, the first one. Nothing is raised: an
    answer has its failure, and `failure` is why the input has no answer, or cannot be read to its end. `grace` is how
    many seconds after the end of an answer a usage record, or another answer, is waited for; then, or when the input
    ends, `over` is true.
    """

    def __init__(self, grace: float) -> None:
        self._timeouts = Timeouts(None, None, None, grace=grace)
        self._framing = Framing()
        self._answer: Answer | None = None  # the one that is being read
        self._former: Answer | None = None
        self._count = 0
        self._start: tuple[str, bytes] | None = None  # of the last piece, if all pieces that begin so are of the answer
        self._unknown = b""  # what came since the former answer, and is none
        self._ended = 0.0  # when the former answer did
        self.over = False
        self.failure: Error | None = None

    @property
    def count(self) -> int:
        """How many answers there were so far."""
        return self._count

    def deadline(self) -> float | None:
        """Returns when to call `expire` unless something arrives; None for never."""
        if self._answer is not None:
            return self._answer.deadline()
        return None if self._former is None or self._framing.held else self._ended + self._timeouts.grace

    def expire(self, now: float) -> list[Batch]:
        """Returns the last batches when the wait for more is over."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return []
        answer = self._answer
        batches = [] if answer is None else [Batch(answer, answer.expire(now), answer.over)]
        if answer is None or answer.over:
            self._end(batches)
        return batches

    def feed(self, chunk: bytes, now: float) -> list[Batch]:
        """Returns the batches that chunk completes."""
        try:
            return self._feed(self._framing.feed(chunk), now)
        except Incomplete as error:
            return self._fail(error, now)

    def close(self, now: float) -> list[Batch]:
        """Ends the input; returns the last batches."""
        try:
            batches = self._feed(self._framing.close(), now, at_end=True)
        except Incomplete as error:
            return self._fail(error, now)
        if self._answer is not None:
            batches.append(Batch(self._answer, self._answer.close(now), True))
        self._end(batches)
        return batches

    def _end(self, batches: list[Batch]) -> None:
        self.over = True
        if self._count:
            self._tell_unknown(batches)
        else:
            self.failure = framing.unknown(self._unknown or self._framing.head)

    def _tell_unknown(self, batches: list[Batch]) -> None:
        """Adds the unknown part that came since the former answer."""
        if self._unknown:
            batches.append(Batch(Unknown(self._count, self._unknown), [], True))
            self._unknown = b""

    def _fail(self, error: Incomplete, now: float) -> list[Batch]:
        """Ends the input where it cannot be split: within an answer, or else behind the last."""
        self.over = True
        batches: list[Batch] = []
        if self._answer is not None:
            batches.append(Batch(self._answer, self._answer.close(now, error.message), True))
        self._tell_unknown(batches)
        if self._answer is None or self._answer.failure is None:
            self.failure = error
        return batches

    def _feed(self, pieces: list[Piece], now: float, at_end: bool = False) -> list[Batch]:
        batches: list[Batch] = []
        place, count = 0, len(pieces)
        while place < count:
            if pieces[place].place == TEXT:
                self._pass(pieces[place], None, None)
                self._start = None
                place += 1
                continue
            start = _start(pieces[place])
            alike = start == self._start
            if not alike or self._answer is None:
                self._start = start if self._choose_answer(pieces[place], now, batches) else None
            answer, after = self._answer, place + 1
            if answer is not None:
                while after < count and _start(pieces[after]) == self._start:  # nearly all pieces begin alike
                    after += 1
                answer.id_repeats |= alike or after > place + 1
                events, used = answer.feed(pieces[place:after], now, at_end and after == count)
                after = place + used
                batches.append(Batch(answer, events, answer.over))
                if answer.over:
                    self._close_answer(now)
            place = after
        return batches

    def _choose_answer(self, piece: Piece, now: float, batches: list[Batch]) -> bool:
        """Ends the answer, where the piece is of another, and begins that; leaves none for a piece of none.

        Returns whether the piece's first bytes tell its answer.
        """
        value = loads_or_none(piece.data)
        answer = self._answer
        sign = _sign(answer, piece, value)
        tells = sign is not None and _start_tells(sign, piece, value)
        if answer is not None and (sign is None or not _begins_another(answer, sign, piece, value)):
            if sign is None and piece.place == DOCUMENT and (answer.is_json is False or not answer.sign.has_end_mark):
                self._pass(piece, value, sign)
            else:
                self._unknown = b""  # it was within the answer
            return tells
        if answer is not None:
            batches.append(Batch(answer, answer.close(now, ANOTHER), True))
            self._close_answer(now)
        if sign is not None and not (self._former is not None and _trails(self._former, sign, piece, value)):
            self._tell_unknown(batches)
            self._begin(sign, value, now)
        else:
            self._pass(piece, value, sign)
        return tells

    def _begin(self, sign: Sign, value: Any, now: float) -> None:
        self._count += 1
        if sign.decoder == RECORDING:
            answer: Answer = Recording(self._count, sign, self._timeouts, now, value)
        else:
            answer = Answer(self._count, sign, self._timeouts, now)
        answer.continues(sign.id_of(value), is_beginning=True)
        self._answer = answer

    def _close_answer(self, now: float) -> None:
        self._former, self._answer = self._answer, None
        self._ended = now

    def _pass(self, piece: Piece, value: Any, sign: Sign | None) -> None:
        """Passes over a piece that is of no answer; remembers it, if it is none of what servers send there.

        Within an answer nothing is remembered before its finish.
        """
        data, answer, former = piece.data.strip(), self._answer, self._former
        idle = not data or value in ({}, []) or data.startswith(framing.DONE) or framing.DONE.startswith(data)
        idle = idle or "ping" in (piece.name, string(value, "type"))
        if sign is not None or idle or (answer is not None and answer.finish is None):
            return
        if former is not None and isinstance(value, dict) and former.id and former.sign.id_of(value) == former.id:
            return
        self._unknown = self._unknown or data


def _sign(answer: Answer | None, piece: Piece, value: Any) -> Sign | None:
    """Returns the sign that a piece is, at first that of its answer."""
    if not isinstance(value, dict):
        value = piece.data.decode("utf-8", "replace") if value is None else value
    elif piece.is_json and value.get("object") in detect.WHOLE_CHAT.objects:
        return detect.WHOLE_CHAT  # whose other keys a chunk has, too
    elif answer is not None and answer.sign.matches(detect.type_of(piece.name, value), value):
        return answer.sign
    return detect.recognise(piece.name, value)


def _start(piece: Piece) -> tuple[str, bytes]:
    return piece.name, piece.data[:START_BYTES]


def _start_tells(sign: Sign, piece: Piece, value: Any) -> bool:
    """Whether the first bytes of a piece have what tells its answer: a type that begins none, or else its id.

    They never do in a dialect without an end mark.
    """
    word = detect.type_of(piece.name, value) if sign.begin else sign.id_of(value)
    in_start = not word or f'"{word}"'.encode("utf-8", "replace") in piece.data[:START_BYTES]
    return sign.has_end_mark and word not in sign.begin and (in_start or word == piece.name)


def _begins_another(answer: Answer, sign: Sign, piece: Piece, value: Any) -> bool:
    """Whether a piece that is a sign begins another answer, though this one has not ended."""
    if sign is detect.FAILURE:
        return False
    if sign.whole and piece.is_json:
        return True
    is_beginning = detect.type_of(piece.name, value) in sign.begin
    if sign.decoder != answer.sign.decoder:
        return is_beginning or not sign.begin
    if sign.begin:
        return is_beginning and not (sign.id and answer.continues(sign.id_of(value), is_beginning=True))
    if not sign.has_end_mark and _follows_end(answer, piece, value):
        return True
    if not _has_output(value):
        return False
    return piece.is_json != answer.is_json or not answer.continues(sign.id_of(value), is_beginning=_begins_chat(value))


def _follows_end(answer: Answer, piece: Piece, value: Any) -> bool:
    """Whether a piece comes after the end of an answer that has no end mark.

    Another array does. After a finish, so do another document and another text; but some servers repeat the finish in
    each event.
    """
    if piece.place == ARRAY or answer.finish is None:
        return piece.place == ARRAY
    if piece.place == DOCUMENT:
        return bool(value.get("candidates") or value.get("promptFeedback"))
    parts = [part for candidate in items(value, "candidates") for part in items(candidate, "content", "parts")]
    return answer.finish_is_end and any(part.get("text") or "functionCall" in part for part in parts)


def _begins_chat(value: Any) -> bool:
    """Whether an event has the role of a chat answer, and nothing else: some servers repeat the role beside text."""
    choices = items(value, "choices")
    delta = choices[0].get("delta") if choices else None
    if not isinstance(delta, dict) or choices[0].get("finish_reason"):
        return False
    return bool(delta.get("role")) and not any(value for name, value in delta.items() if name != "role")


def _trails(former: Answer, sign: Sign, piece: Piece, value: Any) -> bool:
    """Whether a piece that is a sign belongs to the answer before, though that has ended."""
    if sign is detect.FAILURE or sign.decoder != former.sign.decoder or (sign.whole and piece.is_json):
        return False
    if sign.begin:
        return detect.type_of(piece.name, value) not in sign.begin
    failed = former.failure is not None and sign.id_of(value) == former.id != ""
    return failed or not _has_output(value)


def _has_output(value: Any) -> bool:
    """Whether an event is not a mere usage record of a chat answer."""
    return bool(value.get("choices", True))
