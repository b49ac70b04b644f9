"""POST /v1/responses through OpenAI's SDK, and its events against the SDK's own types."""

from __future__ import annotations

import asyncio
import base64
import json
import typing

import openai
import pytest
from openai.types.responses import Response, ResponseErrorEvent, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from llmstream.core.events import REASONS, Finish, Reasoning, ScoredText, Source, Text, ToolCall, Usage
from llmstream.errors import BadRequest, Incomplete, Refused, Unavailable, UsageError
from llmstream.serve.request import Note

from ..support.limits import WAIT_S
from ..support.serving import END, START, Client, Gate, ScriptedServer, ask, frames
from .test_completions import client

PATH = "/v1/responses"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"x" * 9).decode()
FUNCTION = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
EVENT = TypeAdapter(ResponseStreamEvent)
CALLS = [
    [ToolCall(0, "c1", "weather", "")],
    [ToolCall(0, "", "", '{"city":'), ToolCall(1, "c2", "time", "")],
    [ToolCall(0, "", "", '"Kiel"}')],
    [Usage(7, 5, 4, 3), Finish("tool_calls", "tool_calls")],
]
SCORE = {"token": "x", "logprob": -0.5, "bytes": None, "top_logprobs": []}
SCRIPTS = {
    "text": [START, "Hel", [Text("lo"), Text(' "you"\n')], END],
    "empty": [START, [Usage(3, 0), Finish("stop", "stop")]],
    "silent": [],
    "reasoning": [START, [Reasoning("h")], [Reasoning("m")], "Hello", END],
    "reasoning twice": [START, [Reasoning("a")], "b", [Reasoning("c")], "d", END],
    "calls": [START, "I look.", *CALLS],
    "source": [START, "x", [Source("https://a.example", "A", 0, 1), Source("https://b.example")], "y", END],
    "source alone": [START, [Source("https://a.example")], END],
    "scores": [START, [ScoredText("x", [SCORE])], [Text("y")], END],
    "note": [START, [Note("once more"), Text("x")], END],
    "explained": [START, "x", [Finish("refusal", "refusal", "I will not.")]],
    "explained alone": [START, [Finish("refusal", "refusal", "I will not.")]],
    "failed": [START, [Reasoning("r")], "so far", Incomplete("the stream was cut")],
    "failed call": [START, *CALLS[:2], BadRequest("too long")],
    **{reason: [START, "x", [Usage(3, 2), Finish(reason, reason)]] for reason in REASONS},
}


def stream_of(script: list, **fields: object) -> list[dict]:
    """Returns the events of the answer, each of which has the SDK's type, its own number and the name of its frame."""
    with ScriptedServer(script) as server:
        status, headers, body = ask(server, PATH, {"input": "Hi", "stream": True, **fields})
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    events = [(name, json.loads(data)) for name, data in frames(body)]
    assert [event["sequence_number"] for _, event in events] == list(range(len(events)))
    for name, event in events:
        assert name == event["type"]
        fit(EVENT.validate_json(json.dumps(event), strict=True))
    return [event for _, event in events]


def fit(value: object) -> None:
    """Fails for a field that the SDK's types do not have; they keep unknown ones."""
    if isinstance(value, BaseModel):
        more = {ResponseErrorEvent: {"error"}, Response: {"store"}}  # what OpenAI's SDK raises, and its API sends
        extra = set(value.model_extra or {}) - more.get(type(value), set())
        assert not extra, (type(value), extra)
        for name in value.model_fields_set:
            fit(getattr(value, name))
    elif isinstance(value, list):
        for item in value:
            fit(item)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_event_has_the_sdk_s_type(name):
    events = stream_of(SCRIPTS[name], tools=[FUNCTION], instructions="Be brief.", reasoning={"summary": "auto"})
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds.count("response.created") == 1
    last = next(event for event in reversed(events) if event["type"] != "error")["response"]
    assert last["id"] == events[0]["response"]["id"]
    begun = {event["item"]["id"]: event["output_index"] for event in events if event["type"].endswith("item.added")}
    assert list(begun.values()) == list(range(len(begun)))
    assert [item["id"] for item in last["output"]] == list(begun)
    for event in events:
        if "item_id" in event:
            assert begun[event["item_id"]] == event["output_index"]
    if name.startswith("failed"):
        assert kinds[-2:] == ["response.failed", "error"]
    else:
        ended = [event["item"] for event in events if event["type"].endswith("item.done")]
        assert sorted(ended, key=lambda item: begun[item["id"]]) == last["output"]
        assert kinds[-1] == f"response.{last['status']}"


@pytest.mark.parametrize("name", [name for name in SCRIPTS if not name.startswith("failed")])
def test_the_whole_answer_is_the_stream_s_last(name):
    last = stream_of(SCRIPTS[name])[-1]["response"]
    with ScriptedServer(SCRIPTS[name]) as server:
        status, headers, body = ask(server, PATH, {"input": "Hi"})
    assert (status, headers["content-type"]) == (200, "application/json")
    fit(Response.model_validate_json(body, strict=True))
    assert without_ids(json.loads(body)) == without_ids(last)


def without_ids(response: dict) -> dict:
    output = [{name: value for name, value in item.items() if name != "id"} for item in response["output"]]
    return {**response, "output": output, "id": "", "created_at": 0}


def test_the_deltas_join_to_the_text():
    events = stream_of(SCRIPTS["text"])
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert deltas == ["Hel", "lo", ' "you"\n']
    (done,) = [event for event in events if event["type"] == "response.output_text.done"]
    assert done["text"] == "".join(deltas)


# Through the SDK.


def test_complete():
    with ScriptedServer(SCRIPTS["text"]) as server, client(server) as sdk:
        answer = sdk.responses.create(model="openai/x", input="Hi", instructions="Be brief.", max_output_tokens=9)
    assert (answer.output_text, answer.status, answer.model) == ('Hello "you"\n', "completed", "m")
    assert (answer.store, answer.instructions, answer.max_output_tokens) == (False, "Be brief.", 9)
    usage = answer.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (3, 2, 5)
    assert server.generations[0].request.options == {
        "model": "openai/x",
        "max_tokens": 9,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Hi"}],
    }


def test_streamed():
    gate = Gate()
    with ScriptedServer([START, "Hel", gate, "lo", END]) as server, client(server) as sdk:
        events = sdk.responses.create(model="m", input="Hi", stream=True)
        for event in events:
            if event.type == "response.output_text.delta":
                break
        gate.open()
        assert event.delta == "Hel"
        assert [event.delta for event in events if event.type == "response.output_text.delta"] == ["lo"]


@pytest.mark.parametrize("name", ["text", "reasoning", "calls", "source", "explained", "length"])
def test_the_sdk_accumulates_a_stream(name):
    with (
        ScriptedServer(SCRIPTS[name]) as server,
        client(server) as sdk,
        sdk.responses.stream(model="m", input="Hi", tools=[FUNCTION]) as stream,
    ):
        kinds = [event.type for event in stream]
        if name == "length":
            assert kinds[-1] == "response.incomplete"
            return
        answer = stream.get_final_response()
    kinds = [item.type for item in answer.output]
    assert kinds == {"reasoning": ["reasoning", "message"], "calls": ["message", *["function_call"] * 2]}.get(
        name, ["message"]
    )


def test_structured_output():
    class River(BaseModel):
        name: str
        km: int

    with ScriptedServer([START, '{"name": "Elbe",', ' "km": 1094}', END]) as server, client(server) as sdk:
        assert sdk.responses.parse(model="m", input="Hi", text_format=River).output_parsed == River(
            name="Elbe", km=1094
        )
        sdk.responses.create(model="m", input="Hi", text={"format": {"type": "json_object"}, "verbosity": "low"})
    first, second = (generation.request.options for generation in server.generations)
    assert list(first["schema"]["properties"]) == ["name", "km"]
    assert (second["json"], second["options"]) == (True, {"verbosity": "low"})


def test_calls_and_their_results():
    with ScriptedServer([START, *CALLS], ["Cold.", END]) as server, client(server) as sdk:
        conversation: list[typing.Any] = [{"role": "user", "content": "Kiel?"}]
        answer = sdk.responses.create(model="m", input=conversation, tools=[FUNCTION], tool_choice="required")
        calls = [item for item in answer.output if item.type == "function_call"]
        assert [(call.call_id, call.name, call.arguments) for call in calls] == [
            ("c1", "weather", '{"city":"Kiel"}'),
            ("c2", "time", "{}"),
        ]
        conversation += [item.model_dump(exclude_none=True) for item in answer.output]
        for call in calls:
            conversation.append({"type": "function_call_output", "call_id": call.call_id, "output": "1"})
        choice = {"type": "function", "name": "weather"}
        last = sdk.responses.create(model="m", input=conversation, tools=[FUNCTION], tool_choice=choice)
    assert (last.output_text, last.tool_choice.name) == ("Cold.", "weather")
    first, second = (generation.request.options for generation in server.generations)
    assert (first["tool_choice"], second["tool_choice"]) == ("required", "weather")
    assert [(turn["role"], turn["content"]) for turn in second["messages"]] == [
        ("user", "Kiel?"),
        ("assistant", ""),
        ("tool", "1"),
        ("tool", "1"),
    ]
    assert [call["id"] for call in second["messages"][1]["tool_calls"]] == ["c1", "c2"]


def test_results_may_be_images_and_files():
    png, pdf = "data:image/png;base64,iVBORw0KGgpy", "data:application/pdf;base64,JVBERi0="
    conversation: list[typing.Any] = [
        {"role": "user", "content": "Look"},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [
                {"type": "input_image", "image_url": png, "detail": "auto"},
                {"type": "input_file", "filename": "a.pdf", "file_data": pdf},
                {"type": "input_text", "text": "Both."},
            ],
        },
    ]
    with ScriptedServer(["Yes", END]) as server, client(server) as sdk:
        assert sdk.responses.create(model="m", input=conversation, tools=[FUNCTION]).output_text == "Yes"
    assert server.generations[0].request.options["messages"][2] == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": [
            {"type": "image_url", "image_url": {"url": png}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": pdf}},
            {"type": "text", "text": "Both."},
        ],
    }


def test_a_client_that_leaves_ends_the_generation():
    never = Gate()

    async def main(server: ScriptedServer) -> None:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as sdk:
            stream = await sdk.responses.create(model="m", input="Hi", stream=True)
            async for event in stream:
                if event.type == "response.output_text.delta":
                    break
            await stream.close()

    with ScriptedServer(["x", never]) as server:
        asyncio.run(main(server))
        assert server.generations[0].closed.wait(WAIT_S)
    silent = Gate()
    with ScriptedServer([silent]) as server:
        with Client(server) as waiting:
            waiting.post(PATH, {"input": "Hi"})
            assert silent.reached.wait(WAIT_S)
        assert server.generations[0].closed.wait(WAIT_S)


# Errors.


def test_a_failure_after_the_first_event_is_raised():
    with ScriptedServer(SCRIPTS["failed"]) as server, client(server, retries=2) as sdk:
        kinds = []
        with pytest.raises(openai.APIError, match="the stream was cut"):
            for event in sdk.responses.create(model="m", input="Hi", stream=True):
                kinds.append(event.type)
        assert kinds[-1] == "response.failed"
        assert len(server.generations) == 1


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("unknown model"), 400),
        (BadRequest("too long"), 400),
        (Refused("no key"), 502),
        (Unavailable("later"), 503),
        (Incomplete("cut"), 502),
    ],
)
def test_an_error_before_the_first_event_has_a_status(error, status, stream):
    with (
        ScriptedServer([START, error]) as server,
        client(server) as sdk,
        pytest.raises(openai.APIStatusError) as raised,
    ):
        sdk.responses.create(model="m", input="Hi", stream=stream)
    assert (raised.value.status_code, raised.value.body["message"]) == (status, str(error))


USER = {"role": "user", "content": "Hi"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
WRONG = [
    ({}, "input is missing"),
    ({"input": ""}, "input"),
    ({"input": []}, "input"),
    ({"input": "Hi", "store": True}, "store is not supported: nothing is stored here"),
    ({"input": "Hi", "background": True}, "background is not supported"),
    ({"input": "Hi", "previous_response_id": "resp_1"}, "previous_response_id is not supported: nothing is stored"),
    ({"input": "Hi", "conversation": "conv_1"}, "conversation is not supported"),
    ({"input": "Hi", "conversation": {"id": "conv_1"}}, "conversation is not supported"),
    ({"input": "Hi", "truncation": "auto"}, "truncation is not supported"),
    ({"input": "Hi", "tools": [{"type": "web_search"}]}, 'tools of the type "web_search" are not supported'),
    ({"input": "Hi", "tools": [{"type": "custom", "name": "x"}]}, "only functions of the client"),
    ({"input": "Hi", "tools": [5]}, "only functions of the client"),
    ({"input": "Hi", "tools": [{"type": "function"}]}, "tools, tool 1: "),
    ({"input": "Hi", "tool_choice": {"type": "web_search"}}, "tool_choice must be"),
    ({"input": "Hi", "metadata": {"a": "b"}}, "--allow-field"),
    ({"input": "Hi", "service_tier": "priority"}, "--allow-field"),
    ({"input": "Hi", "prompt": {"id": "p"}}, "--allow-field"),
    ({"input": "Hi", "include": ["file_search_call.results"]}, "include: "),
    ({"input": "Hi", "text": {"format": {"type": "xml"}}}, "text.format must be"),
    ({"input": "Hi", "text": {"format": 5}}, "text.format must be"),
    ({"input": "Hi", "reasoning": {"effort": "hard"}}, "reasoning.effort must be"),
    ({"input": "Hi", "reasoning": {"x": 1}}, "reasoning: "),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "send the whole conversation"),
    ({"input": [{"type": "mcp_call"}]}, 'input[0]: items of the type "mcp_call"'),
    ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role must be"),
    ({"input": [{"role": "user"}]}, "input[0].content must be"),
    ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "x"}]}]}, "input[0].content[0]: not"),
    ({"input": [{**CALL, "arguments": {}}]}, "input[0]: call_id, name and arguments"),
    ({"input": "Hi", "max_output_tokens": 0}, "max_output_tokens must be"),
    ({"input": "Hi", "temperature": "hot"}, "temperature must be a number"),
]


@pytest.mark.parametrize(("body", "message"), WRONG)
def test_a_wrong_body_is_rejected_with_openai_s_error_object(body, message):
    with ScriptedServer() as server:
        status, _, answer = ask(server, PATH, body)
    error = json.loads(answer)["error"]
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert message in error["message"]
    assert not server.generations


def test_what_clients_send_by_default_is_accepted():
    body = {
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be kind."}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
            {"role": "user", "content": [
                {"type": "input_text", "text": "What?"},
                {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PNG}"},
            ]},
        ],
        "instructions": "Be brief.",
        "store": False,
        "background": False,
        "previous_response_id": None,
        "conversation": None,
        "truncation": "disabled",
        "include": ["reasoning.encrypted_content"],
        "stream_options": {"include_obfuscation": False},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "reasoning": {"effort": "low", "summary": "auto"},
        "prompt_cache_key": "k",
    }  # fmt: skip
    with ScriptedServer() as server:
        assert ask(server, PATH, body)[0] == 200
    options = server.generations[0].request.options
    assert (options["system"], options["effort"], options["reasoning"]) == ("Be brief.\n\nBe kind.", "low", True)
    assert options["options"] == {"prompt_cache_key": "k"}
    assert [part["type"] for part in options["messages"][0]["content"]] == ["text", "image_url"]
