"""Answers that Anthropic pauses, while its own tools work, go on when they are sent back."""

from __future__ import annotations

import json
import subprocess

import openai
import pytest

from ..conftest import LLMSTREAM, at
from ..support.limits import WAIT_S
from ..support.loopback import Provider, head, messages
from ..support.mapping import records_of
from ..support.pauses import END, QUESTION, TOOLS, paused, turn
from ..support.sdk_types import unlike
from .test_serve import contents, serving

SERVER_TOOL = f"tools={json.dumps(TOOLS)}"


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


UNTIL = {
    "--until-chars 8": (["12345", "67890"], "12345678"),
    "--until-words 3": (["one two th", "ree four"], "one two three"),
    "--until-fixed abcd": (["xxab", "cdyy"], "xxabcd"),
    "--until-fixed abcd --until-exclusive": (["xxab", "cdyy"], "xxab"),
    "--until-fixed abcd --until-only": (["xxab", "cdyy"], "abcd"),
    "--until-code-block": (["```\na\n", "```\nb"], "```\na\n```\n"),
}


@pytest.mark.parametrize("condition", UNTIL)
@pytest.mark.parametrize("command", ["gen", "map"])
def test_a_stop_condition_is_for_all_parts_of_an_answer(command, condition):
    texts, expected = UNTIL[condition]
    with Provider(*map(paused, texts), END) as provider:
        args = ["gen", "-n", "--line", "Go"] if command == "gen" else ["map"]
        model = ["-m", "anthropic/claude-opus-5-5", "-o", SERVER_TOOL]
        options = {"capture_output": True, "env": at(provider.url), "timeout": WAIT_S}
        done = subprocess.run([*LLMSTREAM, args[0], *model, *condition.split(), *args[1:]], input=b"Go", **options)
    (record,) = records_of(done.stdout)
    assert (record["text"], record["finish"]) == (expected, "until")
    assert (done.returncode, len(provider.requests)) == (0, 2)


def test_a_possible_match_before_the_last_pause_is_printed():
    with Provider(paused("xxab")) as provider:
        done = gen(provider, "--max-turns", "2", "--until-fixed", "abc")
    assert (done.returncode, done.stdout) == (5, b"xxabxxab")


@pytest.mark.parametrize("command", ["gen", "map"])
def test_the_parts_of_an_answer_are_checked_together(command):
    schema = ["--check", "--schema", "name"]
    with Provider(paused('{"name": '), [head(), *messages('"Rhine"}')]) as provider:
        args = ["gen", "-n", "--line", "Go"] if command == "gen" else ["map"]
        model = ["-m", "anthropic/claude-opus-5-5", "-o", SERVER_TOOL]
        options = {"capture_output": True, "env": at(provider.url), "timeout": WAIT_S}
        done = subprocess.run([*LLMSTREAM, args[0], *model, *schema, *args[1:]], input=b"Go", **options)
    (record,) = records_of(done.stdout)
    assert (done.returncode, record["data"], len(provider.requests)) == (0, {"name": "Rhine"}, 2)


@pytest.mark.parametrize("command", ["gen", "map"])
def test_events_are_those_of_one_answer(command, invoke):
    args = ["gen", "-n", "--events", "Go"] if command == "gen" else ["map", "--events"]
    args += ["-m", "anthropic/claude-opus-5-5", "-o", SERVER_TOOL]
    with Provider(paused("First "), paused("second "), END) as provider:
        done = subprocess.run(
            [*LLMSTREAM, *args], input=b"Go", capture_output=True, env=at(provider.url), timeout=WAIT_S
        )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["type"] for event in events] == ["start", "text", "text", "text", "usage", "finish"]
    assert (events[-1]["reason"], events[-2]["output_tokens"]) == ("stop", 6)
    if command == "gen":
        text = invoke("text", input=done.stdout)
        assert (text.returncode, text.stdout, text.stderr) == (0, b"First second the Rhine.\n", b"")
    with Provider(paused("Hm. ")) as provider:
        args += ["--max-turns", "2"]
        done = subprocess.run(
            [*LLMSTREAM, *args], input=b"Go", capture_output=True, env=at(provider.url), timeout=WAIT_S
        )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["type"] for event in events] == ["start", "text", "text", "usage", "finish", "error"]
    assert (events[-2]["reason"], events[-3]["output_tokens"]) == ("paused", 4)


def test_serve_gives_the_parts_as_one_answer(tmp_path):
    (tmp_path / "config.toml").write_text(
        '[providers.anthropic.defaults.option]\ntools = [{type = "web_search_20260209", name = "web_search"}]\n'
    )
    model = "anthropic/claude-opus-5-5"
    with Provider(*[paused("First "), END] * 3) as provider:
        env = at(provider.url, LLMSTREAM_CONFIG=str(tmp_path / "config.toml"))
        with serving("-m", model, **env) as server:
            stream = server.post("/chat/stream", {"prompt": "Go"}).read().decode()
            url = f"http://{server.address}/v1"
            with openai.OpenAI(base_url=url, api_key="k", max_retries=0) as client:
                chat = client.chat.completions.create(model=model, messages=[QUESTION])
                response = client.responses.create(model=model, input="Go")
    assert (contents(stream), stream.count("event: finish")) == (["First ", "the Rhine."], 1)
    assert stream.endswith("\n\ndata: [DONE]\n\n")
    assert stream.count("event: usage") == 1
    assert '"output_tokens": 4' in stream
    (choice,) = chat.choices
    assert (choice.message.content, choice.finish_reason) == ("First the Rhine.", "stop")
    assert (response.output_text, response.status) == ("First the Rhine.", "completed")
    assert (chat.usage.completion_tokens, response.usage.output_tokens) == (4, 4)
    assert [request.json["messages"][1:] for request in provider.requests] == [[], [turn("First ")]] * 3
