"""Prints the answer of `llmstream gen`: runs its requests, renders what comes, and reports how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from .. import stdio
from ..core import report
from ..core.events import Event, Reasoning
from ..core.render import EventRenderer, SourceList, TextRenderer
from ..errors import (
    Error,
    Incomplete,
    NotFound,
    OutputFailed,
    ReaderGone,
    Signalled,
    Unavailable,
    followed,
)
from ..providers.resolve import Target
from ..request.choices import Choice
from .request_command import current_output_file
from .stats_file import StatsFile

if TYPE_CHECKING:
    from ..batch.record_builder import RecordBuilder
    from ..config.max_cost import CostMeter
    from ..core.exchange import Exchange
    from ..core.request import Request
    from ..net.attempts import Resume
    from ..net.generation import Generation
    from ..net.loop import Loop
    from ..net.transports import Route
    from ..output_file import OutputFile
    from ..request.chat_file import ChatFile
    from ..request.turns import RunTools, Turns
    from .gen_options import GenOptions

NAME = "gen"


class AnswerPrinter:
    """Runs requests, prints the events of the answer, and reports its tokens and times at the end, however it ends.

    `names_model`: a record says which model has answered.
    """

    def __init__(self, values: GenOptions, names_model: bool, chat: ChatFile | None) -> None:
        self._values, self._names_model, self._chat = values, names_model, chat
        self._turns: Turns | None = None  # with a conversation to keep, a check, or answers that may be followed
        self._record: RecordBuilder | None = None  # with --line
        self._check_retries = 0  # how often the answer may still be asked for again
        self._sources = SourceList()  # stays empty without --sources
        self._stats = StatsFile(values.stats_file, NAME) if values.stats_file is not None else None

    def run(self, choices: list[Choice], connect: Callable[[Choice], Route], loop: Loop) -> None:
        """Streams the answer of the first model that has one to stdout; raises the error that ended it."""
        for choice, following in pairwise([*choices, None]):
            assert choice
            cause: Error | None
            try:
                route = connect(choice)
            except Unavailable as error:  # of an embedded model that does not start, for example
                if following is None:
                    raise
                cause = error
            else:
                with closing(route.transport):
                    cause = self._answer(choice, route, loop, following is None)
            if cause is None or following is None:
                return
            stdio.note(NAME, followed(cause.message, f"asking {following.target.name} instead of {choice.target.name}"))

    def _answer(self, choice: Choice, route: Route, loop: Loop, is_last: bool) -> Error | None:
        """Streams a model's answer. Returns why the next model is to be asked, which the last one never is."""
        from ..net.generation import Generation, events

        self._choice, target = choice, route.target
        self._meter = self._new_meter()

        file = current_output_file() if choice.check else None
        self._check_retries = choice.check_retries if file or self._values.line else 0

        notes: list[str] = []

        def make(request: Request, earlier: Sequence[Exchange] = ()) -> Generation:
            if self._meter:
                self._meter.begin(choice.target, request, earlier)
            self._stops = self._values.stops()  # each answer is matched by itself
            return Generation(
                target,
                request,
                choice.timeouts,
                choice.retries,
                route.transport,
                stops=self._stops,
                resume=resume_of(target, choice, notes.append),
                note=partial(stdio.note, NAME),
                shows_reasoning=request.reasoning or self._meter is not None,  # which counts it as it comes
            )

        generation = make(choice.request)
        for note in notes:  # of a request that can be sent, and of the first answer
            stdio.note(NAME, note)
        source = events(generation, loop)
        try:
            generation.start()
            while not (is_last or generation.has_news):
                loop.wait()
            if not is_last and (cause := generation.early_failure) and choice.falls_back(cause):
                return cause
            if choice.request.native or choice.check:
                source = self._take_turns(generation, make, loop)
            self._render(generation, source)
            if choice.check:
                self._correct(file)
            generation = self._turns.generation if self._turns else generation
            stopped = self._stops is not None and self._stops.early
            if not stopped:
                self._require_whole(generation.exchange)
            if self._chat and self._turns:
                messages = [*self._turns.messages, self._turns.answer.message(generation.exchange)]
                self._chat.add(messages, target, choice.request.system)
            if not stopped:
                self._check(generation.exchange)
        except Error as error:
            generation = self._turns.generation if self._turns else generation
            failure = self._after_text(error)
            self._keep_cut(target, failure)
            self._report(generation, target, failure.status, "error" if generation.failure else "", failed=True)
            raise failure from None
        except (ReaderGone, Signalled) as cause:
            generation = self._turns.generation if self._turns else generation
            generation.close()  # before the report, and while no event had come
            self._keep_cut(target, None)
            status = 128 + cause.signum if isinstance(cause, Signalled) else 0
            self._report(generation, target, status, "cancelled", failed=True)
            raise
        self._report(generation, target, 0, "until" if stopped else "")
        return None

    def _after_text(self, error: Error) -> Error:
        """Returns the error that ends the answers; text of those before the last one may be written."""
        if self._turns is None or self._values.line:
            return error
        from ..request.turns import after_text

        return after_text(error, self._turns.has_text)

    def _new_meter(self) -> CostMeter | None:
        if self._values.max_cost is None:
            return None
        from ..config.max_cost import CostMeter

        return CostMeter(self._values.max_cost)

    def _correct(self, file: OutputFile | None) -> None:
        """Asks for a wrong answer again, as often as may be, and writes the new one in place of it."""
        from ..request.answer_check import correction, wrong

        while self._turns and self._check_retries and (problems := self._problems()):
            self._check_retries -= 1
            stdio.note(NAME, f"{wrong(problems).message}: asking again")
            if file:
                file.clear()
            self._sources = SourceList()
            self._turns.ask_again(correction(problems))
            self._render(self._turns.generation, self._turns.events())

    def _problems(self) -> list[str]:
        """Returns what the check finds wrong with the last answer, where that is whole and has no calls."""
        check, turns = self._choice.check, self._turns
        if check is None or turns is None:
            return []
        generation = turns.generation
        exchange = generation.exchange
        if generation.failure or exchange.tool_calls or self._verdict(exchange):
            return []
        return check.problems(turns.text)

    def _render(self, generation: Generation, events: Generator[list[Event]]) -> None:
        values, reasoning = self._values, TextRenderer(kind=Reasoning)
        if self._meter:
            events = self._watch_cost(generation, events, self._meter)
        if values.sources:
            events = self._collect_sources(events)
        try:
            if self._values.writes_events:
                self._render_events(generation, events)
                return
            if values.line:
                self._render_record(generation, events, reasoning)
                return
            renderer = TextRenderer(not values.no_newline)
            for batch in events:
                text = renderer.feed(batch)
                if values.reasoning:
                    stdio.write_stderr_text(reasoning.feed(batch) + (reasoning.close() if text else b""))
                stdio.write(text)
            if not (self._stops and self._stops.met):  # the output ends with the match
                stdio.write(renderer.close())
        finally:
            events.close()  # and with it the provider's connection, before anything else
            if values.pretty:
                stdio.end_output()  # the last block is drawn before any note
            if values.reasoning:
                stdio.write_stderr_text(reasoning.close())
            for line in self._sources.lines():  # beside the answer, before any note
                stdio.write_stderr_line(line)

    def _watch_cost(
        self, first: Generation, events: Generator[list[Event]], meter: CostMeter
    ) -> Generator[list[Event]]:
        """Ends the answer where it has cost too much."""
        try:
            for batch in events:
                meter.feed(batch)
                generation = self._turns.generation if self._turns else first
                error = None if generation.over else meter.error()
                if error:  # before the write, so that the provider stops working
                    generation.close()
                    generation.failure = error
                yield batch
        finally:
            events.close()

    def _collect_sources(self, events: Generator[list[Event]]) -> Generator[list[Event]]:
        try:
            for batch in events:
                self._sources.feed(batch)
                yield batch
        finally:
            events.close()

    def _render_events(self, generation: Generation, events: Generator[list[Event]]) -> None:
        renderer = EventRenderer(generation.timing.started if self._values.timing else None)
        try:
            for batch in events:
                stdio.write(renderer.feed(batch, time.monotonic()))
        except OutputFailed:
            raise
        except Error as error:
            stdio.write(renderer.error(error, time.monotonic()))
            raise

    def _render_record(self, generation: Generation, events: Generator[list[Event]], reasoning: TextRenderer) -> None:
        """Writes the line that map would write for a single prompt."""
        from ..batch.record_builder import RecordBuilder, render, with_data, with_error

        if self._record is None:
            named = self._choice.target if self._names_model else None
            self._record = RecordBuilder(self._choice.request.is_limited, named)
        fault: Error | None = None
        try:
            for batch in events:
                self._record.feed(batch)
                if self._values.reasoning:
                    stdio.write_stderr_text(reasoning.feed(batch))
        except Error as error:
            fault = error
        problems = self._problems()
        if problems and self._check_retries:
            return
        generation = self._turns.generation if self._turns else generation
        record, failure = self._record.record(generation, self._turns.earlier if self._turns else ())
        if problems:
            failure = _wrong(problems)
        failure = fault or failure
        if failure is not None:
            record = with_error(record, failure)
        stdio.write(render({"index": 0, **with_data(record, self._choice.request)}))
        if fault is not None:
            raise fault

    def _take_turns(
        self, generation: Generation, make: Callable[[Request, Sequence[Exchange]], Generation], loop: Loop
    ) -> Generator[list[Event]]:
        """Returns the events of all turns, of which `generation` is the first."""
        from ..request.turns import Turns

        def start(request: Request, earlier: Sequence[Exchange]) -> Generation:
            generation = make(request, earlier)
            generation.start()
            return generation

        run: RunTools | None = None
        if tools := self._values.tools():
            from ..net.programs import Programs
            from ..request.tools import tools_of

        if tools := self._values.tools():
            from ..net.programs import Programs
            from ..request.tools import tools_of

            programs = Programs(tools, loop, partial(stdio.note, NAME))
            run = partial(programs.run, tools=tools_of(self._choice.request, self._choice.target))
        request = self._choice.request
        separates = not (self._values.line or self._values.writes_events)
        self._turns = Turns(
            request, generation, loop, start, self._begin_answer, run, self._choice.max_turns, separates
        )
        return self._turns.events()

    def _begin_answer(self) -> None:
        if self._record:
            self._record.begin_answer()

    def _keep_cut(self, target: Target, error: Error | None) -> None:
        """Keeps an answer that is not whole in its conversation, where the user wants that."""
        turns, chat = self._turns, self._chat
        if chat is None or turns is None or chat.has_exchange:
            return
        message = turns.answer.cut_message()
        messages = [*turns.messages, *([message] if message else [])]
        if not messages or messages[-1].role == "user":
            return
        if self._values.keep_cut:
            try:
                chat.add(messages, target, self._choice.request.system, cut=message is not None)
            except Error as failure:
                stdio.note(NAME, failure.message)
        elif isinstance(error, Incomplete):
            outcome = f"{chat.path} is left as it was: --keep-cut keeps what came"
            error.hint = "\n".join(filter(None, (error.hint, outcome)))

    def _require_whole(self, exchange: Exchange) -> None:
        """Raises the error of an answer that is not whole, or wrong."""
        if error := self._verdict(exchange):
            raise error
        if problems := self._problems():
            raise _wrong(problems)

    def _verdict(self, exchange: Exchange) -> Error | None:
        """Returns the error of an answer that its provider ended before it was whole."""
        return report.verdict(exchange.finish, self._choice.request.is_limited, report.SET_LIMIT)

    def _check(self, exchange: Exchange) -> None:
        """Notes what an answer lacks; raises the error of one that met no condition."""
        finish = exchange.finish
        if exchange.tool_calls and self._chat:
            stdio.note(NAME, f"the answer has tool calls, which wait for their results in {self._chat.path}")
        elif exchange.tool_calls and not (self._values.writes_events or self._values.line):
            stdio.note(NAME, "the answer has tool calls: --events shows them", stays=True)
        if finish and finish.reason == "length" and not exchange.characters and not exchange.tool_calls:
            text = "the answer has no text: the token limit was reached first, perhaps by reasoning: raise --max-tokens"
            stdio.note(NAME, text, stays=True)
        if self._stops and not self._stops.met:
            raise NotFound("the answer ended before a condition was met")

    def _report(self, generation: Generation, target: Target, status: int, reason: str, failed: bool = False) -> None:
        """Writes notes, the usage line and the statistics. `failed`: another error, the last line, ends the command."""
        exchange, now = generation.exchange, time.monotonic()
        if status:
            stdio.release_notes()
        for note in generation.notes:
            stdio.note(NAME, note, stays=True)
        if not self._values.usage and self._stats is None:
            return
        from ..config import prices

        provider, model = target.provider, target.model
        earlier = self._turns.earlier if self._turns else []
        cost = prices.cost(provider, model, report.total_usage([*earlier, exchange]), exchange.model)
        record = report.record(provider, model, exchange, now, status=status, reason=reason, cost=cost, earlier=earlier)
        if self._values.usage:
            stdio.note(NAME, report.line(record), stays=True)
        if self._stats is not None:
            self._stats.append(record, failed)


def _wrong(problems: list[str]) -> Error:
    from ..request.answer_check import wrong

    return wrong(problems)


def resume_of(target: Target, choice: Choice, note: Callable[[str], object]) -> Resume | None:
    """Returns the strategy of --resume-cut for a target; None without the option, or where the target has none.

    In the latter case `note` is called with a sentence that says so.
    """
    if not choice.resumes:
        return None
    from ..net import resume

    return resume.of(target, note)
