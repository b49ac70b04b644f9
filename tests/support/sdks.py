"""Reads transcripts with the official SDKs; the results are named as in `expected.toml`.

Only the SDKs' transport is replaced, by one that answers with the body. Their events are joined as their documentation
says, and not corrected.
"""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx
import httpx2
import ollama
import openai

from .transcripts import Transcript

KEY = "sk-test-key"
HELLO: Any = [{"role": "user", "content": "Hello"}]


class Reading:
    """The result that a caller of an SDK gets."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: dict[int, list[str]] = {}
        self.usage: list[int] | None = None
        self.reason: str | None = None  # the provider's finish reason
        self.failed = False

    def call(self, index: int, id: str | None, name: str | None, arguments: str | None) -> None:
        call = self.calls.setdefault(index, ["", "", ""])
        for place, piece in enumerate((id, name, arguments)):
            call[place] += piece or ""

    def meaning(self) -> dict[str, Any]:
        calls = [self.calls[index] for index in sorted(self.calls)]
        text, reasoning = "".join(self.text), "".join(self.reasoning)
        return {
            "text": text,
            "reasoning": reasoning,
            "calls": calls,
            "usage": self.usage,
            "reason": None if self.failed else self.reason,
            "failed": self.failed,
        }


def _transport(transcript: Transcript) -> httpx2.Client:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(transcript.http, headers={"content-type": transcript.content_type}, stream=Body())

    class Body(httpx2.SyncByteStream):
        def __iter__(self):
            yield transcript.body

    return httpx2.Client(transport=httpx2.MockTransport(answer))


def read(transcript: Transcript) -> Reading:
    """Reads a transcript through the raw stream of its dialect's SDK."""
    reading = Reading()
    try:
        READERS[transcript.api](transcript, reading)
    except (openai.APIError, anthropic.APIError, ollama.ResponseError):
        reading.failed = True
    return reading


def _openai(transcript: Transcript) -> openai.OpenAI:
    client = _transport(transcript)
    return openai.OpenAI(api_key=KEY, base_url="http://sdk.test/v1", max_retries=0, http_client=client)


def _anthropic(transcript: Transcript) -> anthropic.Anthropic:
    client = _transport(transcript)
    return anthropic.Anthropic(api_key=KEY, base_url="http://sdk.test", max_retries=0, http_client=client)


def _read_chat(transcript: Transcript, reading: Reading) -> None:
    with (
        _openai(transcript) as client,
        client.chat.completions.create(model="m", messages=HELLO, stream=True) as stream,
    ):
        for chunk in stream:
            if chunk.usage:
                reading.usage = _chat_usage(chunk.usage)
            for choice in chunk.choices or ():
                if choice.index == 0:
                    reading.reason = choice.finish_reason or reading.reason
                    if choice.delta:
                        _read_delta(choice.delta, reading)


def _read_delta(delta: Any, reading: Reading) -> None:
    extra = delta.model_extra or {}
    reading.reasoning.append(extra.get("reasoning_content") or extra.get("reasoning") or "")
    if isinstance(delta.content, list):  # Mistral: passed on as it came
        for part in delta.content:
            reading.text.append(part.get("text", ""))
            reading.reasoning += [inner["text"] for inner in part.get("thinking", ())]
    else:
        reading.text.append(delta.content or "")
    reading.text.append(delta.refusal or "")
    for call in delta.tool_calls or ():
        reading.call(call.index, call.id, call.function.name, call.function.arguments)
    if delta.function_call:
        reading.call(0, "", delta.function_call.name, delta.function_call.arguments)


def _chat_usage(usage: Any) -> list[int]:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    cached, reasoning = prompt and prompt.cached_tokens, completion and completion.reasoning_tokens
    counts = [usage.prompt_tokens, usage.completion_tokens, cached or 0, reasoning or 0]
    return _with_written(counts, prompt.cache_write_tokens if prompt else 0)


def _with_written(counts: list[int], written: int | None) -> list[int]:
    return [*counts, written] if written else counts


def _read_responses(transcript: Transcript, reading: Reading) -> None:
    with _openai(transcript) as client, client.responses.create(model="m", input="Hello", stream=True) as stream:
        for event in stream:
            if event.type in ("response.output_text.delta", "response.refusal.delta"):
                reading.text.append(event.delta)
            elif event.type in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
                reading.reasoning.append(event.delta)
            elif event.type == "response.output_item.added" and event.item.type == "function_call":
                reading.call(event.output_index, event.item.call_id, event.item.name, event.item.arguments)
            elif event.type == "response.function_call_arguments.delta":
                reading.call(event.output_index, "", "", event.delta)
            elif event.type in ("response.completed", "response.incomplete", "response.failed"):
                _read_end(event.response, reading)


def _read_end(response: Any, reading: Reading) -> None:
    reading.failed = response.status == "failed"
    details, usage = response.incomplete_details, response.usage
    reading.reason = details.reason if details else response.status
    if usage:
        read, written = (
            usage.input_tokens_details,
            getattr(usage, "output_tokens_details", None),
        )  # which some leave out
        reasoning, cached = written.reasoning_tokens if written else 0, read.cached_tokens if read else 0
        counts = [usage.input_tokens, usage.output_tokens, cached, reasoning]
        reading.usage = _with_written(counts, getattr(read, "cache_write_tokens", 0))


def _read_messages(transcript: Transcript, reading: Reading) -> None:
    create = _anthropic(transcript).messages.create
    with create(model="m", max_tokens=100, messages=HELLO, stream=True) as stream:
        counts: dict[str, Any] = {}
        for event in stream:
            if event.type == "message_start":
                counts |= event.message.usage.to_dict()
            elif event.type == "content_block_start" and event.content_block.type == "tool_use":
                reading.call(event.index, event.content_block.id, event.content_block.name, "")
            elif event.type == "content_block_delta":
                _read_block_delta(event, reading)
            elif event.type == "message_delta":
                reading.reason = event.delta.stop_reason
                counts |= {name: count for name, count in event.usage.to_dict().items() if count is not None}
                reading.usage = _messages_usage(counts)


def _read_block_delta(event: Any, reading: Reading) -> None:
    delta = event.delta
    if delta.type == "text_delta":
        reading.text.append(delta.text)
    elif delta.type == "thinking_delta":
        reading.reasoning.append(delta.thinking)
    elif delta.type == "input_json_delta" and event.index in reading.calls:
        reading.call(event.index, "", "", delta.partial_json)


def _messages_usage(counts: dict[str, Any]) -> list[int]:
    cached = counts.get("cache_read_input_tokens") or 0
    written = counts.get("cache_creation_input_tokens") or 0
    input_tokens = counts["input_tokens"] + cached + written
    reasoning = (counts.get("output_tokens_details") or {}).get("thinking_tokens", 0)
    return _with_written([input_tokens, counts["output_tokens"], cached, reasoning], written)


def _read_ollama(transcript: Transcript, reading: Reading) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            transcript.http, headers={"content-type": transcript.content_type}, content=transcript.body
        )

    client = ollama.Client("http://sdk.test", transport=httpx.MockTransport(answer))
    answers = client.chat("m", HELLO, stream=transcript.is_stream)
    reading.failed = True
    for part in answers if transcript.is_stream else [answers]:
        reading.text.append(part.message.content or "")
        reading.reasoning.append(part.message.thinking or "")
        for call in part.message.tool_calls or ():
            arguments = json.dumps(call.function.arguments, ensure_ascii=False)
            reading.call(len(reading.calls), "", call.function.name, arguments)
        if part.done:
            reading.failed = False
            reading.reason = part.done_reason
            reading.usage = [part.prompt_eval_count or 0, part.eval_count or 0, 0, 0]


READERS = {"chat": _read_chat, "responses": _read_responses, "messages": _read_messages, "ollama": _read_ollama}


def final_message(transcript: Transcript) -> Reading:
    """Reads a transcript through the Anthropic SDK's accumulated message."""
    reading = Reading()
    with (
        _anthropic(transcript) as client,
        client.messages.stream(model="m", max_tokens=100, messages=HELLO) as stream,
    ):
        message = stream.get_final_message()
    for index, block in enumerate(message.content):
        if block.type == "text":
            reading.text.append(block.text)
        elif block.type == "thinking":
            reading.reasoning.append(block.thinking)
        elif block.type == "tool_use":
            reading.call(index, block.id, block.name, json.dumps(block.input, ensure_ascii=False))
    reading.usage, reading.reason = _messages_usage(message.usage.to_dict()), message.stop_reason
    return reading
