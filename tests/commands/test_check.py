"""`--check`: a whole answer is validated, and a wrong one asked for again."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from ..conftest import at
from ..support import needs
from ..support.limits import WAIT_S
from ..support.loopback import DIALECTS, Provider, chat, head, reply
from ..support.mapping import records_of
from ..support.sdk_types import unlike

pytestmark = needs.package("jsonschema", "check")

SCHEMA = "name, age int"
GOOD, BAD = '{"name": "Ann", "age": 7}', '{"name": "Ann", "age": "seven"}'
WRONG = "the answer is wrong at $.age: 'seven' is not of type 'integer'"
CHECK = ["-m", "openai/m", "--retries=0", "--schema", SCHEMA, "--check"]


def answer(text: str) -> list[bytes]:
    return [head(), *chat(text)]


def gen(invoke, scripts, *args: str, **options):
    with Provider(*scripts) as provider:
        done = invoke("gen", *CHECK, *args, "Who?", url=provider.url, **options)
    return done, [request.json["messages"] for request in provider.requests]


def test_a_right_answer_streams(invoke):
    done, requests = gen(invoke, [answer(GOOD)])
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, GOOD + "\n", b"")
    assert len(requests) == 1


def test_a_wrong_answer_that_was_written_is_not_asked_again(invoke):
    done, requests = gen(invoke, [answer(BAD)])
    assert (done.returncode, done.stdout.decode()) == (5, BAD + "\n")
    assert done.stderr.decode() == f"llmstream gen: {WRONG}\n"
    assert len(requests) == 1


def test_a_wrong_answer_for_a_file_is_asked_again_with_what_is_wrong(invoke, tmp_path):
    stats = tmp_path / "stats"
    done, requests = gen(
        invoke, [answer(BAD), answer(GOOD)], "-O", "out", "--stats-file", str(stats), "--sources", cwd=tmp_path
    )
    assert (done.returncode, (tmp_path / "out").read_text()) == (0, GOOD + "\n")
    assert done.stderr.decode() == f"llmstream gen: {WRONG}: asking again\n"
    first, second = requests
    assert second[: len(first) + 1] == [*first, {"role": "assistant", "content": BAD}]
    assert second[-1]["role"] == "user"
    assert "$.age: 'seven' is not of type 'integer'" in second[-1]["content"]
    (record,) = records_of(stats.read_bytes())
    assert (record["input_tokens"], record["output_tokens"], record["status"]) == (6, 4, 0)


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_the_old_file_stays_where_the_answer_stays_wrong(invoke, tmp_path, retries):
    (tmp_path / "out").write_text("old")
    done, requests = gen(invoke, [answer(BAD)], "-O", "out", f"--check-retries={retries}", cwd=tmp_path)
    assert (done.returncode, (tmp_path / "out").read_text(), os.listdir(tmp_path)) == (5, "old", ["out"])
    assert WRONG in done.stderr.decode()
    assert len(requests) == 1 + retries


def test_a_device_cannot_take_an_answer_back(invoke):
    done, requests = gen(invoke, [answer(BAD)], "-O", "-")
    assert (done.returncode, done.stdout.decode(), len(requests)) == (5, BAD + "\n", 1)


def test_events_in_a_file_are_those_of_the_last_answer(invoke, tmp_path):
    done, _ = gen(invoke, [answer(BAD), answer(GOOD)], "-O", "out", "--events", cwd=tmp_path)
    events = records_of((tmp_path / "out").read_bytes())
    assert (done.returncode, [event["type"] for event in events].count("start")) == (0, 1)
    assert "".join(event["text"] for event in events if event["type"] == "text") == GOOD


@pytest.mark.parametrize(
    "scripts, status, text", [([BAD, GOOD], 0, GOOD), ([BAD, BAD], 5, BAD), ([BAD, None], 4, None)]
)
def test_a_record_of_gen_is_that_of_map(invoke, scripts, status, text):
    unavailable = reply("503 Service Unavailable", b"{}")
    steps = [unavailable if each is None else answer(each) for each in scripts]
    with Provider(*steps, *steps) as provider:
        done = invoke("gen", *CHECK, "--line", "Who?", url=provider.url)
        mapped = invoke("map", "-q", *CHECK, input=b"Who?\n", url=provider.url)
    assert (done.returncode, mapped.returncode) == (status, status)
    (record,) = records_of(done.stdout)
    assert [{**mapped, **record} for mapped in records_of(mapped.stdout)] == records_of(mapped.stdout)
    assert record.get("text") == text
    assert record.get("error", {}).get("status", 0) == status
    if text:
        assert record["usage"]["output_tokens"] == 4


def test_a_conversation_has_the_correction_but_no_wrong_end(invoke, tmp_path):
    args = ["-O", "out", "--chat", "talk"]
    done, _ = gen(invoke, [answer(BAD)], *args, cwd=tmp_path)
    assert (done.returncode, os.listdir(tmp_path)) == (5, [])
    assert b"talk is left as it was: --keep-cut keeps what came" in done.stderr
    done, requests = gen(invoke, [answer(BAD), answer(GOOD)], *args, cwd=tmp_path)
    assert done.returncode == 0
    turns = records_of((tmp_path / "talk").read_bytes())
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant"]
    assert turns[:-1] == requests[-1]


@pytest.mark.parametrize("api", DIALECTS)
def test_each_protocol_is_asked_again(invoke, tmp_path, api):
    model = {"messages": "anthropic/m", "ollama": "ollama/m"}.get(api, "openai/m")
    protocol = [] if model != "openai/m" else ["--api", api]
    args = ["gen", "-m", model, *protocol, "--schema", SCHEMA, "--check", "-O", "out", "Who?"]
    frames = DIALECTS[api]
    kind = {"content_type": "application/x-ndjson"} if api == "ollama" else {}
    with Provider([head(**kind), *frames(BAD)], [head(**kind), *frames(GOOD)]) as provider:
        done = invoke(*args, url=provider.url, cwd=tmp_path)
    assert (done.returncode, (tmp_path / "out").read_text()) == (0, GOOD + "\n")
    body = provider.requests[1].json
    assert [turn["role"] for turn in body.get("messages") or body["input"]] == ["user", "assistant", "user"]
    if api != "ollama":
        assert unlike(api, body) == []


@pytest.mark.parametrize(
    "shape, text, problem",
    [
        (["--json"], "[1]", "$: [1] is not of type 'object'"),
        (["--json"], "Sure! {}", "$: this is not JSON (a value is missing at character 1)"),
        (["--json"], "[" * 5000, "$: this is n"),
        (["--json"], '{"a": NaN}', "$: this is not JSON (JSON has no NaN)"),
        (
            ["--schema-multi", "a int"],
            '{"items": [{"a": 1}, {"a": "x"}]}',
            "$.items[1].a: 'x' is not of type 'integer'",
        ),
        (["--schema", '{"maxProperties": 1}'], json.dumps({"a": "\x0e\n" * 999, "b": 1}), "$: {'a': "),
        (["--schema", SCHEMA], "{}", "$: 'name' is a required property (and 1 more)"),
    ],
)
def test_what_is_wrong_and_where_is_one_line(invoke, shape, text, problem):
    with Provider(answer(text)) as provider:
        done = invoke("gen", "-m", "openai/m", *shape, "--check", "Who?", url=provider.url)
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 5
    assert line.startswith(f"llmstream gen: the answer is wrong at {problem}")
    assert len(line) < 400


@pytest.mark.parametrize(
    "args, message",
    [
        (["--check"], "--check needs --schema or --json: say what is right"),
        (["--json", "--check-retries=2"], "--check-retries is for the answers of --check: add it"),
        (["--json", "--check", "--until-lines=1"], "--check and stop conditions exclude each other: leave one out"),
        (
            ["--check", "--schema", '{"pattern": "\\\\p{L}"}'],
            "the schema cannot be checked at $.pattern: '\\\\p{L}' is not a 'regex'",
        ),
        *(
            (
                ["--check", "--schema", f'{{"$schema": {version}}}'],
                "the schema cannot be checked at $: its $schema names no version",
            )
            for version in ("5", "{}", '"http://["')
        ),
    ],
)
@pytest.mark.parametrize("command", ["gen", "map"])
def test_wrong_usage_is_an_error_before_anything_is_sent(invoke, command, args, message):
    done = invoke(command, "-m", "openai/m", *args, "{}", input=b"x\n", url="http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == f"llmstream {command}: {message}\n"


DRAFT = "http://json-schema.org/draft-0{}/schema#"


@pytest.mark.parametrize(
    "schema, problem",
    [
        ({"$ref": "http://127.0.0.1:9/x"}, "has no 'http"),
        ({"$ref": "#"}, "refers to itself"),
        ({"$schema": DRAFT.format(4), "$ref": []}, "is invalid by its own $schema"),
        ({"$schema": DRAFT.format(3), "disallow": "::::"}, "is invalid by its own $schema"),
    ],
)
def test_what_turns_out_to_be_wrong_in_a_schema_is_an_error(invoke, schema, problem):
    schema = json.dumps(schema)
    with Provider(lambda request: answer(GOOD)) as provider:
        done = invoke("gen", "-m", "openai/m", "--schema", schema, "--check", "Who?", url=provider.url)
        mapped = invoke("map", "-q", "-m", "openai/m", "--schema", schema, "--check", input=b"a\n", url=provider.url)
    (record,) = records_of(mapped.stdout)
    assert (done.returncode, mapped.returncode, len(provider.requests)) == (2, 2, 2)
    assert problem in done.stderr.decode() and problem in record["error"]["message"]


def test_without_the_extra_a_line_says_what_to_install(invoke, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = invoke("gen", *CHECK, "Who?")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"llmstream gen: --check needs jsonschema: pip install 'llmstream-cli[check]'\n"


def test_a_wrong_answer_is_not_in_the_journal_and_an_unchecked_one_is_checked(invoke, tmp_path):
    journal = ["--journal", "run", "-q"]
    plain = [each for each in CHECK if each != "--check"]
    with Provider(answer(BAD)) as provider:
        assert invoke("map", *journal, *plain, input=b"Who?\n", url=provider.url, cwd=tmp_path).returncode == 0
        done = invoke("map", *journal, *CHECK, input=b"Who?\n", url=provider.url, cwd=tmp_path)
        assert (done.returncode, len(provider.requests)) == (5, 3)
    with Provider(answer(GOOD)) as provider:
        for requests in (1, 1):
            done = invoke("map", *journal, *CHECK, input=b"Who?\n", url=provider.url, cwd=tmp_path)
            assert (done.returncode, len(provider.requests)) == (0, requests)
        assert records_of(done.stdout)[0]["text"] == GOOD


def test_each_record_has_its_schema(invoke):
    lines = [{"prompt": "a", "schema": "x int"}, {"prompt": "b"}, {"prompt": "c", "schema": SCHEMA}]
    input = "".join(json.dumps(line) + "\n" for line in lines).encode()
    with Provider(lambda request: answer(GOOD)) as provider:
        done = invoke("map", "-q", "-m", "openai/m", "--jsonl", "--check", input=input, url=provider.url)
    assert ["error" in record for record in records_of(done.stdout)] == [True, False, False]
    assert (done.returncode, len(provider.requests)) == (5, 4)


def mapped(invoke, lines: list[dict], *args: str, script=lambda request: answer(BAD)):
    input = "".join(json.dumps(line) + "\n" for line in lines).encode()
    with Provider(script) as provider:
        done = invoke("map", "-q", "-m", "openai/m", "--jsonl", *args, input=input, url=provider.url)
    return done, records_of(done.stdout), len(provider.requests)


def test_a_record_may_ask_for_a_check(invoke):
    plain = {"prompt": "a", "schema": SCHEMA}
    lines = [plain, plain | {"check": True, "check_retries": 2}, plain | {"check": True}]
    done, records, requests = mapped(invoke, lines)
    assert (done.returncode, requests) == (5, 1 + 3 + 2)
    assert "error" not in records[0]
    assert [record["error"]["message"] for record in records[1:]] == [WRONG, WRONG]


def test_a_record_may_go_without_the_check(invoke):
    lines = [{"prompt": "a"}, {"prompt": "b", "check": False}, {"prompt": "c", "check_retries": 0}]
    done, records, requests = mapped(invoke, lines, "--schema", SCHEMA, "--check")
    assert (done.returncode, requests) == (5, 2 + 1 + 1)
    assert ["error" in record for record in records] == [True, False, True]


@pytest.mark.parametrize(
    ("line", "args", "message"),
    [
        ({"check": True}, [], "check needs schema or json: say what is right"),
        ({"check": True, "json": True}, ["--until-words=1"], "check and stop conditions exclude each other"),
        ({"check_retries": 1, "json": True}, [], "check_retries is for the answers of check: add it"),
        ({"check": True, "schema": {"pattern": "("}}, [], "the schema cannot be checked at $.pattern: '(' is not"),
    ],
)
def test_a_record_whose_answer_cannot_be_checked_is_an_error(invoke, line, args, message):
    done, (wrong, right), requests = mapped(
        invoke, [{"prompt": "a", **line}, {"prompt": "b"}], *args, script=lambda request: answer("a b")
    )
    assert (done.returncode, wrong["error"]["status"], requests) == (2, 2, 1)
    assert message in wrong["error"]["message"]
    assert "error" not in right


def test_a_record_of_a_batch_has_no_check(invoke, tmp_path):
    args = ["--batch", "--journal", "run", "--dry-run"]
    line = json.dumps({"prompt": "a", "json": True, "check": True}).encode()
    done = invoke("map", "-m", "openai/m", "--jsonl", *args, input=line, url="http://127.0.0.1:9", cwd=tmp_path)
    assert done.returncode == 2
    assert b"check and --batch exclude each other" in done.stderr


SLOW = [
    {"properties": {"name": {"pattern": "^(a+)+$"}}},
    {
        "$defs": {**{f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)}, "d40": {}},
        "$ref": "#/$defs/d0",
    },
]
LONG = json.dumps({"name": "a" * 60 + "!"})
TOO_SLOW = "the answer cannot be checked: that takes more than {} s"


@pytest.mark.parametrize("schema", SLOW, ids=["pattern", "references"])
def test_a_check_that_would_take_for_ever_ends(run, schema):
    """By its CPU time, so a busy machine is no fault."""
    options = ["-m", "openai/m", "--schema", json.dumps(schema), "--check"]
    with Provider(lambda request: answer(LONG)) as provider:
        done = run("gen", "-n", *options, "Who?", url=provider.url)
        line = run("gen", "-n", *options, "--line", "Who?", url=provider.url)
    assert (done.returncode, done.stdout.decode(), done.stderr.count(b"\n")) == (2, f"{LONG}\n", 1)
    assert TOO_SLOW.format(2) in done.stderr.decode()
    (record,) = records_of(line.stdout)
    assert (line.returncode, record["text"], record["error"]["status"]) == (2, LONG, 2)
    assert TOO_SLOW.format(2) in record["error"]["message"]


def test_a_slow_check_stops_no_other_prompt(run):
    lines = [{"prompt": "a", "schema": SLOW[0], "check": True}, {"prompt": "b", "schema": SCHEMA, "check": True}]
    input = "".join(json.dumps(line) + "\n" for line in lines).encode()

    def script(request):
        return answer(LONG if request.json["messages"][-1]["content"] == "a" else GOOD)

    with Provider(script) as provider:
        done = run("map", "-m", "openai/m", "--jsonl", input=input, url=provider.url)
    slow, right = records_of(done.stdout)
    assert (done.returncode, slow["text"], slow["error"]["status"]) == (2, LONG, 2)
    assert right["data"] == json.loads(GOOD)


def test_events_of_map_are_not_taken_back(invoke):
    with Provider(answer(BAD)) as provider:
        done = invoke("map", "-q", *CHECK, "--events", input=b"Who?\n", url=provider.url)
    assert records_of(done.stdout)[-1] == {"index": 0, "type": "error", "status": 5, "message": WRONG}
    assert (done.returncode, len(provider.requests)) == (5, 1)


PROMPT_FILE = """+++
schema = "name, age int"
options.check = true
options.check_retries = 2
+++
Who is {{stdin}}?
"""


def test_a_prompt_file_may_ask_for_a_check(invoke, tmp_path):
    (tmp_path / "who").write_text(PROMPT_FILE)
    args = ["-m", "openai/m", "-f", "who"]
    with Provider(answer(BAD), answer(BAD), answer(GOOD), answer(BAD)) as provider:
        mapped = invoke("map", "-q", *args, input=b"Ann\n", url=provider.url, cwd=tmp_path)
        assert (mapped.returncode, records_of(mapped.stdout)[0]["text"], len(provider.requests)) == (0, GOOD, 3)
        done = invoke("gen", *args, input=b"Ann", url=provider.url, cwd=tmp_path)
    assert (done.returncode, done.stderr.decode()) == (5, f"llmstream gen: {WRONG}\n")


def test_the_check_of_a_configuration_is_for_answers_in_json(invoke, tmp_path):
    (tmp_path / "c").write_text("[providers.openai]\ndefaults = { check = true, check_retries = 0 }\n")
    with Provider(answer(BAD)) as provider:
        env = at(provider.url, LLMSTREAM_CONFIG=str(tmp_path / "c"))
        plain = invoke("gen", "-n", "-m", "openai/m", "Who?", env=env)
        wrong = invoke("gen", "-n", "-m", "openai/m", "--line", "--schema", SCHEMA, "Who?", env=env)
        more = invoke("gen", "-n", "-m", "openai/m", "--line", "--schema", SCHEMA, "--check-retries=1", "Who?", env=env)
    assert (plain.returncode, wrong.returncode, more.returncode) == (0, 5, 5)
    assert len(provider.requests) == 4


STREAM = """
import asyncio, sys, llmstream
from llmstream import Incomplete, UsageError

options = {"model": "openai/m", "schema": {"properties": {"age": {"type": "integer"}}}, "check": True}

async def read():
    async with llmstream.astream("Who?", **options) as answer:
        return await answer.read()

print(llmstream.stream("Who?", **options).read())
for read_wrong in (lambda: print("".join(llmstream.stream("Who?", **options).text)), lambda: asyncio.run(read())):
    try:
        read_wrong()
    except Incomplete as error:
        print(error)
for more in ({"schema": None}, {"until": {"words": 1}}):
    try:
        llmstream.stream("Who?", **options | more)
    except UsageError as error:
        print(error)
"""


def test_python_raises_at_the_end_of_a_wrong_answer():
    with Provider(answer(GOOD), answer(BAD)) as provider:
        done = subprocess.run([sys.executable, "-c", STREAM], capture_output=True, env=at(provider.url), timeout=WAIT_S)
    assert done.stderr == b""
    assert done.stdout.decode().splitlines() == [
        GOOD,
        WRONG,
        WRONG,
        "check needs schema or json: say what is right",
        "check and until exclude each other: leave one out",
    ]
    assert len(provider.requests) == 3


def test_serve_checks_answers(tmp_path):
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    from .test_serve import serving_through

    body = {"prompt": "Who?", "schema": SCHEMA, "check": True}
    answers = [answer(GOOD), answer(BAD), answer(LONG), answer(LONG), answer(GOOD)]
    with Provider(*answers) as provider, serving_through(provider) as server:
        right = server.post("/chat/stream", body).read().decode()
        wrong = server.post("/chat/stream", body).read().decode()
        slow = [server.post("/chat/stream", body | {"schema": schema}).read().decode() for schema in SLOW]
        after = server.post("/chat/stream", body | {"check": False}).read().decode()
        passed_on = server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "check": True})
    assert right.endswith("data: [DONE]\n\n")
    assert wrong.endswith(f'event: error\ndata: {{"status": 5, "message": "{WRONG}"}}\n\n')
    assert all(stream.endswith("}\n\n") and TOO_SLOW.format("0.2") in stream for stream in slow)
    assert after.endswith("data: [DONE]\n\n")
    assert passed_on.status == 400
