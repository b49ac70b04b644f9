"""The finish words of all dialects, and what llmstream makes of an answer that ends with each.

    python -m tests.support.endings

reads an answer with each word of core/endings.py, and with one that is not there, as `llmstream text` does, and prints
the dialect, the word, the reason in events and the exit status.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from llmstream.core import report
from llmstream.core.endings import ENDINGS
from llmstream.dialects.reader import StreamReader

from .eventstream import event
from .loopback import frame

UNKNOWN_WORD = "because_i_can"


class Outcome(NamedTuple):
    """What an answer that ends with a finish word comes to; the reason is "" where it has none."""

    api: str
    word: object
    reason: str
    status: int


def answer(api: str, word: object, text: str = "a", **more: object) -> bytes:
    """Returns an answer of one text with this finish word; `more` is for the object that has the word."""
    return b"".join(ANSWERS[api](word, text, more))


def _chat(word: object, text: str, more: dict[str, object]) -> Iterator[bytes]:
    yield frame({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": text}}]})
    yield frame({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": word, **more}]})
    yield frame("[DONE]")


def _responses(word: object, text: str, more: dict[str, object]) -> Iterator[bytes]:
    whole = word == "completed"
    details = None if whole or word == "incomplete" else {"reason": word}
    status = "completed" if whole else "incomplete"
    yield frame({"type": "response.created", "response": {"id": "r", "model": "m", "status": "in_progress"}})
    yield frame({"type": "response.output_text.delta", "output_index": 0, "delta": text})
    end = {"id": "r", "status": status, "incomplete_details": details, **more}
    yield frame({"type": f"response.{status}", "response": end})


def _messages(word: object, text: str, more: dict[str, object]) -> Iterator[bytes]:
    yield frame({"type": "message_start", "message": {"id": "m", "model": "m", "usage": {"input_tokens": 1}}})
    yield frame({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    yield frame({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
    yield frame({"type": "message_delta", "delta": {"stop_reason": word, **more}, "usage": {"output_tokens": 1}})
    yield frame({"type": "message_stop"})


def _gemini(word: object, text: str, more: dict[str, object]) -> Iterator[bytes]:
    yield frame({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}}], "responseId": "g"})
    yield frame({"candidates": [{"finishReason": word, **more}], "responseId": "g"})


def _ollama(word: object, text: str, more: dict[str, object]) -> Iterator[bytes]:
    import json

    yield json.dumps({"model": "m", "message": {"role": "assistant", "content": text}, "done": False}).encode() + b"\n"
    end = {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": word, **more}
    yield json.dumps(end).encode() + b"\n"


def _cohere(word: object, text: str, more: dict[str, object]) -> Iterator[bytes]:
    yield frame({"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant"}}})
    yield frame({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": text}}}})
    yield frame({"type": "message-end", "delta": {"finish_reason": word, **more}})


def _converse(word: object, text: str, more: dict[str, object]) -> Iterator[bytes]:
    yield event("messageStart", {"role": "assistant"})
    yield event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})
    yield event("messageStop", {"stopReason": word, **more})


def _interactions(word: object, text: str, more: dict[str, object]) -> Iterator[bytes]:
    yield frame({"event_type": "interaction.created", "interaction": {"id": "i", "model": "m"}})
    yield frame({"event_type": "step.delta", "index": 0, "delta": {"type": "text", "text": text}})
    yield frame({"event_type": "interaction.completed", "interaction": {"id": "i", "status": word, **more}})


def _opencode(word: object, text: str, more: dict[str, object]) -> Iterator[bytes]:
    import json

    for kind, part in (("text", {"text": text}), ("step_finish", {"reason": word, **more})):
        yield json.dumps({"type": kind, "timestamp": 1, "sessionID": "s", "part": part}).encode() + b"\n"


ANSWERS = {
    "chat": _chat,
    "responses": _responses,
    "messages": _messages,
    "gemini": _gemini,
    "ollama": _ollama,
    "cohere": _cohere,
    "converse": _converse,
    "interactions": _interactions,
    "opencode": _opencode,
}


def outcome(api: str, word: object, chunks: Iterable[bytes] = (), **more: object) -> Outcome:
    """Reads an answer that ends with the word, in these chunks or in one."""
    reader = StreamReader(grace=2.0)
    batches = [batch for chunk in chunks or [answer(api, word, **more)] for batch in reader.feed(chunk, 0.0)]
    batches += reader.close(1.0)
    failure = reader.failure or batches[0].answer.failure
    finish = None if failure else batches[0].answer.finish
    error = failure or report.verdict(finish, limited=False)
    return Outcome(api, word, finish.reason if finish else "", error.status if error else 0)


def outcomes() -> list[Outcome]:
    """Returns the rows of the table: dialect by dialect, the whole answers first."""
    return [outcome(api, word) for api in ANSWERS for word in (*ENDINGS[api], UNKNOWN_WORD)]


def main() -> None:
    print(f"{'dialect':12} {'word':36} {'reason':16} status")
    for api in ANSWERS:
        for row in sorted((row for row in outcomes() if row.api == api), key=lambda row: (row.status, row.reason)):
            word = "anything else" if row.word == UNKNOWN_WORD else row.word
            print(f"{api:12} {word!s:36} {row.reason or '(an error)':16} {row.status}")


if __name__ == "__main__":
    main()
