"""TOML: the line of an error, and bounds on what is looked at to find it."""

from __future__ import annotations

import time

import pytest

from llmstream.config.toml import MAX_CHARACTERS, Document
from llmstream.errors import UsageError

LINES = 50_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = [\n" + "1,\n" * LINES, "p:1: invalid TOML: "),
        ("b = 1\n\na = '''\n" + "x\n" * LINES, "p:3: invalid TOML: "),
        ("a = 1\n" * 2, "p:2:"),
        ("a" + ".a" * 200 + " = 1", "p: a key has more than 100 parts"),
        ("[" + " 'a' ." * 200 + "a]", "p: a key has more than 100 parts"),
        ("a = " + "1" * 5000, "p: invalid TOML: an integer has too many digits"),
        ("a = " + "{a = " * 3000, "p: arrays or tables are nested too deeply"),
        ("#" * (MAX_CHARACTERS + 1), f"p: longer than {MAX_CHARACTERS} characters of TOML"),
    ],
)
def test_invalid_toml_is_refused_in_time(text, message):
    began = time.process_time()
    with pytest.raises(UsageError) as raised:
        Document(text, "p")
    assert str(raised.value).startswith(message)
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "value",
    [
        "[\n" + "1,\n" * LINES + "]",
        '"""\n' + "x\n" * LINES + '\\""" ""\\"""""',
        "'''\n" + "[ ' ''\n" * LINES + "'''''",
        "[ # ]\n ']', \"\\\"]\", ']',\n{ x = '}' } ]",
        "'" + "a." * 200 + "' # " + "b." * 200,
    ],
)
def test_the_line_of_a_key_behind_a_long_value(value):
    text = f"a = {value}\n\n[t.u]\n\nb = 1"
    document = Document(text, "p")
    began = time.process_time()
    for keys, line in (("a",), 0), (("t", "u"), 2), (("t", "u", "b"), 4):
        number = 1 + (value.count("\n") + line if line else 0)
        assert str(document.error(keys, "x")) == f"p:{number}: {'.'.join(keys)}: x"
    assert time.process_time() - began < 10
