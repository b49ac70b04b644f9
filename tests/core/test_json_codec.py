"""JSON that is sent on: what Python reads, but cannot write, or does not read on each of its versions."""

from __future__ import annotations

import pytest

from llmstream.core.json_codec import MAX_DEPTH, check_depth, loads_strict
from llmstream.core.kinds import shown
from llmstream.errors import UsageError
from llmstream.request.conversation import read_items
from llmstream.request.options import PYTHON, parse

LEVELS = [MAX_DEPTH + 1, 700, 2000, 9000, 100_000]


@pytest.mark.parametrize("begin, end", [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_values_are_bounded_in_depth(begin, end):
    depth = MAX_DEPTH // (len(end))
    loads_strict(begin * depth + "1" + end * depth)
    for levels in LEVELS:
        with pytest.raises(RecursionError):
            loads_strict(begin * levels + "1" + end * levels)


@pytest.mark.parametrize("text", ["9" * 5000, "-" + "9" * 5000, f'{{"a": [{"9" * 5000}]}}'])
def test_a_number_that_python_does_not_read_has_its_own_words(text):
    with pytest.raises(ValueError, match=r"\Aa number has too many digits\Z"):
        loads_strict(text)


def _deep(levels: int) -> list[object]:
    value: list[object] = []
    for _ in range(levels):
        value = [value]
    return value


def test_a_value_that_holds_itself_is_too_deep():
    value: list[object] = []
    value += [value, value]
    with pytest.raises(RecursionError):
        check_depth(value)


@pytest.mark.parametrize("levels", LEVELS)
def test_options_of_a_program_that_are_too_deep(levels):
    value = _deep(levels)
    for options in {"options": {"a": value}}, {"options": value}, {"schema": {"default": value}}, {"schema": value}:
        with pytest.raises((TypeError, UsageError)) as caught:
            parse(options, PYTHON, lambda name, message: TypeError(f"{name} {message}"))
        assert len(str(caught.value)) < 120


def test_a_value_that_cannot_be_shown_is_named():
    for value in {(1,): _deep(100_000)}, {(1,): 10**5000}, 10**5000, _deep(100_000):
        assert shown(value) == "a value too deep or too long"


def test_a_line_of_messages_that_is_too_deep(tmp_path):
    path = tmp_path / "messages"
    path.write_text('{"role": "user", "content": "x"}\n' + "[" * 100_000 + "]" * 100_000)
    with pytest.raises(UsageError, match=r"messages:2: nested too deeply\Z"):
        read_items("gen", str(path))
