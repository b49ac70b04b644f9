"""`llmstream gen`: one prompt in, one answer out, streamed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import stdio
from ..core.kinds import ANSWER, MODEL, NETWORK, OUTPUT, PROMPT, Integer, Number
from ..core.secrets import show_url
from ..core.text import encode
from ..errors import UsageError
from ..providers.registry import REPLAY
from ..request import prompt as prompts
from ..request.choices import Choice, Choices
from . import options, parameters, stop_options
from .parameters import FILE, in_group, operand, raw_control
from .request_command import RequestCommand, output_file, prompt_file
from .stats_file import stats_file
from .tool_options import tool_options

if TYPE_CHECKING:
    from ..net.early_connection import ConnectingInput
    from ..net.loop import Loop
    from ..net.transfer import Transport
    from ..net.transports import Route, Routes
    from ..request.chat_file import ChatFile
    from .gen_options import GenOptions

NAME = "gen"
SPEED, JOBS = Number(least=0), Integer(1, 1000)


@parameters.command(NAME, RequestCommand, ungrouped=OUTPUT)
@operand("prompt", repeatable=True)
@prompt_file
@options.of_request(PROMPT)
@in_group(PROMPT, "--chat", kind=FILE, metavar="FILE", help="Go on with the conversation in FILE.")
@in_group(PROMPT, "--keep-cut", is_flag=True, help="With --chat: save a cut answer, too.")
@in_group(PROMPT, "-n", "--no-stdin", is_flag=True, help="Do not read stdin.")
@options.of_request(MODEL, ANSWER)
@tool_options
@in_group(ANSWER, "-j", "--jobs", kind=JOBS, default=8, metavar="N", help="Run at most N tools at once (8).")
@in_group(ANSWER, "--max-cost", kind=Number(above=0), metavar="USD", help="Cost at most USD, by estimate.")
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
@in_group(OUTPUT, "--record", kind=FILE, metavar="FILE", help="Record the stream in FILE, for -m replay:FILE.")
@in_group(OUTPUT, "--speed", kind=SPEED, default=1.0, metavar="X", help="Replay X times as fast; 0: at once (1).")
@in_group(OUTPUT, "--dry-run", is_flag=True, help="Print the request, key hidden; send nothing.")
@options.of_request(NETWORK)
@stop_options.options("until-")
def command(**params: Any) -> None:
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
    from .gen_options import GenOptions

    values = GenOptions(params)
    values.check()
    _prepare_output(values)
    if values.reasoning or values.writes_events:
        for each in values.options:
            each["reasoning"] = True
    builder = Choices(NAME, values.options, os.environ, values.catalogue)
    make_routes = partial(_routes, values.speed, values.quiet)
    has_stdin = not (values.no_stdin or builder.reads_stdin)
    source = _connecting_input(builder, make_routes) if has_stdin and not values.dry_run else None
    send = partial(_send, values, builder, _text(values, builder, source), make_routes, source)
    if values.chat is None:
        send(None)
        return
    from ..request.chat_file import ChatFile

    with ChatFile(values.chat, partial(stdio.note, NAME), reads_only=values.dry_run) as conversation:
        send(conversation)


def _prepare_output(values: GenOptions) -> None:
    """Tells stdout how a terminal is to show the answer."""
    stdio.wraps_words = not (values.no_wrap or values.writes_data)
    stdio.ends_lines = not values.no_newline
    if values.pretty and not values.writes_data:
        from .drawing import draw_stdout

        draw_stdout(NAME)


def _text(values: GenOptions, builder: Choices, source: ConnectingInput | None) -> str:
    """Returns the prompt, "" where there is a conversation without one; `source` is stdin, if it is read in its way."""
    file, no_stdin = values.file, values.no_stdin or builder.reads_stdin
    if builder.reads_stdin and file and file.from_stdin:
        raise UsageError("stdin has the prompt file, so no option can read it: name a file")
    required = not (builder.has_conversation or values.chat)
    if file:
        return file.prompt(values.prompt, no_stdin, values.variables, required, source)
    return prompts.read(NAME, values.prompt, no_stdin, required, source)


def _send(
    values: GenOptions,
    builder: Choices,
    text: str,
    make_routes: Callable[[Loop], Routes],
    source: ConnectingInput | None,
    chat: ChatFile | None,
) -> None:
    """Sends the prompt after the conversation, if any, or prints the request.

    `source` is where the prompt came from, if the connection of the first choice may be open already.
    """
    if chat:
        builder.add_conversation(chat.path, chat.messages)
        if not (text or chat.messages):
            raise UsageError("the prompt is empty: give one as an operand or on stdin")
    choices = [_with_turns(choice, values, chat) for choice in builder.requests(text)]
    if values.max_cost is not None:
        from ..config.max_cost import CostMeter

        for choice in choices:
            CostMeter(values.max_cost).begin(choice.target, choice.request)
    if values.dry_run:
        if choices[0].target.row.transport == REPLAY:
            raise UsageError("a replay has no request: leave --dry-run out")
        stdio.write(encode(_describe(choices[0])))
        return
    from ..net.loop import Loop
    from .answer_printer import AnswerPrinter

    # This opens the stats file before anything is paid for.
    answer = AnswerPrinter(values, len(choices) > 1, chat)
    loop = (source and source.loop) or Loop()

    def connect(choice: Choice) -> Route:
        from ..net.transports import recorded

        routes = (source and source.take_routes()) or make_routes(loop)
        route = routes.to(choice.target, choice.request.size())
        if choice.request.within:
            route = route._replace(transport=_polling(route, choice.request.within))
        return route if values.record is None else recorded(route, values.record)

    answer.run(choices, connect, loop)


def _with_turns(choice: Choice, values: GenOptions, chat: ChatFile | None) -> Choice:
    """Returns the choice with as many turns as there may be: a recording holds one answer."""
    is_one = values.record is not None
    if chat or values.run_tools or (choice.may_pause and not is_one):
        choice = choice.with_native()
    return choice._replace(max_turns=1) if is_one else choice


def _routes(speed: float, quiet: bool, loop: Loop) -> Routes:
    """Returns the routes of one choice."""
    from ..net.transports import Routes

    return Routes(loop, speed=speed, progress="" if quiet else NAME, note=partial(stdio.note, NAME))


def _connecting_input(builder: Choices, make_routes: Callable[[Loop], Routes]) -> ConnectingInput | None:
    """Returns stdin that connects to the first target while it is read; None where it is read as any other.

    Without retries there is no early connection: libcurl sends a request again where a connection that was open before
    breaks. A background response, whose answer comes hours later, needs none.
    """
    from ..net.early_connection import ConnectingInput, can_connect

    target, (timeouts, retries) = builder.targets[0], builder.first_network
    if not can_connect(target) or retries.limit == 0 or builder.is_background:
        return None
    return ConnectingInput(target, timeouts.connect, make_routes)


def _polling(route: Route, window: str) -> Transport:
    """Returns the transport of background responses, each of which is noted."""
    from ..net.polling import Polling

    def note_queued(id: str) -> None:
        if id:
            stdio.note(NAME, f"{id} is queued: its answer comes within {window}")

    return Polling(route.transport, route.target, on_queued=note_queued, note=partial(stdio.note, NAME))


def _describe(choice: Choice) -> str:
    """Returns the request as it would be sent, its key hidden."""
    from .answer_printer import resume_of

    notes: list[str] = []
    target, strategy = choice.target, resume_of(choice.target, choice, notes.append)
    body = target.body(choice.request, strategy.prepare if strategy else None)
    for note in notes:
        stdio.note(NAME, note)
    headers = target.hidden().headers(body) + list(strategy.headers if strategy else ())
    url = show_url(target.url) if target.url else "the embedded model"
    return "\n".join([f"POST {url}", *headers, "", json.dumps(body, ensure_ascii=False, indent=2), ""])
