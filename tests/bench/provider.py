"""A provider on loopback, in a process of its own, as quick as a client could wish.

The model's name says what it does: `50` and `5000` are the chunks of the answer, sent at once; `5000-flowing` are
sent one by one, PAUSE apart. The path says the dialect. Frames are as long as those of the real providers.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..support.loopback import DONE, frame, head

PAUSE = 0.0002
WORDS = (" the", " river", " runs", " down", " to", " its", " mouth", ",", " slowly", " and", " far")


def words(count: int) -> list[str]:
    """The texts of an answer's chunks."""
    return [WORDS[i % len(WORDS)] for i in range(count)]


def chat(texts: list[str]) -> list[bytes]:
    def one(delta: dict[str, str], finish: str | None = None, **more: object) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return frame(
            {
                "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
                "object": "chat.completion.chunk",
                "created": 1741569952,
                "model": "gpt-4.1-2025-04-14",
                "service_tier": "default",
                "system_fingerprint": "fp_50cad350e4",
                "choices": [choice],
                "usage": None,
                **more,
            }
        )

    usage = {"prompt_tokens": 8, "completion_tokens": len(texts), "total_tokens": 8 + len(texts)}
    return [
        one({"role": "assistant", "content": ""}),
        *(one({"content": text}) for text in texts),
        one({}, "stop"),
        one({}, choices=[], usage=usage) + DONE,
    ]


def responses(texts: list[str]) -> list[bytes]:
    number = 0

    def one(kind: str, **data: object) -> bytes:
        nonlocal number
        number += 1
        return frame({"type": kind, **data, "sequence_number": number}, kind)

    item = "msg_67c9fdcf37fc8190ba82116e33fb28c507b8b0ad4e5eb654"
    answer = {
        "id": "resp_67c9fdcecf488190bdd9a0409de3a1ec07b8b0ad4e5eb654",
        "object": "response",
        "created_at": 1741290958,
        "status": "in_progress",
        "model": "gpt-4.1-2025-04-14",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
    }
    part = {"type": "output_text", "text": "", "annotations": []}
    message = {"id": item, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    whole = part | {"text": "".join(texts)}
    usage = {
        "input_tokens": 8,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": len(texts),
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 8 + len(texts),
    }
    done = message | {"status": "completed", "content": [whole]}
    at = {"item_id": item, "output_index": 0, "content_index": 0}
    return [
        one("response.created", response=answer),
        one("response.output_item.added", output_index=0, item=message),
        one("response.content_part.added", **at, part=part),
        *(one("response.output_text.delta", **at, delta=text, logprobs=[]) for text in texts),
        one("response.output_text.done", **at, text=whole["text"], logprobs=[]),
        one("response.content_part.done", **at, part=whole),
        one("response.output_item.done", output_index=0, item=done),
        one("response.completed", response=answer | {"status": "completed", "output": [done], "usage": usage}),
    ]


def messages(texts: list[str]) -> list[bytes]:
    def one(kind: str, **data: object) -> bytes:
        return frame({"type": kind, **data}, kind)

    message = {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 8, "output_tokens": 1},
    }
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    return [
        one("message_start", message=message),
        one("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *(one("content_block_delta", index=0, delta={"type": "text_delta", "text": text}) for text in texts),
        one("content_block_stop", index=0),
        one("message_delta", delta=end, usage={"output_tokens": len(texts)}),
        one("message_stop"),
    ]


DIALECTS = {"/chat/completions": chat, "/responses": responses, "/messages": messages}


def serve(listener: socket.socket) -> None:
    """Answers for ever."""
    answers: dict[tuple[str, str], list[bytes]] = {}  # made once, and so at no client's expense
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer, args=(connection, answers), daemon=True).start()


def _answer(connection: socket.socket, answers: dict[tuple[str, str], list[bytes]]) -> None:
    with connection, connection.makefile("rb") as request:
        path = request.readline().split(b" ")[1].decode()
        length = 0
        while (line := request.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line[15:])
        model = json.loads(request.read(length))["model"]
        count, _, flowing = model.partition("-")
        if (path, model) not in answers:
            dialect = next(dialect for end, dialect in DIALECTS.items() if path.endswith(end))
            frames = dialect(words(int(count)))
            answers[path, model] = [head(), *frames] if flowing else [head() + b"".join(frames)]
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in answers[path, model]:
            connection.sendall(piece)
            if flowing:
                time.sleep(PAUSE)


@contextmanager
def running() -> Iterator[str]:
    """Runs the provider in a process of its own; gives its URL."""
    with subprocess.Popen([sys.executable, "-m", __spec__.name], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        serve(listening)
