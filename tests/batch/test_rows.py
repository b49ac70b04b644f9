"""Records into rows: the values of each field; no record raises an exception."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.batch.rows import Row, Rows
from llmstream.batch.template import Template
from llmstream.errors import UsageError
from llmstream.request.options import RECORD, at

NAMES = sorted(row.name for row in at(RECORD))
USER, SYSTEM = {"role": "user", "content": "Why?"}, {"role": "system", "content": "Be kind."}
ANSWER = {"role": "assistant", "content": "So."}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def row_of(record: object, template: str | None = None, rows: Rows | None = None) -> Row:
    """Returns the row of a record: bytes, or a value to be dumped as JSON."""
    rows = rows or Rows(True, None if template is None else Template(template))
    row = rows.row(record if isinstance(record, bytes) else json.dumps(record).encode())
    assert row
    return row


def error_of(record: object, template: str | None = None) -> str:
    """Returns the message of a record that is wrong, without its line."""
    row = row_of(record, template)
    assert isinstance(row.error, UsageError)
    assert (row.index, row.prompt, row.options) == (0, "", {})
    message = str(row.error)
    assert message.startswith("line 1: ")
    assert "\n" not in message
    return message.removeprefix("line 1: ")


# Lines.


@pytest.mark.parametrize(
    ("record", "template", "prompt"),
    [
        (b"What is it?", None, "What is it?"),
        (b"  indented\t", None, "  indented\t"),
        ("Grüezi".encode(), "Translate: {}!", "Translate: Grüezi!"),
        (b"{name} {}", "<{}>", "<{name} {}>"),
        (b"a", "Sum up.", "Sum up.\n\na"),
        (b'{"prompt": "a"}', None, '{"prompt": "a"}'),
    ],
)
def test_a_line_is_the_prompt(record, template, prompt):
    assert Rows(False, Template(template) if template else None).row(record) == Row(0, None, prompt, {}, line=1)


@pytest.mark.parametrize("blank", [b"", b" \t", b"\r", "\u3000\u00a0".encode(), b"\n\n"])
@pytest.mark.parametrize("jsonl", [False, True])
def test_a_blank_record_has_no_prompt_and_no_index(blank, jsonl):
    rows = Rows(jsonl, None)
    good, bad = b'{"prompt":"a"}', b"{" if jsonl else b"b"
    assert [row and row.index for row in map(rows.row, (good, blank, bad, blank, good))] == [0, None, 1, None, 2]


def test_an_error_names_the_line_and_counts_as_a_record():
    rows = Rows(True, None)
    results = [
        row and str(row.error or row.prompt) for row in map(rows.row, (b"", b'{"prompt":"a"}', b"", b"[]", b"{"))
    ]
    assert results[:3] == [None, "a", None]
    assert results[3].startswith("line 4: must be an object")
    assert results[4].startswith("line 5: invalid JSON: ")


@pytest.mark.parametrize("jsonl", [False, True])
def test_invalid_utf8_is_replaced_and_counted(jsonl):
    rows = Rows(jsonl, None)
    texts = [b"a\xff", b"b", b"\xc3"]
    records = [b'{"prompt":"%s"}' % text for text in texts] if jsonl else texts
    assert [rows.row(record).prompt for record in records] == ["a\ufffd", "b", "\ufffd"]
    assert rows.undecodable == 2


def test_a_template_with_fields_is_refused_for_lines():
    with pytest.raises(UsageError, match="a line has no field lang: jsonl reads objects"):
        Rows(False, Template("{lang}: {}"))


# Objects.


@pytest.mark.parametrize(
    ("record", "template", "prompt"),
    [
        ({"prompt": "a"}, None, "a"),
        ({"prompt": " a\n"}, None, " a\n"),
        ({"prompt": "a"}, "<{}>", "<a>"),
        ({"prompt": "a"}, "Sum up.", "Sum up.\n\na"),
        ({"prompt": "a", "lang": "de"}, "{lang}: {}", "de: a"),
        ({"text": "x", "n": [1, "é"]}, "{text} {n}", 'x [1,"é"]'),
        ({"user": {"name": "Ann"}}, "{user.name}", "Ann"),
        ({"prompt": "a"}, "{prompt}{prompt}", "aa"),
        ({"prompt": ""}, "Tell a joke. {}", "Tell a joke. "),
        ({"prompt": "a", "promt": 5, "attach": "ours"}, None, "a"),  # data
        ({"messages": [USER]}, None, ""),
        ({"messages": [USER], "prompt": ""}, None, ""),
        ({"messages": [USER], "prompt": " \n"}, None, ""),
        ({"messages": [USER], "prompt": None}, None, ""),
        ({"messages": [USER, ANSWER], "prompt": "a"}, None, "a"),
        ({"messages": [], "prompt": "a"}, None, "a"),
        ({"messages": [USER], "n": 5}, "and {n}", "and 5"),
        (b' {"prompt": "a", "prompt": "b"} ', None, "b"),
        (b'{"prompt": 5, "prompt": "b"}', None, "b"),
        (b'{"prompt": "\\ud83d\\ude00 \\ud800"}', None, "\U0001f600 \ufffd"),
        (b'{"\\udfff": 0, "a": {"\\udfff": ["\\udc00"]}}', "{a}", '{"\ufffd":["\ufffd"]}'),
    ],
)
def test_the_prompt_of_an_object(record, template, prompt):
    row = row_of(record, template)
    assert (row.error, row.prompt) == (None, prompt)


@pytest.mark.parametrize("number", ["1.10", "1e400", "-0", "1E5", "0.1000000000000000055511151231257827", "9" * 5000])
def test_a_number_goes_into_the_prompt_digit_for_digit(number):
    record = f'{{"prompt": "a", "x": {number}, "y": {{"z": [{number}]}}, "seed": 3}}'.encode()
    row = row_of(record, "{x} {y}")
    assert (row.prompt, row.options) == (f'{number} {{"z":[{number}]}}', {"seed": 3})
    assert row_of(record).prompt == "a"


@pytest.mark.parametrize("name", ["a", "", 0, -1, 2**70])
def test_an_id_is_a_string_or_a_whole_number(name):
    assert row_of({"id": name, "prompt": "a"}).id == name
    assert row_of({"id": name}).id == name  # a row with an error has its id, too


def test_a_missing_or_wrong_id_is_none():
    assert row_of({"prompt": "a"}).id is None
    assert row_of({"prompt": "a", "id": None}).id is None
    assert row_of({"id": 1.0}).id is None


# (field, value, value in the row)
GOOD = [
    ("system", "Be brief.", "Be brief."),
    ("system", "@file", "@file"),
    ("system", "", ""),
    ("model", "openai/m", "openai/m"),
    ("max_tokens", 1, 1),
    ("temperature", 0, 0),
    ("temperature", -0.5, -0.5),
    ("top_p", 0.9, 0.9),
    ("seed", -7, -7),
    ("seed", 2**64, 2**64),
    ("stop", "END", ("END",)),
    ("stop", ["a", "b"], ("a", "b")),
    ("stop", [], ()),
    ("messages", [USER, ANSWER], [USER, ANSWER]),
    ("messages", [], []),
    ("json", True, True),
    ("check", True, True),
    ("schema_multi", "a", SCHEMA),
    ("tools", [{"name": "f"}], [{"name": "f"}]),
    ("tool_choice", "required", "required"),
    ("check_retries", 2, 2),
    ("json", False, False),
    ("schema", SCHEMA, SCHEMA),
    ("schema", "a", SCHEMA),
    ("schema", json.dumps(SCHEMA), SCHEMA),
    ("prefill", "{", "{"),
    *(("effort", effort, effort) for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max")),
    ("options", {}, {}),
    ("options", {"top_p": 0.5, "a": {"b": [None]}}, {"top_p": 0.5, "a": {"b": [None]}}),
]
LISTED = 'not an object {"role": ..., "content": text}'
# (field, value, message)
BAD = [
    *((name, 5, f"{name} must be a string, not 5") for name in ("system", "model", "prefill", "prompt")),
    ("system", ["a"], 'system must be a string, not ["a"]'),
    ("prompt", {"a": 1}, 'prompt must be a string, not {"a":1}'),
    ("model", ["x" * 99], f'model must be a string, not ["{"x" * 35}...'),
    ("max_tokens", 0, "max_tokens must be a whole number of at least 1, not 0"),
    ("max_tokens", True, "max_tokens must be a whole number of at least 1"),
    ("max_tokens", 5.0, "max_tokens must be a whole number of at least 1"),
    ("max_tokens", "5", "max_tokens must be a whole number of at least 1"),
    ("temperature", "hot", 'temperature must be a number, not "hot"'),
    ("temperature", False, "temperature must be a number, not false"),
    ("top_p", "most", 'top_p must be a number above 0, not "most"'),
    ("temperature", 10**400, "temperature must be a number, not 1000000000000000000000000000000000000..."),
    ("seed", 1.5, "seed must be a whole number, not 1.5"),
    ("seed", True, "seed must be a whole number, not true"),
    ("stop", 5, "stop must be a string or an array of strings, not 5"),
    ("stop", ["a", 5], "stop must be a string or an array"),
    ("stop", {"a": 1}, "stop must be a string or an array"),
    ("messages", "talk.json", 'messages must be an array, not "talk.json"'),
    ("messages", {"role": "user", "content": "a"}, "messages must be an array, not {"),
    ("messages", ["a"], f"messages, message 1: {LISTED}"),
    ("messages", [USER, {"role": "user"}], f"messages, message 2: {LISTED}"),
    ("messages", [{"role": "user", "content": ["a"]}], f"messages, message 1: {LISTED}"),
    ("messages", [USER, SYSTEM], "messages, message 2: the role 'system' is not"),
    ("messages", [{"role": "to\nol", "content": ""}], "messages, message 1: the role 'to\\nol' is not"),
    ("json", 1, "json must be true or false, not 1"),
    ("check", 1, "check must be true or false, not 1"),
    ("schema_multi", 5, "schema_multi must be an object or fields"),
    ("tools", "tools.json", 'tools must be an array, not "tools.json"'),
    ("tool_choice", 5, "tool_choice must be auto, none, required or a function, not 5"),
    ("check_retries", -1, "check_retries must be a whole number of at least 0, not -1"),
    ("json", "yes", 'json must be true or false, not "yes"'),
    ("schema", 5, "schema must be an object or fields such as 'name, age int', not 5"),
    ("schema", [], "schema must be an object"),
    ("schema", {"type": "text"}, "the schema is wrong at $.type: 'text' is not one of"),
    ("schema", "a whole lot of text", "the schema is neither a file, nor JSON, nor fields"),
    ("schema", "", "the schema is empty"),
    ("schema", "{", "the schema is not JSON: "),
    ("schema", '{"const": NaN}', "the schema is not JSON: JSON has no NaN"),
    ("schema", '{"const": ' + "[" * 500 + "]" * 500 + "}", "the schema is nested too deeply"),
    ("schema", "[" * 100_000, "the schema is nested too deeply"),
    ("effort", "hihg", 'effort must be one of none, minimal, low, medium, high, xhigh, max, not "hihg"'),
    ("effort", 3, "effort must be one of none"),
    ("options", [], "options must be an object of body fields, not []"),
    ("options", "a=1", 'options must be an object of body fields, not "a=1"'),
    ("id", 1.5, "id must be a string or a whole number, not 1.5"),
    ("id", True, "id must be a string or a whole number"),
    ("id", {}, "id must be a string or a whole number"),
]


@pytest.mark.parametrize(("name", "value", "want"), GOOD)
def test_a_valid_field(name, value, want):
    row = row_of({"prompt": "a", name: value})
    assert row == Row(0, None, "a", {name: want}, line=1)
    assert type(row.options[name]) is type(want)


@pytest.mark.parametrize(("name", "value", "message"), BAD)
def test_an_invalid_field(name, value, message):
    assert error_of({"prompt": "a", name: value}).startswith(message)


def test_the_tables_have_every_field():
    assert {name for name, *_ in GOOD} == set(NAMES)
    assert {name for name, *_ in BAD} == {*NAMES, "prompt", "id"}


@pytest.mark.parametrize("name", NAMES)
def test_null_is_the_same_as_no_field(name):
    assert row_of({"prompt": "a", name: None}) == Row(0, None, "a", {}, line=1)


def test_a_system_message_is_the_system_prompt():
    row = row_of({"messages": [SYSTEM, USER]})
    assert row.options == {"system": "Be kind.", "messages": [USER]}
    message = error_of({"messages": [SYSTEM, USER], "system": "Be brief."})
    assert message == "messages and system both have a system prompt: leave one out"


DEEP = 100_000
# (record, template, message)
ERRORS = [
    (b"{", None, "invalid JSON: a name in double quotes is missing at character 2"),
    (b"hello", None, "invalid JSON: a value is missing at character 1"),
    (b'{"prompt": "a"} {}', None, "invalid JSON: more follows the value at character 17"),
    (b'{"prompt": "a\nb"}', None, "invalid JSON: a string has a line end or another control character at character 14"),
    (b'"a"', None, 'must be an object {"prompt": ...}, not "a"'),
    (b"null", None, "must be an object"),
    (b'{"prompt": "a", "x": NaN}', None, "invalid JSON: JSON has no NaN"),
    (b'{"prompt": "a", "temperature": -Infinity}', None, "invalid JSON: JSON has no -Infinity"),
    (b'{"prompt": "a", "temperature": 1e999}', None, "temperature: 1e999 is too large a number"),
    (b'{"prompt": "a", "options": {"x": [1e999]}}', None, "options: 1e999 is too large a number"),
    (b'{"prompt": "a", "seed": ' + b"9" * 5000 + b"}", None, "seed: a number has too many digits"),
    (b'{"prompt": "a", "id": 1e999}', None, "id: 1e999 is too large a number"),
    (b'{"prompt": 1e999}', None, "prompt: 1e999 is too large a number"),
    (b"[1.10]", None, 'must be an object {"prompt": ...}, not [1.10]'),
    (b"1e999", None, "must be an object"),
    (b"[" * DEEP, None, "nested deeper than 100 levels"),
    (b'{"prompt": "a", "x": ' + b'{"a":' * DEEP, None, "nested deeper than 100 levels"),
    (b'{"prompt": "a", "x": ' + b"[" * 100 + b"]" * 100 + b"}", "{x}", "nested deeper than 100 levels"),
    (b'{"prompt": "a", "options": ' + b"[" * 100 + b"]" * 100 + b"}", None, "nested deeper than 100 levels"),
    ({}, None, "there is no field prompt: add one"),
    ({"promt": "a"}, None, "there is no field prompt: did you mean promt?"),
    ({"pro\nmpt": "a"}, None, "there is no field prompt: did you mean pro mpt?"),
    ({"prompt": None}, None, "the field prompt is null: "),
    *(
        ({"prompt": "a", "model": name}, None, "a record cannot name a model that is a file: give it with model")
        for name in ("replay:x", "replay:/etc/passwd", "/tmp/x.gguf", "x.gguf", "local//tmp/x.gguf", "local/x.gguf")
    ),
    ({"prompt": ""}, None, "the prompt is empty"),
    ({"prompt": " \n"}, "{}", "the prompt is empty"),
    ({"text": "a"}, "Sum up.", "there is no field prompt: "),
    ({"text": "a"}, "{txet}", "there is no field txet: did you mean text?"),
    ({"messages": []}, None, "there is no field prompt: "),
    ({"messages": [USER, ANSWER]}, None, "messages does not end with a user's message: give a prompt"),
    ({"messages": [USER, ANSWER], "prompt": " "}, None, "messages does not end with a user's message"),
    ({"messages": [USER]}, "{}", "there is no field prompt: "),
]


@pytest.mark.parametrize(("record", "template", "message"), ERRORS, ids=range(len(ERRORS)))
def test_a_record_without_a_prompt(record, template, message):
    assert error_of(record, template).startswith(message)


def test_a_record_at_the_deepest_nesting():
    inner = b"[" * 99 + b"]" * 99
    assert row_of(b'{"prompt": "", "x": ' + inner + b"}", "{x}").prompt == inner.decode()


def test_an_error_concerns_one_record_only():
    rows = Rows(True, None)
    records = (b"{", {"prompt": "a"}, b"[" * DEEP, {"prompt": "b"})
    assert [bool(row_of(record, rows=rows).error) for record in records] == [True, False, True, False]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from([*NAMES, "prompt", "id", "x"])


@given(
    st.dictionaries(FIELDS, VALUES | st.lists(st.sampled_from([USER, ANSWER, SYSTEM]))),
    st.sampled_from([None, "{x} {}"]),
)
def test_any_object_gives_an_error_or_a_row_that_can_be_sent(record, template):
    row = row_of(record, template)
    assert bool(row.error) == (not row.prompt and not row.options.get("messages"))
    assert row.options.keys() <= set(NAMES)
    json.dumps([row.prompt, row.options], ensure_ascii=False, allow_nan=False).encode()
    assert "\n" not in str(row.error)


@given(st.binary(max_size=60) | st.text('{}[]":,\\ue1.0-NaN prompt\n', max_size=60).map(str.encode))
def test_any_bytes_give_a_row_or_none(record):
    for jsonl in (False, True):
        row = Rows(jsonl, None).row(record)
        assert row is None or row.index == 0
