"""Reads one response: its head and bytes in, events out, and the decision whether the answer is complete.

An answer is complete only if the protocol's end mark has arrived. After it a usage record may follow for `grace`
seconds; the end of the connection is not awaited. Times are seconds of the caller's clock: `now` is passed in, and
`deadline()` returns when to call `expire`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UNLIMITED, Error, Incomplete, Unavailable, option
from . import json_codec, provider_errors, sse
from .deadlines import Deadlines
from .decoder import Decoder
from .events import Event, Finish, Text, Usage
from .frame_json import NOT_JSON, decode_invalid, is_done, not_json_error
from .native import Collector
from .repeats import Repeats
from .surrogates import scrub
from .tally import Tally
from .timing import Timeouts, Timing

MAX_ERROR_BYTES = 64 * 1024  # of a body that is not a stream
MAX_ANSWER_BYTES = sse.MAX_EVENT_BYTES  # of an answer that is not streamed


class Exchange:
    """Feeds a response into a dialect's decoder, and checks the time limits.

    `timing` began with the first attempt, and `now` is when this attempt's request is sent: the limit of the whole
    answer spans all attempts, the first token's limit holds for each. `url` is for messages. `frames` splits the
    stream, by default as the dialect says.

    `shows_reasoning` says that the reasoning is output, too. Without it, a failure before the first text is one before
    any output: the request may be sent again. `collector` collects the native items. `tier` is that of the usage, where
    the request, not the provider, says it.

    Nothing is raised, so that no events before an error are lost: once `over` is true, `failure` is why the answer
    is not complete, or None.
    """

    def __init__(
        self,
        decoder: Decoder,
        timeouts: Timeouts,
        timing: Timing,
        now: float,
        url: str,
        frames: sse.Frames | None = None,
        *,
        shows_reasoning: bool = True,
        collector: Collector | None = None,
        tier: str = "",
    ) -> None:
        self._tier = tier
        self._decoder, self._collector = decoder, collector
        self._timeouts, self._url = timeouts, url
        self._parser: sse.Frames = frames or decoder.parser()
        self._repeats = None if collector else Repeats()
        self.headers: Mapping[str, str] = {}
        self._body: list[bytes] | None = None  # chunks of a response that is not an event stream
        self.status = self._body_bytes = 0
        self.frame_count = 0  # frames that were read
        self.timing, self._deadlines = timing, Deadlines(timeouts, timing, now)
        self._tally = Tally(timing, shows_reasoning)
        self.over = False
        self.flows = False  # whether output has come, and nothing of the end
        self.failure: Error | None = None
        self.warning = ""

    @property
    def is_paused(self) -> bool:
        """Whether the provider has paused the answer, and wants it sent back."""
        return self.finish is not None and self.finish.reason == "paused"

    @property
    def usage(self) -> Usage | None:
        """The last usage record so far."""
        usage = self._decoder.usage
        if usage and self._tier:
            usage.tier = self._tier
        return usage.drop_impossible() if usage else None

    @property
    def finish(self) -> Finish | None:
        """The finish, once the end mark has arrived."""
        return self._decoder.finish

    @property
    def has_output(self) -> bool:
        """Whether there was any output; reasoning counts where it is shown."""
        return self._tally.has_output

    @property
    def characters(self) -> int:
        """The number of characters of the text so far."""
        return self._tally.characters

    @property
    def model(self) -> str:
        """The provider's name of the model that answers, "" before it is known."""
        return self._tally.model

    @property
    def tool_calls(self) -> int:
        """The number of tool calls so far."""
        return len(self._decoder.calls)

    def native_items(self) -> list[dict[str, Any]]:
        """Returns what the provider wants back with the next request, of a complete answer that came in one piece."""
        return self._collector.items() if self._collector else []

    def native_container(self) -> str:
        """Returns the id of the container that the provider's tools have used, and go on with; "" without one."""
        return self._collector.container() if self._collector else ""

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Begins the response. The names of the headers are in lower case."""
        self.status, self.headers = status, headers
        if status != 200 or self._content_type() not in self._decoder.content_types:
            self._body = []

    def feed(self, chunk: bytes, now: float) -> list[Event]:
        """Returns the events that chunk completes."""
        if self.over:
            return []
        if text := self.feed_repeat(chunk, now):
            return [Text(text)]
        if chunk:
            self._deadlines.life = now
        repeats, parser = self._repeats, self._parser
        if self._body is not None:
            return self._feed_body(chunk, now)
        begins_event = isinstance(parser, sse.Parser) and parser.is_between_events
        try:
            frames = parser.feed(chunk)
        except Incomplete as error:
            return self._fail(error)
        events = self._feed_frames(frames, now) if frames else []
        if repeats:
            event = events[0] if begins_event and len(frames) == len(events) == 1 else None
            if self._may_repeat and type(event) is Text:
                repeats.learn(chunk, event.text, self._decoder.position)
            else:
                repeats.forget()
        return events

    def feed_repeat(self, chunk: bytes, now: float) -> str:
        """Returns the text of a chunk that repeats the last one but for its text; "" for any other, to be fed."""
        text = self._repeats.text(chunk) if self._repeats else ""
        if text:
            self.frame_count += 1
            self._tally.characters += len(text)
            self._deadlines.life = self._deadlines.frame = self.timing.last = now
            self._decoder.on_repeat(text)
        return text

    @property
    def _may_repeat(self) -> bool:
        """Whether the next chunk may be like the last one, which is one event with a text, but for the text."""
        ends_event = isinstance(self._parser, sse.Parser) and self._parser.is_between_events
        return ends_event and self.flows and self._decoder.repeats and not (self.over or self._tally.holds_half)

    def feed_frames(self, frames: list[sse.Frame], now: float, at_end: bool = False) -> list[Event]:
        """Returns the events of frames that the caller has split; `at_end`: the input ends, maybe within the last."""
        self._deadlines.life = now
        return [] if self.over else self._feed_frames(frames, now, at_end)

    def close(self, now: float, reason: str = "", max_retries: int = UNLIMITED) -> list[Event]:
        """Ends the response and returns the last events.

        `reason` is why the connection failed, "" if the server closed it; `max_retries` holds if no response had begun.
        """
        if self.over:
            return []
        if not self.status:
            reason = reason or "the connection closed before an answer came"
            return self._fail(Unavailable(reason, max_retries=max_retries))
        if self._body is not None and (self.status != 200 or not reason):
            return self._read_body(now)
        try:
            events = self._feed_frames(self._parser.close(), now, at_end=True)
        except Incomplete as error:
            return self._fail(error)
        if self.over:
            return events
        if self._decoder.finish:
            return events + self._end()
        return events + self._fail_cut(reason or "the stream ended before its end mark")

    def is_cut(self, now: float, ended: bool) -> bool:
        """Whether an answer that has begun is cut: the connection has `ended`, or the stall time-out has passed."""
        broken = ended or self._deadlines.is_stalled(now)
        started = self.has_output and self._body is None
        return broken and started and not self.over and not self._decoder.finish

    def reopen(self, now: float, *, same_bytes: bool, decoder: Decoder | None = None) -> None:
        """Prepares for another response, which continues the answer.

        `same_bytes` says that it continues at the very byte, maybe within a frame; `decoder` replaces the decoder.
        """
        self.over, self.failure, self._body, self._body_bytes = False, None, None, 0
        self.status, self.headers = 0, {}
        self._deadlines.restart(now)
        if self._repeats:
            self._repeats.forget()
        if not same_bytes:
            self._parser = type(self._parser)()
        if decoder is not None:
            self._decoder, self._collector = decoder, None

    @property
    def position(self) -> int:
        """The number of the last event, -1 in dialects that do not number them."""
        return self._decoder.position

    def deadline(self) -> float | None:
        """Returns when to call `expire` unless something arrives; None for never."""
        deadlines = (self._progress_deadline(), self._deadlines.total())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def expire(self, now: float) -> list[Event]:
        """Returns the last events if a time-out has passed or the wait for a usage record is over."""
        total, progress = self._deadlines.total(), self._progress_deadline()
        if self.over:
            return []
        if progress is not None and now >= progress:
            if self._decoder.finish:
                return self._end()
            if self.timing.first is None:
                return self._fail_late(self._timeouts.first_token, "no data for", "first_token_timeout")
            return self._fail_late(self._timeouts.stall, "no data for", "stall_timeout")
        if total is not None and now >= total:
            return self._fail_late(self._timeouts.total, "not complete within", "timeout")
        return []

    def suspend(self) -> None:
        """Stops the clocks for the first token and for stalls: no request is sent yet, or reading is paused.

        The limit of the whole answer continues.
        """
        self._deadlines.is_suspended = True

    def resume(self, now: float) -> None:
        """Restarts those clocks: the request is sent, or the consumer, which did not read, is ready again."""
        self._deadlines.restart(now)
        self._deadlines.is_suspended = False

    def _progress_deadline(self) -> float | None:
        decoder = self._decoder
        return self._deadlines.progress(decoder.finish is not None and not decoder.premature)

    def _content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    # The end of an answer.

    def _end(self) -> list[Event]:
        decoder = self._decoder
        finish = decoder.finish = decoder.finish or Finish("stop", "")
        events = self._close_texts()
        if self.timing.first is None and not finish.provider_reason and not finish.explanation:
            return events + self._fail_cut("the answer is empty and has no finish reason")
        if finish.reason == "tool_calls" and decoder.calls.break_off:
            finish = decoder.finish = Finish(
                "incomplete", finish.provider_reason, "the arguments of a tool call are incomplete"
            )
        elif finish.reason in ("stop", "tool_calls"):
            events += self._tally.add(decoder.calls.close(), self._deadlines.life)
        self.over = True
        finish.provider_reason, finish.explanation = scrub(finish.provider_reason), scrub(finish.explanation)
        if decoder.fallback:
            self._tally.model = scrub(decoder.fallback)
            self.warning = f"the model declined: {self.model} answered"
        elif decoder.dropped and not self.characters and not len(decoder.calls):
            self.warning = f"the answer has no text, but {' and '.join(dict.fromkeys(decoder.dropped))}"
        elif decoder.calls.lack_name:
            self.warning = "the answer has a tool call without a name, which is ignored"
        elif finish.reason == "tool_calls" and not self.characters and not len(decoder.calls):
            self.warning = "the finish reason is tool calls, but the answer has no tool call"
        if (usage := self.usage) is not None:
            events.append(usage)
        events.append(finish)
        return events

    def _fail(self, error: Error) -> list[Event]:
        """Ends the answer with an error; after output it is Incomplete, whatever the error."""
        self.over = True
        events = self._close_texts()  # first, since they count as output
        if self.has_output and not isinstance(error, Incomplete):
            message = f"{error.message}: {self._broken_off()}"
            error = Incomplete(message, max_retries=error.max_retries, hint=error.hint)
        self.failure = error
        return events

    def _broken_off(self) -> str:
        plural = "" if self.characters == 1 else "s"
        return f"the answer breaks off after {self.characters} character{plural}"

    def _fail_late(self, limit: float | None, what: str, name: str) -> list[Event]:
        """Ends the answer at a time-out, whose option is `name`."""
        message = f"{what} {limit:g} s ({option(name)})"
        return self._fail_cut(message) if self.has_output else self._fail(Unavailable(message, max_retries=0))

    def _fail_cut(self, reason: str) -> list[Event]:
        events = self._close_texts()  # first, since they count as output
        if not self.has_output:
            return events + self._fail(Incomplete(f"{reason}: no output came", max_retries=UNLIMITED))
        return events + self._fail(Incomplete(f"{reason}: {self._broken_off()}"))

    # An event stream.

    def _feed_frames(self, frames: list[sse.Frame], now: float, at_end: bool = False) -> list[Event]:
        decoder = self._decoder
        events: list[Event] = []
        for name, data in frames:
            self.frame_count += 1
            if is_done(data):
                events += decoder.feed_done()
            else:
                try:
                    value = json_codec.decode(data) if data else None
                except (ValueError, RecursionError):
                    value = decode_invalid(data)
                    if value is NOT_JSON and at_end:  # the stream was cut within an event
                        break
                    if value is NOT_JSON:
                        return self._tally.add(events, now) + self._fail(not_json_error(name, data, self.frame_count))
                    self.warning = "the provider sent invalid UTF-8: replaced by U+FFFD"
                has_error = decoder.reports_errors and (b"error" in data or name == "error")
                error = provider_errors.in_event(value, name) if has_error else None
                if error is None and isinstance(value, dict):
                    if name != "ping" and value.get("type") != "ping":
                        self._deadlines.frame = now
                    events += decoder.feed(name, value)
                    if self._collector is not None:
                        self._collector.feed(name, value)
                    error = decoder.failure
                if error is not None:
                    return self._tally.add(events, now) + self._fail(error)
            if decoder.over:
                break
        self._tally.add(events, now)
        self.flows = self.has_output and decoder.finish is None
        return events + self._end() if decoder.over else events

    def _close_texts(self) -> list[Event]:
        """Returns the last events: those held back, and a replacement for each half character at a text's end."""
        return self._tally.add(self._decoder.close(), self._deadlines.life) + self._tally.close()

    # Any other body: an error, a login page, or an answer of a server that does not stream.

    def _feed_body(self, chunk: bytes, now: float) -> list[Event]:
        assert self._body is not None
        self._body.append(chunk)
        self._body_bytes += len(chunk)
        is_answer = self.status == 200 and self._content_type() == "application/json"
        limit = MAX_ANSWER_BYTES if is_answer else MAX_ERROR_BYTES
        return self._read_body(now) if self._body_bytes > limit else []

    def _read_body(self, now: float) -> list[Event]:
        body = b"".join(self._body or ())
        if self.status != 200:
            return self._fail(provider_errors.of_response(self.status, self.headers, body, self._url))
        data = json_codec.loads_or_none(body)
        if error := provider_errors.in_event(data, ""):
            return self._fail(error)
        events = self._decoder.feed_answer(data) if isinstance(data, dict) else []
        if self._decoder.failure is not None:
            return self._tally.add(events, now) + self._fail(self._decoder.failure)
        if self._collector is not None and isinstance(data, dict):
            self._collector.feed_answer(data)
        if len(events) < 2 and self._decoder.finish is None:  # at most a Start
            kind = self._content_type() or "no content type"
            wanted = self._decoder.content_types[0]
            wanted = "an event stream" if wanted == "text/event-stream" else wanted
            message = f"{self._url} answered {kind}, not {wanted}: is the base URL that of an API?"
            return self._fail(Incomplete(message))
        self._tally.add(events, now)
        return events + (self._end() if self._decoder.finish else self._fail_cut("the answer has no finish reason"))
