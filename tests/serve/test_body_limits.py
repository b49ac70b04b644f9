"""Bounds on what a body holds, and on the memory of all bodies."""

from __future__ import annotations

import json
import random
import time

import pytest

from llmstream.core import schema
from llmstream.errors import UsageError
from llmstream.request.tools import parse_tools
from llmstream.serve.body_limits import MAX_VALUES, ValueCounter

from ..support.limits import WAIT_S
from ..support.serving import END, Client, Gate, ScriptedServer, ask, get

CHAT = "/v1/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "Hi"}]}


def tools(count: int) -> list[dict[str, object]]:
    return [{"type": "function", "function": {"name": f"f{number}"}} for number in range(count)]


HEAVY = {  # path, body, status
    "messages": (CHAT, b'{"messages": [' + b"{}," * 4_000_000 + b"{}]}", 413),
    "keys": (CHAT, b'{"messages": [], ' + b",".join(b'"k%d": 1' % n for n in range(1_000_000)) + b"}", 413),
    "texts": ("/chat/stream", json.dumps({"prompt": "x", "until": {"fixed": ["a"] * 99_000}}).encode(), 400),
    "long texts": ("/chat/stream", json.dumps({"prompt": "x", "until": {"fixed": ["a" * 10_000] * 9}}).encode(), 400),
    "model": ("/chat/stream", json.dumps({"prompt": "x", "model": "m" * 15_000_000}).encode(), 400),
    "tools": (CHAT, json.dumps(HELLO | {"tools": tools(20_000)}).encode(), 400),
    "wrong messages": (CHAT, b'{"messages": [' + b"{}," * 4000 + b"{}]}", 400),
    "window": ("/chat/stream", b'{"prompt": "x", "until": {"fixed": "a", "window": 1000000000}}', 400),
    "brackets": ("/chat/stream", b"[" * 10_000_000, 413),
}


@pytest.mark.parametrize("name", HEAVY)
def test_a_heavy_body_is_refused_before_the_work(name):
    path, body, status = HEAVY[name]
    with ScriptedServer() as server:
        start = time.monotonic()
        code, _, answer = ask(server, path, body)
        assert (code, len(answer) < 2000) == (status, True)
        assert time.monotonic() - start < 2
        assert server.on_loop(lambda: server.state.memory.used) == 0
        assert not server.generations


def test_a_long_prompt_full_of_commas_is_no_heavy_body():
    text = 'a, [b], {"c"}, \\ ' * 20_000
    with ScriptedServer() as server:
        assert ask(server, "/chat/stream", {"prompt": text})[0] == 200
        assert ask(server, CHAT, {"messages": [{"role": "user", "content": text}]})[0] == 200
    assert server.generations[0].request.prompt == text


@pytest.mark.parametrize(
    "value",
    [{}, [], [1, 2], {"a": [1, {"b": "c, [d"}], "e\\\"": '"[{,'}, "\\", ["\\\\", '\\"', ",", '"'], [[[]], {"": {}}]],
)  # fmt: skip
def test_values_are_counted_however_the_text_is_cut(value):
    data = json.dumps([value, value]).encode()
    whole = ValueCounter()
    whole.feed(data)
    random.seed(1)
    for size in (1, 2, 3, 7):
        pieces = ValueCounter()
        for at in range(0, len(data), size):
            pieces.feed(data[at : at + size])
            pieces.feed(b"")
        assert pieces.count == whole.count
    assert whole.count == 1 + sum(map(_count, [[value, value]]))


def _count(value: object) -> int:
    """Counts commas and opening brackets as json.dumps writes them."""
    if not isinstance(value, list | dict):
        return 0
    inner = list(value.values()) if isinstance(value, dict) else value
    return 1 + max(0, len(value) - 1) + sum(map(_count, inner))


def test_the_memory_of_all_bodies_is_bounded():
    gate = Gate()
    body = {"prompt": "x" * 900_000}
    with ScriptedServer([gate, END], max_body_bytes=1_000_000, bodies_bytes=2_000_000) as server:
        clients = [Client(server).post(body=body) for _ in range(2)]
        assert gate.reached.wait(WAIT_S)
        for client in clients:
            client.until(b"\r\n\r\n")
        status, headers, answer = ask(server, body=body)
        assert (status, headers["retry-after"], b"large requests" in answer) == (503, "1", True)
        assert get(server, "/healthz")[0] == 200
        with Client(server) as small:
            assert small.post().until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        for client in clients:
            client.socket.close()
        server.settle()
        while server.on_loop(lambda: server.state.memory.used):
            pass
        assert ask(server, CHAT, {"messages": [{"role": "user", "content": ""}], "max_tokens": 0})[0] == 400


def test_wide_characters_count_as_the_memory_that_they_take():
    with ScriptedServer(max_body_bytes=1_000_000, bodies_bytes=2_000_000) as server:
        assert (
            ask(server, body=json.dumps({"prompt": "x" * 900_000 + "\U0001f600"}, ensure_ascii=False).encode())[0]
            == 503
        )


def test_many_tools_take_time_in_proportion():
    start = time.monotonic()
    assert len(parse_tools(tools(40_000), "tools")) == 40_000
    assert time.monotonic() - start < 5
    with pytest.raises(UsageError, match="twice"):
        parse_tools([*tools(2), *tools(1)], "tools")


def test_long_names_in_a_schema_are_not_copied_for_each_property():
    inner = {f"p{number}": {"type": "string"} for number in range(20_000)}
    start = time.monotonic()
    schema.check({"type": "object", "properties": {"n" * 1_000_000: {"type": "object", "properties": inner}}})
    assert time.monotonic() - start < 1


def test_the_openapi_description_says_every_bound():
    with ScriptedServer() as server:
        description = json.loads(get(server, "/openapi.json")[2])
    text = description["info"]["description"]
    for number in (65536, 16 * 2**20, MAX_VALUES, 32 * 2**20, 60, 20, 100):
        assert f" {number} " in text
    schemas = description["components"]["schemas"]
    assert schemas["Prompt"]["maxProperties"] == schemas["Conversation"]["maxProperties"] == 100
    assert schemas["Conversation"]["properties"]["messages"]["maxItems"] == 4096
    assert '"maxItems": 256' in json.dumps(schemas["Conversation"]["properties"]["tools"])
    assert '"maxLength": 256' in json.dumps(schemas["Prompt"]["properties"]["model"])
    assert '"maxItems": 32' in json.dumps(schemas["Until"]["properties"]["fixed"])
