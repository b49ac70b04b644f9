"""POST /chat/stream over real sockets."""

from __future__ import annotations

import json
import time
from types import FrameType, SimpleNamespace

import pytest

from llmstream.core.events import REASONS, Finish, Reasoning, Source, Text, Usage
from llmstream.core.report import CutJson
from llmstream.core.stop.conditions import from_mapping
from llmstream.core.stop.search import Search
from llmstream.errors import Incomplete, Refused, Unavailable, UsageError
from llmstream.serve.request import Note

from ..support.serving import END, START, Client, Gate, ScriptedServer, ask, frames, get

TAIL = (
    'event: usage\ndata: {"input_tokens": 3, "output_tokens": 2, "cached_tokens": 0, "reasoning_tokens": 0, '
    '"cache_write_tokens": 0}\n\n'
    'event: finish\ndata: {"reason": "stop", "provider_reason": "stop"}\n\n'
    "data: [DONE]\n\n"
)


def test_the_bytes_of_an_answer():
    with ScriptedServer([START, "Hel", 'lo "wörld"\n', END]) as server:
        status, headers, body = ask(server)
    assert status == 200
    assert body.decode() == 'data: {"content": "Hel"}\n\ndata: {"content": "lo \\"wörld\\"\\n"}\n\n' + TAIL
    assert headers["content-type"] == "text/event-stream"
    assert headers["cache-control"] == "no-store"
    assert headers["x-accel-buffering"] == "no"
    assert not [name for name in headers if name.startswith("access-control")]
    assert server.generations[0].complete


def test_each_text_is_sent_before_the_next_arrives():
    second, end = Gate(), Gate()
    with ScriptedServer(["one", second, "two", end, END]) as server, Client(server) as client:
        client.post()
        client.until(b'data: {"content": "one"}\n\n')
        second.open()
        client.until(b'data: {"content": "two"}\n\n')
        assert b"[DONE]" not in client.received
        end.open()
        client.until(b"data: [DONE]\n\n")


def test_the_head_is_sent_before_the_first_token():
    gate = Gate()
    with ScriptedServer([gate, "x", END]) as server, Client(server) as client:
        assert client.post().until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        gate.open()
        client.until(b"[DONE]")


def test_events_that_arrive_together_are_one_chunk():
    with ScriptedServer([[Text("a"), Text("b")], END]) as server, Client(server) as client:
        client.post().until(b"0\r\n\r\n")
        assert b'\r\n\r\n30\r\ndata: {"content": "a"}\n\ndata: {"content": "b"}\n\n\r\n' in client.received


@pytest.mark.parametrize(
    "error",
    [
        UsageError("unknown model"),
        Refused("no", hint="set it"),
        Unavailable("later"),
        Incomplete("cut"),
        CutJson("cut"),
    ],
)
def test_an_error_ends_the_stream_without_done(error):
    with ScriptedServer(["so far", error]) as server:
        status, _, body = ask(server)
    assert status == 200
    first, last = frames(body)
    assert first == ("", '{"content": "so far"}')
    message = f"{error}\n{error.hint}" if error.hint else str(error)
    assert (last[0], json.loads(last[1])) == ("error", {"status": error.status, "message": message})


def test_a_bug_is_reported_and_the_server_continues(capfd):
    with ScriptedServer(["x", ZeroDivisionError("secret")], ["y", END]) as server:
        _, _, body = ask(server)
        kind, data = frames(body)[-1]
        assert kind == "error"
        assert json.loads(data)["status"] == 5
        assert b"secret" not in body
        assert b"[DONE]" in ask(server)[2]
    assert "ZeroDivisionError: secret" in capfd.readouterr().err


def test_a_stop_condition_gives_the_reason_until():
    with ScriptedServer(["x", [Finish("until", "")]]) as server:
        kinds = frames(ask(server)[2])
    assert kinds[1:] == [("finish", '{"reason": "until", "provider_reason": ""}'), ("", "[DONE]")]


PAUSED = (
    "the provider paused the answer (finish reason pause_turn): Send it back.: "
    "it waits for the conversation to be sent back"
)


@pytest.mark.parametrize("reason", REASONS)
def test_done_says_that_the_provider_ended_the_answer(reason):
    with ScriptedServer(["x", [Finish(reason, "")]]) as server:
        last, data = frames(ask(server)[2])[-1]
    if reason in ("paused", "incomplete", "unknown"):
        assert (last, json.loads(data)["status"]) == ("error", 5)
    else:
        assert (last, data) == ("", "[DONE]")


def test_sources_and_notes_are_events():
    script = [
        [Note("HTTP 500: once more"), Text("x")],
        [Source("https://a.example", "A \u2028 B", 0, 1), Source("https://b.example")],
        [Usage(3, 2, searches=1, tier="flex", cost_usd=0.5), Finish("paused", "pause_turn", "Send it back.")],
        [Note("an image is left out")],
    ]
    usage = {**dict.fromkeys(Usage.counts[:5], 0), "input_tokens": 3, "output_tokens": 2}
    usage |= {"searches": 1, "tier": "flex", "cost_usd": 0.5}
    with ScriptedServer(script) as server:
        events = [(name, data if data == "[DONE]" else json.loads(data)) for name, data in frames(ask(server)[2])]
    assert events == [
        ("note", {"note": "HTTP 500: once more"}),
        ("", {"content": "x"}),
        ("source", {"url": "https://a.example", "title": "A \u2028 B", "start": 0, "end": 1}),
        ("source", {"url": "https://b.example"}),
        ("usage", usage),
        ("finish", {"reason": "paused", "provider_reason": "pause_turn", "explanation": "Send it back."}),
        ("note", {"note": "an image is left out"}),
        ("error", {"status": 5, "message": PAUSED}),
    ]


@pytest.mark.parametrize("reasoning", [True, False])
def test_reasoning_is_sent_only_on_request(reasoning):
    with ScriptedServer([[Reasoning("hm")], "x", END]) as server:
        body = ask(server, body={"prompt": "Hi", "reasoning": reasoning})[2]
    assert (("reasoning", '{"reasoning": "hm"}') in frames(body)) is reasoning


def test_a_lone_surrogate_is_a_replacement_character():
    with ScriptedServer(["a\ud800b", END]) as server:
        assert frames(ask(server)[2])[0] == ("", '{"content": "a\ufffdb"}')


def test_keep_alives_break_a_silence_in_any_phase():
    first, second = Gate(), Gate()
    with ScriptedServer([first, "x", second, END], keep_alive_s=0.05) as server, Client(server) as client:
        client.post().until(b": keep-alive\n\n")
        assert b"data" not in client.received
        first.open()
        client.until(b'{"content": "x"}')
        client.received = b""
        client.until(b": keep-alive\n\n")
        second.open()
        client.until(b"data: [DONE]\n\n\r\n0\r\n\r\n")


def test_fields_of_the_body_reach_the_generation():
    body = {
        "prompt": "Hi",
        "system": "Be brief.",
        "model": "openai/m",
        "max_tokens": 5,
        "temperature": 0,
        "seed": 7,
        "stop": "X",
        "until": {"code_block": True, "regex": "a+", "count": 2},
    }
    with ScriptedServer() as server:
        assert ask(server, body=body)[0] == 200
    request = server.generations[0].request
    until = {"code_block": True, "regex": ("a+",), "count": 2}
    assert request[:2] == (
        body["prompt"],
        {name: body[name] for name in body if name != "prompt"} | {"stop": ("X",), "until": until},
    )


def test_stop_conditions_are_those_of_the_commands():
    with ScriptedServer() as server:
        ask(server, body={"prompt": "Hi", "until": {"code_block": True, "fixed": ["a", "b"], "seconds": 2.5}})
        assert ask(server, body={"prompt": "Hi", "until": {"ignore_case": True}})[0] == 400
    conditions, mode = from_mapping(server.generations[0].request.options["until"])
    assert (len(conditions), mode) == (4, "inclusive")
    assert len(server.generations) == 1


def test_a_conversation_goes_before_the_prompt():
    turns = [{"role": "user", "content": "Name a river."}, {"role": "assistant", "content": "The Rhine."}]
    with ScriptedServer() as server:
        assert ask(server, body={"prompt": "Another?", "messages": turns})[0] == 200
        assert ask(server, body={"prompt": "Hi", "messages": []})[0] == 200
    first, second = (generation.request for generation in server.generations)
    assert (first.prompt, first.options["messages"]) == ("Another?", turns)
    assert (second.prompt, "messages" in second.options) == ("Hi", False)


def test_regular_expressions_need_permission():
    body = {"prompt": "Hi", "until": {"regex": "(a+)+$"}}
    with ScriptedServer(allow_regex=False) as server:
        status, _, answer = ask(server, body=body)
        assert (status, server.generations) == (400, [])
        assert "--allow-regex" in answer.decode()
        assert ask(server, body={"prompt": "Hi", "until": {"fixed": "a", "ignore_case": True}})[0] == 200
    with ScriptedServer(allow_regex=True) as server:
        assert ask(server, body=body)[0] == 200


@pytest.mark.parametrize(
    ("more", "settings", "message"),
    [
        ({"schema": "name"}, {"allow_regex": False}, "check is not allowed here: start the server with --allow-regex"),
        ({}, {}, "check needs schema or json: say what is right"),
        ({"json": True, "until": {"words": 1}}, {}, "check and until exclude each other: leave one out"),
        ({"schema": {"const": "x" * 20_000}}, {}, "a schema of more than 16384 characters cannot be checked"),
    ],
)
def test_a_check_that_cannot_be_is_refused(more, settings, message):
    with ScriptedServer(**settings) as server:
        status, _, answer = ask(server, body={"prompt": "Hi", "check": True, **more})
        assert (status, server.generations) == (400, [])
        assert message in answer.decode()
        assert ask(server, body={"prompt": "Hi", "check": False, **more})[0] == 200


def test_regular_expressions_are_refused_while_they_have_no_time():
    with ScriptedServer() as server:
        while server.state.regex_limit.left_s(time.monotonic()) > -60:
            server.state.regex_limit.charge(search_frame(), 1.0, 1000.0, time.monotonic())
        status, headers, answer = ask(server, body={"prompt": "Hi", "until": {"regex": ["END", "(a+)+$"]}})
        assert (status, "retry-after" in headers, server.generations) == (503, True, [])
        assert "regular expressions and checks have used their CPU time: try again later" in answer.decode()
        assert ask(server, body={"prompt": "Hi", "schema": "name", "check": True})[0] == 503
        for until in {"regex": ["END", "[*]"]}, {"fixed": "a+", "ignore_case": True}:
            assert ask(server, body={"prompt": "Hi", "until": until})[0] == 200


def search_frame() -> FrameType:
    """Returns a frame within a search, each time within another one."""
    return SimpleNamespace(f_locals={"self": Search("a+b")}, f_back=None)  # type: ignore[return-value]


def test_the_server_s_model_is_the_default():
    with ScriptedServer(model="local") as server:
        ask(server)
        ask(server, body={"prompt": "Hi", "model": "default"})
        ask(server, body={"prompt": "Hi", "model": "openai/x"})
    assert [generation.request.options["model"] for generation in server.generations] == ["local", "local", "openai/x"]


@pytest.mark.parametrize("model", ["replay:/etc/passwd", "/tmp/x.gguf", "local//tmp/x.gguf"])
def test_clients_cannot_name_model_files(model):
    with ScriptedServer() as server:
        for path, body in [
            ("/chat/stream", {"prompt": "Hi"}),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
        ]:
            status, _, answer = ask(server, path, body | {"model": model})
            assert (status, b"a model that is a file" in answer) == (400, True)
    assert not server.generations
    with ScriptedServer(model=model) as server:
        assert ask(server, body={"prompt": "Hi", "model": model})[0] == 200


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 422, "the body is missing"),
        (b"{", 400, "the body is not JSON: a name in double quotes is missing at character 2"),
        (b"\xff", 400, "the body is not JSON: not UTF-8"),
        (b"[" * 90_000, 400, "the body is not JSON: nested too deeply"),
        (b"[]", 422, "the body must be an object"),
        ({}, 422, "prompt is missing"),
        ({"prompt": ""}, 422, "prompt is empty"),
        ({"prompt": 1}, 422, "prompt must be a string"),
        ({"promt": "x"}, 422, "prompt is missing; there is no field promt: did you mean prompt?"),
        ({"prompt": "x", "xyzzy": 1}, 422, "there is no field xyzzy"),
        ({"prompt": "x", "schem": "n"}, 422, "there is no field schem: did you mean schema?"),
        (
            {"prompt": "x", "messages": [{"role": "system", "content": "x"}]},
            422,
            "messages.0.role must be 'user' or ",
        ),
        ({"prompt": "x", "messages": [{"role": "user", "content": ""}]}, 422, "messages.0.content is empty"),
        ({"messages": [{"role": "user", "content": "x"}]}, 422, "prompt is missing"),
        ({"prompt": "x", "messages": [0] * 4097}, 400, "messages has more than 4096 items"),
        ({"prompt": "x", "max_tokens": 0}, 422, "max_tokens must be"),
        ({"prompt": "x", "until": {"lines": "x"}}, 422, "until.lines must be"),
        ({"prompt": "x", "until": {"line": 1}}, 422, "there is no field until.line: did you mean until.lines?"),
        ({"prompt": "x", "until": {"json": 1}}, 422, "until.json must be"),
        ({"prompt": "x", "until": {"regex": "("}}, 400, "("),
        ({"prompt": "x", "until": {"lines": 1, "only": True, "exclusive": True}}, 400, "exclude each other"),
        (b'{"prompt": "\\ud800"}', 400, "the body is not JSON: half a surrogate pair"),
        (b'{"prompt": "x", "temperature": NaN}', 400, "the body is not JSON: JSON has no NaN"),
        (b'{"prompt": "x", "seed": ' + b"9" * 5000 + b"}", 400, "the body is not JSON: a number has too many digits"),
    ],
)
def test_a_wrong_body_is_rejected_with_a_message(body, status, message):
    with ScriptedServer() as server:
        code, headers, answer = ask(server, body=body)
    error = json.loads(answer)
    assert (code, list(error), error["status"]) == (status, ["status", "message"], 2)
    assert message in error["message"]
    assert headers["content-type"] == "application/json"
    assert not server.generations


def test_other_methods_and_paths():
    with ScriptedServer() as server:
        status, headers, body = get(server, "/chat/stream")
        assert (status, headers["allow"], json.loads(body)["status"]) == (405, "POST", 2)
        status, _, body = get(server, "/nowhere")
        assert (status, json.loads(body)) == (404, {"status": 2, "message": "Not Found"})
        assert get(server, "/docs")[0] == get(server, "/chat/stream/")[0] == 404
        assert json.loads(get(server, "/healthz")[2]) == {"status": "ok"}
        description = json.loads(get(server, "/openapi.json")[2])
        assert list(description["paths"]) == [
            "/healthz",
            "/chat/stream",
            "/v1/models",
            "/v1/chat/completions",
            "/v1/responses",
        ]


def test_usage_may_arrive_before_the_end():
    with ScriptedServer([Usage(3, 1), "x", END]) as server:
        assert [kind for kind, _ in frames(ask(server)[2])] == ["usage", "", "usage", "finish", ""]
