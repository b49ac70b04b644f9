"""How an answer ends, as `gen` and `text` tell it: the statuses, what stays, and what the user reads."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ..support.endings import UNKNOWN_WORD, answer
from ..support.loopback import DONE, Provider, frame, head

START = frame({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant"}}]})
USAGE = frame({"id": "c", "model": "m", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 0}})
FINISH = frame({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
TEXT = frame({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": "a"}}]})


@pytest.mark.parametrize("api", ["chat", "responses", "messages"])
def test_an_unknown_word_is_quoted_and_the_text_kept(invoke, api):
    with Provider([head(), answer(api, UNKNOWN_WORD, "Aare")]) as provider:
        model = "anthropic/m" if api == "messages" else "openai/m"
        done = invoke("gen", "--api", api, "-m", model, "Hi", url=provider.url)
    assert (done.stdout, done.returncode) == (b"Aare\n", 5)
    assert done.stderr.count(b"\n") == 1
    assert UNKNOWN_WORD.encode() in done.stderr


def test_the_explanation_is_printed(invoke):
    details = {"stop_details": {"type": "refusal", "category": None, "explanation": "Rivers are secret."}}
    with Provider([head(), answer("messages", "refusal", "A", **details)]) as provider:
        done = invoke("gen", "-m", "anthropic/m", "Hi", url=provider.url)
    assert done.returncode == 3
    assert b"Rivers are secret." in done.stderr


@pytest.mark.parametrize("body", [DONE, USAGE + DONE, START + DONE, START + USAGE + DONE])
def test_done_before_any_output_is_no_answer(invoke, body):
    """A retry may help, as nothing was written."""
    with Provider([head(), body], [head(), TEXT + FINISH + DONE]) as provider:
        done = invoke("gen", "-m", "openai/m", "Hi", url=provider.url)
        assert (done.stdout, done.returncode) == (b"a\n", 0)
        assert len(provider.requests) == 2
    with Provider([head(), body]) as provider:
        done = invoke("gen", "-m", "openai/m", "--retries", "0", "Hi", url=provider.url)
    assert (done.stdout, done.returncode) == (b"", 5)
    assert b"no output came" in done.stderr
    assert invoke("text", input=body).returncode == 5


@pytest.mark.parametrize("body", [START + FINISH + DONE, START + FINISH, FINISH + USAGE + DONE])
def test_an_empty_answer_with_a_finish_is_whole(invoke, body):
    with Provider([head(), body]) as provider:
        done = invoke("gen", "-m", "openai/m", "Hi", url=provider.url)
    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 0)


@pytest.mark.parametrize("field", [b"error: ", b"error:"])
@pytest.mark.parametrize("before", [b"", TEXT])
def test_an_error_in_a_field_of_its_own(invoke, field, before):
    """llama.cpp before 2025-09 wrote `error: {...}` instead of `data: {"error": ...}`, and then [DONE]."""
    body = before + field + b'{"code":500,"message":"out of memory","type":"server_error"}\n\n' + DONE
    with Provider([head(), body]) as provider:
        done = invoke("gen", "-m", "openai/m", "--retries", "0", "Hi", url=provider.url)
    assert (done.stdout, done.returncode) == ((b"a", 5) if before else (b"", 4))
    assert b"out of memory" in done.stderr
    assert invoke("text", input=body).returncode == done.returncode


def test_the_table_is_printed():
    done = subprocess.run([sys.executable, "-m", "tests.support.endings"], capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["messages", "pause_turn", "paused", "5"] in lines
    assert ["gemini", "anything", "else", "unknown", "5"] in lines
