"""`gen --until-...`: stop conditions end the generation."""

from __future__ import annotations

import json

import pytest

from ..support.limits import WAIT_S
from ..support.loopback import DIALECTS, HOLD, Provider, chat, chat_text, head, messages, responses

TEXTS = ("One ", "1", "2", " two\n", "three")


def answer(api: str, *texts: str) -> list[bytes]:
    """Returns the frames of an answer that has not ended."""
    frames = DIALECTS[api](*texts)
    return frames[: {"chat": -1, "responses": -1, "messages": -3}[api]]


@pytest.mark.parametrize("api", DIALECTS)
def test_ends_at_the_match_and_closes_the_connection(run, api):
    with Provider([head(), *answer(api, *TEXTS), HOLD]) as provider:
        model = "anthropic/m" if api == "messages" else "openai/m"
        done = run("gen", "--api", api, "-m", model, "Hi", "--until-regex", "[0-9]+", url=provider.url)
        assert provider.client_left.wait(WAIT_S)
    assert (done.stdout, done.stderr, done.returncode) == (b"One 12", b"", 0)


@pytest.mark.parametrize(
    ("options", "output", "status"),
    [
        (["--until-fixed", "TWO", "--until-ignore-case"], b"One 12 two", 0),
        (["--until-fixed", "two", "--until-exclusive"], b"One 12 ", 0),
        (["--until-regex", "[0-9]", "--until-count", "2", "--until-only"], b"2", 0),
        (["--until-lines", "1"], b"One 12 two\n", 0),
        (["--until-words", "1"], b"One", 0),
        (["--until-chars", "5"], b"One 1", 0),
        (["--until-bytes", "5"], b"One 1", 0),
        (["--until-regex", "e+$"], b"One 12 two\nthree", 0),  # known at the end only
        (["--until-fixed", "four"], b"One 12 two\nthree\n", 1),
        (["--until-fixed", "four", "--until-only"], b"", 1),
        (["--until-regex", "("], b"", 2),
        (["--until-count", "2"], b"", 2),
        (["--until-ignore-case"], b"", 2),
        (["--until-window", "9"], b"", 2),
        (["--until-only"], b"", 2),
        (["--until-fixed", "a", "--until-only", "--until-exclusive"], b"", 2),
    ],
)
def test_conditions_and_statuses(invoke, options, output, status):
    with Provider([head(), *chat(*TEXTS)]) as provider:
        done = invoke("gen", "-m", "openai/m", "Hi", *options, url=provider.url)
    assert (done.stdout, done.returncode) == (output, status)
    assert done.stderr.count(b"\n") == bool(status)


def test_a_block_of_code_and_a_json_value(invoke):
    for option, text, output in [
        ("--until-code-block", "Sure:\n```\nx\n```\nBye", b"Sure:\n```\nx\n```\n"),
        ("--until-json", 'Sure: {"a": [1]}. Bye', b'Sure: {"a": [1]}'),
    ]:
        with Provider([head(), *map(chat_text, text), HOLD]) as provider:
            done = invoke("gen", "-m", "openai/m", "Hi", option, url=provider.url)
            assert provider.client_left.wait(WAIT_S)
        assert (done.stdout, done.returncode) == (output, 0)


@pytest.mark.parametrize("option", ["--until-seconds", "--until-idle"])
def test_times_end_a_silent_generation(run, option):
    with Provider([head(), chat_text("a"), HOLD]) as provider:
        done = run("gen", "-m", "openai/m", "Hi", option, "0.4", url=provider.url)
        assert provider.client_left.wait(WAIT_S)
    assert (done.stdout, done.returncode) == (b"a", 0)


def test_usage_counts_what_was_received(invoke, tmp_path):
    stats = tmp_path / "stats"
    with Provider([head(), *map(chat_text, TEXTS[:3]), HOLD]) as provider:
        options = ["-u", "--stats-file", str(stats), "--until-fixed", "12"]
        done = invoke("gen", "-m", "openai/m", "Hi", *options, url=provider.url)
    assert b"openai/m: 6 characters (the provider reported no token counts)" in done.stderr
    assert done.stderr.endswith(b", stop condition met\n")
    record = json.loads(stats.read_text())
    assert (record["characters"], record["reason"], record["status"]) == (6, "until", 0)


def test_events_end_with_the_match(invoke):
    with Provider([head(), *map(chat_text, TEXTS), HOLD]) as provider:
        done = invoke("gen", "-m", "openai/m", "Hi", "--events", "--until-fixed", "12 t", url=provider.url)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["type"] for event in events[:1]] == ["start"]
    assert "".join(event["text"] for event in events[1:-1]) == "One 12 t"
    assert events[-1] == {"type": "finish", "reason": "until", "provider_reason": ""}


def test_withheld_text_comes_out_before_the_last_events(invoke):
    with Provider([head(), *chat("One ", "12")]) as provider:
        done = invoke("gen", "-m", "openai/m", "Hi", "--events", "--until-regex", "[0-9]+", url=provider.url)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["type"] for event in events] == ["start", "text", "text", "text", "usage", "finish"]
    assert "".join(event.get("text", "") for event in events) == "One 12"
    assert done.returncode == 0


def test_a_truncated_answer_includes_withheld_text_and_is_status_5(invoke):
    with Provider([head(), chat_text("One 12")]) as provider:
        done = invoke("gen", "-m", "openai/m", "Hi", "--until-regex", "[0-9]+x", "--until-exclusive", url=provider.url)
    assert (done.stdout, done.returncode) == (b"One 12", 5)


@pytest.mark.parametrize("frames", [chat, responses, messages])
def test_an_answer_in_one_piece_ends_at_the_match(invoke, frames):
    model, api = ("anthropic/m", "messages") if frames is messages else ("openai/m", frames.__name__)
    with Provider([head() + b"".join(frames(*TEXTS))]) as provider:
        done = invoke("gen", "--api", api, "-m", model, "Hi", "--until-regex", "[0-9]+", url=provider.url)
    assert (done.stdout, done.stderr, done.returncode) == (b"One 12", b"", 0)


def test_a_pattern_that_would_match_for_years_ends_the_answer(run):
    with Provider([head(), chat_text("a" * 60 + "!"), HOLD]) as provider:
        done = run("gen", "-m", "openai/m", "Hi", "--until-regex", "(a+)+$", url=provider.url)
        assert provider.client_left.wait(WAIT_S)
    assert done.returncode == 2
    assert b"took more than 2 s" in done.stderr and done.stderr.count(b"\n") == 1
