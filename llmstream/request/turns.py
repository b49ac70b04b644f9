"""The turns of one exchange: the question, an answer, the results of its calls, another answer, and so on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from ..core.events import Event, Text, ToolResult
from ..core.exchange import Exchange
from ..core.request import Call, Message, Request
from ..errors import Incomplete, option
from ..net.generation import Generation
from ..net.generation import events as events_of
from ..net.loop import Loop
from .answer import AnswerBuilder, continued, question

RunTools = Callable[[Sequence[Call]], list[Message]]
Start = Callable[[Request, Sequence[Exchange]], Generation]


def goes_on(message: Message, generation: Generation, runs_tools: bool, count: int, max_turns: int) -> bool:
    """Returns whether an answer is followed by another: its calls can be run, or the provider has paused it.

    `message` is the answer as a turn, and `count` its number. Raises Incomplete where it is the last one that may be.
    """
    finish, stops = generation.exchange.finish, generation.stops
    if generation.failure or finish is None or (stops and stops.early):
        return False
    pauses = finish.reason == "paused" and bool(message.native or message.content) and not message.calls
    if not (pauses or (finish.reason == "tool_calls" and runs_tools and message.calls)):
        return False
    if count >= max_turns:
        limit = f"{max_turns} turn{'' if max_turns == 1 else 's'}"
        what = "the provider still pauses the answer" if pauses else "the model still calls tools"
        raise Incomplete(f"{what} after {limit}: raise {option('max_turns')}")
    return True


def tool_results(messages: Sequence[Message]) -> list[Event]:
    """Returns the results of tools as events."""
    return [
        ToolResult(message.result_of.id, message.result_of.name, message.content, message.is_error)
        for message in messages
        if message.result_of
    ]


class Turns:
    """Asks, and asks again with the results of the tools that `run_tools` runs, and after a pause of the provider.

    `start` makes and starts the generation of a request, after the exchanges before. `generation` is the last one, and
    `earlier` are the exchanges of those before it. `messages` are the turns that are whole, but the last answer.
    `on_next` is called before each answer after the first. `separates`: a newline sets the text of an answer apart from
    that of the one before.
    """

    def __init__(
        self,
        request: Request,
        generation: Generation,
        loop: Loop,
        start: Start,
        on_next: Callable[[], object],
        run_tools: RunTools | None = None,
        max_turns: int = 1,
        separates: bool = True,
    ) -> None:
        self.generation = generation
        self.earlier: list[Exchange] = []
        self.messages: list[Message] = question(request)
        self.answer = AnswerBuilder()
        self.has_text = False  # whether an answer before the last one has any
        self._request, self._loop, self._start, self._on_next = request, loop, start, on_next
        self._run_tools, self._max_turns = run_tools, max_turns
        self._separates, self._lacks_newline = separates, False

    def events(self) -> Generator[list[Event]]:
        """Yields the events of all answers; closing this ends the one that comes. Raises what ends an answer."""
        while True:
            yield from self._stream()
            message, run = self.answer.message(self.generation.exchange), self._run_tools
            if not goes_on(message, self.generation, run is not None, len(self.earlier) + 1, self._max_turns):
                return
            results = run(message.calls) if run and message.calls else []
            if results:
                yield tool_results(results)
            else:
                self._lacks_newline = False  # the text goes on after a pause
            self._continue([message, *results])

    def ask_again(self, correction: Message) -> None:
        """Asks for the last answer again, after a turn that says what is wrong with it; `events` has the next one."""
        message = self.answer.message(self.generation.exchange)
        self._continue([message, correction] if message.content else [correction])
        self._lacks_newline = False  # the output begins anew, too

    def _continue(self, turns: list[Message]) -> None:
        """Starts the next answer after the last one and what follows it."""
        self.messages += turns
        self.has_text = self.has_text or any(turn.role == "assistant" and turn.content for turn in turns)
        self._request = continued(self._request, turns, self.generation.exchange.native_container())
        self.answer = AnswerBuilder()
        self._on_next()
        earlier = [*self.earlier, self.generation.exchange]
        self.generation = self._start(self._request, earlier)
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
                yield batch
        finally:
            source.close()
