"""The state that a stream has in threads and in asyncio alike."""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..core.events import Event, Finish, Source, Text, Usage
from ..core.report import is_cut_json, total_usage, verdict
from ..core.timing import Timing
from ..errors import Error, followed, spell
from ..net.attempts import Resume
from ..net.generation import Generation
from ..net.transfer import Transport
from ..providers.target import Target
from .prepared import PreparedRequest

if TYPE_CHECKING:
    from ..request.turns import PausingAnswer


_forks = 0  # that led to this process


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


class BaseStream:
    """One generation and its unconsumed events. Subclasses add waiting and locking.

    `on_fallback`, where given, is called when another model is asked, with the name of the model that has failed and
    the sentence that `note` gets.
    """

    def __init__(self, prepared: PreparedRequest, on_fallback: Callable[[str, str], object] | None = None) -> None:
        self._prepared, self._on_fallback = prepared, on_fallback
        self._generation: Generation | None = None
        self._pausing: PausingAnswer | None = None  # of a provider that may pause the answer
        self._queue: deque[Event] = deque()
        self._notes: list[str] = []
        self._sources: list[Source] = []
        self._checked: list[str] = []  # the text of an answer that has to be JSON
        self._closing = self._ended = self._failed = False
        self._forks = 0  # that led to the process which has sent the request
        self.finish: Finish | None = None  # once the reader has the event, or closed the stream

    def __repr__(self) -> str:
        state = "failed" if self._failed else self.finish.reason if self.finish else "closed" if self._ended else "open"
        target = self._prepared.target if self._prepared.is_built else None
        return f"<{type(self).__name__} {f'{target.provider}/{target.model} ' if target else ''}{state}>"

    @property
    def usage(self) -> Usage | None:
        """The tokens, as far as the provider has reported them; None before."""
        if self._generation is None:
            return None
        earlier = self._pausing.earlier if self._pausing else []
        return total_usage([*earlier, self._generation.exchange])

    @property
    def cost(self) -> float | None:
        """The price in US dollars, as the provider states it or by the list of the extra `prices`; None if unknown."""
        from ..config import prices

        if not self._prepared.is_built:
            return None
        target, answering = self._prepared.target, self._generation.exchange.model if self._generation else ""
        return prices.cost(target.provider, target.model, self.usage, answering)

    @property
    def sources(self) -> list[Source]:
        """The sources that the answer cites, in the order of the citations, as far as the reader has come."""
        return list(self._sources)

    @property
    def timing(self) -> Timing | None:
        """When the request was sent and the answer came, in seconds of the monotonic clock; None before it is sent."""
        if self._generation is None:
            return None
        timing = self._generation.timing
        return self._pausing.timing(timing) if self._pausing else timing

    @property
    def met(self) -> bool:
        """Whether a condition of `until` was met."""
        stops = self._generation.stops if self._generation else None
        return stops is not None and stops.met

    def close(self) -> None:
        """Ends the answer."""
        raise NotImplementedError

    @property
    def _is_inherited(self) -> bool:
        """Whether this process was forked while the stream was open in its parent, whose connection it is."""
        return self._generation is not None and self._forks != _forks

    def _wake(self) -> None:
        """Called when there may be new events."""

    def _begin(self, target: Target, transport: Transport) -> None:
        """Sends the request. The loop holds a weak reference only, so that a dropped stream is closed."""
        prepared, ref, notes = self._prepared, weakref.ref(self), self._notes
        self._forks = _forks
        if prepared.choice.may_pause and self._pausing is None:
            from ..request.turns import PausingAnswer

            self._pausing = PausingAnswer(prepared.request, prepared.choice.max_turns)
        is_later_part = self._pausing is not None and bool(self._pausing.earlier)
        stops = self._generation.stops if self._generation and is_later_part else prepared.new_stops()

        def wake() -> None:
            if (stream := ref()) is not None:
                stream._wake()

        def note(text: str) -> None:
            notes.append(text)
            wake()

        if prepared.request.within:
            from ..net.polling import Polling

            transport = Polling(transport, target, note=note)
        try:
            self._generation = Generation(
                target,
                prepared.request,
                prepared.choice.timeouts,
                prepared.choice.retries,
                transport,
                stops=stops,
                resume=self._resume(target, note),
                note=note,
                wake=wake,
            )
            self._generation.start()
        except BaseException:
            self._failed = True
            self._end()
            raise

    def _resume(self, target: Target, note: Callable[[str], None]) -> Resume | None:
        if not self._prepared.choice.resumes:
            return None
        from ..net import resume

        return resume.of(target, note)

    def _fallback_cause(self) -> Error | None:
        """Returns why the next model is to be asked, None where there is none or this one's answer counts."""
        prepared, generation = self._prepared, self._generation
        if not prepared.is_built or not prepared.following or generation is None:
            return None
        if self._ended or self._closing or self._is_inherited or (self._pausing and self._pausing.earlier):
            return None
        cause = generation.early_failure
        return cause if cause is not None and prepared.choice.falls_back(cause) else None

    def _falls_back(self) -> bool:
        """Returns whether the next model is to be asked, which the request then is for."""
        cause, prepared = self._fallback_cause(), self._prepared
        if cause is None:
            return False
        before, prepared.choice, self._pausing = prepared.choice, prepared.following.pop(0), None
        note = followed(cause.message, f"asking {prepared.target.name} instead of {before.target.name}")
        self._notes.append(note)
        if self._on_fallback:
            self._on_fallback(before.target.name, note)
        return True

    def _goes_on(self) -> bool:
        """Returns whether the provider has paused the answer; the request then is for what follows."""
        pausing, generation = self._pausing, self._generation
        if pausing is None or generation is None or not generation.over:
            return False
        if self._ended or self._closing or self._is_inherited:
            return False
        self._buffer(generation)
        if self._queue:  # which the reader gets first
            return False
        try:
            request = pausing.go_on(generation)
        except Error:
            self._failed = True
            self._end()
            raise
        if request is None:
            self._queue += pausing.end()
            return False
        self._prepared.choice = self._prepared.choice._replace(request=request)
        return True

    def _advance(self) -> bool | None:
        """Returns whether there are events to read, None if they are still to come. Raises the error of the answer."""
        if self._closing:
            self._cancel()
        if self._queue:
            return True
        if self._is_inherited and not self._ended:
            raise RuntimeError("the stream belongs to the parent process: begin a new one after a fork")
        if self._ended or self._generation is None:
            return False
        while self._notes:
            self._call("note", spell(self._notes.pop(0)))
        self._buffer(self._generation)
        if self._queue or not self._generation.over:
            return True if self._queue else None
        self._end()
        for text in self._generation.notes:
            self._call("note", spell(text))
        if failure := self._generation.failure or self._wrong(self._generation):
            self._failed = True
            raise self._pausing.failure(failure) if self._pausing else failure
        return False

    def _buffer(self, generation: Generation) -> list[Event]:
        """Puts new events into the queue; returns them."""
        events = generation.take()
        if self._pausing:
            events = self._pausing.feed(generation.exchange, events)
        self._queue += events
        if self._prepared.request.wants_json:
            self._checked += [event.text for event in events if isinstance(event, Text)]
        return events

    def _wrong(self, generation: Generation) -> Error | None:
        """Returns the error of JSON that was cut at a limit of its length, or that the check finds wrong."""
        check, exchange, request = self._prepared.choice.check, generation.exchange, self._prepared.request
        if request.wants_json and is_cut_json(exchange, "".join(self._checked)):
            return verdict(exchange.finish, request.is_limited, is_cut_json=True)
        if check is None or exchange.tool_calls or verdict(exchange.finish, request.is_limited):
            return None
        from ..request.answer_check import wrong

        problems = check.problems("".join(self._checked))
        return wrong(problems) if problems else None

    def _pop(self, most: int | None) -> list[Event]:
        """Removes events from the queue: `most` at most, or all."""
        queue = self._queue
        if most is None or len(queue) <= most:
            batch = list(queue)
            queue.clear()
            return batch
        return [queue.popleft() for _ in range(most)]

    def _run_callbacks(self, batch: list[Event]) -> list[Event]:
        """Calls the callbacks for events that the reader is about to get."""
        on_text = self._prepared.callbacks["on_text"]
        for event in batch:
            if isinstance(event, Finish):
                self.finish = event
                self._call("on_finish", event)
            elif isinstance(event, Text):
                if on_text:
                    self._call("on_text", event.text)
            elif isinstance(event, Source):
                self._sources.append(event)
        return batch

    def _call(self, name: str, value: object) -> None:
        call = self._prepared.callbacks[name]
        if call is None:
            return
        try:
            call(value)
        except BaseException:
            self.close()
            raise

    def _cancel(self) -> None:
        """Ends an answer that is not over; events that were not read are dropped."""
        self._end()
        if self.finish is None and not self._failed:
            self._queue.clear()
            self.finish = Finish("cancelled", "")
            self._queue.append(self.finish)

    def _end(self) -> None:
        """Ends the generation."""
        self._ended = True
        if self._generation is not None and not self._is_inherited:
            self._generation.close()
