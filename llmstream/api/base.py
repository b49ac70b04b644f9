"""An answer for a Python program: what is asked, and the state that streams have in common, however they are driven."""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from ..config import file as config
from ..core.events import Event, Finish, Text, Usage
from ..core.request import EFFORTS, Request
from ..core.retry import RetryPolicy
from ..core.stop.conditions import UntilOptions, from_mapping
from ..core.stop.stops import Stops
from ..core.timing import Timeouts, Timing
from ..dialects import APIS
from ..errors import UsageError, nearest, spell
from ..net.generation import Generation
from ..net.transfer import Transport
from ..providers.resolve import Target
from ..request.builder import RequestBuilder, network

if TYPE_CHECKING:
    from ..config.file import Config


class Options(TypedDict, total=False):
    """What gen's options say, by their names; None is as good as left out.

    `options` are further fields of the body, gen's -o; `until` the stop conditions by name, `{"code_block": True}`.
    `messages`, `tools` and `schema` are values, or, as with gen, names of files; let nobody else choose such names.
    Times are in seconds, and 0 is none. What the configuration has as defaults for a model holds here, too.

    `api_key` goes to the provider's address, or to `base_url`. The latter gets no other key: neither that of the
    environment nor that of the configuration.

    `on_text` is called with each piece of text, `on_finish` with the last event, `note` with a sentence for each new
    try: by whoever reads, before the event is given out. What they raise comes through and closes the stream.
    """

    system: str | None
    max_tokens: int | None
    temperature: float | None
    seed: int | None
    stop: str | Sequence[str] | None
    options: Mapping[str, Any] | None
    json: bool | None
    schema: Mapping[str, Any] | str | None
    schema_multi: Mapping[str, Any] | str | None
    messages: Sequence[Mapping[str, Any]] | str | None
    attach: str | Sequence[str] | None
    prefill: str | None
    effort: str | None
    tools: Sequence[Mapping[str, Any]] | str | None
    cache: bool | None
    api: str | None
    until: UntilOptions | Mapping[str, object] | None
    retries: int | None
    max_retry_wait: float | None
    connect_timeout: float | None
    first_token_timeout: float | None
    stall_timeout: float | None
    timeout: float | None
    api_key: str | None
    base_url: str | None
    on_text: Callable[[str], object] | None
    on_finish: Callable[[Finish], object] | None
    note: Callable[[str], object] | None


class PreparedRequest(NamedTuple):
    """All that is needed to ask; `size` is in bytes."""

    target: Target
    request: Request
    size: int
    timeouts: Timeouts
    retries: RetryPolicy
    stops: Stops | None
    told: Mapping[str, Any]  # the callbacks


COROUTINE = 0x80  # inspect.CO_COROUTINE, without the import


def _number(least: float, kinds: tuple[type, ...] = (int, float)) -> Callable[[Any], bool]:
    return lambda value: type(value) in kinds and least <= value < float("inf") and value > float("-inf")


def _plain_call(value: Any) -> bool:
    """A function that does its work when it is called: a coroutine would never be awaited."""
    return callable(value) and not getattr(getattr(value, "__code__", None), "co_flags", 0) & COROUTINE


FROM_0, TEXT = (_number(0), "a number from 0"), (lambda value: isinstance(value, str), "a str")
CALL = (_plain_call, "a function, and not an async one")
# What each option has to be; the others are looked at where they are used.
KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("model", "system", "prefill", "api_key", "base_url"), TEXT),
    **dict.fromkeys(("max_retry_wait", "connect_timeout", "first_token_timeout"), FROM_0),
    **dict.fromkeys(("stall_timeout", "timeout"), FROM_0),
    **dict.fromkeys(("on_text", "on_finish", "note"), CALL),
    **dict.fromkeys(("json", "cache"), (lambda value: isinstance(value, bool), "a bool")),
    **dict.fromkeys(("until", "options"), (lambda value: isinstance(value, Mapping), "a mapping")),
    **dict.fromkeys(("schema", "schema_multi"), (lambda value: isinstance(value, Mapping | str), "a mapping or a str")),
    **dict.fromkeys(("messages", "tools", "attach", "stop"), (lambda value: isinstance(value, Sequence), "a sequence")),
    "max_tokens": (_number(1, (int,)), "an int from 1"),
    "retries": (_number(0, (int,)), "an int from 0"),
    "seed": (_number(float("-inf"), (int,)), "an int"),
    "temperature": (_number(float("-inf")), "a number"),
    "effort": (lambda value: value in EFFORTS, f"one of {', '.join(EFFORTS)}"),
    "api": (lambda value: value in APIS, f"one of {', '.join(APIS)}"),
}


def _check(given: Mapping[str, Any]) -> None:
    """Raises TypeError for what is no option, or not what it has to be."""
    for name, value in given.items():
        if name not in Options.__annotations__ and name != "model":
            near = nearest(name, Options.__annotations__)
            raise TypeError(f"there is no option {name!r}" + (f": did you mean {near!r}?" if near else ""))
        fits, wanted = KINDS[name]
        if not fits(value):
            raise TypeError(f"{name} is {value!r:.60}: {wanted} is wanted")
    if "base_url" in given and given["base_url"] and "://" not in given["base_url"]:
        raise UsageError(f"base_url is {given['base_url']!r:.60}: a URL begins with https:// or http://")


def ask(prompt: str, options: Mapping[str, Any], settings: Config | None = None) -> PreparedRequest:
    """What a program asks with. Raises UsageError, and TypeError for what no annotation allows.

    `settings` is the configuration, where it was read already.
    """
    given = {name: value for name, value in options.items() if value is not None}
    _check(given)
    if not isinstance(prompt, str):
        raise TypeError(f"the prompt is to be a str, not {type(prompt).__name__}")
    told = {name: given.pop(name, None) for name in ("on_text", "on_finish", "note")}
    until = given.pop("until", {})
    made, mode = from_mapping(until, "until: ")
    if any(until.values()) and not made:
        raise UsageError(f"until: {next(iter(until))} needs a condition, for example regex")
    if "options" in given:
        given["extra"] = tuple(given.pop("options").items())
    for name in ("stop", "attach"):
        if name in given:
            given[name] = (given[name],) if isinstance(given[name], str) else tuple(given[name])
    settings = settings or config.read(os.environ)
    if settings.defaults or settings.by_model:
        given = {**_defaults(settings, given), **given}
    asking = RequestBuilder("", given, os.environ, settings.catalogue, events=True)
    if asking.takes_stdin:
        raise UsageError("stdin is the program's own: read it there")
    if not prompt and not asking.conversation:
        raise UsageError("the prompt is empty: give one")
    target, request = asking.request(prompt)
    stops = Stops(made, mode) if made else None
    return PreparedRequest(target, request, request.size(), *network(given), stops, told)


def _defaults(settings: Config, given: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration's defaults of the model, converted and checked as gen's."""
    import click
    from click.core import ParameterSource

    from ..commands import defaults, gen

    ctx = click.Context(gen.command)
    for param in gen.command.params:
        source = ParameterSource.COMMANDLINE if param.name in given else ParameterSource.DEFAULT
        ctx.set_parameter_source(param.name or "", source)
    defaults.take_defaults(settings, given.get("model"), defaults.Options(ctx))
    return ctx.params


class Answer:
    """A generation and what of it is not yet taken; those who drive it say how to wait, and when it may be touched."""

    def __init__(self, asked: PreparedRequest) -> None:
        self._asked = asked
        self._generation: Generation | None = None
        self._queue: deque[Event] = deque()
        self._notes: list[str] = []
        self._closing = self._ended = self._failed = False
        self.finish: Finish | None = None  # once it was given out, or the stream closed

    @property
    def usage(self) -> Usage | None:
        """The tokens, as far as the provider has told them."""
        return self._generation.exchange.usage if self._generation else None

    @property
    def cost(self) -> float | None:
        """US dollars, where the extra `prices` is installed and has the price."""
        from ..config import prices

        return prices.cost(self._asked.target.provider, self._asked.target.model, self.usage)

    @property
    def timing(self) -> Timing | None:
        """When it was sent and answered, by the monotonic clock; None before."""
        return self._generation.timing if self._generation else None

    @property
    def met(self) -> bool:
        """Whether a condition of `until` was met."""
        return self._asked.stops is not None and self._asked.stops.met

    def close(self) -> None:
        raise NotImplementedError

    def _wake(self) -> None:
        """There may be something to take."""

    def _begin(self, target: Target, transport: Transport) -> None:
        """Sends the request. What waits for the answer does not keep the stream alive: a dropped one is closed."""
        asked, ref, notes = self._asked, weakref.ref(self), self._notes

        def wake() -> None:
            if (answer := ref()) is not None:
                answer._wake()

        def note(text: str) -> None:
            notes.append(text)
            wake()

        try:
            self._generation = Generation(
                target,
                asked.request,
                asked.timeouts,
                asked.retries,
                transport,
                stops=asked.stops,
                note=note,
                wake=wake,
            )
            self._generation.start()
        except BaseException:
            self._failed = True
            self._end()
            raise

    def _advance(self) -> bool | None:
        """Whether there is something to take; None where that is to be waited for. Raises what ended the answer."""
        if self._closing:
            self._cancel()
        if self._queue:
            return True
        if self._ended or self._generation is None:
            return False
        while self._notes:
            self._call("note", spell(self._notes.pop(0)))
        self._queue += self._generation.take()
        if self._queue or not self._generation.over:
            return True if self._queue else None
        self._end()
        if failure := self._generation.failure:
            self._failed = True
            raise failure
        return False

    def _taken(self, most: int | None) -> list[Event]:
        queue = self._queue
        if most is None or len(queue) <= most:
            batch = list(queue)
            queue.clear()
            return batch
        return [queue.popleft() for _ in range(most)]

    def _tell(self, batch: list[Event]) -> list[Event]:
        """Calls those who want to be called."""
        told = self._asked.told
        for event in batch:
            if isinstance(event, Finish):
                self.finish = event
                self._call("on_finish", event)
            elif told["on_text"] and isinstance(event, Text):
                self._call("on_text", event.text)
        return batch

    def _call(self, name: str, value: object) -> None:
        call = self._asked.told[name]
        if call is None:
            return
        try:
            call(value)
        except BaseException:
            self.close()
            raise

    def _cancel(self) -> None:
        """Ends it, if it is not over; what was not taken is dropped."""
        self._end()
        if self.finish is None and not self._failed:
            self._queue.clear()
            self.finish = Finish("cancelled", "")
            self._queue.append(self.finish)

    def _end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        if self._generation is not None:
            self._generation.close()
