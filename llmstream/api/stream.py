"""Streams for Python programs: the answer to a prompt as events, pieces of text, or whole.

    with llmstream.stream("Name three rivers.") as answer:
        for piece in answer.text:
            print(piece, end="", flush=True)

The options are those of `llmstream gen`, and so are the environment and the configuration.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Unpack

from ..core.events import Event, Text
from ..net import pool
from .base import Answer, Options, PreparedRequest, ask

__all__ = ["Options", "Stream", "stream"]


def stream(prompt: str = "", model: str | None = None, **options: Unpack[Options]) -> Stream:
    """The answer of a model to a prompt. Nothing is sent before it is first read.

    Raises UsageError for what cannot be asked. Options are those of gen, see Options. While it is read, there may come
    Refused, Unavailable, or Incomplete for an answer that was cut, each after all that came before it. A limit or a
    refusal that ends the answer is no error: `finish` has the reason.
    """
    return Stream(ask(prompt, {**options, "model": model}))


class Stream(Answer):
    """An iterator of events, to be read once. It may be closed by any thread, and moved between them."""

    def __init__(self, asked: PreparedRequest) -> None:
        super().__init__(asked)
        self._reading = threading.Lock()  # whoever has it may touch the generation
        self._leaving = threading.Lock()  # for those who wake a line: it may be another stream's soon
        self._line: pool.PooledLoop | None = None

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._line is not None:
            self.close()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        if not (batch := self._take(1)):
            raise StopIteration
        return batch[0]

    def batches(self) -> Iterator[list[Event]]:
        """The events that arrived together, in lists."""
        while batch := self._take():
            yield batch

    @property
    def text(self) -> Iterator[str]:
        """The text alone, piece by piece as it arrives. A filter over it that has enough closes the stream."""
        return _Pieces(self)

    def read(self) -> str:
        """Reads to the end: the text from here on. A callback sees it while it comes."""
        return "".join(self.text)

    def close(self) -> None:
        """Ends the answer at once, if it is not over: `finish` is then "cancelled". For any thread, at any time."""
        self._closing = True
        self._settle()

    def _settle(self) -> None:
        """Closes, unless a thread is reading: that one is woken, and sees to it."""
        if self._reading.acquire(blocking=False):
            try:
                self._cancel()
            finally:
                self._reading.release()
        else:
            with self._leaving:
                if self._line:
                    self._line.wake()

    def _take(self, most: int | None = None) -> list[Event]:
        try:
            with self._reading:
                self._wait()
                batch = self._taken(most)
        finally:
            if self._closing:
                self._settle()  # somebody may have called while the lock was held
        return self._tell(batch)

    def _wait(self) -> None:
        if self._line is None and not self._closing and not self._ended:
            self._start()
        elif self._generation and not self._queue:
            self._generation.caught_up()
        while self._advance() is None:
            assert self._line
            self._line.loop.wait()

    def _start(self) -> None:
        line = self._line = pool.acquire()
        try:
            self._begin(*line.routes.to(self._asked.target, self._asked.size))
        except BaseException:
            self._end()
            raise

    def _end(self) -> None:
        super()._end()
        with self._leaving:
            line, self._line = self._line, None
        if line:
            pool.release(line)


class _Pieces(Iterator[str]):
    """The texts among the events. To close it is to close the stream, to drop it is not."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.close = stream.close

    def __next__(self) -> str:
        for event in self._stream:
            if isinstance(event, Text):
                return event.text
        raise StopIteration
