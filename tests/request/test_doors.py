"""Every option at every door that has it makes the request that it makes on gen's command line; no door drops one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmstream.api.prepared import prepare
from llmstream.core.request import Request
from llmstream.providers.target import Target
from llmstream.request.options import FILE, HTTP, OPTIONS, PYTHON, RECORD, at

from ..conftest import at as environment_at
from ..support.loopback import DIALECTS, Provider, head
from ..support.mapping import records_of

TOOLS = [{"name": "w", "parameters": {"type": "object", "properties": {}}}]
MESSAGES = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
SCHEMA = {"title": "r", "type": "object", "properties": {"n": {"type": "string"}}, "required": ["n"]}
PNG = b"\x89PNG\r\n\x1a\nx"
FILES = {"tools": ("t.json", TOOLS), "messages": ("m.json", MESSAGES)}
CHAT, CLAUDE, OPENAI = "llamacpp/m", "anthropic/claude-sonnet-5-5", "openai/m"
URL = "http://127.0.0.1:9"  # where nothing listens

# By option: the model, and the value as JSON has it. All others are about the way to the model, not about the request.
VALUES: dict[str, tuple[str, Any]] = {
    "system": (CHAT, "B"),
    "max_tokens": (CHAT, 9),
    "temperature": (CHAT, 0.5),
    "top_p": (CHAT, 0.5),
    "seed": (CHAT, 7),
    "stop": (CHAT, ["E"]),
    "options": (CHAT, {"x": 1}),
    "json": (CHAT, True),
    "schema": (CHAT, SCHEMA),
    "schema_multi": (CHAT, "n, k int"),
    "attach": (CHAT, ["a.png"]),
    "messages": (CHAT, MESSAGES),
    "prefill": (CHAT, "The"),
    "effort": (CHAT, "low"),
    "tools": (CHAT, TOOLS),
    "within": (OPENAI, "8h"),
    "cache": (CLAUDE, True),
    "cache_ttl": (CLAUDE, "1h"),
}
NEEDS = {"cache": {"system": "B"}, "cache_ttl": {"system": "B"}}  # options beside it
API = {OPENAI: {"api": "responses"}}  # at the base URL of the tests


def environment(url: str = URL, **more: str) -> dict[str, str]:
    return environment_at(url, LLAMACPP_BASE_URL=f"{url}/v1", **more)


def words(name: str, value: Any) -> list[str]:
    """Returns the option on the command line."""
    flag = f"--{OPTIONS[name].long}"
    if value is True:
        return [flag]
    if name == "options":
        return [word for key, item in value.items() for word in (flag, f"{key}={json.dumps(item)}")]
    if name in FILES:
        return [flag, FILES[name][0]]
    items = value if isinstance(value, list) else [value]
    return [word for item in items for word in (flag, json.dumps(item) if isinstance(item, dict) else str(item))]


@pytest.fixture
def dry(invoke, tmp_path):
    """Returns the body that `gen --dry-run` shows."""
    (tmp_path / "a.png").write_bytes(PNG)
    for path, items in FILES.values():
        (tmp_path / path).write_text(json.dumps(items))

    def dry(*args: str, **env: str) -> Any:
        done = invoke("gen", "-n", "--dry-run", "--line", *args, env=environment(**env), cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, b"")
        return json.loads(done.stdout.partition(b"\n\n")[2])

    return dry


def expected(dry, name: str) -> Any:
    """Returns the body with the option on gen's command line, which is another one than that without."""
    model, value = VALUES[name]
    needs = [word for item in (NEEDS.get(name, {}) | API.get(model, {})).items() for word in words(*item)]
    plain = dry("-m", model, *needs, "P")
    body = dry("-m", model, *needs, *words(name, value), "P")
    assert body != plain
    return body


def toml(name: str, value: Any) -> str:
    """Returns the option as a line of TOML."""
    if name == "options":
        return f"option = {{ {', '.join(f'{key} = {json.dumps(item)}' for key, item in value.items())} }}\n"
    if name in FILES:
        value = FILES[name][0]
    return f"{name} = {json.dumps(json.dumps(value) if isinstance(value, dict) else value)}\n"


def by(door: str) -> Any:
    return pytest.mark.parametrize("name", [row.name for row in at(door) if row.name in VALUES])


@by(FILE)
def test_a_prompt_file(dry, tmp_path, name):
    model, value = VALUES[name]
    body = expected(dry, name)
    lines = {key: toml(key, item) for key, item in {name: value, **NEEDS.get(name, {}), **API.get(model, {})}.items()}
    top = "".join(line for key, line in lines.items() if key in ("system", "schema"))
    table = "".join(line for key, line in lines.items() if key not in ("system", "schema"))
    (tmp_path / "p").write_text(f"+++\n{top}[options]\n{table}+++\nP")
    assert dry("-m", model, "-f", "p") == body


@by(FILE)
def test_the_configuration(dry, tmp_path, name):
    model, value = VALUES[name]
    body = expected(dry, name)
    provider = model.partition("/")[0]
    api = "".join(toml(*item) for item in API.get(model, {}).items())
    lines = "".join(toml(*item) for item in {name: value, **NEEDS.get(name, {})}.items())
    (tmp_path / "c").write_text(f"[providers.{provider}]\n{api}[providers.{provider}.defaults]\n{lines}")
    assert dry("-m", model, "P", LLMSTREAM_CONFIG=str(tmp_path / "c")) == body


@by(PYTHON)
def test_python(dry, tmp_path, monkeypatch, name):
    model, value = VALUES[name]
    body = expected(dry, name)
    monkeypatch.chdir(tmp_path)
    for key, setting in environment().items():
        monkeypatch.setenv(key, setting)
    prepared = prepare("P", {"model": model, name: value, **NEEDS.get(name, {}), **API.get(model, {})})
    assert body_of(prepared.target, prepared.request) == body


def body_of(target: Target, request: Request) -> Any:
    return json.loads(json.dumps(target.body(request)))


@by(HTTP)
def test_serve(dry, monkeypatch, name):
    bodies = pytest.importorskip("llmstream.serve.bodies", reason="the extra `serve` is not installed")
    from llmstream.serve.settings import Settings

    model, value = VALUES[name]
    body = expected(dry, name)
    for key, setting in environment().items():
        monkeypatch.setenv(key, setting)
    sent = bodies.Prompt.model_validate({"prompt": "P", "model": model, name: value})
    request = sent.request(Settings(allow_models=("*",)))
    prepared = prepare(request.prompt, request.options)
    assert body_of(prepared.target, prepared.request) == body


def script(request: Any) -> list[bytes]:
    kind = request.line.split()[1].rpartition("/")[2]
    return [head(), *DIALECTS[{"completions": "chat"}.get(kind, kind)]("{}")]


@pytest.mark.parametrize("name", sorted(VALUES.keys() - {"within"}))  # which gets no answer at once
def test_map(invoke, dry, tmp_path, name):
    model, value = VALUES[name]
    body = expected(dry, name)
    more = {**NEEDS.get(name, {}), **API.get(model, {})}
    args = [word for item in {name: value, **more}.items() for word in words(*item)]
    with Provider(script) as provider:
        options = {"input": b"P\n", "env": environment(provider.url), "cwd": tmp_path}
        done = invoke("map", "-q", "-m", model, *args, **options)
    assert (done.returncode, provider.requests[0].json) == (0, body)


@by(RECORD)
def test_a_record(invoke, dry, name):
    model, value = VALUES[name]
    body = expected(dry, name)
    with Provider(script) as provider:
        line = json.dumps({"prompt": "P", name: value}).encode()
        done = invoke("map", "-q", "-m", model, "--jsonl", input=line, env=environment(provider.url))
    assert (done.returncode, provider.requests[0].json) == (0, body)


def test_a_choice_of_a_tool_is_in_a_record(invoke):
    line = json.dumps({"prompt": "P", "tools": TOOLS, "tool_choice": "required"}).encode()
    with Provider(script) as provider:
        done = invoke("map", "-q", "-m", CHAT, "--jsonl", input=line, env=environment(provider.url))
    assert (done.returncode, provider.requests[0].json["tool_choice"]) == (0, "required")


def test_the_tools_of_a_record_are_not_run(invoke, tmp_path):
    (tmp_path / "t.json").write_text(json.dumps(TOOLS))
    lines = [{"prompt": "P", "tools": [{"name": "--version"}]}, {"prompt": "P"}]
    input = "".join(json.dumps(line) + "\n" for line in lines).encode()
    args = ["-m", CHAT, "--jsonl", "--tools", "t.json", "--run-tools", "cat"]
    with Provider(script) as provider:
        done = invoke("map", "-q", *args, input=input, env=environment(provider.url), cwd=tmp_path)
    refused, right = records_of(done.stdout)
    assert (done.returncode, len(provider.requests), right["text"]) == (2, 1, "{}")
    assert refused["error"]["message"] == "run_tools runs no tools of a record: leave its tools out"


@pytest.mark.parametrize(
    ("lines", "args", "note"),
    [
        ([{"prompt": "P", "attach": "a.png"}], [], "attach of line 1 is data: --attach is for all records"),
        (
            [{"prompt": "P"}, {"prompt": "P", "api": "x", "cache": True}],
            [],
            "api of line 2 is data: --api is for all records; cache of line 2 is data: --cache is for all records",
        ),
        ([{"api": "x", "prompt": "P"}], ["About {api}: {}"], ""),
        ([{"timeout": {"s": 1}, "prompt": "P"}], ["{timeout.s} {}"], ""),
        ([{"promt": 1, "prompt": "P", "note": "x", "reasoning": "y"}], [], ""),
    ],
)
def test_a_field_that_is_no_option_of_a_record_is_noted(invoke, lines, args, note):
    input = "".join(json.dumps(line) + "\n" for line in lines).encode()
    with Provider(script) as provider:
        done = invoke("map", "-m", CHAT, "--jsonl", *args, input=input, env=environment(provider.url))
    notes = [line for line in done.stderr.decode().splitlines() if " is data: " in line]
    assert (done.returncode, notes) == (0, [f"llmstream map: {note}"] if note else [])
