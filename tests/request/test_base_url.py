"""`--base-url` and `--key-env`: another address, and which key goes there."""

from __future__ import annotations

import json

import pytest

from ..conftest import at, environment
from ..support.loopback import Provider, chat, head, messages, responses
from ..support.mapping import texts_of

KEYS = {"OPENAI_API_KEY": "sk-openai-0123456789", "WORK_KEY": "sk-work-0123456789"}
NO_KEY = "no key in NO_SUCH, which --key-env names: set that variable"


def answer(request):
    if "/chat/" in request.line:
        return [head(), *chat("Hello")]
    return [head(), *(responses if "/responses" in request.line else messages)("Hello")]


@pytest.fixture
def provider():
    with Provider(answer) as provider:
        yield provider


@pytest.mark.parametrize(
    ("args", "path", "header"),
    [
        (["-m", "openai/m"], "/v1/chat/completions", None),
        (["-m", "openai/m", "--key-env", "WORK_KEY"], "/v1/chat/completions", "Bearer sk-work-0123456789"),
        (["-m", "openai/m", "--api", "responses"], "/v1/responses", None),
        (["-m", "gpt-5", "--api", "messages", "--key-env", "WORK_KEY"], "/v1/messages", None),
    ],
)
def test_the_request_goes_there_with_the_named_key_alone(invoke, provider, args, path, header):
    done = invoke("gen", *args, "--base-url", f"{provider.url}/v1", "Hi", env=environment(**KEYS))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"Hello\n", b"")
    (request,) = provider.requests
    assert request.line.split()[1] == path
    assert request.headers.get("authorization") == header
    assert b"sk-openai" not in str(request.headers).encode()


def test_the_environment_s_address_is_replaced(invoke, provider):
    env = at("http://127.0.0.1:1") | KEYS
    assert invoke("gen", "-m", "openai/m", "--base-url", f"{provider.url}/v1", "Hi", env=env).returncode == 0


def test_another_key_for_the_provider_s_own_address(invoke):
    done = invoke("gen", "--dry-run", "-m", "openai/m", "--key-env", "WORK_KEY", "Hi", env=environment(**KEYS))
    assert done.stdout.startswith(b"POST https://api.openai.com/v1/responses\nAuthorization: Bearer [key]\n")


def test_map(invoke, provider):
    args = ["-m", "openai/m", "--base-url", f"{provider.url}/v1", "--key-env", "WORK_KEY"]
    done = invoke("map", "-q", *args, input=b"a\nb\n", env=environment(**KEYS))
    assert texts_of(done.stdout) == ["Hello", "Hello"]
    assert {request.headers["authorization"] for request in provider.requests} == {"Bearer sk-work-0123456789"}


@pytest.mark.parametrize("name", ["base_url", "key_env"])
def test_what_comes_from_others_cannot_name_them(invoke, provider, tmp_path, name):
    record = json.dumps({"prompt": "Hi", name: "WORK_KEY" if name == "key_env" else "http://127.0.0.1:1"}).encode()
    done = invoke("map", "-q", "-m", "openai/m", "--jsonl", input=record + b"\n", env=at(provider.url) | KEYS)
    assert texts_of(done.stdout) == ["Hello"]
    assert provider.requests[0].headers["authorization"] == "Bearer sk-openai-0123456789"
    (tmp_path / "prompt").write_text(f'+++\noptions.{name} = "X"\n+++\nHi')
    done = invoke("gen", "-f", str(tmp_path / "prompt"), env=environment(**KEYS))
    assert (done.returncode, done.stdout) == (2, b"")
    assert f"options.{name}: there is no such key" in done.stderr.decode()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-m", "openai/m", "--key-env", "NO_SUCH"], NO_KEY),
        (["--base-url", "http://x"], "--base-url needs a model: use -m PROVIDER/MODEL, openai/MODEL for a server of"),
        (["-m", "openai/m", "--base-url", "x:80"], "--base-url is not a URL: it must begin with https:// or http://"),
        (["-m", "local", "--key-env", "WORK_KEY"], "local takes neither --key-env nor --base-url: leave them out"),
    ],
)
def test_errors(invoke, args, message):
    done = invoke("gen", *args, "Hi", env=environment(WORK_KEY="k"))
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().startswith(f"llmstream gen: {message}")
    assert done.stderr.count(b"\n") == 1


def test_the_password_of_the_address_is_hidden(invoke):
    done = invoke("gen", "--dry-run", "-m", "openai/m", "--base-url", "https://me:secret-word@x/v1", "Hi")
    assert done.stdout.startswith(b"POST https://x/v1/chat/completions\n")
    assert b"secret-word" not in done.stdout + done.stderr
