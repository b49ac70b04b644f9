"""The answer of POST /v1/responses in OpenAI's format: one JSON object, or a stream of events.

https://platform.openai.com/docs/api-reference/responses and .../responses-streaming

The output grows by items: a message, a summary of the model's reasoning, calls of the client's functions. A message or
a summary ends where another item begins; calls, whose pieces may alternate, end with the answer.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..core.events import Finish, Reasoning, ScoredText, Source, Start, Text, ToolCall, Usage
from ..core.json_codec import to_json
from ..core.text import encode
from ..errors import BadRequest, Error
from .error_responses import http_status_of, message_with_hint, openai_error
from .request import Item

MESSAGE, REASONING, CALL = "message", "reasoning", "function_call"
PREFIXES = {MESSAGE: "msg", REASONING: "rs", CALL: "fc"}  # of the items' ids
# Of Finish: what OpenAI calls an answer that is not whole. A refusal without an explanation is one of these, too.
INCOMPLETE = {
    "length": "max_output_tokens",
    "paused": "max_output_tokens",
    "incomplete": "max_output_tokens",
    "unknown": "max_output_tokens",
    "content_filter": "content_filter",
    "refusal": "content_filter",
}
ServerEvent = tuple[str, dict[str, Any]]  # the event's type and its other fields


class _OutputItem:
    """An item of the output while it grows; `value` is the item as it began."""

    def __init__(self, index: int, kind: str, **value: Any) -> None:
        self.index, self.kind, self.id = index, kind, f"{PREFIXES[kind]}_{uuid.uuid4().hex}"
        self.value: dict[str, Any] = {"id": self.id, "type": kind, "status": "in_progress", **value}
        self.pieces: list[str] = []
        self.scores: list[object] = []  # of its tokens, as the provider sends them
        self.annotations: list[dict[str, object]] = []
        self.refusal = ""

    @property
    def place(self) -> dict[str, Any]:
        """The fields by which an event names the item."""
        return {"item_id": self.id, "output_index": self.index}

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def logprobs(self, with_bytes: bool = False) -> list[object]:
        return [_score(score, with_bytes) for score in self.scores]

    def part(self) -> dict[str, Any]:
        """Returns the part of a message that has its text."""
        scores = self.logprobs(with_bytes=True)
        return {"type": "output_text", "text": self.text, "annotations": self.annotations, "logprobs": scores}

    def result(self, status: str) -> dict[str, Any]:
        """Returns the item as it is now."""
        value = {**self.value, "status": status}
        if self.kind == MESSAGE:
            parts = [self.part()] if self.pieces or not self.refusal else []
            refusal = [{"type": "refusal", "refusal": self.refusal}] if self.refusal else []
            value["content"] = parts + refusal
        elif self.kind == REASONING:
            value["summary"] = [_summary(self.text)]
        else:
            value["arguments"] = self.text
        return value


class _Response:
    """Turns an answer's events into the response object and the events of its stream."""

    def __init__(self, created: int, model: str, fields: Mapping[str, Any]) -> None:
        """`created` is in Unix seconds; `model` stands until the provider names the model that answers.

        `fields` are those of the response that repeat the request.
        """
        self._id, self._created, self._model, self._fields = f"resp_{uuid.uuid4().hex}", created, model, fields
        self._items: list[_OutputItem] = []
        self._open: _OutputItem | None = None  # a message or a summary
        self._calls: dict[int, _OutputItem] = {}
        self._usage: Usage | None = None
        self._finish = Finish("stop", "")

    def _object(self, status: str, output: list[dict[str, Any]], **fields: object) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "model": self._model,
            "output": output,
            "error": None,
            "incomplete_details": None,
            "usage": self._openai_usage() if status != "in_progress" else None,
            **self._fields,
            **fields,
        }

    def _read(self, event: Item) -> Iterator[ServerEvent]:
        """Yields the events of the stream for one of ours."""
        if isinstance(event, Text):
            yield from self._read_text(event)
        elif isinstance(event, Reasoning):
            item = self._open
            if item is None or item.kind != REASONING:
                yield from self._close_open()
                item = yield from self._begin(REASONING, summary=[])
                yield "response.reasoning_summary_part.added", {**item.place, "summary_index": 0, "part": _summary("")}
            item.pieces.append(event.text)
            yield "response.reasoning_summary_text.delta", {**item.place, "summary_index": 0, "delta": event.text}
        elif isinstance(event, ToolCall):
            yield from self._read_call(event)
        elif isinstance(event, Source):
            yield from self._read_source(event)
        elif isinstance(event, Start):
            self._model = event.model
        elif isinstance(event, Usage):
            self._usage = event
        elif isinstance(event, Finish):
            self._finish = event

    def _begin(self, kind: str, **value: Any) -> Any:
        """Yields the event for a new item, and returns the item."""
        item = _OutputItem(len(self._items), kind, **value)
        self._items.append(item)
        if kind != CALL:
            self._open = item
        yield "response.output_item.added", {"output_index": item.index, "item": item.value}
        return item

    def _message(self) -> Any:
        """Yields the events for a new message unless one is open, and returns the open one."""
        item = self._open
        if item is None or item.kind != MESSAGE:
            yield from self._close_open()
            item = yield from self._begin(MESSAGE, role="assistant", content=[])
        return item

    def _text_part(self, item: _OutputItem) -> Iterator[ServerEvent]:
        if not item.pieces:
            item.pieces.append("")
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            yield "response.content_part.added", {**item.place, "content_index": 0, "part": part}

    def _read_text(self, event: Text) -> Iterator[ServerEvent]:
        item = yield from self._message()
        yield from self._text_part(item)
        item.pieces.append(event.text)
        scores = [_score(score, False) for score in event.logprobs] if isinstance(event, ScoredText) else []
        item.scores += event.logprobs if isinstance(event, ScoredText) else []
        yield "response.output_text.delta", {**item.place, "content_index": 0, "delta": event.text, "logprobs": scores}

    def _read_source(self, event: Source) -> Iterator[ServerEvent]:
        """A place that is not known is the empty one at the beginning."""
        item = yield from self._message()
        yield from self._text_part(item)
        annotation: dict[str, object] = {"type": "url_citation", "url": event.url, "title": event.title}
        annotation |= {"start_index": event.start or 0, "end_index": event.end or 0}
        place = {**item.place, "content_index": 0, "annotation_index": len(item.annotations)}
        item.annotations.append(annotation)
        yield "response.output_text.annotation.added", {**place, "annotation": annotation}

    def _read_call(self, event: ToolCall) -> Iterator[ServerEvent]:
        item = self._calls.get(event.index)
        if item is None:
            yield from self._close_open()
            call_id = event.id or f"call_{uuid.uuid4().hex}"
            item = yield from self._begin(CALL, call_id=call_id, name=event.name, arguments="")
            self._calls[event.index] = item
        if event.arguments:
            yield from self._add_arguments(item, event.arguments)

    def _add_arguments(self, item: _OutputItem, text: str) -> Iterator[ServerEvent]:
        item.pieces.append(text)
        yield "response.function_call_arguments.delta", {**item.place, "delta": text}

    def _close_open(self, status: str = "completed") -> Iterator[ServerEvent]:
        """Yields the events for the end of the open item."""
        item, self._open = self._open, None
        if item is None:
            return
        if item.kind == REASONING:
            place = {**item.place, "summary_index": 0}
            yield "response.reasoning_summary_text.done", {**place, "text": item.text}
            yield "response.reasoning_summary_part.done", {**place, "part": _summary(item.text)}
        elif item.pieces:
            place = {**item.place, "content_index": 0}
            yield "response.output_text.done", {**place, "text": item.text, "logprobs": item.logprobs()}
            yield "response.content_part.done", {**place, "part": item.part()}
        yield from self._item_done(item, status)

    def _item_done(self, item: _OutputItem, status: str) -> Iterator[ServerEvent]:
        item.value["status"] = status
        yield "response.output_item.done", {"output_index": item.index, "item": item.result(status)}

    def _close(self) -> Iterator[ServerEvent]:
        """Yields the events for the end of the answer; the last has the whole response."""
        reason, explanation = self._finish.reason, self._finish.explanation
        cause = INCOMPLETE.get(reason)
        if reason == "refusal" and explanation:
            cause = None
            yield from self._refuse(explanation)
        elif not self._items:
            item = yield from self._message()
            yield from self._text_part(item)
        status = "incomplete" if cause else "completed"
        yield from self._close_open(status)
        for item in self._calls.values():
            if not item.pieces and not cause:
                yield from self._add_arguments(item, "{}")
            if not cause:
                yield "response.function_call_arguments.done", {**item.place, "arguments": item.text}
            yield from self._item_done(item, status)
        details = {"reason": cause} if cause else None
        yield f"response.{status}", {"response": self._final(status, incomplete_details=details)}

    def _refuse(self, explanation: str) -> Iterator[ServerEvent]:
        """Yields the events for a part with the model's refusal."""
        item = yield from self._message()
        place = {**item.place, "content_index": 1 if item.pieces else 0}
        if item.pieces:  # its text ends before the part behind it
            text_place = {**item.place, "content_index": 0}
            yield "response.output_text.done", {**text_place, "text": item.text, "logprobs": item.logprobs()}
            yield "response.content_part.done", {**text_place, "part": item.part()}
        item.refusal = explanation
        part = {"type": "refusal", "refusal": explanation}
        yield "response.content_part.added", {**place, "part": {**part, "refusal": ""}}
        yield "response.refusal.delta", {**place, "delta": explanation}
        yield "response.refusal.done", {**place, "refusal": explanation}
        yield "response.content_part.done", {**place, "part": part}
        self._open = None
        yield from self._item_done(item, "completed")

    def _final(self, status: str, **fields: object) -> dict[str, Any]:
        """Returns the response with all its items; those that have not ended are incomplete."""
        output = [
            item.result("incomplete" if item.value["status"] == "in_progress" else item.value["status"])
            for item in self._items
        ]
        return self._object(status, output, **fields)

    def _openai_usage(self) -> dict[str, object] | None:
        usage = self._usage
        if usage is None:
            return None
        details = {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens}
        return {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": details,
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "total_tokens": usage.input_tokens + usage.output_tokens,
        }


class ResponseEventEncoder(_Response):
    """An AnswerEncoder: the response as Server-Sent Events, numbered from 0."""

    media_type = "text/event-stream"
    eager = False
    has_finish_reason = True
    keep_alive = b": keep-alive\n\n"

    def __init__(self, created: int, model: str, fields: Mapping[str, Any]) -> None:
        super().__init__(created, model, fields)
        self._number = 0
        self._delta: tuple[_OutputItem | None, str] = None, ""  # a message, and the JSON of its deltas before the text

    def feed(self, events: Sequence[Item]) -> bytes:
        return encode("".join(map(self._frames, events)))

    def _frames(self, event: Item) -> str:
        if type(event) is Text and self._open is not None and self._open is self._delta[0]:
            self._open.pieces.append(event.text)
            number, self._number = self._number, self._number + 1
            return f'{self._delta[1]}{number}, "logprobs": [], "delta": {to_json(event.text)}}}\n\n'
        server_events = list(self._read(event))
        if not server_events:
            return ""
        frames = self._beginning() + "".join(self._frame(*each) for each in server_events)
        if isinstance(event, Text):
            item = self._open
            assert item is not None
            kind, place = "response.output_text.delta", f'"item_id": "{item.id}", "output_index": {item.index}'
            head = f'event: {kind}\ndata: {{"type": "{kind}", {place}, "content_index": 0, "sequence_number": '
            self._delta = item, head
        return frames

    def _beginning(self) -> str:
        """Returns the first two events, once."""
        if self._number:
            return ""
        response = self._object("in_progress", [])
        return "".join(self._frame(f"response.{name}", {"response": response}) for name in ("created", "in_progress"))

    def _frame(self, kind: str, fields: dict[str, Any]) -> str:
        number, self._number = self._number, self._number + 1
        return f"event: {kind}\ndata: {to_json({'type': kind, 'sequence_number': number, **fields})}\n\n"

    def close(self) -> bytes:
        return encode(self._beginning() + "".join(self._frame(*each) for each in self._close()))

    def error(self, error: Error) -> bytes:
        """The stream ends with the failed response, and an error that OpenAI's SDKs raise."""
        frames = self._beginning()
        message = message_with_hint(error)
        code = "invalid_prompt" if isinstance(error, BadRequest) else "server_error"
        failed = self._final("failed", error={"code": code, "message": message})
        frames += self._frame("response.failed", {"response": failed})
        details = openai_error(http_status_of(error), message) | {"code": code}
        frames += self._frame("error", {"code": code, "message": message, "param": None, "error": details})
        return encode(frames)


class ResponseEncoder(_Response):
    """An AnswerEncoder: the response as one JSON object when the answer is complete."""

    media_type = "application/json"
    eager = False
    has_finish_reason = True
    keep_alive = b""

    def feed(self, events: Sequence[Item]) -> bytes:
        for event in events:
            for _ in self._read(event):
                pass
        return b""

    def close(self) -> bytes:
        *_, (_, last) = self._close()
        return encode(to_json(last["response"]))

    def error(self, error: Error) -> bytes:
        raise AssertionError("the head goes out with the complete object, so an error has a response of its own")


def _summary(text: str) -> dict[str, str]:
    return {"type": "summary_text", "text": text}


def _score(score: object, with_bytes: bool) -> object:
    """Returns what a provider says of a token as the Responses API has it: with its bytes in the complete text only."""
    if not isinstance(score, dict) or not isinstance(token := score.get("token"), str):
        return score
    values: dict[str, object] = {"token": token, "logprob": score.get("logprob")}
    if with_bytes:
        values["bytes"] = score.get("bytes") or list(token.encode("utf-8", "replace"))
    if isinstance(others := score.get("top_logprobs"), list):
        values["top_logprobs"] = [_score(other, with_bytes) for other in others]
    return values
