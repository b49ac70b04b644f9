"""Options that several commands share: what is asked of a model, and how patiently."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..config import file as config
from ..core.json_codec import loads_strict
from ..core.request import EFFORTS
from ..dialects import APIS
from ..errors import Error
from ..providers.registry import BUILT_IN
from .types import Seconds

F = TypeVar("F", bound=Callable[..., Any])


SECONDS = Seconds(or_none=True)


def _extra(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, Any], ...]:
    fields = []
    for value in values:
        name, equals, text = value.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{value!r} is not KEY=JSON")
        try:
            fields.append((name, loads_strict(text)))
        except (ValueError, RecursionError):
            raise click.BadParameter(f"{text[:60]!r} is not JSON: a string is {name}='\"...\"'") from None
    return tuple(fields)


def _finite(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    if value is not None and not abs(value) < float("inf"):
        raise click.BadParameter(f"{value} is not a number that JSON has")
    return value


def _system(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is None or not value.startswith("@"):
        return value
    try:
        with open(value[1:], encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError as error:
        raise click.BadParameter(f"cannot read {value[1:]}: {error.strerror}") from None


def _complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    try:
        catalogue = config.read(os.environ).catalogue
    except Error:  # the command itself will say so
        catalogue = BUILT_IN
    names = [*catalogue.aliases, *(f"{name}/{row.model}" for name, row in catalogue.providers.items() if row.model)]
    return [name for name in names if name.startswith(incomplete)]


def _all(*options: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator of many, in the order of --help."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _patience(name: str, default: float, words: str) -> Callable[[F], F]:
    told = f"{default:g}" if default else "none"
    return click.option(name, type=SECONDS, default=default, metavar="S", help=f"{words} ({told}).")


model = click.option(
    "-m",
    "--model",
    metavar="MODEL",
    shell_complete=_complete_model,
    help="provider/model, a plain model name, an alias, or the path of a .gguf file.",
)

request = _all(
    model,
    click.option("--api", type=click.Choice(APIS), help="The dialect, where not the provider's own."),
    click.option(
        "-s",
        "--system",
        metavar="TEXT|@FILE",
        callback=_system,
        help="The system prompt, or the file that holds it.",
    ),
    click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="At most N tokens of output."),
    click.option("-t", "--temperature", type=float, metavar="X", callback=_finite, help="Sampling temperature."),
    click.option("--seed", type=int, metavar="N", help="Sampling seed."),
    click.option("--stop", multiple=True, metavar="TEXT", help="Stop before TEXT (repeatable)."),
    click.option(
        "-o",
        "--option",
        "extra",
        multiple=True,
        metavar="KEY=JSON",
        callback=_extra,
        help="Any field of the request's body (repeatable).",
    ),
)

PATH = click.Path()  # for the shell, which completes it; what it is, is looked at later

features = _all(
    click.option("--json", is_flag=True, help="Let the answer be a JSON object."),
    click.option(
        "--schema", type=PATH, metavar="FILE|JSON|FIELDS", help="Let it be JSON of this schema: 'name, age int'."
    ),
    click.option(
        "--schema-multi", type=PATH, metavar="FILE|JSON|FIELDS", help='Let it be a list of such, {"items": [...]}.'
    ),
    click.option(
        "-a", "--attach", multiple=True, type=PATH, metavar="FILE|URL", help="Attach an image, PDF, text or sound."
    ),
    click.option("--messages", type=PATH, metavar="FILE", help="The conversation before the prompt, as JSON."),
    click.option("--prefill", metavar="TEXT", help="Let the answer begin with TEXT."),
    click.option("--effort", type=click.Choice(EFFORTS), help="How hard the model is to think."),
    click.option(
        "--tools", type=PATH, metavar="FILE", help="Tools that the model may call, as JSON; calls are --events."
    ),
    click.option("--cache", is_flag=True, help="Let Anthropic keep the system prompt and attachments for later."),
)
network = _all(
    click.option(
        "--retries", type=click.IntRange(min=0), default=4, metavar="N", help="Try again at most N times (4)."
    ),
    _patience("--max-retry-wait", 60.0, "Give up when a try is to wait more than S seconds"),
    _patience("--connect-timeout", 10.0, "Give up connecting after S seconds"),
    _patience("--first-token-timeout", 120.0, "Give up when no output has come after S seconds"),
    _patience("--stall-timeout", 60.0, "Give up when the answer has not grown for S seconds"),
    _patience("--timeout", 0.0, "Give up on the whole answer after S seconds"),
)


def settable() -> set[str]:
    """The names of the parameters that a prompt file or the configuration may set: what is asked, how patiently."""

    @request
    @features
    @network
    def asking() -> None: ...

    return {param.name for param in asking.__click_params__}  # type: ignore[attr-defined]
