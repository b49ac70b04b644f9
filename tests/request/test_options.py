"""The table of options: every door takes a value, or refuses it, by the same row."""

from __future__ import annotations

import json
from typing import get_type_hints

import pytest

from llmstream.api.options import Options
from llmstream.api.prepared import prepare
from llmstream.batch.rows import Rows
from llmstream.core import kinds as plain
from llmstream.core.request import Request
from llmstream.errors import UsageError
from llmstream.providers.registry import Catalogue, Provider
from llmstream.request import kinds
from llmstream.request.builder import RequestBuilder
from llmstream.request.options import COMMAND, DOORS, FILE, HTTP, OPTIONS, PYTHON, RECORD, RIVALS, add_layer, at

from ..conftest import environment

WRONG = {  # a value that no row of the kind takes, and the end of the message about it
    plain.Flag: (5, "must be true or false, not 5"),
    plain.Integer: (1.5, "must be a whole number"),
    plain.Number: ("hot", "must be a number"),
    plain.Seconds: (-1, "must be a time such as 0.5, 10s or 1h30m, 0 or more, not -1"),
    plain.Choice: ("hihg", "must be one of "),
    plain.Text: (5, "must be a string, not 5"),
    kinds.Variable: (5, "is the name of a variable, not the key: "),
    kinds.TextOrFile: (5, "must be a string, not 5"),
    kinds.Model: (5, "must be a string, not 5"),
    plain.Texts: ([5], "must be a string or an array of strings, not [5]"),
    kinds.Files: ([5], "must be a string or an array of strings, not [5]"),
    kinds.Schema: (5, "must be an object or fields such as 'name, age int', not 5"),
    kinds.Items: (5, "must be an array, not 5"),
    kinds.ToolChoice: (5, "must be auto, none, required or a function, not 5"),
    kinds.Fields: (5, "must be an object of body fields, not 5"),
    kinds.Callback: (5, "must be a function, and not an async one, not 5"),
    kinds.Conditions: (5, "must be a mapping of stop conditions, not 5"),
}


def by_door(door: str) -> object:
    return pytest.mark.parametrize("row", at(door), ids=[row.name for row in at(door)])


def test_rows_are_complete():
    for name, row in OPTIONS.items():
        assert row.name == name
        assert row.help.endswith("."), name
        assert set(row.doors) <= set(DOORS), name
        shown = row.metavar or row.kind.choices or row.kind.is_flag
        assert (COMMAND not in row.doors) or shown, f"{name} has no metavar"
    assert len({row.long for row in at(COMMAND)}) == len(at(COMMAND))
    assert RIVALS.keys() | set(RIVALS.values()) <= OPTIONS.keys()


def test_every_kind_has_a_wrong_value_here():
    assert {type(row.kind) for row in OPTIONS.values()} <= WRONG.keys()


@by_door(PYTHON)
def test_python_refuses_a_wrong_value(row):
    value, message = WRONG[type(row.kind)]
    with pytest.raises(TypeError) as caught:
        prepare("Hi", {row.name: value})
    assert str(caught.value).startswith(f"{row.name} {message}")


@by_door(RECORD)
def test_a_record_refuses_a_wrong_value(row):
    value, message = WRONG[type(row.kind)]
    error = Rows(True, None).row(json.dumps({"prompt": "a", row.name: value}).encode()).error
    assert str(error).startswith(f"line 1: {row.name} {message}")


@by_door(FILE)
def test_a_prompt_file_refuses_a_wrong_value(invoke, tmp_path, row):
    value, message = WRONG[type(row.kind)]
    top = row.name in ("model", "system", "schema")
    table = "" if top else "[options]\n"
    (tmp_path / "p.md").write_text(f"+++\n{table}{row.flag or row.name} = {json.dumps(value)}\n+++\nHi")
    done = invoke("gen", "-f", str(tmp_path / "p.md"), env=environment(LLMSTREAM_MODEL="ollama/m"))
    assert f"{row.flag or row.name}: {message}" in done.stderr.decode()
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)


EMPTY = "is empty: leave it out, or give a text"


@pytest.mark.parametrize(("name", "value"), [("stop", ""), ("stop", ["E", ""]), ("prefill", "")])
def test_an_empty_text_is_refused_at_every_door(invoke, tmp_path, name, value):
    env = environment(LLMSTREAM_MODEL="llamacpp/m")
    for each in ["gen", "map"]:
        last = value[-1] if isinstance(value, list) else value
        done = invoke(each, f"--{name}={last}", env=env, input=b"Hi")
        assert (done.returncode, done.stdout) == (2, b"")
        assert f"llmstream {each}: --{name} {EMPTY}" in done.stderr.decode()
    (tmp_path / "p.md").write_text(f"+++\n[options]\n{name} = {json.dumps(value)}\n+++\nHi")
    done = invoke("gen", "-f", str(tmp_path / "p.md"), env=env)
    assert (done.returncode, done.stderr.decode()) == (
        2,
        f"llmstream gen: {tmp_path}/p.md:3: options.{name}: {EMPTY}\n",
    )
    (tmp_path / "c.toml").write_text(f"[providers.llamacpp.defaults]\n{name} = {json.dumps(value)}")
    done = invoke("gen", "Hi", env={**env, "LLMSTREAM_CONFIG": str(tmp_path / "c.toml")})
    assert done.stderr.decode() == f"llmstream gen: {tmp_path}/c.toml:2: providers.llamacpp.defaults.{name}: {EMPTY}\n"
    with pytest.raises(TypeError, match=f"^{name} {EMPTY}$"):
        prepare("Hi", {name: value})
    error = Rows(True, None).row(json.dumps({"prompt": "a", name: value}).encode()).error
    assert str(error) == f"line 1: {name} {EMPTY}"


def test_an_empty_text_in_a_body_of_http_is_refused():
    pytest.importorskip("llmstream.serve.bodies", reason="the extra `serve` is not installed")
    from llmstream.serve.bodies import Conversation, Prompt

    messages = [{"role": "user", "content": "Hi"}]
    for body, fields in (Prompt, {"prompt": "Hi"}), (Conversation, {"messages": messages}):
        with pytest.raises(ValueError, match=EMPTY):
            body.model_validate({**fields, "stop": ["E", ""]})
    with pytest.raises(ValueError, match=EMPTY):
        Prompt.model_validate({"prompt": "Hi", "prefill": ""})


TEXTS = [row for row in at(COMMAND) if type(row.kind) in (plain.Integer, plain.Number, plain.Seconds, plain.Choice)]


@pytest.mark.parametrize("row", TEXTS, ids=[row.name for row in TEXTS])
@pytest.mark.parametrize("text", ["x", "", "nan", "1e999", "-1e999"])
def test_the_command_line_refuses_a_wrong_value(invoke, row, text):
    done = invoke("gen", f"--{row.long}={text}", "Hi", env=environment(LLMSTREAM_MODEL="ollama/m"))
    assert f"--{row.long} must be " in done.stderr.decode()
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)


def test_http_bodies_have_the_rows():
    bodies = pytest.importorskip("llmstream.serve.bodies", reason="the extra `serve` is not installed")
    assert {row.name for row in at(HTTP)} <= {field.alias or name for name, field in bodies.Prompt.model_fields.items()}
    assert {name for row in OPTIONS.values() for name in row.openai} <= bodies.Conversation.model_fields.keys()
    for row in at(HTTP):
        with pytest.raises(ValueError, match=row.name):
            bodies.Prompt.model_validate({"prompt": "a", row.name: WRONG[type(row.kind)][0]})


def test_the_typed_options_of_python_are_the_rows():
    assert list(Options.__annotations__) == [row.name for row in at(PYTHON) if row.name != "model"]
    assert get_type_hints(Options)


def test_a_request_takes_values_by_the_names_of_the_rows():
    made_otherwise = {"prompt", "extra", "attachments", "same_names", "native"}
    assert set(Request._fields) - made_otherwise <= OPTIONS.keys()


# Kinds.


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (plain.Flag(), False, False),
        (plain.Integer(1), 1, 1),
        (plain.Integer(), -7, -7),
        (plain.Number(), 0, 0),
        (plain.Number(), -0.5, -0.5),
        (plain.Seconds(), 0, 0),
        (plain.Seconds(), "10s", 10.0),
        (plain.Choice("a", "b"), "b", "b"),
        (plain.Texts(), "a", ("a",)),
        (plain.Texts(), ["a", "b"], ("a", "b")),
        (plain.Texts(), [], ()),
        (kinds.Fields(), {"a": [None]}, {"a": [None]}),
        (kinds.Items(), [{}], [{}]),
        (kinds.TextOrFile(), "@file", "@file"),
        (plain.Seconds(or_none=False), 0.5, 0.5),
        (plain.Number(above=0), 1e-9, 1e-9),
    ],
)
def test_a_kind_takes(kind, value, expected):
    assert kind.parse(value) == expected
    assert type(kind.parse(value)) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (plain.Flag(), 1),
        (plain.Integer(), True),
        (plain.Integer(), 1.0),
        (plain.Integer(1), 0),
        (plain.Integer(), 10**400),
        (plain.Number(), True),
        (plain.Number(), float("nan")),
        (plain.Number(), float("inf")),
        (plain.Number(), 10**400),
        (plain.Seconds(), -5e-324),
        (plain.Seconds(or_none=False), 0),
        (plain.Seconds(or_none=False), -0.0),
        (plain.Seconds(or_none=False), "0s"),
        (plain.Seconds(), "10"),
        (plain.Number(above=0), 0),
        (plain.Texts(), b"x"),
        (plain.Texts(), {"a": 1}),
        (kinds.Files(), [1]),
        (kinds.Fields(), {1: 2}),
        (kinds.Fields(), {"a": float("nan")}),
        (kinds.Fields(), {"a": object()}),
        (kinds.Fields(), ["a=1"]),
        (kinds.Items(), "file.json"),
        (kinds.Items(), {"role": "user"}),
    ],
)
def test_a_kind_refuses(kind, value):
    with pytest.raises(ValueError, match="must be "):
        kind.parse(value)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (plain.Integer(), "12", 12),
        (plain.Number(), "1e3", 1000.0),
        (kinds.Fields(), "a=[1]", {"a": [1]}),
        (kinds.Fields(), 'a.b="x=y"', {"a.b": "x=y"}),
        (kinds.Fields(), "a=flex", {"a": "flex"}),
        (kinds.Fields(), "a=two words", {"a": "two words"}),
        (kinds.Fields(), "a=2026-11-28", {"a": "2026-11-28"}),
        (kinds.Fields(), "a=null", {"a": None}),
        (kinds.Items(), "file.json", "file.json"),
        (plain.Texts(), "a", "a"),
        (plain.Seconds(), "0", 0.0),
        (plain.Seconds(), "1.5", 1.5),
        (plain.Seconds(), "500ms", 0.5),
        (plain.Seconds(), "10s", 10.0),
        (plain.Seconds(), "2m", 120.0),
        (plain.Seconds(), "1.5h", 5400.0),
        (plain.Seconds(), "1h30m", 5400.0),
        (plain.Seconds(), "1h0m1s1ms", 3601.001),
        (plain.Seconds(), "0s", 0.0),
        (plain.Size(), "65536", 65536),
        (plain.Size(), "64K", 65536),
        (plain.Size(), "1kib", 1024),
        (plain.Size(), "2M", 2 * 1024**2),
        (plain.Size(), "1GB", 1024**3),
    ],
)
def test_a_kind_reads_text(kind, text, expected):
    assert kind.read(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "s", "-1s", "1s-1s", "inf", "1e3s", "10 s", "10S", "30m1h", "1d", ".5s", "\u0661s", f"{10**400}h"],
)
def test_a_time_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=r"must be a time such as 0\.5, 10s or 1h30m, 0 or more, not "):
        plain.Seconds().read(text)


@pytest.mark.parametrize(
    ("text", "meant"), [("5min", "5m"), ("2 hours", "2h"), ("30sec", "30s"), ("1.5 m", "1.5m"), ("10S", ""), ("1d", "")]
)
def test_a_time_with_a_longer_unit_has_a_hint(text, meant):
    with pytest.raises(ValueError, match=f'not "{text}"' + (f": did you mean {meant}[?]$" if meant else "$")):
        plain.Seconds().read(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(10, "10s"), (60.0, "1m"), (90, "90s"), (7200, "2h"), (0.25, "0.25s"), (1.5, "1.5s")]
)
def test_a_time_is_shown_as_it_can_be_read(seconds, text):
    assert plain.show_time(seconds) == text
    assert plain.Seconds().read(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "K", "1KM", "1T", "x", "\u0661"])
def test_a_size_refuses(text):
    with pytest.raises(ValueError, match="must be a size such as 64K, 64M or 1G"):
        plain.Size().read(text)


def test_a_text_can_come_from_a_file(tmp_path):
    (tmp_path / "s.txt").write_bytes(b"\xef\xbb\xbfBe kind.")
    assert kinds.TextOrFile().read(f"@{tmp_path}/s.txt") == "Be kind."
    (tmp_path / "s.txt").write_bytes(b"ok\n\xff")
    with pytest.raises(UsageError, match=r"s\.txt:2: invalid UTF-8"):
        kinds.TextOrFile().read(f"@{tmp_path}/s.txt")


def test_a_long_value_is_cut_in_a_message():
    with pytest.raises(ValueError, match=r'not "x{36}\.\.\.$'):
        plain.Integer().parse("x" * 99)


# Layers.


def test_the_higher_layer_counts_and_keeps_rivals_out():
    values = {"schema": {"a": 1}}
    add_layer(values, {"schema_multi": "x", "seed": 1}, lambda name, value: value)
    add_layer(values, {"seed": 2, "stop": "x"}, lambda name, value: value)
    assert values == {"schema": {"a": 1}, "seed": 1, "stop": "x"}


def test_a_value_of_a_lower_layer_is_not_looked_at():
    values = {"seed": 1}
    add_layer(values, {"seed": "wrong"}, lambda name, value: pytest.fail("parsed"))
    assert values == {"seed": 1}


def test_a_record_s_schema_counts_before_the_command_s_list():
    builder = RequestBuilder("", {"model": "llamacpp/m", "schema_multi": {"type": "string"}, "seed": 1}, {})
    _, request = builder.with_overrides({"schema": {"type": "object"}}).request("Hi")
    assert (request.schema, request.seed) == ({"type": "object"}, 1)


def test_a_key_is_looked_up_once_for_each_model():
    calls = []
    provider = Provider("https://w.example/v1", key_env=("W_KEY",), key_cmd=("x",), model="m")
    catalogue = Catalogue({"w": provider}, read_key=lambda name, row: calls.append(name) or "k")
    builder = RequestBuilder("", {"model": "w/m"}, {}, catalogue)
    for options in ({"seed": 1}, {"model": "w/m"}, {"model": "w/n"}, {"model": "w/n", "seed": 2}):
        target, _ = builder.with_overrides(options).request("Hi")
        assert (target.key, target.model) == ("k", options.get("model", "w/m").removeprefix("w/"))
    assert calls == ["w", "w"]


# Fields of the body from several places.


def test_fields_of_several_options_are_one_patch():
    items = [{"a": {"b": 1, "c": 2}}, {"a": {"c": None}}, {"d": [1]}, {"d": [2]}]
    assert kinds.Fields().join(items) == {"a": {"b": 1, "c": None}, "d": [2]}


def test_a_record_s_fields_are_merged_into_those_of_the_command_line():
    builder = RequestBuilder("", {"model": "llamacpp/m", "options": {"a": {"b": 1}, "c": 1}}, {})
    target, request = builder.with_overrides({"options": {"a": {"d": 2}, "c": None}}).request("Hi")
    assert dict(request.extra) == {"a": {"b": 1, "d": 2}, "c": None}
    assert target.body(request)["a"] == {"b": 1, "d": 2}
