"""Streams in Python programs, over real sockets: what holds for threads, for asyncio and for uvloop alike."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypedDict

import pydantic
import pytest

import llmstream
from llmstream import Finish, Incomplete, Refused, ScoredText, Source, Text, Unavailable, Usage, UsageError
from llmstream.api import prepared
from llmstream.errors import Error
from llmstream.request import options

from ..conftest import environment
from ..support import needs
from ..support.limits import RUN_S, WAIT_S
from ..support.loopback import DIALECTS, DONE, HOLD, Provider, chat, chat_end, chat_text, frame, head, reply
from ..support.streams import DRIVERS, LOOPS, at, remove_configuration, run


@pytest.fixture(autouse=True)
def nobody(monkeypatch):
    remove_configuration(monkeypatch)


class Read:
    """What came of a stream that was read to its end: a list of events, batches or pieces, and the error."""

    def __init__(self, driver: str, options: dict[str, Any], what: str = "events", prompt: str = "Hi") -> None:
        self.items: list[Any] = []
        self.error: BaseException | None = None
        self._what = what
        if driver == "thread":
            self.stream: Any = llmstream.stream(prompt, **options)
            self._read()
        else:
            self.stream = llmstream.astream(prompt, **options)
            run(driver, self._read_async())

    def _source(self) -> Any:
        return {"events": lambda: self.stream, "batches": self.stream.batches, "text": lambda: self.stream.text}

    def _read(self) -> None:
        try:
            with self.stream:
                for item in self._source()[self._what]():
                    self.items.append(item)
        except Exception as error:
            self.error = error

    async def _read_async(self) -> None:
        try:
            async with self.stream:
                async for item in self._source()[self._what]():
                    self.items.append(item)
        except Exception as error:
            self.error = error


# What is read.


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("api", DIALECTS)
def test_events_text_and_usage_of_each_dialect(driver, api):
    with Provider([head(), *DIALECTS[api]("Hello, ", "wörld")]) as provider:
        model = "anthropic/m" if api == "messages" else "openai/m"
        url = provider.url if api == "messages" else f"{provider.url}/v1"
        read = Read(driver, at(provider, api=api, model=model, base_url=url))
    assert read.error is None
    assert [event.text for event in read.items if isinstance(event, Text)] == ["Hello, ", "wörld"]
    assert [event.type for event in read.items] == ["start", "text", "text", "usage", "finish"]
    assert (read.stream.usage, read.stream.finish) == (Usage(3, 2), read.items[-1])
    assert read.stream.finish.reason == "stop"
    assert read.stream.timing.ttft > 0


def chunk(delta: dict[str, object], **choice: object) -> bytes:
    return frame({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, **choice}]})


@pytest.mark.parametrize("driver", DRIVERS)
def test_sources_are_events_and_a_list(driver):
    citations = [{"url_citation": {"url": "https://a.example", "title": "A"}}, {"url": "https://b.example"}]
    with Provider([head(), chat_text("a"), chunk({"annotations": citations}), *chat("b")]) as provider:
        read = Read(driver, at(provider))
    assert [event.type for event in read.items] == ["start", "text", "source", "source", "text", "usage", "finish"]
    assert read.stream.sources == [Source("https://a.example", "A"), Source("https://b.example")]


@pytest.mark.parametrize("driver", DRIVERS)
def test_scores_of_tokens_are_in_the_events(driver):
    score = {"token": "a", "logprob": -0.5}
    with Provider([head(), chunk({"content": "a"}, logprobs={"content": [score]}), *chat("b")]) as provider:
        read = Read(driver, at(provider))
    texts = [event for event in read.items if isinstance(event, Text)]
    assert texts == [ScoredText("a", [score]), Text("b")]


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_is_left_out_is_noted(driver):
    notes: list[str] = []
    images = chunk({"images": [{"image_url": {"url": "data:image/png;base64,AA=="}}]})
    with Provider([head(), images, *chat()]) as provider:
        read = Read(driver, at(provider, note=notes.append))
    assert (read.error, notes) == (None, ["the answer has no text, but an image"])


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_price_that_the_provider_states(driver):
    last = frame({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "cost": 0.25}})
    with Provider([head(), chat_text("a"), chat_end(usage=False), last + DONE]) as provider:
        read = Read(driver, at(provider))
    assert read.stream.cost == 0.25


@pytest.mark.parametrize("driver", DRIVERS)
def test_pieces_of_text_come_before_the_next_is_sent(driver):
    gate = threading.Event()
    with Provider([head(), chat_text("first"), gate, *chat("second")]) as provider:
        options = at(provider, on_text=lambda text: gate.set())
        read = Read(driver, options, "text")
    assert (read.items, read.error) == (["first", "second"], None)


@pytest.mark.parametrize("driver", DRIVERS)
def test_batches_hold_what_arrived_together(driver):
    gate = threading.Event()
    with Provider([head() + chat_text("a") + chat_text("b"), gate, *chat("c")]) as provider:
        read = Read(driver, at(provider, on_text=lambda text: text == "b" and gate.set()), "batches")
    assert [event.text for event in read.items[0][1:]] == ["a", "b"]
    assert [event for batch in read.items[1:] for event in batch if isinstance(event, Text)] == [Text("c")]
    assert all(read.items)


def test_read_gives_the_text():
    with Provider([head(), *chat("a", "b")], [head(), *chat("c", "d")]) as provider:
        assert llmstream.stream("Hi", **at(provider)).read() == "ab"

        async def main() -> str:
            return await llmstream.astream("Hi", **at(provider)).read()

        assert asyncio.run(main()) == "cd"


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_stream_that_was_read_gives_nothing_more(driver):
    with Provider([head(), *chat("a")]) as provider:
        read = Read(driver, at(provider))
        read.items.clear()
        again = read.stream.read()
        assert (run(driver, again) if driver != "thread" else again) == ""
    assert len(provider.requests) == 1


# What is asked.


def test_options_go_into_the_request():
    options = {
        "system": "Be brief.", "max_tokens": 5, "temperature": 0.5, "seed": 1, "stop": "END", "options": {"top_p": 0.9},
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
    }  # fmt: skip
    with Provider([head(), *chat("a")]) as provider:
        llmstream.stream("Hi", **at(provider, **options)).read()
    [request] = provider.requests
    body = request.json
    assert [message["content"] for message in body["messages"]] == ["Be brief.", "a", "b", "Hi"]
    names = ("model", "max_completion_tokens", "max_tokens", "temperature", "seed", "stop", "top_p")
    # At another address than OpenAI's, the field is max_tokens.
    assert {name: body[name] for name in names if name in body} == {
        "model": "m", "max_tokens": 5, "temperature": 0.5, "seed": 1, "stop": ["END"], "top_p": 0.9,
    }  # fmt: skip


def test_a_schema_and_tools_are_values():
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    tools = [{"name": "f", "description": "", "parameters": {"type": "object", "properties": {}}}]
    with Provider([head(), *chat("a")]) as provider:
        llmstream.stream("Hi", **at(provider, schema=schema, tools=tools)).read()
    body = provider.requests[0].json
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["name"]
    assert body["tools"][0]["function"]["name"] == "f"


@pytest.mark.parametrize(
    ("prompt", "options", "error", "message"),
    [
        ("", {}, UsageError, "the prompt is empty: pass one"),
        ("Hi", {"model": "nobody/x"}, UsageError, "unknown provider 'nobody'"),
        ("Hi", {"model": "openai/m"}, UsageError, "no key for openai: set OPENAI_API_KEY"),
        (
            "Hi",
            {"model": "openai/m", "api_key": "a b"},
            UsageError,
            "api_key is not a valid key: it contains a line end, a blank",
        ),
        ("Hi", {"model": "openai/m", "base_url": "ftp://x", "api_key": "k"}, UsageError, "base_url is not a URL"),
        ("Hi", {"model": "openai/m", "base_url": ""}, UsageError, "base_url is empty"),
        ("Hi", {"model": "bedrock/m", "api_key": "k"}, UsageError, "the SDK of bedrock finds key and address"),
        ("Hi", {"model": "replay:x", "api_key": "k"}, UsageError, "replay takes neither api_key nor base_url"),
        ("Hi", {"model": "ollama/m", "messages": "-"}, UsageError, "options cannot read stdin here"),
        ("Hi", {"model": "ollama/m", "until": {"line": 1}}, UsageError, "no such stop condition: line"),
        ("Hi", {"model": "ollama/m", "sytem": "x"}, TypeError, "there is no option 'sytem': did you mean 'system'?"),
        (b"Hi", {"model": "ollama/m"}, TypeError, "prompt must be a str, not bytes"),
        # What the dialect, or the model, does not have.
        ("Hi", {"model": "anthropic/m", "api_key": "k", "seed": 1}, UsageError, "the Messages API has no seed"),
        ("Hi", {"model": "openai/m", "api_key": "k", "seed": 1}, UsageError, "the Responses API has no seed"),
        ("Hi", {"model": "openai/m", "api_key": "k", "stop": "x"}, UsageError, "the Responses API has no stop"),
        ("Hi", {"model": "anthropic/m", "api_key": "k", "json": True}, UsageError, "the Messages API has no json"),
        # Files that cannot be.
        (
            "Hi",
            {"model": "ollama/m", "attach": "a\0"},
            UsageError,
            "cannot read 'a\\x00': this cannot be a file's name",
        ),
        ("Hi", {"model": "ollama/m", "tools": "\ud800"}, UsageError, "cannot read '\\ud800': this cannot be a file's"),
        ("Hi", {"model": "ollama/m", "messages": "/no/such"}, UsageError, "cannot read /no/such: No such file"),
        ("Hi", {"model": "ollama/m", "attach": "/no/such"}, UsageError, "cannot read /no/such: No such file"),
        (
            "Hi",
            {"model": "ollama/m", "messages": "\0"},
            UsageError,
            "cannot read '\\x00': this cannot be a file's name",
        ),
    ],
)
@pytest.mark.parametrize("function", [llmstream.stream, llmstream.astream])
def test_what_cannot_be_asked_is_told_at_once(function, prompt, options, error, message):
    with pytest.raises(error) as caught:
        function(prompt, **options)
    assert str(caught.value).startswith(message)


# Values of other types than the annotations have.

STRANGE = [
    *(b"x", bytearray(b"x"), 1, -1, 1.5, float("nan"), 10**400, True, object(), object, {1, 2}, range(3), "x", ""),
    *([1], [None], [[1]], [b"x"], ["a", 1], [{}], {1: 2}, {(1, 2): 3}, {"a": {1: 2}}, {"a": object()}, {"a": b"x"}),
    *({"const": float("inf")}, {"enum": [object()]}, [{"role": 1, "content": 2}], [{"role": "user", "content": b"x"}]),
    *([{"name": 1}], [{"name": "f", "parameters": object()}], [{"name": "f", "parameters": {"a": {1: 2}}}]),
    *({"regex": 1}, {"regex": ["a", b"b"]}, {"lines": "x"}, {"json": 1}, {"count": object()}, "\0", "\ud800"),
]


@pytest.mark.parametrize("row", options.at(options.PYTHON), ids=lambda row: row.name)
def test_a_value_of_any_type_is_refused_or_can_be_sent(row):
    for value in STRANGE:
        values = {"model": "llamacpp/m", row.name: value}
        try:
            stream = llmstream.stream("Hi", **values)
        except (TypeError, UsageError) as error:
            assert str(error)
            assert "unsupported operand" not in str(error)
            assert "serializable" not in str(error)
        else:
            prepared = stream._prepared
            json.dumps(prepared.target.body(prepared.request), allow_nan=False)
            assert not isinstance(value, bytes | bytearray | range | set)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stop", b"x"), ("stop", [b"x"]), ("options", {1: 2}), ("options", {"a": {1: 2}}), ("attach", [1]),
        ("attach", b"x"), ("schema", {"a": {1: 2}}), ("schema", {"const": float("nan")}), ("until", {1: 2}),
        ("until", [("lines", 1)]),        ("tools", [{"name": "f", "parameters": {"a": object()}}]), ("messages", b"x"),
        ("json", 1), ("note", "print"),
    ],
)  # fmt: skip
def test_a_value_of_a_wrong_type_is_a_type_error_that_names_the_option(name, value):
    with pytest.raises(TypeError, match=f"^{name} must be "):
        llmstream.stream("Hi", "llamacpp/m", **{name: value})


def test_stdout_without_a_reader_is_no_matter_of_the_library():
    script = """if True:
        import sys
        import llmstream
        options = {"attach": sys.argv[1] + "/note.txt", "api_key": "k", "base_url": sys.argv[1] + "/v1"}
        sys.stderr.write(llmstream.stream("Hi", "openai/m", **options).read())
    """
    with Provider(
        lambda request: reply("200 OK", b"note") if "GET" in request.line else [head(), *chat("a")]
    ) as provider:
        reader, writer = os.pipe()
        os.close(reader)
        command = [sys.executable, "-c", script, provider.url]
        done = subprocess.run(
            command, stdout=writer, stderr=subprocess.PIPE, env=environment(), timeout=RUN_S, check=False
        )
        os.close(writer)
    assert done.stderr == b"a"


# Keys and addresses.


def test_the_environment_says_where_and_with_what_key(monkeypatch):
    with Provider([head(), *chat("a")]) as provider:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-environment")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{provider.url}/v1")
        assert llmstream.stream("Hi", "openai/m").read() == "a"
        assert llmstream.stream("Hi", "openai/m", api_key="sk-given").read() == "a"
    sent = [request.headers["authorization"] for request in provider.requests]
    assert sent == ["Bearer sk-environment", "Bearer sk-given"]


def test_another_address_gets_the_key_beside_it_and_no_other(monkeypatch, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(
        '[providers.openai]\nheaders = {X-Secret = "s"}\n[providers.work]\nbase_url = "https://work.example/v1"\n'
        'key_cmd = "echo sk-command"\nheaders = {X-Secret = "s"}\n'
    )
    monkeypatch.setenv("LLMSTREAM_CONFIG", str(config))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-environment")
    with Provider([head(), *chat("a")]) as provider:
        for model in ("openai/m", "work/m"):
            for key in (None, "sk-given"):
                options = {"base_url": f"{provider.url}/v1", "api_key": key, "api": "chat"}
                assert llmstream.stream("Hi", model, **options).read() == "a"
    headers = [request.headers for request in provider.requests]
    assert [one.get("authorization") for one in headers] == [None, "Bearer sk-given"] * 2
    assert not [one for one in headers if "x-secret" in one or "sk-environment" in str(one)]


def test_the_configurations_defaults_hold_where_nothing_else_is_said(monkeypatch, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(
        '[aliases]\nfast = "openai/m"\n[providers.openai]\ndefaults = {temperature = 0.5, seed = 7, stop = "X"}\n'
        "[providers.openai.models.m]\nmax-tokens = 9\noption = {top_p = 0.1}\n"
    )
    monkeypatch.setenv("LLMSTREAM_CONFIG", str(config))
    with Provider([head(), *chat("a")]) as provider:
        llmstream.stream("Hi", **at(provider, model="fast", seed=1)).read()
        body = provider.requests[0].json
    got = {name: body[name] for name in ("temperature", "seed", "stop", "max_tokens", "top_p")}
    assert got == {"temperature": 0.5, "seed": 1, "stop": ["X"], "max_tokens": 9, "top_p": 0.1}
    config.write_text("[providers.openai]\ndefaults = {temperature = true}\n")
    with pytest.raises(UsageError, match="temperature"):
        llmstream.stream("Hi", "openai/m", api_key="k")


# What goes wrong.


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    ("script", "error", "texts"),
    [
        (reply("401 Unauthorized", b'{"error": {"message": "bad key"}}'), Refused, []),
        (reply("503 Busy", b"", "text/html"), Unavailable, []),
        ([], Unavailable, []),
        ([head(), *chat("a", "b")[:-1]], Incomplete, ["a", "b"]),
        ([head(), chat_text("a"), frame({"error": {"message": "x", "type": "overloaded"}})], Incomplete, ["a"]),
    ],
    ids=["refused", "unavailable", "gone", "cut", "overloaded"],
)
def test_errors_come_after_all_that_came_before(driver, script, error, texts):
    with Provider(script) as provider:
        read = Read(driver, at(provider, retries=0), "text")
    assert type(read.error) is error
    assert isinstance(read.error, Error)
    assert read.items == texts
    assert read.stream.finish is None


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_limit_or_a_refusal_is_an_answer(driver):
    with Provider([head(), chat_text("a"), chat_end("length"), frame("[DONE]")]) as provider:
        read = Read(driver, at(provider))
    assert (read.error, read.stream.finish) == (None, Finish("length", "length"))


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("options", [{}, {"max_tokens": 5}, {"max_tokens": 5, "check": True}])
@pytest.mark.parametrize("text", ['{"name":', '{"name": "a"}'])
def test_json_that_a_limit_cuts_is_incomplete(driver, options, text):
    if "check" in options:
        pytest.importorskip("jsonschema", reason="the extra `check` is not installed")
    with Provider([head(), chat_text(text), chat_end("length"), frame("[DONE]")]) as provider:
        read = Read(driver, at(provider, schema="name", **options), "text")
    assert (read.items, read.stream.finish) == ([text], Finish("length", "length"))
    if text.endswith("}"):
        assert read.error is None
    else:
        assert isinstance(read.error, Incomplete)
        assert str(read.error).endswith("the JSON is not whole" + (": raise max_tokens" if options else ""))


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_new_try_is_told_to_the_note(driver):
    notes: list[str] = []
    busy = reply("503 Busy", b"", "text/html", "Retry-After: 0")
    with Provider(busy, [head(), *chat("a")]) as provider:
        read = Read(driver, at(provider, note=notes.append), "text")
    assert (read.items, read.error) == (["a"], None)
    assert [note.partition(": trying again")[1] for note in notes] == [": trying again"]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(("model", "rest"), [("vllm/m", ["lo"]), ("openai/m", None)])
def test_a_cut_answer_is_resumed_where_the_provider_can(driver, model, rest):
    notes: list[str] = []
    with Provider([head(), chat_text("Hel")], [head(), *chat("lo")]) as provider:
        options = at(provider, model=model, resume_cut=True, max_retry_wait=0.01, note=notes.append)
        read = Read(driver, options, "text")
    assert read.items == ["Hel", *(rest or [])]
    assert isinstance(read.error, type(None) if rest else Incomplete)
    expected = ": requesting the rest now" if rest else "cannot resume a cut answer: resume_cut is ignored"
    assert [expected in note for note in notes] == [True]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("option", ["first_token_timeout", "stall_timeout", "timeout"])
def test_time_outs(driver, option):
    begun = [chat_text("a")] if option == "stall_timeout" else []
    with Provider([head(), *begun, HOLD]) as provider:
        read = Read(driver, at(provider, retries=0, **{option: 0.05}), "text")
        assert provider.client_left.wait(WAIT_S)
    assert isinstance(read.error, Incomplete if begun else Unavailable)
    assert read.items == ["a"] * len(begun)


# Until, and callbacks.


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_condition_ends_the_answer_upstream(driver):
    with Provider([head(), chat_text("one t"), chat_text("wo three"), HOLD]) as provider:
        read = Read(driver, at(provider, until={"regex": "t.o"}))
        assert provider.client_left.wait(WAIT_S)
    assert "".join(event.text for event in read.items if isinstance(event, Text)) == "one two"
    assert read.stream.met
    assert read.stream.finish == Finish("until", "") == read.items[-1]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_condition_of_time_ends_a_silent_answer(driver):
    with Provider([head(), HOLD]) as provider:
        read = Read(driver, at(provider, until={"seconds": 0.05}))
        assert provider.client_left.wait(WAIT_S)
    assert (read.items, read.error) == ([Finish("until", "")], None)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_filter_that_has_enough_ends_the_answer_upstream(driver):
    async def main(text: Any) -> str:
        return "".join([piece async for piece in llmstream.code(text)])

    with Provider([head(), chat_text("```py\nx\n```\n"), HOLD]) as provider:
        if driver == "thread":
            stream: Any = llmstream.stream("Hi", **at(provider))
            assert "".join(llmstream.code(stream.text)) == "x\n"
        else:
            stream = llmstream.astream("Hi", **at(provider))
            assert run(driver, main(stream.text)) == "x\n"
        assert stream.finish == Finish("cancelled", "")
        assert provider.client_left.wait(WAIT_S)


def test_pieces_may_be_taken_in_turns():
    with Provider([head(), *chat("a", "b", "c")]) as provider:
        stream = llmstream.stream("Hi", **at(provider))
        assert [next(stream.text), next(stream.text), stream.read()] == ["a", "b", "c"]


@pytest.mark.parametrize("driver", DRIVERS)
def test_callbacks_come_in_order(driver):
    received: list[Any] = []
    with Provider([head(), *chat("a", "b")]) as provider:
        Read(driver, at(provider, on_text=received.append, on_finish=received.append))
    assert received == ["a", "b", Finish("stop", "stop")]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("callback", ["on_text", "on_finish", "note"])
def test_what_a_callback_raises_comes_through_and_closes(driver, callback):
    def fail(value: object) -> None:
        raise LookupError("mine")

    busy = reply("503 Busy", b"", "text/html", "Retry-After: 30")
    scripts = {"on_text": [head(), chat_text("a"), HOLD], "on_finish": [head(), *chat("a"), HOLD], "note": busy}
    with Provider(scripts[callback]) as provider:
        read = Read(driver, at(provider, **{callback: fail}))
        if callback != "note":
            assert provider.client_left.wait(WAIT_S)
    assert isinstance(read.error, LookupError)
    assert "text" in [event.type for event in read.items] or callback != "on_finish"


def test_a_callback_may_close_its_stream():
    with Provider([head(), chat_text("a"), HOLD]) as provider:
        stream = llmstream.stream("Hi", **at(provider, on_text=lambda text: stream.close()))
        assert [event for event in stream if event.type != "start"] == [Text("a"), Finish("cancelled", "")]
        assert provider.client_left.wait(WAIT_S)


# Closing, in each phase.


@contextlib.contextmanager
def deaf() -> Iterator[int]:
    """The port of a server to which no connection comes about: its queue is full."""
    with socket.socket() as listener, contextlib.ExitStack() as clients:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        yield port


def connecting(port: int) -> int:
    """How many connections to the port are under way (state SYN_SENT in Linux's table)."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    return sum(1 for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "02")


@contextlib.contextmanager
def phase(name: str) -> Iterator[tuple[dict[str, Any], Callable[[], None], Callable[[], bool]]]:
    """Options, what waits until the phase has come, and what says that the provider saw the end."""
    if name == "connecting":
        with deaf() as port:
            before = connecting(port)

            def wait_for(count: int) -> bool:
                ends = time.monotonic() + WAIT_S
                while connecting(port) != count and time.monotonic() < ends:
                    time.sleep(0.001)
                return connecting(port) == count

            here = {"model": "openai/m", "base_url": f"http://127.0.0.1:{port}", "retries": 0}
            yield here, lambda: _must(wait_for(before + 1)), lambda: wait_for(before)
        return
    here_now = threading.Event()
    scripts = {
        "silent": [here_now, HOLD],
        "thinking": [head(), here_now, HOLD],
        "streaming": [head(), chat_text("a"), HOLD],
        "waiting": reply("503 Busy", b"", "text/html", "Retry-After: 30"),
    }
    with Provider(scripts[name]) as provider:
        options = at(provider, on_text=lambda text: here_now.set(), note=lambda note: here_now.set())

        def reached() -> None:
            _must(provider.first_request.wait(WAIT_S))
            if name in ("silent", "thinking"):
                here_now.set()
            _must(here_now.wait(WAIT_S))

        yield options, reached, lambda: name == "waiting" or provider.client_left.wait(WAIT_S)
        if name == "waiting":
            assert len(provider.requests) == 1


def _must(true: bool) -> None:
    assert true


PHASES = [
    pytest.param("connecting", marks=pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="not Linux")),
    *("silent", "thinking", "streaming", "waiting"),
]
CANCELLED = [Finish("cancelled", "")]


def after_text(events: list[Any]) -> list[Any]:
    return [event for event in events if event.type not in ("start", "text")]


@pytest.mark.parametrize("name", PHASES)
@pytest.mark.parametrize("driver", DRIVERS)
def test_another_thread_closes(driver, name):
    with phase(name) as (options, reached, left):
        make = llmstream.stream if driver == "thread" else llmstream.astream
        stream: Any = make("Hi", **options)
        events: list[Any] = []

        async def main() -> None:
            async for event in stream:
                events.append(event)

        reader = threading.Thread(target=lambda: events.extend(stream) if driver == "thread" else run(driver, main()))
        reader.start()
        reached()
        stream.close()
        reader.join(WAIT_S)
        assert not reader.is_alive()
        assert left()
    assert after_text(events) == CANCELLED
    assert stream.finish == CANCELLED[0]


@pytest.mark.parametrize("name", PHASES)
@pytest.mark.parametrize("driver", LOOPS)
@pytest.mark.parametrize("how", ["cancel", "aclose"])
def test_another_task_closes_or_cancels(driver, name, how):
    with phase(name) as (options, reached, left):
        stream = llmstream.astream("Hi", **options)
        events: list[Any] = []

        async def read() -> None:
            async for event in stream:
                events.append(event)

        async def main() -> None:
            task = asyncio.create_task(read())
            await asyncio.to_thread(reached)
            if how == "cancel":
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                await stream.aclose()
                await task
            assert await asyncio.to_thread(left)

        run(driver, main())
    assert stream.finish == CANCELLED[0]
    assert after_text(events) == ([] if how == "cancel" else CANCELLED)


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_is_left_in_the_middle_is_closed(driver):
    with Provider([head(), chat_text("a"), HOLD], [head(), chat_text("a"), HOLD]) as provider:

        def within() -> None:
            with llmstream.stream("Hi", **at(provider)) as stream:
                for _ in stream.text:
                    break

        async def within_async() -> None:
            async with llmstream.astream("Hi", **at(provider)) as stream:
                async for _ in stream.text:
                    break
            assert await asyncio.to_thread(provider.client_left.wait, WAIT_S)

        within() if driver == "thread" else run(driver, within_async())
        assert provider.client_left.wait(WAIT_S)


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_is_dropped_is_closed(driver):
    with Provider([head(), chat_text("a"), HOLD]) as provider:

        def drop() -> None:
            for _ in llmstream.stream("Hi", **at(provider)).text:
                break

        async def drop_async() -> None:
            async for _ in llmstream.astream("Hi", **at(provider)).text:
                break
            assert await asyncio.to_thread(provider.client_left.wait, WAIT_S)

        drop() if driver == "thread" else run(driver, drop_async())
        assert provider.client_left.wait(WAIT_S)


@pytest.mark.parametrize("driver", DRIVERS)
def test_one_that_is_closed_before_it_is_read_asks_nothing(driver):
    with Provider([head(), *chat("a")]) as provider:
        if driver == "thread":
            stream: Any = llmstream.stream("Hi", **at(provider))
            stream.close()
            events = list(stream)
        else:
            stream = llmstream.astream("Hi", **at(provider))
            stream.close()

            async def main() -> list[Any]:
                return [event async for event in stream]

            events = run(driver, main())
    assert (events, provider.requests) == (CANCELLED, [])


def test_closing_after_the_end_changes_nothing():
    with Provider([head(), *chat("a")]) as provider:
        stream = llmstream.stream("Hi", **at(provider))
        assert stream.read() == "a"
        stream.close()
        stream.close()
    assert (stream.finish, list(stream)) == (Finish("stop", "stop"), [])


# Many.


def test_threads_have_a_stream_each():
    with Provider([head(), *chat(*"abcdefgh")]) as provider:
        texts: list[str] = []
        threads = [
            threading.Thread(target=lambda: texts.append(llmstream.stream("Hi", **at(provider)).read()))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
    assert texts == ["abcdefgh"] * 8


def test_a_replay_and_the_sdks_are_read_as_well(tmp_path, monkeypatch):
    recording = tmp_path / "r.ndjson"
    lines = ['{"recording": 1, "provider": "openai", "model": "m", "api": "chat"}', '{"t": 0, "request": {}}']
    lines.append('{"t": 0, "status": 200, "headers": {"content-type": "text/event-stream"}}')
    lines += [f'{{"t": 0, "data": {__import__("json").dumps(frame.decode())}}}' for frame in chat("a", "b")]
    recording.write_text("\n".join([*lines, '{"t": 0, "end": ""}']))
    for driver in DRIVERS:
        assert Read(driver, {"model": f"replay:{recording}"}, "text").items == ["a", "b"]


# The process.


def python(script: str, *lines: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-W", "error", "-c", "\n".join([script, *lines])]
    return subprocess.run(command, capture_output=True, env=environment(), timeout=RUN_S)


@pytest.mark.parametrize("end", ["pass", "sys.exit(0)", "gc.collect()", "del answer", "loop.close()"])
@pytest.mark.parametrize("kind", ["stream", "astream"])
def test_a_program_that_leaves_a_stream_open_ends_without_noise(kind, end):
    with Provider([head(), chat_text("a"), HOLD]) as provider:
        done = python(
            "import asyncio, gc, llmstream, sys",
            "loop = asyncio.new_event_loop()",
            f"answer = llmstream.{kind}('Hi', **{at(provider)!r})",
            "first = next(answer) if hasattr(answer, '__next__') else loop.run_until_complete(anext(answer))",
            "print(first.type)",
            *(["loop.close()"] if kind == "stream" and end != "loop.close()" else []),
            end,
            "loop.close()",
        )
        assert provider.client_left.wait(WAIT_S)
    assert (done.stdout, done.stderr, done.returncode) == (b"start\n", b"", 0)


@pytest.mark.model
@needs.package("xllamacpp", "local")
def test_all_streams_share_one_embedded_model():
    done = python(
        "import asyncio, llmstream",
        "from llmstream.net import embedded",
        "asked = 'Name three rivers.', 'local'",
        "async def main():",
        "    return await asyncio.gather(*(llmstream.astream(*asked, max_tokens=3).read() for _ in range(3)))",
        "texts = [llmstream.stream(*asked, max_tokens=3).read(), *asyncio.run(main())]",
        "print(len(texts), len({*texts}), len(embedded._servers))",
    )
    assert (done.stdout, done.stderr, done.returncode) == (b"4 1 1\n", b"", 0)


def test_an_interrupt_ends_the_wait_and_the_stream():
    with Provider([head(), chat_text("a"), HOLD]) as provider:
        script = [
            "import llmstream",
            "try:",
            f"    with llmstream.stream('Hi', **{at(provider)!r}) as answer:",
            "        for piece in answer.text: print(piece, flush=True)",
            "except KeyboardInterrupt: print('interrupted', answer.finish.reason)",
        ]
        command = [sys.executable, "-W", "error", "-c", "\n".join(script)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, env=environment(), **pipes) as process:
            assert process.stdout.readline() == b"a\n"
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=WAIT_S) == (b"interrupted cancelled\n", b"")
        assert provider.client_left.wait(WAIT_S)


def test_a_stream_loads_no_asyncio_and_no_commands():
    with Provider([head(), *chat("a")]) as provider:
        done = python(
            "import llmstream, sys", f"print(llmstream.stream('Hi', **{at(provider)!r}).read(), *sys.modules)"
        )
    text, *modules = done.stdout.decode().split()
    assert text == "a"
    assert {"asyncio", "click", "pydantic", "openai", "logging", "concurrent.futures"} & {*modules} == set()
    assert not [name for name in modules if name.startswith("llmstream.commands")]


@pytest.mark.parametrize(
    "option",
    [
        {"model": 5},
        {"system": 5},
        {"max_tokens": 0},
        {"max_tokens": "5"},
        {"max_tokens": True},
        {"temperature": "hot"},
        {"temperature": float("-inf")},
        {"seed": 1.5},
        {"stop": 5},
        {"until": "x"},
        {"options": 5},
        {"schema": 5},
        {"effort": "super"},
        {"api": "foo"},
        {"retries": -1},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"on_text": 5},
        {"nonsense": 1},
    ],
    ids=str,
)
def test_what_is_no_value_of_an_option_is_told_at_the_call(option):
    (name,) = option
    with pytest.raises(TypeError, match=name):
        llmstream.stream("Hi", **{"model": "local", **option})


def test_an_async_callback_is_refused_since_nobody_would_await_it():
    async def later(text: str) -> None: ...

    with pytest.raises(TypeError, match="not an async one"):
        llmstream.astream("Hi", "local", on_text=later)


@dataclasses.dataclass
class _City:
    name: str
    area: int


@dataclasses.dataclass
class _Country:
    name: str
    cities: list[_City]


class _Model:
    @classmethod
    def model_json_schema(cls):
        return {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}


class _Named(TypedDict):
    x: int


@pytest.mark.parametrize("cls", [_Model, _City, _Country, _Named])
def test_a_class_is_a_schema(cls):
    schema = prepared.prepare("Hi", {"model": "openai/m", "api_key": "k" * 20, "schema": cls}).request.schema
    assert schema["type"] == "object"
    assert set(schema["required"]) <= set(schema["properties"])
    assert "_Country" not in str(schema.get("$defs"))


def test_a_pydantic_model_is_a_schema_for_one_answer_and_for_a_list():
    class Place(pydantic.BaseModel):
        name: str = pydantic.Field(description="in English")
        height: float | None = None

    class Trip(pydantic.BaseModel):
        places: list[Place]

    options = {"model": "openai/m", "api_key": "k" * 20}
    one = prepared.prepare("Hi", options | {"schema": Trip}).request.schema
    assert one == Trip.model_json_schema()
    many = prepared.prepare("Hi", options | {"schema_multi": Place}).request.schema
    items = many["properties"]["items"]["items"]
    assert items["properties"]["name"] == {"description": "in English", "title": "Name", "type": "string"}
    assert items["required"] == ["name"]


def test_the_reprs_of_events_and_errors_are_their_values():
    assert repr(Text("Hi")) == "Text('Hi')"
    assert repr(UsageError("no key: set one", hint="try")).startswith("UsageError('no key: set one'")


def test_a_class_without_a_schema_is_a_type_error():
    with pytest.raises(TypeError, match="cannot make a JSON schema of object"):
        prepared.prepare("Hi", {"model": "openai/m", "schema": object})


def test_the_repr_of_a_stream_names_model_and_state_and_no_key():
    with llmstream.stream("Hi", model="ollama/m", api_key="geheim-0123456789", base_url="http://127.0.0.1:9") as answer:
        assert repr(answer) == "<Stream ollama/m open>"
    assert repr(answer) == "<Stream ollama/m cancelled>"
