"""Messages that name options, as each door spells them."""

from __future__ import annotations

import pickle

import pytest

from llmstream.errors import UsageError, command_line, nearest, option, plain, spell

MESSAGE = f"no answer within 5 s ({option('first_token_timeout')}): add {option('api', 'chat')}"


@pytest.mark.parametrize(
    ("style", "spelled"),
    [
        (plain, "no answer within 5 s (first_token_timeout): add api=chat"),
        (command_line, "no answer within 5 s (--first-token-timeout): add --api chat"),
        (lambda name, value: f'"{name}"', 'no answer within 5 s ("first_token_timeout"): add "api"'),
    ],
)
def test_each_door_spells_the_options_of_a_message(style, spelled):
    assert spell(MESSAGE, style) == spelled


def test_an_error_is_spelled_plainly_unless_a_door_spells_it():
    error = UsageError(MESSAGE)
    assert str(error) == spell(MESSAGE, plain)
    assert spell(error.message, command_line) == spell(MESSAGE, command_line)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_an_error_that_quotes_another_keeps_its_marks():
    outer = UsageError(f"line 3: {UsageError(MESSAGE).message}")
    assert spell(outer.message, command_line) == f"line 3: {spell(MESSAGE, command_line)}"


@pytest.mark.parametrize("value", ["a=b", "", 5, "provider/model"])
def test_the_value_of_an_option_is_any_text(value):
    assert spell(option("options", value), command_line) == f"-o {value}".rstrip()


@pytest.mark.parametrize("text", ["", "no option", "a \x0e", "\x0fa"])
def test_text_without_whole_marks_does_no_harm(text):
    assert isinstance(spell(text), str)


@pytest.mark.parametrize(
    ("word", "words", "meant"),
    [
        ("temp", ["template", "temperature", "system"], "template"),
        ("tokens", ["stop", "tools", "max_tokens"], "max_tokens"),
        ("open", ["openrouter", "openai", "opal"], "openai"),
        ("opnai", ["openai", "openrouter"], "openai"),
        ("t", ["the", "tea"], ""),
        ("(a", ["b(a", "(ab"], "(ab"),
        ("", ["a"], ""),
        ("a", [], ""),
    ],
)
def test_the_nearest_word_begins_alike_or_is_similar(word, words, meant):
    assert nearest(word, words) == meant
