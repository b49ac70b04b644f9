"""`models`: what can be named, and what a provider lists, over real sockets."""

from __future__ import annotations

import json

import pytest

from llmstream.providers.registry import PROVIDERS

from ..conftest import at, environment
from ..support.limits import WAIT_S
from ..support.loopback import HOLD, Provider, reply


def listed(*names: str, **more: object) -> list[bytes]:
    """A response that lists models."""
    return reply("200 OK", json.dumps({"object": "list", "data": [{"id": name} for name in names], **more}).encode())


def rows(stdout: bytes) -> dict[str, dict]:
    return {record["name"]: record for record in map(json.loads, stdout.splitlines())}


# The overview.


def test_aliases_and_providers(invoke, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("""
        model = "quick"
        aliases = { quick = "openai/gpt-x", mine = "w/m" }
        [providers.w]
        base_url = "https://w.example"
        key_cmd = "touch ran"
        [providers.gone]
        base_url = "https://w.example"
        key_cmd = "no-such-program --key"
        [providers.also-gone]
        base_url = "https://w.example"
        key_cmd = ["no-such-program", "key"]
        [providers.shell]
        base_url = "https://w.example"
        key_cmd = "X=1 no-such-program"
        [providers.builtin]
        base_url = "https://w.example"
        key_cmd = "printf k"
        [providers.groq]
        key_file = "no-such-file"
    """)
    env = environment(LLMSTREAM_CONFIG=str(path), OPENAI_API_KEY="geheim")
    done = invoke("models", env=env, cwd=tmp_path)
    lines = {line.split()[0]: line.split(maxsplit=2)[1:] for line in done.stdout.decode().splitlines()}
    assert list(lines) == ["quick", "mine", *PROVIDERS, "w", "gone", "also-gone", "shell", "builtin"]
    expected = {
        "quick": ["openai/gpt-x", "default, key found (OPENAI_API_KEY)"],
        "mine": ["w/m", "key from key_cmd"],
        "openai": ["openai/gpt-6-luna", "key found (OPENAI_API_KEY)"],
        "anthropic": ["anthropic/claude-sonnet-5-5", "key not found (set ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN)"],
        "gemini": ["gemini/gemini-flash-latest", "key not found (set GEMINI_API_KEY or GOOGLE_API_KEY)"],
        "bedrock": ["-", "credentials: the SDK's"],
        "azure": ["-", "no address (set AZURE_OPENAI_ENDPOINT)"],
        "gone": ["-", "key not found (key_cmd: there is no command no-such-program)"],
        "also-gone": ["-", "key not found (key_cmd: there is no command no-such-program)"],
        "shell": ["-", "key from key_cmd"],
        "builtin": ["-", "key from key_cmd"],
        "ollama": ["-", "no key needed"],
        "w": ["-", "key from key_cmd"],
    }
    assert {name: lines[name] for name in expected} == expected
    assert lines["groq"][1].startswith("key not found (key_file: cannot read ")
    assert (done.stderr, done.returncode) == (b"", 0)
    assert b"geheim" not in done.stdout
    assert not (tmp_path / "ran").exists()


def test_what_is_not_installed_is_said(invoke, monkeypatch):
    def find(name: str) -> None:
        if "." in name:  # as importlib does where the package is missing
            raise ModuleNotFoundError

    monkeypatch.setattr("llmstream.commands.models.find_spec", find)
    monkeypatch.setattr("llmstream.net.clients.find_spec", find)
    azure = {"AZURE_OPENAI_ENDPOINT": "https://a.example"}
    found = rows(invoke("models", "--json", env=environment(**azure)).stdout)
    extras = {"local": "local", "bedrock": "bedrock", "bedrock-mantle": "bedrock", "vertex": "vertex", "azure": "azure"}
    for name, extra in extras.items():
        assert (found[name]["key_found"], found[name]["key"]) == (
            False,
            f"not installed (pip install 'llmstream-cli[{extra}]')",
        )
    assert found["local"]["default"]
    found = rows(invoke("models", "--json", env=environment(AZURE_OPENAI_AD_TOKEN="t", **azure)).stdout)
    assert (found["azure"]["key_found"], found["azure"]["key"]) == (None, "token found (AZURE_OPENAI_AD_TOKEN)")
    found = rows(invoke("models", "--json", env=environment(AZURE_OPENAI_API_KEY="k", **azure)).stdout)
    assert (found["azure"]["key_found"], found["azure"]["key"]) == (True, "key found (AZURE_OPENAI_API_KEY)")


def test_an_alias_is_no_provider(invoke, tmp_path):
    (tmp_path / "config.toml").write_text('aliases = { quick = "openai/gpt-x", tape = "replay:/a.rec" }')
    for alias, message in [
        ("quick", "quick is an alias of the model openai/gpt-x: llmstream models openai lists those of its provider"),
        ("tape", "tape is an alias of the model replay:/a.rec"),
    ]:
        done = invoke("models", alias, env=environment(LLMSTREAM_CONFIG=str(tmp_path / "config.toml")))
        assert (done.returncode, done.stderr.decode()) == (2, f"llmstream models: {message}\n")


def test_json(invoke):
    found = rows(invoke("models", "--json", env=environment(ANTHROPIC_API_KEY="k")).stdout)
    assert found["anthropic"] == {
        "name": "anthropic", "kind": "provider", "model": "anthropic/claude-sonnet-5-5", "fallbacks": [],
        "key_found": True, "key": "key found (ANTHROPIC_API_KEY)", "default": True,
    }  # fmt: skip
    assert (found["groq"]["model"], found["groq"]["key_found"], found["local"]["key_found"]) == (None, False, None)


def test_an_alias_for_several_models_shows_them_all(invoke, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("[aliases]\nboth = ['first', 'claude-x', 'm.gguf']\nfirst = 'openai/a'\n")
    env = environment(LLMSTREAM_CONFIG=str(path))
    both = rows(invoke("models", "--json", env=env).stdout)["both"]
    assert (both["model"], both["fallbacks"]) == ("openai/a", ["anthropic/claude-x", f"{tmp_path}/m.gguf"])
    line = next(line for line in invoke("models", env=env).stdout.decode().splitlines() if line.startswith("both "))
    assert line.split()[1] == f"openai/a,anthropic/claude-x,{tmp_path}/m.gguf"


def test_what_a_provider_writes_as_a_number_is_json(invoke):
    with Provider(reply("200 OK", b'{"data": [{"id": "a", "x": [NaN, -Infinity, 1e999, 1.5]}]}')) as provider:
        done = invoke("models", "--json", "openai", url=provider.url)
    assert done.stdout.endswith(b'"details": {"id": "a", "x": [null, null, null, 1.5]}}\n')


@pytest.mark.parametrize(
    ("variables", "name", "model"),
    [
        ({}, "local", "local/smollm2-135m"),
        ({"GROQ_API_KEY": "k"}, "groq", None),
        ({"LLMSTREAM_MODEL": "groq/m"}, "groq/m", "groq/m"),
        ({"LLMSTREAM_MODEL": "claude-x"}, "claude-x", "anthropic/claude-x"),
        ({"LLMSTREAM_MODEL": "replay:a.rec"}, "replay:a.rec", "replay:a.rec"),
        ({"LLMSTREAM_MODEL": "/m/x.gguf"}, "/m/x.gguf", "/m/x.gguf"),
    ],
)
def test_one_line_is_the_default(invoke, variables, name, model):
    found = rows(invoke("models", "--json", env=environment(**variables)).stdout)
    assert [(row["name"], row["model"]) for row in found.values() if row["default"]] == [(name, model)]


# What a provider lists.


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"data": [{"id": "b"}, {"id": "a"}, {"id": "b"}]}, ["a", "b"]),
        ([{"id": "a/b"}], ["a/b"]),  # Together
        ({"data": [{"id": "models/gemini-x"}]}, ["gemini-x"]),
        ({"models": [{"name": "a"}], "data": None}, ["a"]),
        ({"data": [{"id": "a"}, {"id": 1}, {}, None, "x"]}, ["a"]),
    ],
)
def test_names_are_whole_and_sorted(invoke, body, names):
    with Provider(reply("200 OK", json.dumps(body).encode())) as provider:
        done = invoke("models", "openai", url=provider.url)
    assert (done.stdout.decode().splitlines(), done.stderr, done.returncode) == ([f"openai/{n}" for n in names], b"", 0)
    [request] = provider.requests
    assert (request.line, request.body) == ("GET /v1/models HTTP/1.1", b"")
    assert request.headers["authorization"] == "Bearer sk-test-key"


def test_details_in_json(invoke):
    with Provider(reply("200 OK", b'{"data": [{"id": "a", "context": 5}]}')) as provider:
        done = invoke("models", "--json", "openai", url=provider.url)
    assert json.loads(done.stdout) == {
        "name": "openai/a", "provider": "openai", "model": "a", "lifecycle": None, "retires": None, "replacement": None,
        "details": {"id": "a", "context": 5},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "mark"),
    [
        ({"shutdown_date": "2026-10-23"}, "retires 2026-10-23"),  # OpenAI
        ({"shutdown_date": None}, ""),
        ({"lifecycle": "active", "deprecated_at": None, "retires_at": None}, ""),  # Anthropic
        ({"lifecycle": "deprecated", "retires_at": None}, "deprecated"),
        ({"lifecycle": "deprecated", "retires_at": "2027-02-01T00:00:00Z"}, "retires 2027-02-01"),
        ({"lifecycle": "retired", "retires_at": "2026-02-01T00:00:00Z"}, "retired 2026-02-01"),
        ({"lifecycle": "new"}, ""),
        (
            {"deprecation": "2026-08-31T12:00:00Z", "deprecation_replacement_model": "medium"},  # Mistral
            "retires 2026-08-31, use medium",
        ),
        ({"deprecation": None, "deprecation_replacement_model": None}, ""),
        ({"expiration_date": "2026-12-31"}, "retires 2026-12-31"),  # OpenRouter
        ({"deprecation": {"inference": 1709284527}}, "retires 2024-03-01"),  # Azure
        ({"deprecation": {}, "shutdown_date": "soon", "expiration_date": 1e300, "retires_at": 10**30}, ""),
        ({"deprecation": True, "lifecycle": ["x"], "deprecation_replacement_model": {}}, ""),
    ],
)
def test_a_model_that_retires_is_marked(invoke, fields, mark):
    body = json.dumps({"data": [{"id": "a", **fields}, {"id": "b"}]}).encode()
    with Provider(reply("200 OK", body)) as provider:
        done = invoke("models", "openai", url=provider.url)
    assert done.stdout.decode() == f"openai/a{mark and chr(9)}{mark}\nopenai/b\n"


def test_the_fields_of_a_retirement_are_those_of_the_sdks():
    from anthropic.types import ModelInfo
    from openai.types import Model

    assert "shutdown_date" in Model.model_fields
    assert {"lifecycle", "retires_at"} <= ModelInfo.model_fields.keys()


def test_pages(invoke):
    first, second = listed("b", has_more=True, last_id="b&c"), listed("a", has_more=False, last_id="a")
    with Provider(first, second) as provider:
        done = invoke("models", "anthropic", url=provider.url)
    assert done.stdout == b"anthropic/a\nanthropic/b\n"
    assert [request.line for request in provider.requests] == [
        "GET /v1/models?limit=1000 HTTP/1.1",
        "GET /v1/models?limit=1000&after_id=b%26c HTTP/1.1",
    ]
    assert {request.headers["x-api-key"] for request in provider.requests} == {"sk-ant-test"}


def test_pages_that_go_round_in_circles_end(invoke):
    with Provider(listed("a", has_more=True, last_id="a")) as provider:
        assert invoke("models", "anthropic", url=provider.url).stdout == b"anthropic/a\n"
    assert len(provider.requests) == 2


@pytest.mark.parametrize(
    ("script", "status", "message"),
    [
        (reply("401 No", b'{"error": {"message": "bad sk-test-key"}}'), 3, "openai at HOST says: bad [key] (HTTP 401)"),
        (reply("503 Busy", b"<html>", "text/html"), 4, "URL answered HTTP 503 (Service Unavailable)"),
        (reply("404 Not Found", b"", "text/html"), 3, "URL was not found (HTTP 404): does the base URL lack /v1?"),
        (
            reply("302 Found", b"", "text/html", "Location: https://other.example/"),
            3,
            "URL redirects to https://other.example/ (HTTP 302): set the base URL to where the API is",
        ),
        (
            reply("200 OK", b"<html>", "text/html"),
            5,
            "URL answered text/html, not JSON: is the base URL that of an API?",
        ),
        (reply("200 OK", b"[" * 5000), 5, "URL answered application/json, not JSON"),
        (reply("200 OK", b'"x"'), 1, "openai lists no models"),
        (listed(), 1, "openai lists no models"),
        (reply("200 OK", b'{"data": {"a": 1}}'), 1, "openai lists no models"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"], 4, ""),
        ([], 4, "the server closed the connection without an answer (curl: Empty reply from server"),
    ],
)
def test_refusals_and_failures(invoke, script, status, message):
    with Provider(script) as provider:
        done = invoke("models", "openai", url=provider.url)
    errors = done.stderr.decode().replace(f"{provider.url}/v1/models ", "URL ")
    errors = errors.replace(f" at 127.0.0.1:{provider.port} ", " at HOST ")
    assert errors.startswith(f"llmstream models: {message}")
    assert (done.stdout, done.returncode, errors.count("\n")) == (b"", status, 1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("opnai", "unknown provider 'opnai': did you mean openai?"),
        ("xyz123", "unknown provider 'xyz123': it is one of openai, anthropic, "),
        ("groq", "no key for groq: set GROQ_API_KEY"),
    ],
)
def test_bad_usage(invoke, name, message):
    done = invoke("models", name)
    assert done.stderr.decode().startswith(f"llmstream models: {message}")
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)


def test_the_embedded_model_needs_no_network(invoke):
    assert invoke("models", "local").stdout == b"local/smollm2-135m\n"


def test_a_reader_that_leaves_ends_it_while_the_provider_is_silent():
    import subprocess

    from ..conftest import LLMSTREAM

    with Provider([HOLD]) as provider:
        process = subprocess.Popen([*LLMSTREAM, "models", "openai"], stdout=subprocess.PIPE, env=at(provider.url))
        assert provider.first_request.wait(WAIT_S)
        process.stdout.close()
        assert process.wait(WAIT_S) == 0
        assert provider.client_left.wait(WAIT_S)


def test_llamacpp(run, llamacpp):
    done = run("models", "llamacpp", env=environment(LLAMACPP_BASE_URL=f"{llamacpp}/v1"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"llamacpp/")


def test_what_an_sdk_reaches_lists_no_models(invoke):
    done = invoke("models", "bedrock", env=environment())
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert b"the cloud's own tools" in done.stderr
