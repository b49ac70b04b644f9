"""`gen` as its users run it: a process, a provider on loopback."""

from __future__ import annotations

import json

import pytest

from .loopback import DIALECTS, HOLD, Provider, head


@pytest.mark.parametrize("api", DIALECTS)
def test_streams_text_from_each_dialect(run, api):
    with Provider([head(), *DIALECTS[api]("Hello, ", "wörld")]) as provider:
        done = run(
            "gen", "--api", api, "-m", "anthropic/m" if api == "messages" else "openai/m", "Hi", url=provider.url
        )
    assert (done.stdout, done.stderr, done.returncode) == ("Hello, wörld\n".encode(), b"", 0)


@pytest.mark.parametrize("api", DIALECTS)
def test_a_cut_stream_is_status_5_with_its_text_kept(run, api):
    frames = DIALECTS[api]("Hello, ", "wörld")[: -1 if api == "responses" else -2 if api == "messages" else -1]
    with Provider([head(), *frames]) as provider:
        done = run(
            "gen", "--api", api, "-m", "anthropic/m" if api == "messages" else "openai/m", "Hi", url=provider.url
        )
    assert (done.stdout, done.returncode) == ("Hello, wörld".encode(), 5)
    assert done.stderr == (
        b"llmstream gen: the stream ended before its end mark: the answer breaks off after 12 characters\n"
    )


def test_events(run):
    with Provider([head(), *DIALECTS["chat"]("a", "b"), HOLD]) as provider:
        done = run("gen", "--events", "-m", "openai/m", "Hi", url=provider.url)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"type": "start", "provider": "openai", "model": "m", "id": "c1"},
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b"},
        {"type": "usage", "input_tokens": 3, "output_tokens": 2, "cached_tokens": 0, "reasoning_tokens": 0},
        {"type": "finish", "reason": "stop", "provider_reason": "stop"},
    ]
