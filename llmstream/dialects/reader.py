"""Reads an input in which answers of any dialects stand one after the other."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core import framing
from ..core.decoder import string
from ..core.events import Event
from ..core.framing import Framing
from ..core.json_codec import loads_or_none
from ..core.pieces import DOCUMENT, TEXT, Piece
from ..core.timing import Timeouts
from ..errors import Error, Incomplete
from .answers import Answer, Recording
from .boundaries import begins_another, sign_of, start_of, start_tells, trails
from .detect import RECORDING, Sign

ANOTHER = "another answer begins before the end mark"


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
            start = start_of(pieces[place])
            alike = start == self._start
            if not alike or self._answer is None:
                self._start = start if self._choose_answer(pieces[place], now, batches) else None
            answer, after = self._answer, place + 1
            if answer is not None:
                while after < count and start_of(pieces[after]) == self._start:  # nearly all pieces begin alike
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
        sign = sign_of(answer, piece, value)
        tells = sign is not None and start_tells(sign, piece, value)
        if answer is not None and (sign is None or not begins_another(answer, sign, piece, value)):
            if sign is None and piece.place == DOCUMENT and (answer.is_json is False or not answer.sign.has_end_mark):
                self._pass(piece, value, sign)
            else:
                self._unknown = b""  # it was within the answer
            return tells
        if answer is not None:
            batches.append(Batch(answer, answer.close(now, ANOTHER), True))
            self._close_answer(now)
        if sign is not None and not (self._former is not None and trails(self._former, sign, piece, value)):
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
