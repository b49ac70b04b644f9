"""Answers that Anthropic pauses, while its own tools work, go on when they are sent back."""

from __future__ import annotations

import json
import subprocess

import pytest

from ..conftest import LLMSTREAM, at
from ..support.limits import WAIT_S
from ..support.loopback import Provider, frame, head, messages
from ..support.mapping import records_of
from ..support.sdk_types import unlike

SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "rivers"}}
SERVER_TOOL = 'tools=[{"type": "web_search_20260209", "name": "web_search"}]'
QUESTION = {"role": "user", "content": "Go"}


def event(kind: str, **data: object) -> bytes:
    return frame({"type": kind, **data}, kind)


def paused(text: str, container: str = "") -> list[bytes]:
    """Makes an answer of a text and a search, after which the provider pauses."""
    usage = {"input_tokens": 3, "output_tokens": 1}
    delta = {"stop_reason": "pause_turn", **({"container": {"id": container}} if container else {})}
    return [
        head(),
        event("message_start", message={"id": "m", "model": "m", "usage": usage}),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}),
        event("content_block_start", index=1, content_block=SEARCH),
        event("message_delta", delta=delta, usage={"output_tokens": 2}),
        event("message_stop"),
    ]


def turn(text: str) -> dict:
    """Makes the turn of the paused answer."""
    return {"role": "assistant", "content": [{"type": "text", "text": text}, SEARCH]}


END = [head(), *messages("the Rhine.")]


def gen(provider: Provider, *args: str, cwd=None) -> subprocess.CompletedProcess:
    command = [*LLMSTREAM, "gen", "-n", "-m", "anthropic/claude-opus-5-5", "-o", SERVER_TOOL, *args, "Go"]
    return subprocess.run(command, capture_output=True, env=at(provider.url), cwd=cwd, timeout=WAIT_S)


def test_the_answer_goes_on_where_it_was_paused():
    with Provider(paused("First "), paused("second "), END) as provider:
        done = gen(provider, "-u")
    assert (done.returncode, done.stdout) == (0, b"First second the Rhine.\n")
    assert b"9 tokens in, 6 out" in done.stderr
    bodies = [request.json for request in provider.requests]
    assert [unlike("messages", body) for body in bodies] == [[], [], []]
    assert bodies[1]["messages"] == [QUESTION, turn("First ")]
    assert bodies[2]["messages"] == [QUESTION, turn("First "), turn("second ")]
    assert all(body["tools"] == bodies[0]["tools"] for body in bodies)


def test_a_record_has_the_whole_text():
    with Provider(paused("First "), END) as provider:
        done = gen(provider, "--line")
    (record,) = records_of(done.stdout)
    assert (record["text"], record["finish"], record["usage"]["output_tokens"]) == ("First the Rhine.", "stop", 4)


def test_the_container_of_the_tools_is_named_again():
    with Provider(paused("First ", "container_1"), paused("second "), END) as provider:
        gen(provider, "-o", 'container={"skills": []}')
        gen(provider)
    containers = [request.json.get("container") for request in provider.requests]
    with_id = {"skills": [], "id": "container_1"}
    assert containers == [{"skills": []}, with_id, with_id, None]


@pytest.mark.parametrize("turns", [1, 3])
def test_pauses_have_a_limit(turns):
    with Provider(paused("Hm. ")) as provider:
        done = gen(provider, "--max-turns", str(turns))
    assert (done.returncode, len(provider.requests), done.stdout) == (5, turns, b"Hm. " * turns)
    limit = "1 turn" if turns == 1 else "3 turns"
    assert f"the provider still pauses the answer after {limit}: raise --max-turns".encode() in done.stderr


def test_a_conversation_goes_on_after_an_answer_that_was_paused(tmp_path):
    with Provider(paused("First "), END, END) as provider:
        for _ in range(2):
            assert gen(provider, "--chat", "talk", cwd=tmp_path).returncode == 0
    talk = [json.loads(line) for line in (tmp_path / "talk").read_text().splitlines()]
    assert [line["role"] for line in talk] == ["user", "assistant", "assistant", "user", "assistant"]
    sent = provider.requests[2].json["messages"]
    assert sent == [QUESTION, turn("First "), {"role": "assistant", "content": "the Rhine."}, QUESTION]


def test_a_recording_holds_one_answer(tmp_path):
    with Provider(paused("First ")) as provider:
        done = gen(provider, "--record", "r", cwd=tmp_path)
    assert (done.returncode, len(provider.requests), done.stdout) == (5, 1, b"First \n")
    assert b"it waits for the conversation to be sent back" in done.stderr
