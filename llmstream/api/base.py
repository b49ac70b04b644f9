"""Prepares requests of Python programs, and the state that a stream has in threads and in asyncio alike."""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import inputs
from ..config import file as config_file
from ..config import keys
from ..config.file import Config
from ..core.events import Event, Finish, Source, Text, Usage
from ..core.report import total_usage, verdict
from ..core.request import Request
from ..core.stop.conditions import from_mapping
from ..core.stop.stops import Stops
from ..core.timing import Timing
from ..errors import Error, UsageError, followed, spell
from ..net.attempts import Resume
from ..net.generation import Generation
from ..net.transfer import Transport
from ..providers.registry import REPLAY
from ..providers.resolve import Target
from ..request.attachments import is_url
from ..request.choices import Choice, Choices, by_model, require_checkable
from ..request.options import PYTHON, parse, unknown

if TYPE_CHECKING:
    from ..request.turns import PausingAnswer

CALLBACKS = ("on_text", "on_finish", "note")
SCHEMAS = ("schema", "schema_multi")
FILES = ("messages", "tools")  # options whose text is the name of a file

_forks = 0  # that led to this process


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


class PreparedRequest:
    """A request and how to send it. Once it `is_built` there are `choice`, the model to ask, and those `following`.

    Raises TypeError for a name or a value that no annotation allows, and UsageError for what cannot be asked. `config`
    is the configuration, if it was read before; `headers` are lines to send beside the provider's.
    """

    choice: Choice
    following: list[Choice]

    def __init__(
        self, prompt: str, options: Mapping[str, Any], config: Config | None = None, headers: Sequence[str] = ()
    ) -> None:
        for name in options:
            if message := unknown(name, PYTHON):
                raise TypeError(message)
        options = {name: _as_schema(value) if name in SCHEMAS else value for name, value in options.items()}
        values = parse(options, PYTHON, lambda name, message: TypeError(f"{name} {message}"))
        if not isinstance(prompt, str):
            raise TypeError(f"prompt must be a str, not {type(prompt).__name__}")
        self.callbacks = {name: values.pop(name, None) for name in CALLBACKS}
        self._until = values.pop("until", {})
        self.new_stops()  # a wrong condition is an error at once
        config = config or config_file.read(os.environ)
        if config.warning:
            import warnings

            warnings.warn(config.warning, stacklevel=4)
        self._options = by_model(values, config, os.environ)
        if not values.get("check"):  # a default of the configuration is for commands, which may ask again
            for each in self._options:
                each.pop("check", None)
                each.pop("check_retries", None)
        require_checkable(self._options, {"until": bool(self._until)})
        if "-" in self._sources():
            raise UsageError("options cannot read stdin here: read it in the program, and pass the text")
        self._prompt, self.catalogue = prompt, config.catalogue
        self._headers = headers
        self.is_built = False

    @property
    def target(self) -> Target:
        """Where the request goes."""
        return self.choice.target

    @property
    def request(self) -> Request:
        """The request to the model."""
        return self.choice.request

    def new_stops(self) -> Stops | None:
        """Returns the stop conditions of one answer, None without any."""
        conditions, mode = from_mapping(self._until)
        return Stops(conditions, mode) if conditions else None

    def build(self, may_block: bool = True) -> None:
        """Makes the target and the request: finds the key, reads files, fetches attachments. Raises UsageError.

        Where that takes a while and must not block, nothing is done.
        """
        if self.is_built:
            return
        catalogue = self.catalogue
        if not may_block:
            if sources := [item for item in self._sources() if isinstance(item, str)]:
                for path in (source for source in sources if not is_url(source)):
                    inputs.check_file(path)
                return
            catalogue = catalogue._replace(read_key=partial(catalogue.read_key, wait=False))
        try:
            builder = Choices("", self._options, os.environ, catalogue)
        except keys.NotCached:
            return
        if not self._prompt and not builder.has_conversation:
            raise UsageError("the prompt is empty: pass one")
        self.choice, *self.following = map(self._with_headers, builder.requests(self._prompt))
        if self.target.row.transport != REPLAY:  # whose dialect the recording has
            self.target.body(self.request._replace(attachments=()))  # what the dialect or the model does not have
        self.is_built = True

    def _with_headers(self, choice: Choice) -> Choice:
        row = choice.target.row
        choice = choice._replace(
            target=choice.target._replace(row=row._replace(headers=(*row.headers, *self._headers)))
        )
        return choice.with_native() if choice.may_pause else choice

    def _sources(self) -> list[object]:
        """Returns the values of the options that may name files."""
        return [item for each in self._options for item in (*map(each.get, FILES), *(each.get("attach") or ()))]


def prepare(
    prompt: str, options: Mapping[str, Any], config: Config | None = None, headers: Sequence[str] = ()
) -> PreparedRequest:
    """Returns a request that is built. Raises TypeError, UsageError, and Unavailable for attachments."""
    prepared = PreparedRequest(prompt, options, config, headers)
    prepared.build()
    return prepared


def _as_schema(value: object) -> object:
    """Returns the JSON schema of a class: a pydantic model, a dataclass or a TypedDict; any other value as it is."""
    if not isinstance(value, type):
        return value
    if hasattr(value, "model_json_schema"):
        return value.model_json_schema()
    import msgspec

    try:
        schema = msgspec.json.schema(value)
    except TypeError as error:
        raise TypeError(f"cannot make a JSON schema of {value.__name__}: {error}") from None
    definitions = schema.get("$defs", {})
    top = definitions.get(schema.get("$ref", "").removeprefix("#/$defs/"))
    if top is None:
        return schema
    if f'"#/$defs/{value.__name__}"' not in msgspec.json.encode(definitions).decode():  # it does not contain itself
        definitions = {name: one for name, one in definitions.items() if one is not top}
    return {**top, "$defs": definitions} if definitions else top


class BaseStream:
    """One generation and its unconsumed events. Subclasses add waiting and locking.

    `on_fallback`, where given, is called when another model is asked, with the name of the model that has failed and
    the sentence that `note` gets.
    """

    def __init__(self, prepared: PreparedRequest, on_fallback: Callable[[str, str], object] | None = None) -> None:
        self._prepared, self._on_fallback = prepared, on_fallback
        self._generation: Generation | None = None
        self._pausing: PausingAnswer | None = None  # of a provider that may pause the answer
        self._queue: deque[Event] = deque()
        self._notes: list[str] = []
        self._sources: list[Source] = []
        self._checked: list[str] = []  # the text of an answer that is to be checked
        self._closing = self._ended = self._failed = False
        self._forks = 0  # that led to the process which has sent the request
        self.finish: Finish | None = None  # once the reader has the event, or closed the stream

    def __repr__(self) -> str:
        state = "failed" if self._failed else self.finish.reason if self.finish else "closed" if self._ended else "open"
        target = self._prepared.target if self._prepared.is_built else None
        return f"<{type(self).__name__} {f'{target.provider}/{target.model} ' if target else ''}{state}>"

    @property
    def usage(self) -> Usage | None:
        """The tokens, as far as the provider has reported them; None before."""
        if self._generation is None:
            return None
        earlier = self._pausing.earlier if self._pausing else []
        return total_usage([*earlier, self._generation.exchange])

    @property
    def cost(self) -> float | None:
        """The price in US dollars, as the provider states it or by the list of the extra `prices`; None if unknown."""
        from ..config import prices

        if not self._prepared.is_built:
            return None
        target, answering = self._prepared.target, self._generation.exchange.model if self._generation else ""
        return prices.cost(target.provider, target.model, self.usage, answering)

    @property
    def sources(self) -> list[Source]:
        """The sources that the answer cites, in the order of the citations, as far as the reader has come."""
        return list(self._sources)

    @property
    def timing(self) -> Timing | None:
        """When the request was sent and the answer came, in seconds of the monotonic clock; None before it is sent."""
        if self._generation is None:
            return None
        timing = self._generation.timing
        return self._pausing.timing(timing) if self._pausing else timing

    @property
    def met(self) -> bool:
        """Whether a condition of `until` was met."""
        stops = self._generation.stops if self._generation else None
        return stops is not None and stops.met

    def close(self) -> None:
        """Ends the answer."""
        raise NotImplementedError

    @property
    def _is_inherited(self) -> bool:
        """Whether this process was forked while the stream was open in its parent, whose connection it is."""
        return self._generation is not None and self._forks != _forks

    def _wake(self) -> None:
        """Called when there may be new events."""

    def _begin(self, target: Target, transport: Transport) -> None:
        """Sends the request. The loop holds a weak reference only, so that a dropped stream is closed."""
        prepared, ref, notes = self._prepared, weakref.ref(self), self._notes
        self._forks = _forks
        if prepared.choice.may_pause and self._pausing is None:
            from ..request.turns import PausingAnswer

            self._pausing = PausingAnswer(prepared.request, prepared.choice.max_turns)

        def wake() -> None:
            if (stream := ref()) is not None:
                stream._wake()

        def note(text: str) -> None:
            notes.append(text)
            wake()

        if prepared.request.within:
            from ..net.polling import Polling

            transport = Polling(transport, target, note=note)
        try:
            self._generation = Generation(
                target,
                prepared.request,
                prepared.choice.timeouts,
                prepared.choice.retries,
                transport,
                stops=prepared.new_stops(),
                resume=self._resume(target, note),
                note=note,
                wake=wake,
            )
            self._generation.start()
        except BaseException:
            self._failed = True
            self._end()
            raise

    def _resume(self, target: Target, note: Callable[[str], None]) -> Resume | None:
        if not self._prepared.choice.resumes:
            return None
        from ..net import resume

        return resume.of(target, note)

    def _fallback_cause(self) -> Error | None:
        """Returns why the next model is to be asked, None where there is none or this one's answer counts."""
        prepared, generation = self._prepared, self._generation
        if not prepared.is_built or not prepared.following or generation is None:
            return None
        if self._ended or self._closing or self._is_inherited or (self._pausing and self._pausing.earlier):
            return None
        cause = generation.early_failure
        return cause if cause is not None and prepared.choice.falls_back(cause) else None

    def _falls_back(self) -> bool:
        """Returns whether the next model is to be asked, which the request then is for."""
        cause, prepared = self._fallback_cause(), self._prepared
        if cause is None:
            return False
        before, prepared.choice, self._pausing = prepared.choice, prepared.following.pop(0), None
        note = followed(cause.message, f"asking {prepared.target.name} instead of {before.target.name}")
        self._notes.append(note)
        if self._on_fallback:
            self._on_fallback(before.target.name, note)
        return True

    def _goes_on(self) -> bool:
        """Returns whether the provider has paused the answer; the request then is for what follows."""
        pausing, generation = self._pausing, self._generation
        if pausing is None or generation is None or not generation.over:
            return False
        if self._ended or self._closing or self._is_inherited:
            return False
        self._buffer(generation)
        if self._queue:  # which the reader gets first
            return False
        try:
            request = pausing.go_on(generation)
        except Error:
            self._failed = True
            self._end()
            raise
        if request is None:
            self._queue += pausing.end()
            return False
        self._prepared.choice = self._prepared.choice._replace(request=request)
        return True

    def _advance(self) -> bool | None:
        """Returns whether there are events to read, None if they are still to come. Raises the error of the answer."""
        if self._closing:
            self._cancel()
        if self._queue:
            return True
        if self._is_inherited and not self._ended:
            raise RuntimeError("the stream belongs to the parent process: begin a new one after a fork")
        if self._ended or self._generation is None:
            return False
        while self._notes:
            self._call("note", spell(self._notes.pop(0)))
        self._buffer(self._generation)
        if self._queue or not self._generation.over:
            return True if self._queue else None
        self._end()
        for text in self._generation.notes:
            self._call("note", spell(text))
        if failure := self._generation.failure or self._wrong(self._generation):
            self._failed = True
            raise self._pausing.failure(failure) if self._pausing else failure
        return False

    def _buffer(self, generation: Generation) -> list[Event]:
        """Puts new events into the queue; returns them."""
        events = generation.take()
        if self._pausing:
            events = self._pausing.feed(generation.exchange, events)
        self._queue += events
        if self._prepared.choice.check:
            self._checked += [event.text for event in events if isinstance(event, Text)]
        return events

    def _wrong(self, generation: Generation) -> Error | None:
        """Returns the error of a whole answer that the check finds wrong."""
        check, exchange = self._prepared.choice.check, generation.exchange
        if check is None or exchange.tool_calls or verdict(exchange.finish, self._prepared.request.is_limited):
            return None
        from ..request.answer_check import wrong

        problems = check.problems("".join(self._checked))
        return wrong(problems) if problems else None

    def _pop(self, most: int | None) -> list[Event]:
        """Removes events from the queue: `most` at most, or all."""
        queue = self._queue
        if most is None or len(queue) <= most:
            batch = list(queue)
            queue.clear()
            return batch
        return [queue.popleft() for _ in range(most)]

    def _run_callbacks(self, batch: list[Event]) -> list[Event]:
        """Calls the callbacks for events that the reader is about to get."""
        on_text = self._prepared.callbacks["on_text"]
        for event in batch:
            if isinstance(event, Finish):
                self.finish = event
                self._call("on_finish", event)
            elif isinstance(event, Text):
                if on_text:
                    self._call("on_text", event.text)
            elif isinstance(event, Source):
                self._sources.append(event)
        return batch

    def _call(self, name: str, value: object) -> None:
        call = self._prepared.callbacks[name]
        if call is None:
            return
        try:
            call(value)
        except BaseException:
            self.close()
            raise

    def _cancel(self) -> None:
        """Ends an answer that is not over; events that were not read are dropped."""
        self._end()
        if self.finish is None and not self._failed:
            self._queue.clear()
            self.finish = Finish("cancelled", "")
            self._queue.append(self.finish)

    def _end(self) -> None:
        """Ends the generation."""
        self._ended = True
        if self._generation is not None and not self._is_inherited:
            self._generation.close()
