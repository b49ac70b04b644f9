"""Calls of tools, their results, images and files in a conversation: each dialect's body against its SDK's types."""

from __future__ import annotations

import base64

import pytest

from llmstream.core.request import Request
from llmstream.dialects import APIS, dialect
from llmstream.errors import UsageError
from llmstream.request.conversation import converse
from llmstream.request.tools import parse_tools

from ..support.sdk_types import unlike

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\nx").decode()
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Kiel"}'}}
CONVERSATION = [
    {"role": "user", "content": [{"type": "text", "text": "Where?"}, IMAGE]},
    {"role": "assistant", "content": "I look.", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "cold"},
    {"role": "assistant", "content": None, "tool_calls": [{**CALL, "id": "c2"}]},
    {"role": "tool", "tool_call_id": "c2", "content": "warm"},
]
TOOLS = parse_tools([{"name": "weather", "parameters": {"type": "object", "properties": {}}}], "tools")


def body(api: str, prompt: str = "", **options: object) -> dict:
    request = converse(Request("m", prompt, tools=TOOLS, **options), CONVERSATION, "messages")
    return dialect(api).body(request, {})


@pytest.mark.parametrize("prompt", ["", "And now?"])
@pytest.mark.parametrize("api", APIS)
def test_the_sdk_s_types_describe_a_conversation_with_tools(api, prompt):
    sent = body(api, prompt)
    assert unlike(api, sent) == []
    text = str(sent)
    for part in ("I look.", "Kiel", "cold", "warm", PNG, prompt):
        assert part in text


@pytest.mark.parametrize("prompt", ["", "And now?"])
@pytest.mark.parametrize("api", APIS)
def test_the_result_of_a_tool_has_a_text_and_files(api, prompt):
    """As `messages` of Python, a record, serve and a file of --chat has it."""
    parts = [IMAGE, {"type": "text", "text": "A map."}]
    items = [*CONVERSATION[:2], {"role": "tool", "tool_call_id": "c1", "content": parts}]
    sent = dialect(api).body(converse(Request("m", prompt, tools=TOOLS), items, "messages"), {})
    assert unlike(api, sent) == []
    assert all(part in str(sent) for part in ("A map.", PNG, prompt))
    if api in ("chat", "ollama"):
        behind = [turn["role"] for turn in sent["messages"][3:]]
        assert behind == ["user", *(["user"] if prompt else [])]
        assert sent["messages"][2]["content"] == "A map."


@pytest.mark.parametrize("choice", ["none", "required", "weather"])
@pytest.mark.parametrize("api", APIS)
def test_the_choice_of_a_tool(api, choice):
    if api == "ollama":
        with pytest.raises(UsageError, match="tool_choice"):
            body(api, tool_choice=choice)
    else:
        sent = body(api, tool_choice=choice)
        assert unlike(api, sent) == []
        assert sent["tool_choice"]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"role": "tool", "content": "x", "tool_call_id": "c1"}, "no tool call before it"),
        ({"role": "assistant", "content": None}, "not an object"),
        ({"role": "assistant", "content": "", "tool_calls": 5}, "a call is not"),
        ({"role": "assistant", "content": "", "tool_calls": [{}]}, "a call is not"),
        (
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "["}}],
            },
            "not a JSON object",
        ),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a.example"}}]}, "not fetched"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:a;base64,*"}}]}, "not base64"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:a;base64,"}}]}, "empty"),
        ({"role": "user", "content": [{"type": "video"}]}, "part 1 of its content"),
        ({"role": "assistant", "content": [IMAGE]}, "the role 'assistant'"),
    ],
)
def test_what_is_wrong_has_its_place(item, message):
    with pytest.raises(UsageError, match=message):
        converse(Request("m", "Hi"), [item], "messages")
