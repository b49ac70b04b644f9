"""The turns of one exchange: the question, an answer, the results of its calls, another answer, and so on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence

from ..core.events import Event, Finish, Start, Text, ToolResult, Usage
from ..core.exchange import Exchange
from ..core.report import total_usage
from ..core.request import Call, Message, Request
from ..core.timing import Timing
from ..errors import Error, Incomplete, Unavailable, option
from ..net.generation import Generation
from ..net.generation import events as events_of
from ..net.loop import Loop
from .answer import AnswerBuilder, continued, question

RunTools = Callable[[Sequence[Call]], list[Message]]
Begin = Callable[[Request, Sequence[Exchange]], Generation]


def may_go_on(message: Message, generation: Generation, runs_tools: bool, count: int, max_turns: int) -> bool:
    """Returns whether an answer is followed by another: its calls can be run, or the provider has paused it.

    `message` is the answer as a turn, and `count` its number. Raises Incomplete where it is the last one that may be.
    """
    finish, stops = generation.exchange.finish, generation.stops
    if generation.failure or finish is None or (stops and stops.early):
        return False
    pauses = generation.exchange.is_paused and bool(message.native or message.content) and not message.calls
    if not (pauses or (finish.reason == "tool_calls" and runs_tools and message.calls)):
        return False
    if count >= max_turns:
        limit = f"{max_turns} turn{'' if max_turns == 1 else 's'}"
        what = "the provider still pauses the answer" if pauses else "the model still calls tools"
        raise Incomplete(f"{what} after {limit}: raise {option('max_turns')}")
    return True


def after_text(error: Error, has_text: bool) -> Error:
    """Returns the error of a later answer: where it is unavailable and there was text before, Incomplete."""
    if isinstance(error, Unavailable) and has_text:
        return Incomplete(error.message, hint=error.hint)
    return error


def tool_results(messages: Sequence[Message]) -> list[Event]:
    """Returns the results of tools as events."""
    return [
        ToolResult(
            call.id, call.name, message.content, message.is_error, "".join(file.media_type for file in message.files)
        )
        for message in messages
        if (call := message.result_of)
    ]


class Turns:
    """Asks, and asks again with the results of the tools that `run_tools` runs, and after a pause of the provider.

    `begin` makes and starts the generation of a request, after the exchanges before. `generation` is the last one, and
    `earlier` are the exchanges of those before it. `messages` are the turns that are whole, but the last answer.
    `on_next` is called before each answer after the first, with whether that continues one after a pause. `separates`:
    a newline sets the text of an answer apart from that of the one before.
    """

    def __init__(
        self,
        request: Request,
        generation: Generation,
        loop: Loop,
        begin: Begin,
        on_next: Callable[[bool], object],
        run_tools: RunTools | None = None,
        max_turns: int = 1,
        separates: bool = True,
    ) -> None:
        self.generation = generation
        self.earlier: list[Exchange] = []
        self.messages: list[Message] = question(request)
        self.answer = AnswerBuilder()
        self.has_text = False  # whether an answer before the last one has any
        self._parts = Parts()  # of the last answer
        self._paused_text = ""  # of the last answer, before pauses of the provider
        self._request, self._loop, self._begin, self._on_next = request, loop, begin, on_next
        self._run_tools, self._max_turns = run_tools, max_turns
        self._separates, self._lacks_newline = separates, False

    def events(self) -> Generator[list[Event]]:
        """Yields the events of all answers; closing this ends the one that comes. Raises what ends an answer."""
        while True:
            yield from self._stream()
            exchange, run, goes_on = self.generation.exchange, self._run_tools, False
            message = self.answer.message(exchange)
            try:
                goes_on = may_go_on(message, self.generation, run is not None, len(self.earlier) + 1, self._max_turns)
            finally:
                if not goes_on and (rest := self._parts.end()):
                    yield rest
            if not goes_on:
                return
            results = run(message.calls) if run and message.calls else []
            if exchange.is_paused:
                self._parts.go_on(exchange)
                self._paused_text += message.content
                self._lacks_newline = False  # the text goes on after a pause
            else:
                self._parts.end()
                self._paused_text = ""
                yield tool_results(results)
            self._continue([message, *results], exchange.is_paused)

    @property
    def text(self) -> str:
        """The text of the last answer, from before pauses of the provider on."""
        return self._paused_text + self.answer.message(self.generation.exchange).content

    def ask_again(self, correction: Message) -> None:
        """Asks for the last answer again, after a turn that says what is wrong with it; `events` has the next one."""
        message = self.answer.message(self.generation.exchange)
        self._parts.end()
        self._continue([message, correction] if message.content else [correction])
        self._lacks_newline, self._paused_text = False, ""  # the output begins anew, too

    def _continue(self, turns: list[Message], after_pause: bool = False) -> None:
        """Starts the next answer after the last one and what follows it."""
        self.messages += turns
        self.has_text = self.has_text or any(turn.role == "assistant" and turn.content for turn in turns)
        self._request = continued(self._request, turns, self.generation.exchange.native_container())
        self.answer = AnswerBuilder()
        self._on_next(after_pause)
        earlier = [*self.earlier, self.generation.exchange]
        self.generation = self._begin(self._request, earlier)
        self.earlier = earlier

    def _stream(self) -> Generator[list[Event]]:
        """Yields the events of one answer, set apart from the text of the one before."""
        source, begins = events_of(self.generation, self._loop), bool(self.earlier)
        try:
            for batch in source:
                self.answer.feed(batch)
                texts = [event.text for event in batch if isinstance(event, Text) and event.text]
                if texts and begins and self._lacks_newline:
                    yield [Text("\n")]
                if texts:
                    begins, self._lacks_newline = False, self._separates and not texts[-1].endswith("\n")
                if passed := self._parts.feed(self.generation.exchange, batch):
                    yield passed
        finally:
            source.close()


class Parts:
    """Makes the events of an answer that the provider pauses those of one answer: one start, one usage, one finish."""

    def __init__(self) -> None:
        self._earlier: list[Exchange] = []  # of the parts before the last one
        self._pause: list[Event] = []  # the last events of a part after which the provider has paused

    def feed(self, exchange: Exchange, events: Iterable[Event]) -> list[Event]:
        """Returns those of the last part's events that the whole answer has."""
        passed: list[Event] = []
        for event in events:
            whole = event
            if isinstance(event, Usage):
                whole = total_usage([*self._earlier, exchange]) or event
            if exchange.is_paused and isinstance(event, Usage | Finish):
                self._pause.append(whole)
            elif not (self._earlier and isinstance(event, Start)):
                passed.append(whole)
        return passed

    def go_on(self, exchange: Exchange) -> None:
        """Begins another part after one that is paused."""
        self._earlier.append(exchange)
        self._pause = []

    def end(self) -> list[Event]:
        """Ends the answer; returns the events that are left: of a pause after which it does not go on."""
        events, self._pause, self._earlier = self._pause, [], []
        return events


class PausingAnswer:
    """An answer that the provider may pause, for a reader who gets it as one.

    `earlier` are the exchanges of its parts before the last one.
    """

    def __init__(self, request: Request, max_turns: int) -> None:
        self.earlier: list[Exchange] = []
        self._request, self._max_turns = request, max_turns
        self._part, self._parts = AnswerBuilder(), Parts()
        self._has_text = False  # whether an earlier part has any

    def feed(self, exchange: Exchange, events: list[Event]) -> list[Event]:
        """Adds events of the last part; returns the reader's."""
        self._part.feed(events)
        return self._parts.feed(exchange, events)

    def go_on(self, generation: Generation) -> Request | None:
        """Returns the request for the next part after one that has ended; None where the answer does not go on.

        Raises Incomplete where no more parts may follow.
        """
        exchange = generation.exchange
        if not exchange.is_paused:
            return None
        message = self._part.message(exchange)
        if not may_go_on(message, generation, False, len(self.earlier) + 1, self._max_turns):
            return None
        self._request = continued(self._request, [message], exchange.native_container())
        self.earlier.append(exchange)
        self._has_text = self._has_text or bool(message.content)
        self._parts.go_on(exchange)
        self._part = AnswerBuilder()
        return self._request

    def end(self) -> list[Event]:
        """Returns the events that are left: of a pause after which the answer does not go on."""
        return self._parts.end()

    def timing(self, last: Timing) -> Timing:
        """Returns the times of the whole answer; `last` are those of the last part."""
        if not self.earlier:
            return last
        first = self.earlier[0].timing
        timing = Timing(first.started)
        timing.first, timing.last = first.first or last.first, last.last or first.last
        return timing

    def failure(self, error: Error) -> Error:
        """Returns the error of the last part as that of the whole answer."""
        return after_text(error, self._has_text)
