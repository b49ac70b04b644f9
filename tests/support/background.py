"""OpenAI's background responses on loopback, as the guide "Background mode" and the types of the SDK describe them.

A response is queued when it is made, and shows its end once `open` is not set; each look in between moves it on from
`queued` to `in_progress`. `faults` are steps that take the place of the response to the next looks. A client that asks
too often is told when to look again, by `retry-after-ms`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from . import loopback
from .batches import responses_answer
from .loopback import Request, Step, reply

SOON = "retry-after-ms: 5"
TIERS = {"2h", "8h"}


def echo(request: dict[str, Any]) -> dict[str, Any]:
    """Answers with the prompt; "bad" fails at the provider, "long" reaches a limit."""
    prompt = request["input"] if isinstance(request["input"], str) else request["input"][-1]["content"]
    if prompt == "bad":
        return {"status": "failed", "error": {"code": "invalid_prompt", "message": "no such thing"}, "output": []}
    answer = responses_answer(prompt)
    answer["usage"]["input_tokens_details"] = {"cached_tokens": 0, "cache_write_tokens": 0}
    answer["usage"]["output_tokens_details"] = {"reasoning_tokens": 0}
    if prompt == "long":
        answer |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    return answer


class Background:
    """The responses of an account: `script` is that of a loopback.Provider."""

    def __init__(self, answer: Callable[[dict[str, Any]], dict[str, Any]] = echo) -> None:
        self.answer = answer
        self.responses: dict[str, dict[str, Any]] = {}
        self.requests: dict[str, dict[str, Any]] = {}  # the bodies, by the response's id
        self.looks: list[str] = []  # ids
        self.cancelled: list[str] = []
        self.open = False  # whether responses go on
        self.faults: list[list[Step]] = []

    @property
    def prompts(self) -> list[Any]:
        """The inputs of all responses."""
        return [request["input"] for request in self.requests.values()]

    def script(self, request: Request) -> list[Step]:
        method, address, _ = request.line.split()
        path = address.removeprefix("/v1")
        if (method, path) == ("POST", "/responses"):
            return self._create(request.json)
        if match := re.fullmatch(r"/responses/(\w+)(/cancel)?", path):
            id = match[1]
            if id not in self.responses:
                error = {"message": f"Response with id '{id}' not found.", "type": "invalid_request_error"}
                return _json({"error": error | {"param": "id", "code": None}}, "404 Not Found")
            if match[2]:
                assert method == "POST"
                self.cancelled.append(id)
                return _json(self._cancel(id))
            assert method == "GET"
            self.looks.append(id)
            return self.faults.pop(0) if self.faults else _json(self._show(id))
        return _json({"error": {"message": "unknown path"}}, "404 Not Found")

    def _create(self, body: dict[str, Any]) -> list[Step]:
        window = body.get("background_options", {}).get("completion_window", "soonest")
        if window in TIERS and (not body.get("background") or body.get("stream")):
            return _json({"error": {"message": "the window needs background=true, stream=false"}}, "400 Bad Request")
        id = f"resp_{len(self.requests)}"
        self.requests[id] = body
        fields = {"id": id, "object": "response", "created_at": 1_800_000_000, "background": True, "error": None}
        fields |= {"incomplete_details": None, "instructions": body.get("instructions"), "metadata": {}, "output": []}
        fields |= {"model": body["model"], "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
        self.responses[id] = fields | {"temperature": 1.0, "top_p": 1.0, "status": "queued", "usage": None}
        return _json(self.responses[id])

    def _cancel(self, id: str) -> dict[str, Any]:
        """A cancelled response stays so, however often that is asked."""
        if self.responses[id]["status"] in ("queued", "in_progress"):
            self.responses[id]["status"] = "cancelled"
        return self.responses[id]

    def _show(self, id: str) -> dict[str, Any]:
        response = self.responses[id]
        if response["status"] == "queued":
            response["status"] = "in_progress"
        elif response["status"] == "in_progress" and not self.open:
            response |= {**self.answer(self.requests[id]), "id": id, "service_tier": "default"}
        return response


def provider(account: Background) -> loopback.Provider:
    """Returns a server of the account."""
    return loopback.Provider(account.script)


def _json(data: dict[str, Any], status: str = "200 OK") -> list[Step]:
    return reply(status, json.dumps(data).encode(), "application/json", SOON)
