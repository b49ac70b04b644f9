"""A model's name becomes a target: provider, address, key, and the row as it holds at that address."""

from __future__ import annotations

import pytest

from llmstream.errors import UsageError, command_line, spell
from llmstream.providers.registry import (
    BACKGROUND,
    BUILT_IN,
    CURL,
    EMBEDDED,
    PROVIDERS,
    REPLAY,
    SDK,
    Catalogue,
    Provider,
)
from llmstream.providers.resolve import resolve
from llmstream.providers.target import Target, list_url

OPENAI = {"OPENAI_API_KEY": "sk-test-key"}


@pytest.mark.parametrize(
    ("name", "env", "provider", "model", "transport"),
    [
        ("openai/m", OPENAI, "openai", "m", CURL),
        ("gpt-x", OPENAI, "openai", "gpt-x", CURL),
        (None, OPENAI, "openai", PROVIDERS["openai"].model, CURL),
        (None, {}, "local", PROVIDERS["local"].model, EMBEDDED),
        ("/models/a.gguf", {}, "local", "/models/a.gguf", EMBEDDED),
        ("local/a.gguf", {}, "local", "a.gguf", EMBEDDED),
        ("local/smollm2-135m", {}, "local", "smollm2-135m", EMBEDDED),
        ("replay:a/b", {}, "replay", "a/b", REPLAY),
        ("bedrock/m", {}, "bedrock", "m", SDK),
        ("azure/m", {"AZURE_OPENAI_ENDPOINT": "https://x"}, "azure", "m", SDK),
        ("azure/m", {"AZURE_OPENAI_ENDPOINT": "https://x", "AZURE_OPENAI_API_KEY": "k"}, "azure", "m", CURL),
    ],
)
def test_a_name_means_a_provider_a_model_and_a_transport(name, env, provider, model, transport):
    target = resolve(name, None, env)
    assert (target.provider, target.model, target.row.transport) == (provider, model, transport)


def test_at_another_address_a_target_has_no_extras_of_the_provider():
    row = PROVIDERS["openai"]._replace(headers=("X-Team: blue",))
    catalogue = BUILT_IN._replace(providers={**PROVIDERS, "openai": row})
    home = resolve("openai/m", None, OPENAI, catalogue)
    assert (home.api, home.row.resume, home.headers()[-1]) == ("responses", BACKGROUND, "X-Team: blue")
    other = resolve("openai/m", None, OPENAI | {"OPENAI_BASE_URL": "http://other/v1"}, catalogue)
    assert (other.api, other.row.resume, other.row.field_names, other.row.headers) == ("chat", "", {}, ())


def test_a_program_s_url_gets_only_the_key_beside_it():
    alone = resolve("openai/m", None, OPENAI, url="http://other/v1")
    assert (alone.url, alone.key) == ("http://other/v1/chat/completions", "")
    beside = resolve("openai/m", None, OPENAI, url="http://other/v1", key="mine")
    assert beside.headers() == ["Authorization: Bearer mine"]
    assert resolve("openai/m", None, OPENAI, key="mine").key == "mine"


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("replay:x", {"key": "k"}, "replay takes neither api_key nor --base-url: leave them out"),
        ("local", {"url": "http://x"}, "local takes neither api_key nor --base-url: leave them out"),
        ("vertex/m", {"key": "k"}, "the SDK of vertex finds key and address: leave api_key and --base-url out"),
        ("local", {"key": "k", "key_env": "K"}, "local takes neither --key-env nor --base-url: leave them out"),
        ("openai/m", {"key": "a b", "key_env": "K"}, "K is not a valid key: it contains a line end, a blank or"),
        ("openai/m", {"key": ""}, "api_key is empty: pass the key of openai"),
        ("openai/m", {"url": ""}, "--base-url is empty: leave it out for the provider's own address"),
        ("openai/m", {"url": "http://x?a"}, "--base-url is not a base URL: it must have no ?"),
        ("replay:", {}, "replay: lacks the name of a recording: use -m replay:FILE"),
        ("groq", {}, "groq has no default model: use -m groq/MODEL"),
        ("openai/", {}, "openai/ names no model: use -m openai/MODEL"),
        ("local,ollama", {}, "'local,ollama' is not a model: for several, repeat -m"),
        (
            "local/qwen3-32b",
            {},
            "the embedded model is smollm2-135m, not 'qwen3-32b': use -m local or the path of a .g",
        ),
        ("local/smollm", {}, "the embedded model is smollm2-135m, not 'smollm': use -m local or the path of a .gguf"),
    ],
)
def test_what_cannot_be_reached_is_an_error_with_advice(name, arguments, message):
    with pytest.raises(UsageError) as error:
        resolve(name, None, OPENAI | {"GROQ_API_KEY": "k"}, **arguments)
    assert spell(error.value.message, command_line).startswith(message)


def test_the_embedded_model_has_no_api_of_ollama_s():
    with pytest.raises(UsageError, match="the embedded model has no api=ollama: leave it out"):
        resolve("local", "ollama", {})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("gpt4", "gpt-4"),
        ("gpt5.5-mini", "gpt-5.5-mini"),
        ("claude4", "claude-4"),
        ("smollm2", "local"),
        ("SmolLM2-135M", "local"),
        ("smollm/x", ""),
        ("opnai/m", "openai/m"),
        ("opnai", "openai/MODEL"),
        ("nobody", ""),
        ("LOCAL", "local"),
        ("OpenAI/m", "openai/m"),
        ("openai:gpt-5.5", "openai/gpt-5.5"),
        ("sonnet", PROVIDERS["anthropic"].model),
        ("claude", PROVIDERS["anthropic"].model),
        ("gpt", PROVIDERS["openai"].model),
    ],
)
def test_an_unknown_name_suggests_a_near_one(name, meant):
    with pytest.raises(UsageError) as error:
        resolve(name, None, {})
    hint = f": did you mean {meant}?" if meant else ": llmstream models lists the providers"
    assert error.value.message.endswith(hint)


@pytest.mark.parametrize(
    ("provider", "url"),
    [("openai", "https://api.openai.com/v1/models"), ("anthropic", "https://api.anthropic.com/v1/models")],
)
def test_the_list_of_models_has_its_url(provider, url):
    key = PROVIDERS[provider].key_env[0]
    assert list_url(resolve(f"{provider}/m", None, {key: "sk-test-key"})) == url


def test_a_target_to_be_shown_hides_key_and_headers():
    row = Provider("https://x", key_header="x-key", headers=("X-Token: geheim",))
    shown = Target("p", "m", "chat", "https://x", "geheim", row).hidden()
    assert shown.headers() == ["x-key: [key]", "X-Token: [hidden]"]


def test_the_user_s_header_replaces_that_of_the_key():
    row = Provider("https://x", headers=("authorization: Basic x",))
    assert Target("p", "m", "chat", "https://x", "key", row).headers() == ["authorization: Basic x"]


TOKEN = {"ANTHROPIC_AUTH_TOKEN": "token-0123456789"}


def test_a_token_of_anthropic_s_is_a_bearer_token():
    lines = resolve("anthropic/m", None, TOKEN).headers({})
    assert "Authorization: Bearer token-0123456789" in lines
    assert any(line.startswith("anthropic-version:") for line in lines)
    assert not any(line.startswith("x-api-key") for line in lines)
    gateway = resolve("anthropic/m", None, TOKEN | {"ANTHROPIC_BASE_URL": "https://gateway"})
    assert "Authorization: Bearer token-0123456789" in gateway.headers({})
    assert resolve(None, None, TOKEN).provider == "anthropic"


def test_a_key_of_anthropic_s_comes_before_the_token():
    lines = resolve("anthropic/m", None, TOKEN | {"ANTHROPIC_API_KEY": "key"}).headers({})
    assert not any("token" in line for line in lines)


def test_the_token_is_hidden():
    target = resolve("anthropic/m", None, TOKEN)
    assert "Authorization: Bearer [key]" in target.hidden().headers({})
    assert target.secrets.hide("it was token-0123456789") == "it was [key]"


ORGANIZATION = OPENAI | {"OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": " proj-1\n"}
LINES = ["OpenAI-Organization: org-1", "OpenAI-Project: proj-1"]


def test_organization_and_project_are_sent_to_openai_alone():
    assert resolve("openai/m", None, ORGANIZATION).headers()[1:] == LINES
    other = ORGANIZATION | {"OPENAI_BASE_URL": "https://other/v1"}
    for target in (
        resolve("openai/m", None, other),
        resolve("openai/m", None, ORGANIZATION, url="https://other/v1", key="k"),
        resolve("xai/m", None, ORGANIZATION | {"XAI_API_KEY": "k"}),
    ):
        assert not any(line.startswith("OpenAI-") for line in target.headers())


def test_the_configuration_s_header_comes_before_the_environment_s():
    row = PROVIDERS["openai"]._replace(headers=("openai-organization: mine",))
    catalogue = Catalogue({**PROVIDERS, "openai": row})
    assert resolve("openai/m", None, ORGANIZATION, catalogue).headers()[1:] == [LINES[1], "openai-organization: mine"]


def test_an_organization_that_breaks_the_header_is_an_error():
    with pytest.raises(UsageError, match="OPENAI_ORG_ID is not a valid header: it contains a line end") as error:
        resolve("openai/m", None, ORGANIZATION | {"OPENAI_ORG_ID": "secret\r\nX: y"})
    assert "secret" not in str(error.value)
