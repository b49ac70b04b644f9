"""The turns of one exchange: the question, an answer, the results of its calls, another answer, and so on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from ..core.events import Event, Text
from ..core.exchange import Exchange
from ..core.request import Call, Message, Request
from ..errors import Incomplete, option
from ..net.generation import Generation
from ..net.generation import events as events_of
from ..net.loop import Loop
from .answer import AnswerBuilder, continued, question

RunTools = Callable[[Sequence[Call]], list[Message]]


class Turns:
    """Asks, and asks again with the results of the tools that `run_tools` runs; without it there is one answer.

    `start` makes and starts the generation of a request. `generation` is the last one, and `earlier` are the exchanges
    of those before it. `messages` are the turns that are whole, but the last answer.
    """

    def __init__(
        self,
        request: Request,
        generation: Generation,
        loop: Loop,
        start: Callable[[Request], Generation],
        run_tools: RunTools | None = None,
        max_turns: int = 1,
    ) -> None:
        self.generation = generation
        self.earlier: list[Exchange] = []
        self.messages: list[Message] = question(request)
        self.answer = AnswerBuilder()
        self._request, self._loop, self._start = request, loop, start
        self._run_tools, self._max_turns = run_tools, max_turns
        self._lacks_newline = False

    def events(self) -> Generator[list[Event]]:
        """Yields the events of all answers; closing this ends the one that comes. Raises what ends an answer."""
        while True:
            yield from self._stream()
            message = self.answer.message(self.generation.exchange)
            finish = self.generation.exchange.finish
            if self._run_tools is None or not message.calls or finish is None or finish.reason != "tool_calls":
                return
            if len(self.earlier) + 1 >= self._max_turns:
                limit = f"{self._max_turns} turn{'' if self._max_turns == 1 else 's'}"
                raise Incomplete(f"the model still calls tools after {limit}: raise {option('max_turns')}")
            self._continue([message, *self._run_tools(message.calls)])

    def ask_again(self, correction: Message) -> None:
        """Asks for the last answer again, after a turn that says what is wrong with it; `events` has the next one."""
        message = self.answer.message(self.generation.exchange)
        self._continue([message, correction] if message.content else [correction])
        self._lacks_newline = False  # the output begins anew, too

    def _continue(self, turns: list[Message]) -> None:
        """Starts the next answer after the last one and what follows it."""
        self.messages += turns
        self.earlier.append(self.generation.exchange)
        self._request = continued(self._request, turns)
        self.answer = AnswerBuilder()
        self.generation = self._start(self._request)

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
                    begins, self._lacks_newline = False, not texts[-1].endswith("\n")
                yield batch
        finally:
            source.close()
