"""Secrets in texts, JSON values, errors and chunks of bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.secrets import Secrets
from llmstream.errors import Unavailable, option

KEY = "sk-0123456789"


@pytest.mark.parametrize(
    ("secret", "text", "hidden"),
    [
        (KEY, f"no such key: {KEY}", "no such key: [key]"),
        (KEY, f"{KEY},{KEY}", "[key],[key]"),
        (KEY, f"?key={KEY}x", "?key=[key]x"),
        ("abcdef", "abcdef", "[key]"),
        ("abcde", "abcde", "abcde"),
        ("t", "the text", "the text"),
        ("", "the text", "the text"),
    ],
)
def test_a_long_secret_is_hidden_in_any_text_and_a_short_one_in_none(secret, text, hidden):
    assert Secrets([secret]).hide(text) == hidden


@pytest.mark.parametrize(
    ("secret", "value", "hidden"),
    [("t", "Bearer t", "Bearer [key]"), ("t", "t", "[key]"), ("t", "the text", "the text"), (KEY, KEY, "[key]")],
)
def test_a_credential_hides_short_secrets_too(secret, value, hidden):
    assert Secrets([secret]).hide_credential(value) == hidden


def test_of_two_secrets_the_longer_is_hidden_whole():
    assert Secrets(["abcdef", "abcdefgh"]).hide("abcdefgh abcdef") == "[key] [key]"


def test_names_in_json_stay():
    value = {"headers": ["headers", {"a": "my headers"}, 1, None, True]}
    assert Secrets(["headers"]).hide_values(value) == {"headers": ["[key]", {"a": "my [key]"}, 1, None, True]}


def test_an_error_keeps_its_class_and_its_marks():
    error = Unavailable(f"{KEY}: {option('timeout')}", max_retries=1, hint="wait")
    hidden = Secrets([KEY]).hide_in_error(error)
    assert (type(hidden), hidden.max_retries, hidden.hint) == (Unavailable, 1, "wait")
    assert hidden.message == f"[key]: {option('timeout')}"
    assert Secrets(["other-key"]).hide_in_error(error) is error


@given(
    st.lists(st.sampled_from([KEY, KEY[:5], KEY[5:], "x", "sk-", "ab" * 4, "ab" * 3]), max_size=8).map("".join),
    st.data(),
)
def test_chunks_hide_what_the_whole_text_hides(text, data):
    stream, out, rest = Secrets([KEY]).stream(), b"", text.encode()
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        out += stream.feed(rest[:size])
        rest = rest[size:]
    assert out + stream.close() == Secrets([KEY]).hide(text).encode()


def test_what_cannot_begin_a_secret_is_not_kept_back():
    stream = Secrets([KEY]).stream()
    assert stream.feed(b"text sk-01") == b"text "
    assert stream.feed(b"no") == b"sk-01no"
    assert stream.close() == b""
