"""Prints the answer of `llmstream gen`: runs its requests, renders what comes, and reports how it ended."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from .. import stdio
from ..core import report
from ..core.events import Event
from ..errors import (
    Error,
    Incomplete,
    NotFound,
    ReaderGone,
    Signalled,
    Unavailable,
    followed,
)
from ..providers.target import Target
from ..request.choices import Choice
from .answer_end import AnswerEnd
from .answer_output import AnswerOutput
from .request_command import current_output_file

if TYPE_CHECKING:
    from ..config.max_cost import CostMeter
    from ..core.exchange import Exchange
    from ..core.request import Request
    from ..core.stop.stops import Stops
    from ..net.attempts import Resume
    from ..net.generation import Generation
    from ..net.loop import Loop
    from ..net.transfer import Transport
    from ..net.transports import Route
    from ..request.chat_file import ChatFile
    from ..request.turns import RunTools, Turns
    from .gen_options import GenOptions

NAME = "gen"


class AnswerPrinter:
    """Runs requests, prints the events of the answer, and reports its tokens and times at the end, however it ends.

    `names_model`: a record says which model has answered.
    """

    _choice: Choice  # the request to the model that is asked now, its address, and its first answer
    _target: Target
    _transport: Transport
    _first: Generation

    def __init__(self, values: GenOptions, names_model: bool, chat: ChatFile | None) -> None:
        self._values, self._names_model, self._chat = values, names_model, chat
        self._output = AnswerOutput(values, lambda: bool(self._stops and self._stops.met), self._write_record)
        self._stops: Stops | None = None  # of the last answer
        self._turns: Turns | None = None  # with a conversation to keep, a check, or answers that may be followed
        self._meter: CostMeter | None = None  # with --max-cost
        self._check_retries = 0  # how often the answer may still be asked for again
        self._end = AnswerEnd(values)

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
                    self._choice, self._target, self._transport = choice, route.target, route.transport
                    cause = self._answer(loop, following is None)
            if cause is None or following is None:
                return
            stdio.note(NAME, followed(cause.message, f"asking {following.target.name} instead of {choice.target.name}"))

    def _answer(self, loop: Loop, is_last: bool) -> Error | None:
        """Streams a model's answer. Returns why the next model is to be asked, which the last one never is."""
        generation = self._begin()
        try:
            generation.start()
            while not (is_last or generation.has_news):
                loop.wait()
            if not is_last and (cause := generation.early_failure) and self._choice.falls_back(cause):
                return cause
            stopped = self._print(generation, loop)
        except Error as error:
            failure = self._after_text(error)
            self._keep_cut(failure)
            self._report(failure.status, "error" if self._generation.failure else "", failed=True)
            raise failure from None
        except (ReaderGone, Signalled) as cause:
            self._generation.close()  # before the report, and while no event had come
            self._keep_cut(None)
            self._report(128 + cause.signum if isinstance(cause, Signalled) else 0, "cancelled", failed=True)
            raise
        self._report(0, "until" if stopped else "")
        return None

    @property
    def _generation(self) -> Generation:
        """The last answer."""
        return self._turns.generation if self._turns else self._first

    @property
    def _earlier(self) -> Sequence[Exchange]:
        """The exchanges of the answers before the last one."""
        return self._turns.earlier if self._turns else ()

    def _begin(self) -> Generation:
        """Returns the first answer of a model, not started yet."""
        values, choice, notes = self._values, self._choice, list[str]()
        if values.max_cost is not None:
            from ..config.max_cost import CostMeter

            self._meter = CostMeter(values.max_cost)
        self._first = self._make(choice.request, (), notes.append)
        for note in notes:  # of a request that can be sent, and of the first answer
            stdio.note(NAME, note)
        return self._first

    def _make(
        self, request: Request, earlier: Sequence[Exchange], note: Callable[[str], object] = lambda text: None
    ) -> Generation:
        """Returns an answer after the earlier ones, not started yet."""
        from ..net.generation import Generation

        choice = self._choice
        if self._meter:
            self._meter.begin(choice.target, request, earlier)
        if not (earlier and earlier[-1].is_paused):
            self._stops = self._values.stops()  # each answer is matched by itself, but whole
        return Generation(
            self._target,
            request,
            choice.timeouts,
            choice.retries,
            self._transport,
            stops=self._stops,
            resume=resume_of(self._target, choice, note),
            note=partial(stdio.note, NAME),
            shows_reasoning=request.reasoning or self._meter is not None,  # which counts it as it comes
        )

    def _start(self, request: Request, earlier: Sequence[Exchange]) -> Generation:
        generation = self._make(request, earlier)
        generation.start()
        return generation

    def _print(self, generation: Generation, loop: Loop) -> bool:
        """Prints the answer, and what follows it; returns whether a condition has ended it. Raises what ends it."""
        from ..net.generation import events

        choice = self._choice
        if self._values.line:
            from ..batch.record_builder import RecordBuilder

            request, named = choice.request, choice.target if self._names_model else None
            self._output.record = RecordBuilder(request.is_limited, named, request.wants_json)
        takes_turns = choice.request.native or choice.check or choice.request.wants_json
        self._render(self._take_turns(generation, loop) if takes_turns else events(generation, loop))
        if choice.check:
            self._correct()
        stopped = self._stops is not None and self._stops.early
        exchange = self._generation.exchange
        if not stopped:
            self._require_whole(exchange)
        if self._chat and self._turns:
            messages = [*self._turns.messages, self._turns.answer.message(exchange)]
            self._chat.add(messages, self._target, choice.request.system)
        if not stopped:
            self._end.note_lacks(exchange, self._chat.path if self._chat else None)
            if self._stops and not self._stops.met:
                raise NotFound("the answer ended before a condition was met")
        return stopped

    def _after_text(self, error: Error) -> Error:
        """Returns the error that ends the answers; text of those before the last one may be written."""
        if self._turns is None or self._values.line:
            return error
        from ..request.turns import after_text

        return after_text(error, self._turns.has_text)

    def _correct(self) -> None:
        """Asks for a wrong answer again, as often as may be, and writes the new one in place of it."""
        from ..request.answer_check import correction, wrong

        while self._turns and self._check_retries and (problems := self._problems()):
            self._check_retries -= 1
            stdio.note(NAME, f"{wrong(problems).message}: asking again")
            self._output.clear(current_output_file())
            self._turns.ask_again(correction(problems))
            self._render(self._turns.events())

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

    def _render(self, events: Generator[list[Event]]) -> None:
        started = self._generation.timing.started
        self._output.write(self._watch_cost(events, self._meter) if self._meter else events, started)

    def _watch_cost(self, events: Generator[list[Event]], meter: CostMeter) -> Generator[list[Event]]:
        """Ends the answer where it has cost too much."""
        try:
            for batch in events:
                meter.feed(batch)
                generation = self._generation
                error = None if generation.over else meter.error()
                if error:  # before the write, so that the provider stops working
                    generation.close()
                    generation.failure = error
                yield batch
        finally:
            events.close()

    def _write_record(self, fault: Error | None) -> None:
        """Writes the line that map would write for a single prompt, unless the answer is asked for again.

        Raises the error of an answer that cannot be checked.
        """
        from ..batch.record_builder import render, with_data, with_error

        problems, uncheckable = list[str](), None
        try:
            problems = self._problems()
        except Error as error:
            uncheckable = error
        if problems and self._check_retries:
            return
        assert self._output.record
        record, failure = self._output.record.record(self._generation, self._earlier)
        if problems:
            failure = _wrong(problems)
        failure = fault or uncheckable or failure
        if failure is not None:
            record = with_error(record, failure)
        stdio.write(render({"index": 0, **with_data(record, self._choice.request)}))
        if uncheckable:
            raise uncheckable

    def _take_turns(self, generation: Generation, loop: Loop) -> Generator[list[Event]]:
        """Returns the events of all turns, of which `generation` is the first."""
        from ..request.turns import Turns

        choice, values = self._choice, self._values
        self._check_retries = choice.check_retries if values.line or current_output_file() else 0
        run: RunTools | None = None
        if tools := values.tools():
            from ..net.programs import Programs
            from ..request.tools import tools_of

            programs = Programs(tools, loop, partial(stdio.note, NAME))
            run = partial(programs.run, tools=tools_of(choice.request, choice.target))
        separates = not (values.line or values.writes_events)
        self._turns = Turns(
            choice.request, generation, loop, self._start, self._begin_answer, run, choice.max_turns, separates
        )
        return self._turns.events()

    def _begin_answer(self, after_pause: bool) -> None:
        if self._output.record:
            self._output.record.begin_answer(after_pause)

    def _keep_cut(self, error: Error | None) -> None:
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
                chat.add(messages, self._target, self._choice.request.system, cut=message is not None)
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
        request, turns = self._choice.request, self._turns
        is_cut = turns is not None and request.wants_json and report.is_cut_json(exchange, turns.text)
        return report.verdict(exchange.finish, request.is_limited, report.SET_LIMIT, is_cut)

    def _report(self, status: int, reason: str, *, failed: bool = False) -> None:
        self._end.report(self._generation, self._target, self._earlier, status, reason, failed=failed)


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
