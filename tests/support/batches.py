"""OpenAI's Batch API on loopback: files, batches, results, as the types of the SDK describe them.

A batch is answered when it is made, and shows its end once `open` is not set. `faults` are steps that take the place
of the response to the next requests to make a batch, which is made all the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qs, urlsplit

from . import loopback
from .loopback import Request, Step, reply

CREATED_AT = 1_800_000_000
NO_BATCH = b'{"error": {"message": "No batch found", "type": "invalid_request_error"}}'
NO_FILE = b'{"error": {"message": "No such file", "type": "invalid_request_error"}}'


def chat_answer(text: str, reason: str = "stop") -> dict[str, Any]:
    """Makes a whole answer of Chat Completions."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def responses_answer(text: str) -> dict[str, Any]:
    """Makes a whole answer of Responses."""
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [part]}
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    return {"id": "r1", "object": "response", "model": "m", "status": "completed", "output": [item], "usage": usage}


def echo(request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Answers a line of a file of requests with its prompt; "bad" is refused, and "late" has no answer."""
    body = request["body"]
    if "input" in body:
        return 200, responses_answer(body["input"])
    prompt = body["messages"][-1]["content"]
    if prompt == "late":
        return 0, {"code": "batch_expired", "message": "This request could not be executed in time."}
    if prompt == "bad":
        return 400, {"error": {"message": "no such thing", "type": "invalid_request_error", "code": "invalid_value"}}
    return 200, chat_answer(prompt)


class Batches:
    """The account of the server: `script` is that of a loopback.Provider."""

    def __init__(self, answer: Callable[[dict[str, Any]], tuple[int, dict[str, Any]]] = echo) -> None:
        self.answer = answer
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.sent: list[dict[str, Any]] = []  # all lines of the files of batches
        self.open = False  # whether batches go on
        self.refuses = False  # whether a file is found to be wrong
        self.faults: list[list[Step]] = []

    @property
    def prompts(self) -> list[str]:
        """The prompts that batches were made of."""
        return [line["body"]["messages"][-1]["content"] for line in self.sent]

    def forget_results(self) -> None:
        """Deletes all files."""
        self.files = {}

    def script(self, request: Request) -> list[Step]:
        method, address, _ = request.line.split()
        path = urlsplit(address).path.removeprefix("/v1")
        if (method, path) == ("POST", "/files"):
            return _json(self._upload(request))
        if (method, path) == ("POST", "/batches"):
            batch = self._create(request.json)
            return self.faults.pop(0) if self.faults else _json(batch)
        if (method, path) == ("GET", "/batches"):
            return _json(self._list(parse_qs(urlsplit(address).query)))
        if match := re.fullmatch(r"/batches/(\w+)(/cancel)?", path):
            if match[1] not in self.batches:
                return reply(
                    "404 Not Found", b'{"error": {"message": "No batch found", "type": "invalid_request_error"}}'
                )
            batch = self.batches[match[1]]
            if match[2]:
                batch["status"] = "cancelling"
            return _json(self._show(batch))
        if match := re.fullmatch(r"/files/(\w+)/content", path):
            if match[1] not in self.files:
                return reply(
                    "404 Not Found", b'{"error": {"message": "No such file", "type": "invalid_request_error"}}'
                )
            return reply("200 OK", self.files[match[1]], "application/octet-stream")
        return reply("404 Not Found", b'{"error": {"message": "unknown path"}}')

    def _upload(self, request: Request) -> dict[str, Any]:
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        parts = {}
        for part in message_from_bytes(head + request.body).get_payload():
            parts[part.get_param("name", header="content-disposition")] = part
        assert parts["purpose"].get_payload() == "batch"
        assert parts["file"].get_filename().endswith(".jsonl")
        return self._file(parts["file"].get_payload(decode=True), "batch")

    def _file(self, data: bytes, purpose: str) -> dict[str, Any]:
        id = f"file_{len(self.files)}"
        self.files[id] = data
        fields = {"id": id, "bytes": len(data), "created_at": CREATED_AT, "filename": "f.jsonl", "object": "file"}
        return {**fields, "purpose": purpose, "status": "processed"}

    def _create(self, fields: dict[str, Any]) -> dict[str, Any]:
        assert fields.keys() == {"input_file_id", "endpoint", "completion_window", "metadata"}
        lines = [json.loads(line) for line in self.files[fields["input_file_id"]].splitlines()]
        assert all(line["url"] == fields["endpoint"] and line["method"] == "POST" for line in lines)
        assert not any("stream" in line["body"] or "stream_options" in line["body"] for line in lines)
        assert len({line["custom_id"] for line in lines}) == len(lines)
        assert len({line["body"]["model"] for line in lines}) == 1
        self.sent += lines
        id = f"batch_{len(self.batches)}"
        batch = {"id": id, "object": "batch", "created_at": CREATED_AT, "status": "validating", **fields}
        self.batches[id] = batch | {"lines": lines}
        return batch

    def _list(self, query: dict[str, list[str]]) -> dict[str, Any]:
        newest_first = [*reversed(self.batches)]
        at = newest_first.index(query["after"][0]) + 1 if "after" in query else 0
        page = newest_first[at : at + min(int(query["limit"][0]), 2)]
        data = [self._show(self.batches[id]) for id in page]
        return {"object": "list", "data": data, "has_more": newest_first[-1:] != page[-1:]}

    def _show(self, batch: dict[str, Any]) -> dict[str, Any]:
        if not self.open and batch["status"] in ("validating", "in_progress", "cancelling"):
            self._end(batch)
        elif batch["status"] == "validating":
            batch["status"] = "in_progress"
            batch["request_counts"] = {"total": len(batch["lines"]), "completed": 0, "failed": 0}
        return {name: value for name, value in batch.items() if name != "lines"}

    def _end(self, batch: dict[str, Any]) -> None:
        if self.refuses:
            error = {"code": "invalid_json_line", "message": "This line is wrong.", "line": 1, "param": None}
            batch |= {"status": "failed", "errors": {"object": "list", "data": [error]}}
            return
        cancelled = batch["status"] == "cancelling"
        output, errors = [], []
        for number, line in enumerate(batch["lines"][: 1 if cancelled else None]):
            status, body = self.answer(line)
            response = {"status_code": status, "request_id": f"req_{number}", "body": body} if status else None
            fields = {"id": f"batch_req_{number}", "custom_id": line["custom_id"], "response": response}
            fields["error"] = None if status else body
            (output if status == 200 else errors).insert(0, json.dumps(fields).encode() + b"\n")
        for name, lines in (("output_file_id", output), ("error_file_id", errors)):
            batch[name] = self._file(b"".join(lines), "batch_output")["id"] if lines else None
        batch["status"] = "cancelled" if cancelled else "completed"
        batch["request_counts"] = {"total": len(batch["lines"]), "completed": len(output), "failed": len(errors)}


def provider(batches: Batches) -> loopback.Provider:
    """Returns a server of the account."""
    return loopback.Provider(batches.script)


def _json(data: dict[str, Any]) -> list[Step]:
    return reply("200 OK", json.dumps(data).encode())
