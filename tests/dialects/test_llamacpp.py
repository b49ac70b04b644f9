"""`gen` against llama.cpp's own server and a real model, in its three dialects."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
import urllib.request
from typing import Any

import anthropic
import openai
import pytest

from ..conftest import LLMSTREAM, at
from ..support.limits import WAIT_S

pytestmark = pytest.mark.model

APIS = ("chat", "responses", "messages")
SOON_S = 5  # the generations that the tests stop would take several times as long
PROMPT = "Tell me a story about a river."
# The likeliest token each time, and no cache: the same text in each run.
GREEDY = {"temperature": 0, "cache_prompt": False}
ENDLESS = ["--max-tokens", "2000", "-o", "ignore_eos=true"]


def gen(api: str, *options: str) -> list[str]:
    model = "anthropic/m" if api == "messages" else "openai/m"
    greedy = [f"-o{name}={json.dumps(value)}" for name, value in GREEDY.items()]
    return [*LLMSTREAM, "gen", "-n", "--api", api, "-m", model, *greedy, *options]


def by_sdk(url: str, api: str, max_tokens: int) -> tuple[str, int, int]:
    """Returns the SDK's text, input and output tokens."""
    messages: Any = [{"role": "user", "content": PROMPT}]
    common: Any = {"model": "m", "extra_body": {**GREEDY}}
    if api == "messages":
        with anthropic.Anthropic(api_key="k", base_url=url) as client:
            message = client.messages.create(messages=messages, max_tokens=max_tokens, **common)
        input_tokens = message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0)
        return message.content[0].text, input_tokens, message.usage.output_tokens
    with openai.OpenAI(api_key="k", base_url=f"{url}/v1") as client:
        if api == "responses":
            response = client.responses.create(input=PROMPT, max_output_tokens=max_tokens, **common)
            return response.output_text, response.usage.input_tokens, response.usage.output_tokens
        completion = client.chat.completions.create(messages=messages, max_tokens=max_tokens, **common)
    return completion.choices[0].message.content, completion.usage.prompt_tokens, completion.usage.completion_tokens


def busy(url: str) -> bool:
    with urllib.request.urlopen(f"{url}/slots", timeout=WAIT_S) as answer:
        return any(slot["is_processing"] for slot in json.load(answer))


def becomes_idle(url: str, within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not busy(url):
            return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("api", APIS)
def test_text_and_usage_as_by_the_sdk(llamacpp, api):
    text, input_tokens, output_tokens = by_sdk(llamacpp, api, max_tokens=40)
    done = subprocess.run(
        gen(api, "--events", "--max-tokens", "40", PROMPT), env=at(llamacpp), capture_output=True, timeout=WAIT_S
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    usage = next(event for event in events if event["type"] == "usage")
    assert (done.returncode, done.stderr) == (0, b"")
    assert "".join(event["text"] for event in events if event["type"] == "text") == text
    assert (usage["input_tokens"], usage["output_tokens"]) == (input_tokens, output_tokens)
    assert output_tokens == 40
    assert len(events) > 20  # it streams
    assert events[-1]["reason"] == ("stop" if api == "responses" else "length")  # llama.cpp hides the limit there


@pytest.mark.parametrize("api", APIS)
def test_model_stops_when_the_reader_leaves(llamacpp, api):
    command = gen(api, *ENDLESS, PROMPT)
    with (
        subprocess.Popen(command, env=at(llamacpp), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writer,
        subprocess.Popen(["head", "-c", "20"], stdin=writer.stdout, stdout=subprocess.PIPE) as head,
    ):
        writer.stdout.close()
        assert len(head.communicate(timeout=WAIT_S)[0]) == 20
        assert writer.wait(SOON_S) == 0
        assert becomes_idle(llamacpp, SOON_S)
        assert writer.stderr.read() == b""


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
def test_a_signal_ends_gen_and_the_model_stops(llamacpp, api, signum):
    with subprocess.Popen(gen(api, *ENDLESS, PROMPT), env=at(llamacpp), stdout=subprocess.PIPE) as writer:
        assert writer.stdout.read(1)
        assert busy(llamacpp)
        writer.send_signal(signum)
        assert writer.wait(SOON_S) == -signum
        assert becomes_idle(llamacpp, SOON_S)


@pytest.mark.parametrize("api", APIS)
def test_a_prompt_that_is_too_long_is_refused(llamacpp, api):
    done = subprocess.run(gen(api, "word " * 5000), env=at(llamacpp), capture_output=True, timeout=WAIT_S)
    assert (done.returncode, done.stdout) == (3, b"")
    line = rb"llmstream gen: the prompt has 50\d\d tokens, and the model takes at most 2048: shorten it\n"
    assert re.fullmatch(line, done.stderr)
