"""What options put into the body of a request: the table of the manual page, and each body against the SDKs' types."""

from __future__ import annotations

import json

import pytest

from ..conftest import environment
from ..support import docs, option_bodies
from ..support.option_bodies import APIS, OLDER_MODELS, OPTIONS, send
from ..support.sdk_types import unlike

# Claude's 4.5 models take a temperature, their successors and so the SDK's types do not.
GONE = {("-t", "messages"): ["temperature"]}


@pytest.fixture(scope="session")
def sent(tmp_path_factory):
    return option_bodies.every_option(tmp_path_factory.mktemp("options"))


def test_the_table_of_the_page_equals_the_bodies_sent(sent):
    page = [line for line in docs.page("llmstream-gen").sections["PROTOCOLS"] if line.startswith(".It ")]
    assert page == option_bodies.mdoc(option_bodies.table(sent))


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("row", ["", *OPTIONS])
def test_the_sdk_s_types_describe_each_body(sent, row, api):
    found = sent[row][api]
    if found.body is None:  # refused before anything was sent, in one line
        assert (found.status, found.stderr.count("\n")) == (2, 1)
        assert found.stderr.startswith("llmstream gen: ")
        return
    assert found.status == 0, found.stderr
    assert unlike(api, found.body, streams=row != "--within") == GONE.get((row, api), [])


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"efort": "low"}, "efort"),
        ({"tools": [{"type": "function", "nam": "x"}]}, "tools"),
        ({"temperature": "hot"}, "temperature"),
    ],
)
def test_the_sdk_s_types_reject_a_wrong_field(sent, api, wrong, field):
    body = sent[""][api].body
    assert unlike(api, body) == []
    assert unlike(api, body | wrong) == [field]
    assert unlike(api, {key: value for key, value in body.items() if key != "stream"}) == [""]


def test_schemas_are_closed_and_strict_where_possible(sent):
    schema = json.loads(option_bodies.SCHEMA) | {"additionalProperties": False}
    shape = {"type": "json_schema", "strict": True, "name": "river", "schema": schema}
    assert sent["--schema"]["responses"].body["text"] == {"format": shape}
    assert sent["--schema"]["messages"].body["output_config"]["format"] == {"type": "json_schema", "schema": schema}
    described = sent["--schema"]["chat"].body["response_format"]["json_schema"]
    assert described == {"strict": True, "name": "river", "schema": schema}


def test_a_schema_with_optional_fields_is_not_strict(tmp_path):
    optional = '{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}},"required":["a"]}'
    found = send("responses", ["--schema", optional], tmp_path)
    assert found.body["text"]["format"]["strict"] is False
    assert found.body["text"]["format"]["schema"]["required"] == ["a"]


def test_multi_is_a_list_in_an_object(sent):
    schema = sent["--schema-multi"]["messages"].body["output_config"]["format"]["schema"]
    assert list(schema["properties"]) == schema["required"] == ["items"]
    assert list(schema["properties"]["items"]["items"]["properties"]) == ["name", "km"]


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        ("claude-sonnet-5-5", "none", {"thinking": {"type": "between_tools"}}),
        ("claude-haiku-5-5", "none", {"thinking": {"type": "disabled"}}),
        ("us.anthropic.claude-opus-4-7", "none", {}),
        ("claude-sonnet-5-5", "max", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}),
        ("claude-haiku-4-5", "none", {"thinking": {"type": "disabled"}}),
        ("claude-haiku-4-5", "low", {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        ("claude-sonnet-4-5-20250929", "max", {"thinking": {"type": "enabled", "budget_tokens": 31999}}),
    ],
)
def test_effort_is_a_level_or_a_budget_of_tokens(tmp_path, model, effort, expected):
    body = send("messages", ["--effort", effort], tmp_path, f"anthropic/{model}").body
    assert {key: body[key] for key in ("thinking", "output_config") if key in body} == expected
    assert unlike("messages", body) == []


def test_effort_and_schema_stand_side_by_side(tmp_path):
    body = send("messages", ["--effort", "high", "--schema", "name"], tmp_path).body
    assert list(body["output_config"]) == ["effort", "format"]


def test_cache_marks_the_ends_of_what_stays_the_same(tmp_path):
    options = ["--cache", "-s", "Be brief.", "--messages", "messages.ndjson", "-a", "river.pdf", "-a", "river.txt"]
    body = send("messages", options, tmp_path).body
    assert json.dumps(body).count("cache_control") == 3
    assert body["system"][-1]["cache_control"] == {"type": "ephemeral"}
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][1]["content"] == [
        {"type": "text", "text": "Hello.", "cache_control": {"type": "ephemeral"}}
    ]
    assert ["cache_control" in part for part in body["messages"][2]["content"]] == [False, True, False]
    assert unlike("messages", body) == []


def test_cache_for_an_hour(tmp_path):
    body = send("messages", ["--cache-ttl", "1h", "-s", "Be brief."], tmp_path).body
    assert body["system"] == [
        {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    ]
    assert unlike("messages", body) == []
    for api in ("chat", "responses", "ollama"):
        refused = send(api, ["--cache-ttl", "1h", "-s", "Be brief."], tmp_path)
        assert "has no --cache-ttl: only the Messages API has it" in refused.stderr


def test_cache_of_tools_alone(tmp_path):
    body = send("messages", ["--cache", "--tools", "tools.json", "--events"], tmp_path).body
    assert body["tools"][-1]["cache_control"] == {"type": "ephemeral"}


def dry_run(tmp_path, *options: str, model: str = "m", **env: str) -> dict:
    """Returns the body for the provider's own address: servers at other addresses get no key."""
    for name, data in option_bodies.FILES.items():
        (tmp_path / name).write_bytes(data)
    args = ["gen", "-n", "--dry-run", "-m", model if "/" in model else f"openai/{model}", *options]
    env = environment(OPENAI_API_KEY="sk-test", ANTHROPIC_API_KEY="sk-ant-test", **env)
    done = option_bodies.invoke(args, env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.partition(b"\n\n")[2])


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_the_cache_key_is_that_of_the_beginning(tmp_path, api):
    def key(*options: str) -> str:
        body = dry_run(tmp_path, "--api", api, "--cache", *options)
        assert unlike(api, body) == []
        return body["prompt_cache_key"]

    brief = key("-s", "Be brief.", "Hi")
    assert brief == key("-s", "Be brief.", "--messages", "messages.ndjson", "Bye")
    keys = {
        brief,
        key("-s", "Be long.", "Hi"),
        key("--messages", "messages.ndjson", "Hi"),
        key("-a", "river.txt", "Hi"),
    }
    assert [len(each) for each in keys] == [32] * 4
    assert "prompt_cache_key" not in dry_run(tmp_path, "--api", api, "-s", "Be brief.", "Hi")


MARK = {"prompt_cache_breakpoint": {"mode": "explicit"}}
SESSION = """[
    {"role": "user", "content": "What is the weather in Basel?"},
    {"role": "assistant", "content": null, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "Rain."},
    {"role": "assistant", "content": "It rains."}
]"""


@pytest.mark.parametrize(("api", "turns", "type"), [("chat", "messages", "text"), ("responses", "input", "input_text")])
def test_the_cache_of_newer_models_is_marked_where_the_prompt_begins_to_change(tmp_path, api, turns, type):
    (tmp_path / "session.json").write_text(SESSION)
    options = ("--api", api, "--cache", "-s", "Be brief.", "--tools", "tools.json", "--events")
    files = ("--messages", "session.json", "-a", "river.pdf", "-a", "river.txt")
    body = dry_run(tmp_path, *options, *files, "Hi", model="gpt-6-luna")
    assert unlike(api, body) == []
    assert json.dumps(body).count("prompt_cache_breakpoint") == 3
    system, *_, result, _, prompt = body[turns]
    assert system == {"role": "system", "content": [{"type": type, "text": "Be brief.", **MARK}]}
    assert result["content" if api == "chat" else "output"] == [{"type": type, "text": "Rain.", **MARK}]
    assert ["prompt_cache_breakpoint" in part for part in prompt["content"]] == [False, True, False]
    assert "instructions" not in body and len(body["prompt_cache_key"]) == 32


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize(
    ("model", "marks"),
    [("gpt-5.5", 0), ("gpt-5.6-sol", 1), ("gpt-5.10", 1), ("gpt-6-astra", 1), ("gpt-10", 1), ("gpt-4.1", 0), ("o3", 0)],
)
def test_only_newer_models_have_marks(tmp_path, api, model, marks):
    body = dry_run(tmp_path, "--api", api, "--cache", "-s", "Be brief.", "Hi", model=model)
    assert json.dumps(body).count("prompt_cache_breakpoint") == marks
    assert unlike(api, body) == []


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("options", [["--tools", "tools.json", "--events"], ["--messages", "messages.ndjson"]])
def test_marks_are_only_where_there_is_something_to_mark(tmp_path, api, options):
    body = dry_run(tmp_path, "--api", api, "--cache", *options, "Hi", model="gpt-6-luna")
    assert json.dumps(body).count("prompt_cache_breakpoint") == ("--messages" in options)
    assert unlike(api, body) == []


@pytest.mark.parametrize(("model", "mark"), [("anthropic/m", "cache_control"), ("openai/m", "prompt_cache_key")])
def test_a_cache_by_default_or_of_a_conversation_is_for_what_there_is(tmp_path, model, mark):
    config = tmp_path / "config"
    config.write_text("[providers.anthropic.defaults]\ncache = true\n[providers.openai.defaults]\ncache = true\n")
    env = {"model": model, "LLMSTREAM_CONFIG": str(config)}
    assert mark not in json.dumps(dry_run(tmp_path, "Hi", **env))
    assert mark in json.dumps(dry_run(tmp_path, "-s", "Be brief.", "Hi", **env))
    assert mark not in json.dumps(dry_run(tmp_path, "--cache", "--chat", "new", "Hi", model=model))


def test_cache_marks_an_attachment_without_a_prompt(tmp_path):
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "7"},
    ]
    (tmp_path / "turns").write_text(json.dumps(turns))
    options = ["--cache", "--messages", "turns", "-a", "river.txt"]
    *_, result, attachment = dry_run(tmp_path, *options, model="anthropic/m")["messages"]
    assert ["cache_control" in turn["content"][-1] for turn in (result, attachment)] == [True, True]


@pytest.mark.parametrize("api", APIS)
def test_each_shape_of_tools_gives_the_same_body(tmp_path, api):
    bare = {"name": "f", "description": "d", "parameters": option_bodies.PARAMETERS}
    schema = {"name": "f", "description": "d"}
    shapes = [
        {"type": "function", "function": bare},
        {"type": "function", **bare},
        bare,
        schema | {"input_schema": option_bodies.PARAMETERS},
        schema | {"inputSchema": option_bodies.PARAMETERS},
    ]
    bodies = []
    for shape in shapes:
        (tmp_path / "one.json").write_text(json.dumps([shape]))
        bodies.append(send(api, ["--tools", "one.json", "--events"], tmp_path).body)
    assert all(body == bodies[0] for body in bodies)
    assert unlike(api, bodies[0]) == []


@pytest.mark.parametrize("api", APIS)
def test_a_conversation_as_an_array_or_a_line_each(tmp_path, api):
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello."},
    ]
    (tmp_path / "array").write_text(json.dumps(turns, indent=1))
    (tmp_path / "lines").write_text("\n\n".join(map(json.dumps, turns)))
    array, lines = (send(api, ["--messages", name], tmp_path).body for name in ("array", "lines"))
    assert array == lines
    assert array == send(api, ["--messages", "messages.ndjson", "-s", "Be brief."], tmp_path).body
    assert unlike(api, array) == []


def test_prefill_is_the_last_message(tmp_path):
    body = send("messages", ["--prefill", "1. The"], tmp_path, OLDER_MODELS["messages"]).body
    assert body["messages"][-1] == {"role": "assistant", "content": "1. The"}


# Fields of the user beside ours.


@pytest.mark.parametrize(
    ("api", "options", "expected"),
    [
        ("responses", ["--effort", "low", "-o", 'reasoning={"summary":"auto"}'],
         {"reasoning": {"effort": "low", "summary": "auto"}}),
        ("chat", ["-o", 'stream_options={"include_obfuscation":false}'],
         {"stream_options": {"include_usage": True, "include_obfuscation": False}}),
        ("chat", ["-o", "stream_options=null"], {"stream_options": None}),
        ("responses", ["--schema", "name", "-o", 'text={"verbosity":"low","format":{"name":"river"}}'],
         {"text.verbosity": "low", "text.format.name": "river", "text.format.strict": True}),
        ("messages", ["--effort", "max", "--schema", "name", "-o", 'output_config={"effort":"low"}'],
         {"output_config.effort": "low", "output_config.format.type": "json_schema"}),
        ("messages", ["--effort", "low", "-o", 'thinking={"type":"enabled","budget_tokens":2000}'],
         {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
        ("responses", ["--max-tokens", "7", "-o", "max_output_tokens=9"], {"max_output_tokens": 9}),
        ("chat", ["-o", 'messages=[{"role":"user","content":"Bye"}]'],
         {"messages": [{"role": "user", "content": "Bye"}]}),
        ("chat", ["-o", "service_tier=flex"], {"service_tier": "flex"}),
        ("responses", ["-o", 'reasoning={"effort":"low"}', "-o", 'reasoning={"summary":"auto"}'],
         {"reasoning": {"effort": "low", "summary": "auto"}}),
    ],
)  # fmt: skip
def test_fields_of_the_user_are_merged_into_the_body(tmp_path, api, options, expected):
    body = send(api, options, tmp_path).body
    for path, value in expected.items():
        found = body
        for name in path.split("."):
            found = found.get(name)
        assert found == value
    assert unlike(api, body) == []


@pytest.mark.parametrize(
    "option",
    ["""['reasoning={"summary":"auto"}']""", """{ reasoning = { summary = "auto" } }"""],
    ids=["texts", "table"],
)
def test_a_prompt_file_merges_fields_too(tmp_path, option):
    (tmp_path / "p.md").write_text(f'+++\n[options]\neffort = "low"\noption = {option}\n+++\n')
    body = send("responses", ["-f", "p.md"], tmp_path).body
    assert body["reasoning"] == {"effort": "low", "summary": "auto"}


def test_a_configuration_merges_fields_of_a_model_with_a_short_name(invoke, tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(
        '[providers.perplexity.models.sonar]\neffort = "low"\noption = { reasoning = { summary = "auto" } }\n'
    )
    env = environment(LLMSTREAM_CONFIG=str(path), PERPLEXITY_API_KEY="k")
    done = invoke("gen", "-n", "--dry-run", "-m", "sonar", "Hi", env=env)
    assert json.loads(done.stdout.partition(b"\n\n")[2])["reasoning"] == {"effort": "low", "summary": "auto"}
