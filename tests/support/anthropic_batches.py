"""Anthropic's Message Batches API on loopback, as the types of the SDK and the documents describe it.

A batch that is at work shows nothing but the number of its requests; once `open` is not set it ends, and only then has
results. `faults` are steps that take the place of the response to the next requests to make a batch, which is made all
the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from . import loopback
from .loopback import Request, Step, reply

CREATED_AT, ENDED_AT = "2027-01-15T08:00:00.123456Z", "2027-01-15T09:00:00+00:00"
NOT_FOUND = {"type": "error", "error": {"type": "not_found_error", "message": "not found"}, "request_id": "req_1"}


def answer(text: str, reason: str = "end_turn") -> dict[str, Any]:
    """Makes a whole answer of Messages."""
    usage = {"input_tokens": 3, "output_tokens": 2, "service_tier": "batch"}
    fields = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "usage": usage}
    return {**fields, "content": [{"type": "text", "text": text}], "stop_reason": reason, "stop_sequence": None}


def echo(request: dict[str, Any]) -> dict[str, Any]:
    """Returns the result of a request: its prompt; "bad" is refused, and "late" expires."""
    prompt = prompt_of(request)
    if prompt == "late":
        return {"type": "expired"}
    if prompt == "bad":
        error = {"type": "invalid_request_error", "message": "no such thing"}
        return {"type": "errored", "error": {"type": "error", "error": error, "request_id": "req_2"}}
    return {"type": "succeeded", "message": answer(prompt)}


def prompt_of(request: dict[str, Any]) -> str:
    content = request["params"]["messages"][-1]["content"]
    return content if isinstance(content, str) else content[-1]["text"]


class AnthropicBatches:
    """The account of the server: `script` is that of a loopback.Provider."""

    def __init__(self, answer: Callable[[dict[str, Any]], dict[str, Any]] = echo) -> None:
        self.answer = answer
        self.batches: dict[str, dict[str, Any]] = {}
        self.sent: list[dict[str, Any]] = []  # all requests of batches
        self.versions: list[str] = []  # of the protocol, by batch
        self.results: dict[str, bytes] = {}
        self.open = False  # whether batches go on
        self.faults: list[list[Step]] = []
        self.url = ""  # of the server; "" before the first request

    @property
    def prompts(self) -> list[str]:
        """The prompts that batches were made of."""
        return [prompt_of(request) for request in self.sent]

    def script(self, request: Request) -> list[Step]:
        method, address, _ = request.line.split()
        assert request.headers.get("x-api-key") or request.headers["authorization"]  # ours, and the SDK's
        assert request.headers["anthropic-version"]
        self.url = f"http://{request.headers['host']}"
        url = urlsplit(address)
        if (method, url.path) == ("POST", "/v1/messages/batches"):
            batch = self._create(request)
            return self.faults.pop(0) if self.faults else _json(batch)
        if (method, url.path) == ("GET", "/v1/messages/batches"):
            return _json(self._list(parse_qs(url.query)))
        match = re.fullmatch(r"/v1/messages/batches/(\w+)(/cancel|/results)?", url.path)
        if not match or match[1] not in self.batches:
            return reply("404 Not Found", json.dumps(NOT_FOUND).encode())
        batch = self.batches[match[1]]
        if match[2] == "/results":
            self._show(batch)
            return reply("200 OK", self.results[match[1]], "application/x-jsonl")
        if match[2] and batch["processing_status"] == "in_progress":
            batch |= {"processing_status": "canceling", "cancel_initiated_at": CREATED_AT}
        return _json(self._show(batch))

    def forget_results(self) -> None:
        """Archives the batches that have ended."""
        for batch in self.batches.values():
            if batch["results_url"]:
                batch |= {"results_url": None, "archived_at": ENDED_AT}

    def add(self, *prompts: str, prefix: str = "other") -> dict[str, Any]:
        """Adds a batch of another program."""
        params = [{"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": each}]} for each in prompts]
        return self._add([{"custom_id": f"{prefix}-{n}", "params": each} for n, each in enumerate(params)])

    def _create(self, request: Request) -> dict[str, Any]:
        assert request.headers["content-type"] == "application/json"
        assert request.json.keys() == {"requests"}
        requests = request.json["requests"]
        assert all(each.keys() == {"custom_id", "params"} for each in requests)
        assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", each["custom_id"]) for each in requests)
        assert len({each["custom_id"] for each in requests}) == len(requests) > 0
        assert not any("stream" in each["params"] for each in requests)
        self.sent += requests
        self.versions.append(request.headers["anthropic-version"])
        return self._add(requests)

    def _add(self, requests: list[dict[str, Any]]) -> dict[str, Any]:
        id = f"msgbatch_{len(self.batches)}"
        batch = {"id": id, "type": "message_batch", "processing_status": "in_progress", "created_at": CREATED_AT}
        batch |= dict.fromkeys(("archived_at", "cancel_initiated_at", "ended_at", "results_url"))
        batch |= {"expires_at": ENDED_AT, "request_counts": _counts(processing=len(requests)), "requests": requests}
        self.batches[id] = batch
        return _public(batch)

    def _list(self, query: dict[str, list[str]]) -> dict[str, Any]:
        newest_first = [*reversed(self.batches)]
        at = newest_first.index(query["after_id"][0]) + 1 if "after_id" in query else 0
        page = newest_first[at : at + min(int(query["limit"][0]), 2)]
        data = [self._show(self.batches[id]) for id in page]
        ids = {"first_id": page[0] if page else None, "last_id": page[-1] if page else None}
        return {"data": data, "has_more": newest_first[-1:] != page[-1:], **ids}

    def _show(self, batch: dict[str, Any]) -> dict[str, Any]:
        if not self.open and batch["processing_status"] != "ended":
            self._end(batch)
        return _public(batch)

    def _end(self, batch: dict[str, Any]) -> None:
        cancelled = batch["processing_status"] == "canceling"
        lines, types = [], []
        for number, request in enumerate(batch["requests"]):
            result = {"type": "canceled"} if cancelled and number else self.answer(request)
            lines.insert(0, json.dumps({"custom_id": request["custom_id"], "result": result}).encode() + b"\n")
            types.append(result["type"])
        self.results[batch["id"]] = b"".join(lines)
        url = f"{self.url}/v1/messages/batches/{batch['id']}/results"
        batch |= {"processing_status": "ended", "ended_at": ENDED_AT, "results_url": url}
        batch["request_counts"] = _counts(**{kind: types.count(kind) for kind in types})


def provider(account: AnthropicBatches) -> loopback.Provider:
    """Returns a server of the account."""
    return loopback.Provider(account.script)


def _counts(**counts: int) -> dict[str, int]:
    return dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0) | counts


def _public(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in batch.items() if name != "requests"}


def _json(data: dict[str, Any]) -> list[Step]:
    return reply("200 OK", json.dumps(data).encode())
