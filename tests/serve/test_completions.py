"""POST /v1/chat/completions through OpenAI's SDK, and its bytes where the SDK hides them."""

from __future__ import annotations

import asyncio
import json
from typing import get_args

import openai
import pytest
from openai.types.chat import ChatCompletion

from llmstream.core.events import REASONS, Finish, Reasoning, ScoredText, Source, Text, ToolCall, Usage
from llmstream.core.report import CutJson
from llmstream.errors import BadRequest, Incomplete, Refused, Unavailable, UsageError
from llmstream.serve import completions
from llmstream.serve.request import Note

from ..support.limits import WAIT_S
from ..support.serving import END, START, Client, Gate, ScriptedServer, ask, frames, get

HELLO = [{"role": "user", "content": "Hi"}]
PATH = "/v1/chat/completions"
CALLS = [
    [ToolCall(0, "c1", "weather", "")],
    [ToolCall(0, "", "", '{"city":'), ToolCall(1, "c2", "time", "{}")],
    [ToolCall(0, "", "", '"Kiel"}')],
    [Usage(7, 5, 4, 3), Finish("tool_calls", "tool_calls")],
]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def client(server: ScriptedServer, retries: int = 0, token: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=token, max_retries=retries, timeout=WAIT_S)


def test_complete():
    script = [START, "Hel", [Text("lo")], [Usage(3, 2, 1, 1)], [Finish("stop", "end")]]
    with ScriptedServer(script) as server, client(server) as sdk:
        answer = sdk.chat.completions.create(model="openai/x", messages=HELLO)
    (choice,) = answer.choices
    assert (choice.message.content, choice.message.role, choice.finish_reason) == ("Hello", "assistant", "stop")
    assert (answer.object, answer.model, answer.id[:9]) == ("chat.completion", "m", "chatcmpl-")
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (3, 2, 5)
    assert usage.prompt_tokens_details.cached_tokens == usage.completion_tokens_details.reasoning_tokens == 1


def test_streamed():
    gate = Gate()
    script = [START, "Hel", gate, 'lo "you"\n', [Usage(3, 2), Finish("length", "length")]]
    with ScriptedServer(script) as server, client(server) as sdk:
        stream = sdk.chat.completions.create(model="m", messages=HELLO, stream=True)
        chunks = [next(stream)]
        gate.open()
        chunks += stream
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert [delta.content for delta in deltas] == ["Hel", 'lo "you"\n', None]
    assert [delta.role for delta in deltas] == ["assistant", None, None]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, "length"]
    assert {(chunk.object, chunk.model, chunk.usage) for chunk in chunks} == {("chat.completion.chunk", "m", None)}
    assert len({chunk.id for chunk in chunks}) == 1


def test_usage_is_the_last_chunk_on_request():
    with ScriptedServer([START, "x", END]) as server, client(server) as sdk:
        options = {"include_usage": True}
        chunks = list(sdk.chat.completions.create(model="m", messages=HELLO, stream=True, stream_options=options))
    assert [len(chunk.choices) for chunk in chunks] == [1, 1, 0]
    assert [chunk.usage and chunk.usage.total_tokens for chunk in chunks] == [None, None, 5]


def test_the_sdk_accumulates_a_stream():
    with (
        ScriptedServer([START, "Hel", "lo", END]) as server,
        client(server) as sdk,
        sdk.chat.completions.stream(model="m", messages=HELLO) as stream,
    ):
        assert stream.get_final_completion().choices[0].message.content == "Hello"


def test_concurrent_requests():
    async def main(server: ScriptedServer) -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as sdk:

            async def one(stream: bool) -> str:
                answer = await sdk.chat.completions.create(model="m", messages=HELLO, stream=stream)
                if not stream:
                    return answer.choices[0].message.content
                return "".join([chunk.choices[0].delta.content or "" async for chunk in answer])

            return await asyncio.gather(*(one(number % 2 == 0) for number in range(20)))

    with ScriptedServer([START, "Hel", "lo", END]) as server:
        assert asyncio.run(main(server)) == ["Hello"] * 20


def test_closing_an_async_stream_ends_the_generation():
    never = Gate()

    async def main(server: ScriptedServer) -> None:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as sdk:
            stream = await sdk.chat.completions.create(model="m", messages=HELLO, stream=True)
            async for chunk in stream:
                assert chunk.choices[0].delta.content == "x"
                break
            await stream.close()

    with ScriptedServer(["x", never]) as server:
        asyncio.run(main(server))
        assert server.generations[0].closed.wait(WAIT_S)


@pytest.mark.parametrize("stream", [True, False])
def test_tool_calls(stream):
    with ScriptedServer(CALLS) as server, client(server) as sdk:
        if stream:
            with sdk.chat.completions.stream(model="m", messages=HELLO, tools=[TOOL]) as events:
                answer = events.get_final_completion()
        else:
            answer = sdk.chat.completions.create(model="m", messages=HELLO, tools=[TOOL])
    (choice,) = answer.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    calls = [(call.id, call.function.name, call.function.arguments) for call in choice.message.tool_calls]
    assert calls == [("c1", "weather", '{"city":"Kiel"}'), ("c2", "time", "{}")]
    assert server.generations[0].request.options["tools"] == [TOOL]


def test_reasoning_has_a_field_of_its_own():
    with ScriptedServer([[Reasoning("h")], [Reasoning("m")], "x", END]) as server, client(server) as sdk:
        assert sdk.chat.completions.create(model="m", messages=HELLO).choices[0].message.reasoning_content == "hm"
        chunks = list(sdk.chat.completions.create(model="m", messages=HELLO, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert [getattr(delta, "reasoning_content", None) for delta in deltas] == ["h", "m", None, None]


@pytest.mark.parametrize(
    ("reason", "openai_reason"),
    [
        ("until", "stop"),
        ("cancelled", "stop"),
        ("refusal", "content_filter"),
        ("content_filter", "content_filter"),
        ("paused", "length"),
        ("incomplete", "length"),
        ("unknown", "length"),
    ],
)
def test_finish_reasons_are_openai_s(reason, openai_reason):
    with ScriptedServer(["x", [Finish(reason, "")]]) as server, client(server) as sdk:
        assert sdk.chat.completions.create(model="m", messages=HELLO).choices[0].finish_reason == openai_reason


def test_every_finish_reason_is_one_of_the_sdk_s():
    from openai.types.chat.chat_completion import Choice

    known = get_args(Choice.model_fields["finish_reason"].annotation)
    assert {completions.OPENAI_REASONS.get(reason, reason) for reason in REASONS} <= set(known)


def answers(server: ScriptedServer) -> tuple[ChatCompletion, ChatCompletion]:
    """Returns the whole answer of a server, and the one that the SDK makes of its stream."""
    with client(server) as sdk:
        whole = sdk.chat.completions.create(model="m", messages=HELLO)
        with sdk.chat.completions.stream(model="m", messages=HELLO) as stream:
            return whole, stream.get_final_completion()


@pytest.mark.parametrize("reason", ["refusal", "content_filter", "incomplete", "unknown"])
def test_the_provider_s_explanation_is_in_the_answer(reason):
    with ScriptedServer(["x", [Finish(reason, "word", "Ask for less.")]]) as server, client(server) as sdk:
        whole = sdk.chat.completions.create(model="m", messages=HELLO)
        *_, last = sdk.chat.completions.create(model="m", messages=HELLO, stream=True)
    for choice, message in ((whole.choices[0], whole.choices[0].message), (last.choices[0], last.choices[0].delta)):
        if reason in ("refusal", "content_filter"):
            assert (choice.finish_reason, message.refusal) == ("content_filter", "Ask for less.")
            assert not hasattr(choice, "explanation")
        else:
            assert (choice.finish_reason, message.refusal) == ("length", None)
            assert choice.explanation == "Ask for less."


def test_json_that_a_limit_cuts_has_the_finish_reason_length():
    script = ["{", [Finish("length", "length")], CutJson("cut at a limit")]
    with ScriptedServer(script) as server, client(server) as sdk:
        whole = sdk.chat.completions.create(model="m", messages=HELLO)
        *_, last = sdk.chat.completions.create(model="m", messages=HELLO, stream=True)
        response = sdk.responses.create(model="m", input="Hi")
    assert (whole.choices[0].finish_reason, last.choices[0].finish_reason) == ("length", "length")
    assert whole.choices[0].message.content == response.output_text == "{"
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_the_sdk_s_helpers_refuse_an_answer_that_is_not_whole():
    with ScriptedServer(["x", [Finish("unknown", "new")]]) as server, pytest.raises(openai.LengthFinishReasonError):
        answers(server)


def test_sources_are_annotations():
    script = [START, "Snow", [Source("https://a.example", "A", 0, 4)], [Source("https://b.example")], " melts", END]
    with ScriptedServer(script) as server, client(server) as sdk:
        whole = sdk.chat.completions.create(model="m", messages=HELLO)
        chunks = list(sdk.chat.completions.create(model="m", messages=HELLO, stream=True))
    first, second = whole.choices[0].message.annotations
    assert (first.type, first.url_citation.url, first.url_citation.title) == ("url_citation", "https://a.example", "A")
    assert (first.url_citation.start_index, first.url_citation.end_index) == (0, 4)
    assert second.url_citation.model_dump() == {
        "url": "https://b.example",
        "title": "",
        "start_index": 0,
        "end_index": 0,
    }
    streamed = [annotation for chunk in chunks for annotation in getattr(chunk.choices[0].delta, "annotations", [])]
    assert streamed == [annotation.model_dump() for annotation in (first, second)]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Snow melts"


def test_without_sources_there_are_no_annotations():
    with ScriptedServer([START, "x", END]) as server:
        assert answers(server)[0].choices[0].message.annotations is None


def test_scores_of_tokens_are_logprobs():
    scores = [{"token": token, "logprob": -0.25, "bytes": None, "top_logprobs": []} for token in ("Hel", "lo", "!")]
    script = [START, [ScoredText("Hello", scores[:2])], [ScoredText("!", scores[2:])], "\n", END]
    with ScriptedServer(script) as server:
        for answer in answers(server):
            (choice,) = answer.choices
            assert choice.message.content == "Hello!\n"
            assert [score.token for score in choice.logprobs.content] == ["Hel", "lo", "!"]
            assert {score.logprob for score in choice.logprobs.content} == {-0.25}


def test_notes_are_left_out():
    with ScriptedServer([START, [Note("once more"), Text("x")], [Note("an image is left out")], END]) as server:
        assert [answer.choices[0].message.content for answer in answers(server)] == ["x", "x"]


# Errors.

ERRORS = [
    (UsageError("unknown model"), openai.BadRequestError, 1),
    (Refused("no key", hint="set it"), openai.InternalServerError, 1),
    (BadRequest("too long"), openai.BadRequestError, 1),
    (Unavailable("later"), openai.InternalServerError, 2),
    (Incomplete("cut"), openai.InternalServerError, 2),
    (ZeroDivisionError("secret"), openai.InternalServerError, 2),
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("error", "kind", "attempts"), ERRORS)
def test_an_error_before_the_first_event_has_a_status_and_is_retried_where_that_helps(error, kind, attempts, stream):
    with ScriptedServer([error]) as server, client(server, retries=1) as sdk:
        with pytest.raises(kind) as raised:
            sdk.chat.completions.create(model="m", messages=HELLO, stream=stream)
        assert len(server.generations) == attempts
    failure = raised.value
    statuses = {UsageError: 400, Refused: 502, BadRequest: 400, Unavailable: 503}
    assert failure.status_code == statuses.get(type(error), 502)
    assert isinstance(failure.body, dict)
    assert ("secret" in str(failure.body)) is False
    if type(error) is Refused:
        assert failure.body["message"] == "no key\nset it"


def test_an_error_after_the_first_event_ends_the_stream():
    with (
        ScriptedServer([START, "so far", Incomplete("the stream was cut")]) as server,
        client(server, retries=2) as sdk,
    ):
        seen = []
        with pytest.raises(openai.APIError, match="the stream was cut"):
            for chunk in sdk.chat.completions.create(model="m", messages=HELLO, stream=True):
                seen.append(chunk.choices[0].delta.content)
        assert seen == ["so far"]
        body = ask(server, PATH, {"messages": HELLO, "stream": True})[2]
        assert b"[DONE]" not in body
        with pytest.raises(openai.InternalServerError, match="the stream was cut"):
            client(server).chat.completions.create(model="m", messages=HELLO)


def test_a_full_server_is_unavailable():
    gate = Gate()
    with ScriptedServer(["x", gate, END], jobs=1, queue=0) as server, Client(server) as first, client(server) as sdk:
        first.post().until(b'"x"')
        with pytest.raises(openai.InternalServerError, match="the server is busy"):
            sdk.chat.completions.create(model="m", messages=HELLO)
        gate.open()
        first.until(b"[DONE]")


def test_tokens():
    with ScriptedServer(token="sesame") as server:
        with client(server) as sdk, pytest.raises(openai.AuthenticationError):
            sdk.chat.completions.create(model="m", messages=HELLO)
        with client(server, token="sesame") as sdk:
            assert sdk.chat.completions.create(model="m", messages=HELLO).choices[0].message.content == "Hello"
            assert [model.id for model in sdk.models.list()] == ["default"]


def test_models():
    with ScriptedServer(model="local", models=("openai/x", "local")) as server, client(server) as sdk:
        assert [model.id for model in sdk.models.list()] == ["local", "openai/x", "default"]


CALLED = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def test_calls_results_and_images_of_a_conversation():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgpy"}}
    sent = [
        {"role": "user", "content": [{"type": "text", "text": "Look"}, picture]},
        {"role": "assistant", "content": None, "tool_calls": [CALLED]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "done"}]},
    ]
    with ScriptedServer([[Text("Yes"), Finish("stop", "stop")]]) as server, client(server) as sdk:
        assert sdk.chat.completions.create(model="default", messages=sent).choices[0].message.content == "Yes"
        sent[2] = {"role": "tool", "tool_call_id": "c1", "content": "done"}
        assert server.generations[0].request.options["messages"] == sent
        sent[2] = {"role": "tool", "tool_call_id": "c1", "content": [picture]}
        assert sdk.chat.completions.create(model="default", messages=sent).choices[0].message.content == "Yes"
        assert server.generations[1].request.options["messages"] == sent


WRONG = [
    ({}, "messages is missing"),
    ({"messages": []}, "messages is empty"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role must be 'system', "),
    ({"messages": [{"role": "user"}]}, "messages[0]: no content"),
    ({"messages": [{"role": "system", "content": "x"}]}, "the last one must be the user's"),
    ({"messages": [*HELLO, {"role": "assistant", "content": "x"}]}, "the last one must be the user's"),
    ({"messages": [*HELLO, {"role": "tool", "content": "x", "tool_call_id": "c"}]}, "message 2: no tool call"),
    ({"messages": [{"role": "assistant", "tool_calls": [{}]}, *HELLO]}, "message 1: a call is not"),
    ({"messages": [{"role": "assistant", "tool_calls": [CALLED], "content": ""}, *HELLO]}, "has no result"),
    ({"messages": [{"role": "assistant", "content": "", "function_call": {"name": "f"}}, *HELLO]}, "use tool_calls"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "part 1 of its content"),
    ({"messages": [{"role": "system", "content": [{"type": "text", "text": 1}]}, *HELLO]}, "only parts of type text"),
    ({"messages": HELLO, "n": 2}, "n must be 1"),
    ({"messages": HELLO, "tools": [{}]}, "tools, tool 1: "),
    ({"messages": HELLO, "response_format": {"type": "xml"}}, "response_format must be"),
    ({"messages": HELLO, "response_format": {"type": "json_schema"}}, "response_format must be"),
    ({"messages": HELLO, "temperature": "hot"}, "temperature must be a number"),
]


@pytest.mark.parametrize(("body", "message"), WRONG)
def test_a_wrong_body_is_rejected_with_openai_s_error_object(body, message):
    with ScriptedServer() as server:
        status, _, answer = ask(server, PATH, body)
    error = json.loads(answer)["error"]
    assert (status, error["type"], error["param"], error["code"]) == (400, "invalid_request_error", None, None)
    assert message in error["message"]
    assert not server.generations


def test_other_errors_have_openai_s_error_object():
    with ScriptedServer() as server:
        assert json.loads(get(server, PATH)[2])["error"]["message"] == "Method Not Allowed"
        status, _, body = get(server, "/v1/embeddings")
        assert (status, json.loads(body)["error"]["type"]) == (404, "not_found_error")


def test_fields_of_the_body_reach_the_generation():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    body = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "And "}, {"type": "text", "text": "kind."}]},
            {"role": "user", "content": "1"},
            {"role": "assistant", "content": "2"},
            {"role": "user", "content": "3", "name": "x"},
        ],
        "model": "default",
        "max_completion_tokens": 9,
        "max_tokens": 8,
        "temperature": 0.5,
        "seed": 1,
        "stop": ["a", "b"],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        "reasoning_effort": "low",
        "logit_bias": {},
        "user": "me",
    }
    with ScriptedServer() as server:
        assert ask(server, PATH, body)[0] == 200
        assert ask(server, PATH, {"messages": HELLO, "response_format": {"type": "json_object"}})[0] == 200
    request, second = (generation.request for generation in server.generations)
    turns = zip(("user", "assistant", "user"), "123", strict=True)
    assert request[:2] == (
        "",
        {
            "system": "Be brief.\n\nAnd kind.",
            "messages": [{"role": role, "content": content} for role, content in turns],
            "max_tokens": 9,
            "temperature": 0.5,
            "seed": 1,
            "stop": ("a", "b"),
            "schema": schema,
            "effort": "low",
            "options": {"logit_bias": {}, "user": "me"},
        },
    )
    assert second.options == {"messages": HELLO, "json": True}


def test_the_bytes_of_a_stream():
    with ScriptedServer([START, "a", "b", END]) as server:
        status, headers, body = ask(server, PATH, {"messages": HELLO, "stream": True})
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    events = frames(body)
    assert events[-1] == ("", "[DONE]")
    first, second, last = (json.loads(data) for _, data in events[:-1])
    assert list(first) == list(second) == ["id", "object", "created", "model", "choices"]
    nulls = {"logprobs": None, "finish_reason": None}
    assert first["choices"] == [{"index": 0, "delta": {"role": "assistant", "content": "a"}, **nulls}]
    assert second["choices"] == [{"index": 0, "delta": {"content": "b"}, **nulls}]
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
