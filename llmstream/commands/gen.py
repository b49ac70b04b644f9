"""`llmstream gen`: one prompt in, one answer out, streamed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from .. import stdio
from ..core import report
from ..core.events import Event, Reasoning
from ..core.kinds import ANSWER, MODEL, NETWORK, OUTPUT, PROMPT, Number, Seconds
from ..core.render import EventRenderer, SourceList, TextRenderer
from ..core.secrets import show_url
from ..core.text import encode
from ..errors import (
    Error,
    Incomplete,
    NotFound,
    OutputFailed,
    ReaderGone,
    Signalled,
    Unavailable,
    UsageError,
    followed,
    option,
)
from ..providers.registry import REPLAY, Catalogue
from ..providers.resolve import Target
from ..request import prompt as prompts
from ..request.choices import Choice, Choices, require_checkable
from . import options, stop_options
from .raw_control import raw_control
from .request_command import RequestCommand, current_output_file, output_file, prompt_file
from .stats_file import StatsFile, stats_file
from .types import FileName, ToolCommand, Value, in_group

if TYPE_CHECKING:
    from ..config.max_cost import CostMeter
    from ..core.exchange import Exchange
    from ..core.request import Request
    from ..core.stop.stops import Stops
    from ..net.attempts import Resume
    from ..net.generation import Generation
    from ..net.loop import Loop
    from ..net.transports import Route
    from ..output_file import OutputFile
    from ..request.chat_file import ChatFile
    from ..request.prompt_file import PromptFile
    from ..request.turns import Turns

NAME = "gen"
SPEED = click.FloatRange(min=0)
JOBS, TURNS = click.IntRange(min=1, max=1000), click.IntRange(min=1)


@stop_options.options("until-")
@click.command(NAME, cls=RequestCommand)
@click.argument("prompt", nargs=-1)
@prompt_file
@options.of_request(PROMPT)
@in_group(PROMPT, "--chat", type=FileName(), metavar="FILE", help="Go on with the conversation in FILE.")
@in_group(PROMPT, "--keep-cut", is_flag=True, help="Add an answer that is cut to FILE, too.")
@in_group(PROMPT, "-n", "--no-stdin", is_flag=True, help="Do not read stdin.")
@options.of_request(MODEL, ANSWER)
@in_group(ANSWER, "--run-tools", type=ToolCommand(), metavar="CMD", help="Run the tools: CMD NAME, arguments on stdin.")
@in_group(ANSWER, "-j", "--jobs", type=JOBS, default=8, metavar="N", help="Run at most N tools at once (8).")
@in_group(
    ANSWER, "--tool-timeout", type=Value(Seconds()), default=60.0, metavar="TIME", help="Kill a tool after TIME (1m)."
)
@in_group(ANSWER, "--max-turns", type=TURNS, default=10, metavar="N", help="End after N answers with calls (10).")
@in_group(ANSWER, "--max-cost", type=Value(Number(above=0)), metavar="USD", help="Cost at most USD, by estimate.")
@output_file
@in_group(OUTPUT, "--events", is_flag=True, help="Write NDJSON events instead of text.")
@in_group(OUTPUT, "--timing", is_flag=True, help='Write events; "t" is seconds since the request.')
@in_group(OUTPUT, "--line", is_flag=True, help="At the end, write a line of JSON, as map does.")
@in_group(OUTPUT, "--reasoning", is_flag=True, help="Write the model's reasoning to stderr.")
@in_group(OUTPUT, "--sources", is_flag=True, help="At the end, write the cited sources to stderr.")
@in_group(OUTPUT, "-u", "--usage", is_flag=True, help="At the end, write tokens and times to stderr.")
@in_group(OUTPUT, "-q", "--quiet", is_flag=True, help="Write no notes if all goes well.")
@stats_file
@in_group(OUTPUT, "--no-newline", is_flag=True, help="Add no final newline.")
@in_group(OUTPUT, "--pretty", is_flag=True, help="On a terminal, draw the Markdown.")
@in_group(OUTPUT, "--no-wrap", is_flag=True, help="On a terminal, do not wrap at words.")
@raw_control
@in_group(OUTPUT, "--record", type=FileName(), metavar="FILE", help="Record the stream in FILE, for -m replay:FILE.")
@in_group(OUTPUT, "--speed", type=SPEED, default=1.0, metavar="X", help="Replay X times as fast; 0: at once (1).")
@in_group(OUTPUT, "--dry-run", is_flag=True, help="Print the request, key hidden; send nothing.")
@options.of_request(NETWORK)
def command(
    prompt: tuple[str, ...],
    file: PromptFile | None,
    variables: dict[str, str],
    options: list[dict[str, Any]],
    catalogue: Catalogue,
    chat: str | None,
    keep_cut: bool,
    no_stdin: bool,
    run_tools: tuple[str, ...],
    jobs: int,
    tool_timeout: float,
    max_turns: int,
    record: str | None,
    speed: float,
    dry_run: bool,
    quiet: bool,
    **output: Any,
) -> None:
    """Stream a model's answer to PROMPT, or to what stdin holds.

    With PROMPT and a pipe or a file as stdin, stdin follows the prompt after an empty line. 0 turns a time-out off.

    \b
    llmstream gen 'Name three rivers.'
    git diff | llmstream gen 'Write a commit message for this.'
    llmstream gen -m claude-sonnet-5-5 -u < question.txt | tee answer.md
    llmstream gen -f translate.md -v language=French < letter.txt
    llmstream gen --events 'Count to ten.' | jq -r 'select(.type=="text").text'
    """
    stdio.require_stdout()
    until = {name: output.pop(name) for name in list(output) if name.startswith("until_")}

    def new_stops() -> Stops | None:
        return stop_options.stops(dict(until), "until-")

    has_stops = new_stops() is not None  # a wrong one is an error at once
    writes_events = output["events"] or output["timing"]
    if output["line"] and writes_events:
        raise UsageError("--line and --events exclude each other: leave one out")
    if keep_cut and chat is None:
        raise UsageError(f"--keep-cut needs {option('chat', 'FILE')}: name the conversation's file")
    names = set[str]().union(*options)
    if run_tools:
        _check_run_tools("tools" in names, output["line"], record is not None, has_stops)
    elif "tools" in names and not (writes_events or output["line"] or chat):
        raise UsageError(f"{option('tools')} needs --events, --line, --chat or --run-tools: a call is not text")
    require_checkable(options, {"stop conditions": has_stops, "--record": record is not None})
    if output["reasoning"] or writes_events:
        for each in options:
            each["reasoning"] = True
    is_data = dry_run or writes_events or output["line"] or {"json", "schema", "schema_multi"} & names
    stdio.wraps_words = not (output.pop("no_wrap") or is_data)
    stdio.ends_lines = not output["no_newline"]
    if output["pretty"] and not is_data:
        from .drawing import draw_stdout

        draw_stdout(NAME)
    builder = Choices(NAME, options, os.environ, catalogue)
    if builder.reads_stdin and file and file.from_stdin:
        raise UsageError("stdin has the prompt file, so no option can read it: name a file")
    no_stdin = no_stdin or builder.reads_stdin
    required = not (builder.has_conversation or chat)
    if file:
        text = file.prompt(prompt, no_stdin, variables, required)
    else:
        text = prompts.read(NAME, prompt, no_stdin, required)
    tools = None
    if run_tools:
        from ..providers.child_environment import without_keys

        env = without_keys(os.environ, catalogue)
        tools = _Tools(run_tools, env, jobs, tool_timeout, max_turns)
    send = partial(_send, builder, text, output, new_stops, dry_run, record, speed, quiet, keep_cut, tools)
    if chat is None:
        send(None)
        return
    from ..request.chat_file import ChatFile

    with ChatFile(chat, partial(stdio.note, NAME), reads_only=dry_run) as conversation:
        send(conversation)


def _send(
    builder: Choices,
    text: str,
    output: dict[str, Any],
    new_stops: Callable[[], Stops | None],
    dry_run: bool,
    record: str | None,
    speed: float,
    quiet: bool,
    keep_cut: bool,
    tools: _Tools | None,
    chat: ChatFile | None,
) -> None:
    """Sends the prompt after the conversation, if any, or prints the request."""
    if chat:
        builder.add_conversation(chat.path, chat.messages)
        if not (text or chat.messages):
            raise UsageError("the prompt is empty: give one as an operand or on stdin")
    choices = builder.requests(text)
    if chat or tools:
        choices = [choice._replace(request=choice.request._replace(native=True)) for choice in choices]
    if output["max_cost"] is not None:
        for choice in choices:
            _meter(output).begin(choice.target, choice.request)
    if dry_run:
        if choices[0].target.row.transport == REPLAY:
            raise UsageError("a replay has no request: leave --dry-run out")
        stdio.write(encode(_describe(choices[0])))
        return
    from ..net.loop import Loop

    # This opens the stats file before anything is paid for.
    answer = _Printer(output, new_stops, len(choices) > 1, chat, keep_cut, tools)
    loop = Loop()

    def connect(choice: Choice) -> Route:
        from ..net.transports import Routes, recorded

        routes = Routes(loop, speed=speed, progress="" if quiet else NAME, note=partial(stdio.note, NAME))
        route = routes.to(choice.target, choice.request.size())
        return route if record is None else recorded(route, record)

    answer.run(choices, connect, loop)


class _Printer:
    """Runs requests, prints the events of the answer, and reports its tokens and times at the end, however it ends.

    `new_stops` makes the stop conditions of one answer. `names_model`: a record says which model has answered.
    """

    def __init__(
        self,
        output: dict[str, Any],
        new_stops: Callable[[], Stops | None],
        names_model: bool,
        chat: ChatFile | None,
        keep_cut: bool,
        tools: _Tools | None,
    ) -> None:
        self._output, self._new_stops, self._names_model = output, new_stops, names_model
        self._chat, self._keeps_cut, self._tools = chat, keep_cut, tools
        self._turns: Turns | None = None  # with a conversation to keep, tools to run, or a check
        self._check_retries = 0  # how often the answer may still be asked for again
        self._sources = SourceList()  # stays empty without --sources
        self._stats = StatsFile(output["stats_file"], NAME) if output["stats_file"] is not None else None
        self._writes_events = output["events"] or output["timing"]

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

        self._choice, self._stops, target = choice, self._new_stops(), route.target
        self._meter = None if self._output["max_cost"] is None else _meter(self._output)

        file = current_output_file() if choice.check else None
        self._check_retries = choice.check_retries if file or self._output["line"] else 0

        def make(request: Request) -> Generation:
            if self._meter:
                self._meter.begin(choice.target, request, self._turns.earlier if self._turns else ())
            return Generation(
                target,
                request,
                choice.timeouts,
                choice.retries,
                route.transport,
                stops=self._stops,
                resume=_resume(target, choice),
                note=partial(stdio.note, NAME),
                shows_reasoning=request.reasoning or self._meter is not None,  # which counts it as it comes
            )

        generation = make(choice.request)
        source = events(generation, loop)
        try:
            generation.start()
            while not (is_last or generation.has_news):
                loop.wait()
            if not is_last and (cause := generation.early_failure) and choice.falls_back(cause):
                return cause
            if self._chat or self._tools or choice.check:
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
            self._keep_cut(target, error)
            self._report(generation, target, error.status, "error" if generation.failure else "", failed=True)
            raise
        except (ReaderGone, Signalled) as cause:
            generation = self._turns.generation if self._turns else generation
            generation.close()  # before the report, and while no event had come
            self._keep_cut(target, None)
            status = 128 + cause.signum if isinstance(cause, Signalled) else 0
            self._report(generation, target, status, "cancelled", failed=True)
            raise
        self._report(generation, target, 0, "until" if stopped else "")
        return None

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
        return check.problems(turns.answer.message(exchange).content)

    def _render(self, generation: Generation, events: Generator[list[Event]]) -> None:
        output, reasoning = self._output, TextRenderer(kind=Reasoning)
        if self._meter:
            events = self._watch_cost(generation, events, self._meter)
        if output["sources"]:
            events = self._collect_sources(events)
        try:
            if self._writes_events:
                self._render_events(generation, events)
                return
            if output["line"]:
                self._render_record(generation, events, reasoning)
                return
            renderer = TextRenderer(not output["no_newline"])
            for batch in events:
                text = renderer.feed(batch)
                if output["reasoning"]:
                    stdio.write_stderr_text(reasoning.feed(batch) + (reasoning.close() if text else b""))
                stdio.write(text)
            if not (self._stops and self._stops.met):  # the output ends with the match
                stdio.write(renderer.close())
        finally:
            events.close()  # and with it the provider's connection, before anything else
            if output["pretty"]:
                stdio.end_output()  # the last block is drawn before any note
            if output["reasoning"]:
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
        renderer = EventRenderer(generation.timing.started if self._output["timing"] else None)
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

        builder = RecordBuilder(self._choice.request.is_limited, self._choice.target if self._names_model else None)
        try:
            for batch in events:
                builder.feed(batch)
                if self._output["reasoning"]:
                    stdio.write_stderr_text(reasoning.feed(batch))
        except Error as error:
            if error is not generation.failure:
                raise
        problems = self._problems()
        if problems and self._check_retries:
            return
        record, failure = builder.record(generation, self._turns.earlier if self._turns else ())
        if problems:
            failure = _wrong(problems)
        if failure is not None:
            record = with_error(record, failure)
        stdio.write(render({"index": 0, **with_data(record, self._choice.request)}))
        if generation.failure is not None:
            raise generation.failure

    def _take_turns(
        self, generation: Generation, make: Callable[[Request], Generation], loop: Loop
    ) -> Generator[list[Event]]:
        """Returns the events of all turns, of which `generation` is the first."""
        from ..request.turns import Turns

        def start(request: Request) -> Generation:
            generation = make(request)
            generation.start()
            return generation

        tools, run, max_turns = self._tools, None, 1
        if tools:
            from ..net.programs import Programs

            names, note = frozenset(tool.name for tool in self._choice.request.tools), partial(stdio.note, NAME)
            run = Programs(tools.command, names, tools.env, loop, timeout=tools.timeout, jobs=tools.jobs, note=note).run
            max_turns = tools.max_turns
        self._turns = Turns(self._choice.request, generation, loop, start, run, max_turns)
        return self._turns.events()

    def _keep_cut(self, target: Target, error: Error | None) -> None:
        """Keeps an answer that is not whole in its conversation, where the user wants that."""
        turns, chat = self._turns, self._chat
        if chat is None or turns is None or chat.has_exchange:
            return
        message = turns.answer.cut_message()
        messages = [*turns.messages, *([message] if message else [])]
        if not messages or messages[-1].role == "user":
            return
        if self._keeps_cut:
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
        elif exchange.tool_calls and not (self._writes_events or self._output["line"]):
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
        if not self._output["usage"] and self._stats is None:
            return
        from ..config import prices

        provider, model = target.provider, target.model
        earlier = self._turns.earlier if self._turns else []
        cost = prices.cost(provider, model, report.total_usage([*earlier, exchange]), exchange.model)
        record = report.record(provider, model, exchange, now, status=status, reason=reason, cost=cost, earlier=earlier)
        if self._output["usage"]:
            stdio.note(NAME, report.line(record), stays=True)
        if self._stats is not None:
            self._stats.append(record, failed)


class _Tools(NamedTuple):
    """The program that runs tools: its command and environment, how many run at once, seconds and turns at most."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    jobs: int
    timeout: float
    max_turns: int


def _check_run_tools(has_tools: bool, line: bool, record: bool, has_stops: bool) -> None:
    """Raises UsageError for what --run-tools needs, or what goes with one answer only."""
    if not has_tools:
        raise UsageError(f"--run-tools needs {option('tools')}: name the file that describes the tools")
    others = {"--line": line, "--record": record, "the conditions of --until": has_stops}
    if name := next((name for name, there in others.items() if there), ""):
        raise UsageError(f"--run-tools and {name} exclude each other: leave one out")


def _meter(output: dict[str, Any]) -> CostMeter:
    from ..config.max_cost import CostMeter

    return CostMeter(output["max_cost"])


def _wrong(problems: list[str]) -> Error:
    from ..request.answer_check import wrong

    return wrong(problems)


def _resume(target: Target, choice: Choice) -> Resume | None:
    """Returns the strategy of --resume-cut for a target; None without the option, or where the target has none."""
    if not choice.resumes:
        return None
    from ..net import resume

    return resume.of(target, partial(stdio.note, NAME))


def _describe(choice: Choice) -> str:
    """Returns the request as it would be sent, its key hidden."""
    target, strategy = choice.target, _resume(choice.target, choice)
    body = target.body(choice.request, strategy.prepare if strategy else None)
    headers = target.hidden().headers(body) + list(strategy.headers if strategy else ())
    url = show_url(target.url) if target.url else "the embedded model"
    return "\n".join([f"POST {url}", *headers, "", json.dumps(body, ensure_ascii=False, indent=2), ""])
