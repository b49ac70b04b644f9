"""Streams for Python programs: the answer to a prompt as events, pieces of text, or whole.

    with llmstream.stream("Name three rivers.") as answer:
        for piece in answer.text:
            print(piece, end="", flush=True)

The options are those of `llmstream gen`, and so are the environment and the configuration.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Unpack

from ..core.events import Event, Text
from ..errors import Error
from ..net import pool
from .base import BaseStream
from .options import Options
from .prepared import PreparedRequest, prepare

__all__ = ["Options", "Stream", "stream"]


def stream(prompt: str = "", model: str | Sequence[str] | None = None, **options: Unpack[Options]) -> Stream:
    """Streams a model's answer to a prompt. Nothing is sent before the stream is first read.

    Of several models each is asked when the one before is unavailable, or refuses, as the option `fallback_on` says.

    Raises UsageError for what cannot be asked, and TypeError for options that are not of Options. Reading raises
    Refused, Unavailable, or, for an answer that was cut, Incomplete, each after all events that came before. A limit
    or a refusal that ends the answer is no error: `finish` has the reason. JSON that a limit cuts is Incomplete.
    """
    return Stream(prepare(prompt, {**options, "model": model}))


class Stream(BaseStream):
    """Iterates over the events of one answer. Any thread may read it, one at a time, and any may close it."""

    def __init__(self, prepared: PreparedRequest) -> None:
        super().__init__(prepared)
        self._reading = threading.Lock()  # guards the generation
        self._releasing = threading.Lock()  # guards `_pooled`: a released loop may already belong to another stream
        self._pooled: pool.PooledLoop | None = None
        self._reusable = True  # the loop, for another stream

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._pooled is not None:
            self._reusable = False
            with contextlib.suppress(Exception):  # the garbage collector may have finalized libcurl's handles before
                self.close()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        if not (batch := self._take(1)):
            raise StopIteration
        return batch[0]

    def batches(self) -> Iterator[list[Event]]:
        """Yields the events that arrived together, in lists that are never empty."""
        while batch := self._take():
            yield batch

    @property
    def text(self) -> Iterator[str]:
        """The text alone, piece by piece as it arrives. A filter over it that ends early closes the stream."""
        return _Pieces(self)

    def read(self) -> str:
        """Reads to the end, and returns the text from here on. Callbacks get it while it comes."""
        return "".join(self.text)

    def close(self) -> None:
        """Ends the answer at once, if it is not over: `finish.reason` is then "cancelled". Any thread may call it."""
        self._closing = True
        self._settle()

    def _settle(self) -> None:
        """Closes the stream, or wakes the thread that is reading, which then closes it."""
        if self._is_inherited:  # with locks that a thread of the parent may have held
            self._pooled = None
            self._cancel()
        elif self._reading.acquire(blocking=False):
            try:
                self._cancel()
            finally:
                self._reading.release()
        else:
            with self._releasing:
                if self._pooled:
                    self._pooled.wake()

    def _take(self, most: int | None = None) -> list[Event]:
        try:
            with self._reading:
                self._wait()
                batch = self._pop(most)
        finally:
            if self._closing:
                self._settle()  # `close` may have been called while the lock was held
        return self._run_callbacks(batch)

    def _wait(self) -> None:
        if self._pooled is None and not self._closing and not self._ended:
            self._start()
        elif self._generation and not self._queue:
            self._generation.restart_stall_clock()
        try:
            while True:
                if self._falls_back() or self._goes_on():
                    self._connect()
                if self._advance() is not None:
                    break
                assert self._pooled
                self._pooled.loop.wait()
        except BaseException as error:  # an interrupt, for example, may come at any point of the loop's work
            self._reusable = isinstance(error, Error)
            raise

    def _start(self) -> None:
        self._pooled = pool.acquire()
        self._connect()

    def _connect(self) -> None:
        """Sends the request to the model."""
        assert self._pooled
        try:
            self._begin(*self._pooled.routes.to(self._prepared.target, self._prepared.request.size()))
        except BaseException:
            self._end()
            raise

    def _end(self) -> None:
        try:
            super()._end()
        finally:
            with self._releasing:
                pooled, self._pooled = self._pooled, None
            if pooled:
                pool.release(pooled, self._reusable)


class _Pieces(Iterator[str]):
    """The texts among the events. Closing it closes the stream; dropping it does not."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.close = stream.close

    def __next__(self) -> str:
        for event in self._stream:
            if isinstance(event, Text):
                return event.text
        raise StopIteration
