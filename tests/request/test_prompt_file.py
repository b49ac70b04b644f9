"""Prompt files: the requests they make, their errors, and a prompt file as a script."""

from __future__ import annotations

import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.errors import UsageError
from llmstream.request.options import OPTIONS
from llmstream.request.prompt_file import PromptFile

from ..conftest import at
from ..support import examples
from ..support.limits import RUN_S
from ..support.loopback import Provider, chat, head

HEAD = '+++\nmodel = "lmstudio/m"\n+++\n'


@pytest.fixture
def sent(invoke, tmp_path):
    """Runs a prompt file dry: sent(text, *args, input=...) returns the body, or the error line."""

    def sent(text: str | bytes, *args: str, input: bytes | None = None) -> dict | str:
        path = tmp_path / "p.md"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        done = invoke("gen", "--dry-run", "-f", str(path), *args, input=input)
        if done.returncode:
            assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
            return done.stderr.decode().strip().removeprefix("llmstream gen: ").removeprefix(str(path))
        return json.loads(done.stdout.partition(b"\n\n")[2])

    return sent


def prompt(body: dict | str) -> str:
    return body["messages"][-1]["content"] if isinstance(body, dict) else body


# The prompt: the file, then operands and stdin where they have no place in it.


@pytest.mark.parametrize(
    ("text", "args", "stdin", "expected"),
    [
        ("Hi", [], None, "Hi"),
        ("\n\nHi\n  you\n\n", [], None, "Hi\n  you"),
        ("Hi", ["a", "b"], None, "Hi\n\na b"),
        ("Hi", [], b"data\n", "Hi\n\ndata"),
        ("Hi", ["a"], b"data\n", "Hi\n\na\n\ndata"),
        ("Hi", ["-n"], b"data\n", "Hi"),
        ("Hi {{args}}!", ["a", "b"], b"data", "Hi a b!\n\ndata"),
        ("Hi {{args}}!", [], None, "Hi !"),
        ("<{{stdin}}>", ["a"], b"data\n", "<data>\n\na"),
        ("<{{ stdin }}{{stdin}}>", [], b"data", "<datadata>"),
        ("<{{stdin}}>", [], None, "<>"),
        ("{{x}}, {{ y-z }}", ["-v", "x=1=2", "--var", "y-z="], None, "1=2, "),
        ("{{x}}", ["-v", "x=a", "-v", "x=b"], None, "b"),
        ("{{x}}", ["-v", "x={{y}} \\1 \\g<0>"], None, "{{y}} \\1 \\g<0>"),
        ("{{stdin}}{{x}}", ["-v", "x=1"], b"{{x}}", "{{x}}1"),
        ("\\{{x}} {{ }} {{#if}} {x} {{1}} {{x y}} {{\nx}}", [], None, "{{x}} {{ }} {{#if}} {x} {{1}} {{x y}} {{\nx}}"),
        ("#!/usr/bin/env -S llmstream gen -f\nHi", [], None, "Hi"),
        ("Hi\n#!/bin/sh\n+++\n", [], None, "Hi\n#!/bin/sh\n+++"),
    ],
)
@pytest.mark.parametrize("first", [HEAD, HEAD.replace("\n", "\r\n"), "\ufeff" + HEAD], ids=["lf", "crlf", "bom"])
def test_prompt(sent, text, args, stdin, expected, first):
    shebang, _, rest = text.partition("\n") if text.startswith("#!") else ("", "", text)
    text = f"{shebang}\n{first.removeprefix(chr(0xFEFF))}{rest}" if shebang else f"{first}{rest}"
    assert prompt(sent(text, *args, input=stdin)) == expected


def test_the_header_may_be_missing(sent):
    assert prompt(sent("Hi {{x}}", "-v", "x=1", "-m", "lmstudio/m")) == "Hi 1"


def test_a_prompt_file_from_stdin(invoke):
    done = invoke("gen", "--dry-run", "-f", "-", "you", input=f"{HEAD}Hi\n".encode())
    assert prompt(json.loads(done.stdout.partition(b"\n\n")[2])) == "Hi\n\nyou"


# The head.


def test_each_key_of_a_header(sent):
    text = """+++
model = "lmstudio/m"          # overridden by -m
system = "Be brief."
[options]
temperature = 1
max-tokens = 7
seed = 3
stop = ["X", "Y"]
option = { user = "u", nested = { a = [1, 2] } }
api = "chat"
first_token_timeout = 0.5
[vars]
language = "English"
many = 3
plain = true
+++
{{language}} {{many}} {{plain}}"""
    body = sent(text, "-m", "lmstudio/other", "-v", "many=4", "--seed", "5")
    assert body == {
        "model": "other", "stream": True, "stream_options": {"include_usage": True}, "temperature": 1.0,
        "max_tokens": 7, "seed": 5, "stop": ["X", "Y"], "user": "u", "nested": {"a": [1, 2]},
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "English 4 true"}],
    }  # fmt: skip


def test_a_path_in_the_header_is_relative_to_the_file(sent, tmp_path):
    (tmp_path / "style.txt").write_text("Be kind.")
    body = sent('+++\nmodel = "lmstudio/m"\nsystem = "@style.txt"\n+++\nHi')
    assert body["messages"][0] == {"role": "system", "content": "Be kind."}


@pytest.mark.parametrize(
    ("name", "value", "placed"),
    [
        ("system", "@here", "@FOLDER/here"),
        ("system", "@not-here", "@FOLDER/not-here"),
        ("system", "here", "here"),
        ("system", "@/abs", "@/abs"),
        ("schema", "here", "FOLDER/here"),
        ("schema", "not-here", "not-here"),
        ("schema", '{"a": 1}', '{"a": 1}'),
        ("attach", ["here", "-"], ["FOLDER/here", "-"]),
        ("messages", {"a": 1}, {"a": 1}),
        ("model", "m.gguf", "FOLDER/m.gguf"),
        ("model", "openai/m", "openai/m"),
        ("prefill", "here", "here"),
        ("effort", "here", "here"),
    ],
)
def test_which_values_are_paths(tmp_path, name, value, placed):
    (tmp_path / "here").touch()
    found = OPTIONS[name].kind.place(value, str(tmp_path))
    assert json.loads(json.dumps(found).replace(str(tmp_path), "FOLDER")) == placed


@pytest.mark.parametrize(
    ("text", "args", "message"),
    [
        (f"{HEAD}\n{{{{nmae}}}}", [], ":5: {{nmae}} has no value: pass -v nmae=..."),
        ("{{stdin}}", ["-n"], ":1: {{stdin}} has no value: leave out -n, or the option that reads stdin"),
        ("Hi {{name}}", ["-v", "nmae=x"], " has no {{nmae}}: did you mean name?"),
        ("Hi", ["-v", "x=1"], " has no {{x}}: leave it out"),
        ("{{stdin}}", ["-v", "stdin=x"], "-v cannot set stdin: the command line fills {{stdin}}"),
        ("+++\nvars = { args = 'x' }\n+++\n", [], ":2: vars.args: cannot have a default"),
        ("+++\nvars = { x = [1] }\n+++\n", [], ":2: vars.x: must be a string or a number, not an array"),
        ("Hi", ["-v", "x"], "-v/--var must be NAME=VALUE, not \"x\": see llmstream gen --help"),
        ("+++\nmodel = 'lmstudio/m'\n", [], ":1: the header is not closed: end it with a line +++"),
        ("#!x\n+++\nmodel = \n+++\nHi", [], ":3:9: invalid TOML: Invalid value"),
        ("+++\n\nmodel = '\n+++\nHi", [], ":3: invalid TOML: "),
        ("+++\n\nmodle = 'x'\n+++\nHi", [], ":3: modle: there is no such key: did you mean model?"),
        ("+++\n[options]\ntemp = 1\n+++\nHi", [], ":3: options.temp: there is no such key"),
        ("+++\n[options]\nusage = true\n+++\nHi", [], ":3: options.usage: there is no such key"),
        ("+++\n[options]\nstats-file = 'x'\n+++\nHi", [], ":3: options.stats-file: there is no such key"),
        ("+++\n[options]\nseed = 'x'\n+++\nHi", [], ":3: options.seed: must be a whole number, not"),
        ("+++\n[options]\napi = 'x'\n+++\nHi", [], ":3: options.api: must be one of chat"),
        ("+++\noptions = 1\n+++\nHi", [], ":2: options: must be a table, not an integer"),
        ("+++\nsystem = '@none'\n+++\nHi", [], ":2: system: cannot read "),
        (b"+++\n+++\nHi\n\xff", [], ":4: invalid UTF-8"),
        ("+++\n[options]\nstop = { a = 1 }\n+++\nHi", [], ":3: options.stop: must be a string or an array"),
        (f"{HEAD}", [], ": the prompt is empty: write one below the header, or pass operands"),
        ("", [], ": the prompt is empty"),
    ],
)  # fmt: skip
def test_an_error_names_its_line(sent, text, args, message):
    assert prompt(sent(text, "-m", "lmstudio/m", *args)).startswith(message)


def test_files_that_cannot_be_read(invoke, tmp_path):
    for name, why in [("no-such", "No such file or directory"), (".", "Is a directory")]:
        done = invoke("gen", "-f", name, cwd=tmp_path)
        assert (done.returncode, done.stderr.decode()) == (2, f"llmstream gen: cannot read {name}: {why}\n")


def test_variables_without_a_file(invoke):
    done = invoke("gen", "-v", "x=1", "Hi")
    assert done.returncode == 2
    assert done.stderr == b"llmstream gen: -v sets the variables of a prompt file: name one with -f\n"


# A script.


def test_a_prompt_file_is_a_script(tmp_path):
    script = tmp_path / "translate"
    script.write_text("""#!/usr/bin/env -S llmstream gen -f
+++
model = "openai/m"
system = "Translate."
options.temperature = 0
vars.language = "French"
+++
Into {{language}}:

{{stdin}}
""")
    script.chmod(0o755)
    with Provider([head(), *chat("Bonjour")]) as provider:
        env = examples.on_path(tmp_path / "bin", at(provider.url))
        command = [script, "-v", "language=Old French", "--max-tokens", "5", "politely"]
        done = subprocess.run(command, input=b"Good day\n", capture_output=True, env=env, timeout=RUN_S)
    assert (done.stdout, done.stderr, done.returncode) == (b"Bonjour\n", b"", 0)
    body = provider.requests[0].json
    assert (body["temperature"], body["max_tokens"]) == (0, 5)
    assert [message["content"] for message in body["messages"]] == [
        "Translate.",
        "Into Old French:\n\nGood day\n\npolitely",
    ]


# Any text.


@given(st.text(st.sampled_from("+{}\\a \n#![=]'"), max_size=80))
def test_any_file_makes_a_prompt_or_an_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.md"
    path.write_text(text)
    try:
        PromptFile(str(path), "gen").prompt(("x",), True, {})
    except UsageError as error:
        assert str(error).startswith(str(path))


@given(st.text(max_size=50).filter(lambda text: text.strip()))
def test_any_value_arrives_unchanged(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.md"
    path.write_text("<{{x}}>")
    assert PromptFile(str(path), "gen").prompt((), True, {"x": value}) == f"<{value}>"


# Features beyond the prompt.


def test_a_schema_and_other_features_in_the_header(sent, tmp_path):
    (tmp_path / "s.json").write_text('{"title": "river", "type": "object", "properties": {"name": {"type": "string"}}}')
    (tmp_path / "t.txt").write_text("Basel")
    head = '+++\nmodel = "lmstudio/m"\nschema = "s.json"\n[options]\nattach = ["t.txt"]\neffort = "low"\n+++\n'
    body = sent(head + "Hi")
    assert isinstance(body, dict)
    assert body["response_format"]["json_schema"]["name"] == "river"
    assert body["reasoning_effort"] == "low"
    assert "Basel" in json.dumps(body["messages"])
    assert sent('+++\nmodel = "lmstudio/m"\nschema = "name, age int"\n+++\nHi')["response_format"]
    assert sent('+++\nmodel = "lmstudio/m"\noptions.json = true\n+++\nHi')["response_format"] == {"type": "json_object"}


LIST, ONE = {"items"}, {"a"}  # the properties of a list of answers, and of one


@pytest.mark.parametrize(
    ("head", "args", "properties"),
    [
        ('schema = "a"', ["--schema-multi", "b"], LIST),
        ('options.schema_multi = "b"', ["--schema", "a"], ONE),
        ('options.schema_multi = "b"', [], LIST),
    ],
)
def test_a_schema_of_the_command_line_replaces_the_header_s(sent, head, args, properties):
    body = sent(f'+++\nmodel = "lmstudio/m"\n{head}\n+++\nHi', *args)
    assert isinstance(body, dict)
    assert body["response_format"]["json_schema"]["schema"]["properties"].keys() == properties


def test_two_schemas_in_one_header_are_an_error(sent):
    message = prompt(sent('+++\nmodel = "lmstudio/m"\nschema = "a"\noptions.schema_multi = "b"\n+++\nHi'))
    assert message == "--schema and --schema-multi exclude each other: leave one out"


def test_a_header_without_a_prompt_works_with_a_conversation(sent, tmp_path):
    talk = tmp_path / "talk.json"
    talk.write_text('[{"role": "user", "content": "Which river?"}]')
    assert prompt(sent(HEAD, "--messages", str(talk))) == "Which river?"
    assert prompt(sent(f'{HEAD[:-4]}options.messages = "talk.json"\n+++\n')) == "Which river?"
    talk.write_text('[{"role": "assistant", "content": "The Rhine."}]')
    assert prompt(sent(HEAD, "--messages", str(talk))).endswith("does not end with a user's message: give a prompt")


def test_two_readers_of_stdin_are_an_error(invoke, sent):
    body = sent("Which lies at the Rhine?", "-m", "lmstudio/m", "-a", "-", input=b"Basel")
    assert json.dumps(body).count("Basel") == 1
    assert "leave out -n, or the option that reads stdin" in prompt(
        sent("{{stdin}}", "-m", "lmstudio/m", "-a", "-", input=b"x")
    )
    done = invoke("gen", "-m", "lmstudio/m", "--dry-run", "-f", "-", "--messages", "-", input=b"Hi")
    assert (done.returncode, done.stderr) == (
        2,
        b"llmstream gen: stdin has the prompt file, so no option can read it: name a file\n",
    )
