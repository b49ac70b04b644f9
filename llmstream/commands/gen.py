"""`llmstream gen`: one prompt in, one answer out, streamed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import click

from .. import prompts, providers, stdio
from ..core import report
from ..core.events import Event, Finish, Reasoning
from ..core.render import EventRenderer, TextRenderer
from ..core.request import Request
from ..core.timing import Limits
from ..errors import Error, Incomplete, OutputFailed, ReaderGone, Refused, Signalled, UsageError

NAME = "gen"


def _extra(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, Any], ...]:
    fields = []
    for value in values:
        name, equals, text = value.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{value!r} is not KEY=JSON")
        try:
            fields.append((name, json.loads(text)))
        except ValueError:
            raise click.BadParameter(f"{text!r} is not JSON: a string is {name}='\"...\"'") from None
    return tuple(fields)


def _system(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is None or not value.startswith("@"):
        return value
    try:
        with open(value[1:], encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError as error:
        raise click.BadParameter(f"cannot read {value[1:]}: {error.strerror}") from None


def _complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    names = [f"{name}/{row.model}" for name, row in providers.PROVIDERS.items() if row.model]
    return [name for name in names if name.startswith(incomplete)]


class Seconds(click.ParamType):  # type: ignore[type-arg] # generic since click 8.5 only
    """A duration; 0 is none."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds < float("inf"):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return seconds


SECONDS = Seconds()


@click.command(NAME)
@click.argument("prompt", nargs=-1)
@click.option(
    "-m",
    "--model",
    metavar="MODEL",
    shell_complete=_complete_model,
    help="provider/model, a plain model name, or the path of a .gguf file.",
)
@click.option("--api", type=click.Choice(providers.APIS), help="The dialect, where not the provider's own.")
@click.option(
    "-s", "--system", metavar="TEXT|@FILE", callback=_system, help="The system prompt, or the file that holds it."
)
@click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="At most N tokens of output.")
@click.option("-t", "--temperature", type=float, metavar="X", help="Sampling temperature.")
@click.option("--seed", type=int, metavar="N", help="Sampling seed.")
@click.option("--stop", multiple=True, metavar="TEXT", help="Stop before TEXT (repeatable).")
@click.option(
    "-o",
    "--option",
    "extra",
    multiple=True,
    metavar="KEY=JSON",
    callback=_extra,
    help="Any field of the request's body (repeatable).",
)
@click.option("-n", "--no-stdin", is_flag=True, help="Leave stdin alone.")
@click.option("--events", is_flag=True, help="Write NDJSON events instead of text.")
@click.option("--timing", is_flag=True, help='As --events, each with "t": seconds since the request.')
@click.option("--reasoning", is_flag=True, help="Write the model's reasoning to stderr.")
@click.option("-u", "--usage", is_flag=True, help="At the end, write tokens and times to stderr.")
@click.option("--stats-file", type=click.Path(dir_okay=False), metavar="FILE", help="Append the same to FILE as JSON.")
@click.option("--no-newline", is_flag=True, help="Add no final newline.")
@click.option("--dry-run", is_flag=True, help="Print the request, its key hidden, and send nothing.")
@click.option(
    "--connect-timeout", type=SECONDS, default=10.0, metavar="S", help="Give up connecting after S seconds (10)."
)
@click.option(
    "--first-token-timeout",
    type=SECONDS,
    default=120.0,
    metavar="S",
    help="Give up when no output has come after S seconds (120).",
)
@click.option(
    "--stall-timeout",
    type=SECONDS,
    default=60.0,
    metavar="S",
    help="Give up when the answer has not grown for S seconds (60).",
)
@click.option(
    "--timeout", type=SECONDS, default=0.0, metavar="S", help="Give up on the whole answer after S seconds (none)."
)
def command(
    prompt: tuple[str, ...],
    model: str | None,
    api: str | None,
    no_stdin: bool,
    dry_run: bool,
    connect_timeout: float,
    first_token_timeout: float,
    stall_timeout: float,
    timeout: float,
    system: str | None,
    max_tokens: int | None,
    temperature: float | None,
    seed: int | None,
    stop: tuple[str, ...],
    extra: tuple[tuple[str, Any], ...],
    **output: Any,
) -> None:
    """Stream a model's answer to PROMPT, or to what stdin holds.

    With PROMPT and a pipe or a file as stdin, stdin follows the prompt after an empty line. A time-out of 0 is none.

    \b
    llmstream gen 'Name three rivers.'
    git diff | llmstream gen 'Write a commit message for this.'
    llmstream gen -m anthropic/claude-sonnet-5-5 -u < question.txt | tee answer.md
    llmstream gen --events 'Count to ten.' | jq -r 'select(.type=="text").text'
    """
    stdio.require_stdout()
    target = providers.resolve(model, api, os.environ)
    text = prompts.read(NAME, prompt, no_stdin)
    request = Request(target.model, text, system, max_tokens, temperature, seed, stop, extra)
    if dry_run:
        stdio.write(_describe(target, request).encode())
        return
    limits = Limits(first_token_timeout or None, stall_timeout or None, timeout or None)
    _Generation(target, request, limits, connect_timeout, output).run()


class _Generation:
    """Runs a request and renders what comes; at the end, however it comes, the report."""

    def __init__(
        self, target: providers.Target, request: Request, limits: Limits, connect_timeout: float, output: dict[str, Any]
    ) -> None:
        self._target, self._request, self._limits = target, request, limits
        self._connect_timeout = connect_timeout
        self._output = output
        self._stats = _open_stats(output["stats_file"])

    def run(self) -> None:
        from ..net.stream import Stream

        target, server = self._target, None
        if not target.url:
            server, target = _embedded(target, len(self._request.prompt.encode()))
        stream = Stream(target, self._request, self._limits, self._connect_timeout)
        exchange = stream.exchange
        status, reason = 1, "error"
        try:
            self._render(stream)
            status, reason = 0, ""
            self._judge(exchange.finish)
        except Error as error:
            status = error.status
            raise
        except (ReaderGone, Signalled):
            status, reason = 0, "cancelled"
            raise
        finally:
            if exchange.warning:
                stdio.note(NAME, exchange.warning)
            self._report(
                report.record(target.provider, target.model, exchange, time.monotonic(), status=status, reason=reason)
            )
            del server

    def _render(self, stream: Any) -> None:
        output, events = self._output, stream.events()
        try:
            if output["events"] or output["timing"]:
                self._render_events(events, stream.exchange.timing.started if output["timing"] else None)
                return
            renderer = TextRenderer(not output["no_newline"])
            thoughts = TextRenderer(kind=Reasoning)
            for batch in events:
                text = renderer.feed(batch)
                if output["reasoning"]:
                    stdio.write_stderr(thoughts.feed(batch) + (thoughts.close() if text else b""))
                stdio.write(text)
            stdio.write(renderer.close())
        finally:
            events.close()  # and with it the provider's connection, before anything else

    def _render_events(self, events: Iterator[list[Event]], started: float | None) -> None:
        renderer = EventRenderer(started)
        try:
            for batch in events:
                stdio.write(renderer.feed(batch, time.monotonic()))
        except OutputFailed:
            raise
        except Error as error:
            record: dict[str, object] = {"type": "error", "status": error.status, "message": str(error)}
            stdio.write(renderer.line(record, time.monotonic()))
            raise

    def _judge(self, finish: Finish | None) -> None:
        """A whole answer may still not be what was asked for."""
        if finish is None:
            return
        if finish.reason in ("refusal", "content_filter"):
            who = "model refused" if finish.reason == "refusal" else "provider's content filter ended the answer"
            raise Refused(f"the {who} (finish reason {finish.provider_reason})")
        limited = self._request.max_tokens or any("tokens" in name for name, _ in self._request.extra)
        if finish.reason == "length" and not limited:
            raise Incomplete("the answer ran into the model's limit: --max-tokens N sets your own")

    def _report(self, record: dict[str, object]) -> None:
        if self._output["usage"]:
            stdio.note(NAME, report.line(record))
        if self._stats is not None:
            line = json.dumps({"time": round(time.time(), 3), **record}, ensure_ascii=False) + "\n"
            try:
                os.write(self._stats, line.encode())  # one write to a file opened for appending is atomic
            except OSError as error:
                raise OutputFailed(f"cannot write {self._output['stats_file']}: {error.strerror}") from None


def _open_stats(path: str | None) -> int | None:
    if path is None:
        return None
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def _embedded(target: providers.Target, prompt_size: int) -> tuple[Any, providers.Target]:
    from ..net import embedded

    server, url, key = embedded.start(target.model, prompt_size, progress=os.isatty(stdio.STDERR))
    path = providers.dialect(target.api).PATH
    prefix = "" if path.startswith("/v1") else "/v1"
    return server, target._replace(url=f"{url}{prefix}{path}", key=key)


def _describe(target: providers.Target, request: Request) -> str:
    """The request as it would go out, its key hidden."""
    headers = target._replace(key=target.key and "[key]").headers()
    body = providers.dialect(target.api).body(request, target.fields)
    url = target.url or "the embedded model"
    return "\n".join([f"POST {url}", *headers, "", json.dumps(body, ensure_ascii=False, indent=2), ""])
