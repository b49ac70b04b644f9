"""OLLAMA_HOST: each form means the address that Ollama reads in it."""

from __future__ import annotations

import pytest
from ollama._client import _parse_host

from llmstream.errors import UsageError
from llmstream.providers.resolve import resolve
from llmstream.providers.target import list_url

FORMS = {
    "": "http://127.0.0.1:11434",
    "/": "http://127.0.0.1:11434",
    ":": "http://127.0.0.1:11434",
    ":7000": "http://127.0.0.1:7000",
    ":7000/": "http://127.0.0.1:7000",
    "attic": "http://attic:11434",
    "attic/": "http://attic:11434",
    "attic:": "http://attic:11434",
    "attic:7000": "http://attic:7000",
    "attic:0": "http://attic:0",
    "attic.example/llm": "http://attic.example:11434/llm",
    "attic.example:7000/llm/": "http://attic.example:7000/llm",
    "0.0.0.0": "http://0.0.0.0:11434",
    "0.0.0.0:7000": "http://0.0.0.0:7000",
    "10.0.0.7": "http://10.0.0.7:11434",
    "http://": "http://127.0.0.1:80",
    "http://attic": "http://attic:80",
    "http://attic:7000": "http://attic:7000",
    "https://attic": "https://attic:443",
    "https://attic:7000": "https://attic:7000",
    "https://attic/llm/": "https://attic:443/llm",
    "http://:7000": "http://127.0.0.1:7000",
    "ollama.com": "https://ollama.com:443",
    "::1": "http://[::1]:11434",
    "::": "http://[::]:11434",
    "fd00::7:a": "http://[fd00::7:a]:11434",
    "[fd00::7]": "http://[fd00::7]:11434",
    "[fd00::7]:7000": "http://[fd00::7]:7000",
    "[fd00::7]:7000/llm": "http://[fd00::7]:7000/llm",
    "https://[fd00::7]": "https://[fd00::7]:443",
    "fe80::7%eth0": "http://[fe80::7%25eth0]:11434",
    "  attic:7000 ": "http://attic:7000",
    '"attic:7000"': "http://attic:7000",
    "' attic '": "http://attic:11434",
    ' "" ': "http://127.0.0.1:11434",
    "attic:port": "http://attic:11434",
    "attic:65536": "http://attic:11434",
    "attic:-1": "http://attic:11434",
    "https://attic:port": "https://attic:443",
    "http://ann:secret@attic": "http://ann:secret@attic:80",
    "attic:7000/v1": "http://attic:7000",  # as it had to be for llmstream's old row
}
# Where Ollama's Python client reads something else than Ollama, or nothing.
CLIENT_DIFFERS = {
    "fd00::7:a", "::1", "::", "fe80::7%eth0", "ollama.com", "  attic:7000 ", '"attic:7000"', "' attic '", ' "" ',
    "http://", "attic:0", "attic:port", "attic:65536", "attic:-1", "https://attic:port",
    "http://ann:secret@attic", "attic:7000/v1",
}  # fmt: skip


@pytest.mark.parametrize(("value", "url"), FORMS.items())
def test_each_form_is_an_address(value, url):
    env = {"OLLAMA_HOST": value}
    target = resolve("ollama/m", None, env)
    assert (target.url, list_url(target)) == (f"{url}/api/chat", f"{url}/api/tags")
    assert resolve("ollama/m", "chat", env).url == f"{url}/v1/chat/completions"
    assert resolve("ollama/m", "responses", env).url == f"{url}/v1/responses"
    assert resolve("ollama/m", "messages", env).url == f"{url}/v1/messages"


@pytest.mark.parametrize("value", FORMS)
def test_ollama_s_client_reads_the_same(value):
    try:
        theirs = _parse_host(value)
    except ValueError:
        theirs = ""
    assert (theirs == FORMS[value]) == (value not in CLIENT_DIFFERS)


@pytest.mark.parametrize("value", ["ftp://attic", "attic?x", "attic#x", "two words", "ättic", "attic\n:7000"])
def test_what_is_no_address_is_an_error(value):
    with pytest.raises(UsageError, match="OLLAMA_HOST is not"):
        resolve("ollama/m", None, {"OLLAMA_HOST": value})


def test_a_program_s_address_is_read_alike():
    assert resolve("ollama/m", None, {}, url="attic").url == "http://attic:11434/api/chat"
    with pytest.raises(UsageError, match="base_url is empty"):
        resolve("ollama/m", None, {}, url="")
