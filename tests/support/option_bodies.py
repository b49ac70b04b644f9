"""Every option of a request against every dialect: what really goes over the wire, as a table.

Run as a program it prints the table of the manual page (man/llmstream-gen.1, PROTOCOLS):
python -m tests.support.option_bodies
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from ..conftest import at
from .invoking import invoke
from .loopback import DIALECTS, NDJSON, Provider, head, ollama

APIS = (*DIALECTS, "ollama")
PROMPT = "Name three rivers."
SCHEMA = '{"title":"river","type":"object","properties":{"name":{"type":"string"}},"required":["name"]}'
MESSAGES = '{"role":"user","content":"Hello"}\n{"role":"assistant","content":"Hello."}\n'
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"name": "weather", "description": "The weather of a city", "parameters": PARAMETERS}]

FILES: dict[str, bytes] = {
    "messages.ndjson": MESSAGES.encode(),
    "tools.json": json.dumps(TOOLS).encode(),
    "river.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "river.pdf": b"%PDF-1.7\n",
    "river.mp3": b"ID3\x04\0\0\0\0\0\0",
    "river.txt": b"The Rhine is long.\n",
}

OPTIONS: dict[str, list[str]] = {  # the row's name: options
    "-s": ["-s", "Be brief."],
    "--max-tokens": ["--max-tokens", "40000"],
    "-t": ["-t", "0.5"],
    "--seed": ["--seed", "7"],
    "--stop": ["--stop", "END"],
    "--json": ["--json"],
    "--schema": ["--schema", SCHEMA],
    "--schema-multi": ["--schema-multi", "name, km int: length"],
    "--effort": ["--effort", "low"],
    "--messages": ["--messages", "messages.ndjson"],
    "--prefill": ["--prefill", "1. The"],
    "--tools": ["--tools", "tools.json", "--events"],
    "-a image": ["-a", "river.png"],
    "-a pdf": ["-a", "river.pdf"],
    "-a audio": ["-a", "river.mp3"],
    "-a text": ["-a", "river.txt"],
    "--cache": ["--cache", "-s", "Be brief."],
    "--within": ["--within", "8h"],
}
# Where an option is not for every model of a dialect.
MODELS = {
    "chat": "llamacpp/m",
    "responses": "openai/m",
    "messages": "anthropic/claude-sonnet-5-5",
    "ollama": "ollama/m",
}
OLDER_MODELS = {"messages": "anthropic/claude-sonnet-4-5"}
OLDER = ("--prefill", "-t", "--tools")  # newer models refuse the first two, and think for the --events of the third


class Sent(NamedTuple):
    """The outcome of an option in a dialect: the request body, or None and the error."""

    body: dict[str, Any] | None
    status: int
    stderr: str


def send(api: str, options: list[str], folder: Path, model: str = "") -> Sent:
    """Runs `gen` with the options against a provider on loopback."""
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    answer = [head("200 OK", NDJSON), *ollama("Hello")] if api == "ollama" else [head(), *DIALECTS[api]("Hello")]
    with Provider(answer) as provider:
        args = ["gen", "-n", "--api", api, "-m", model or MODELS[api], *options, PROMPT]
        done = invoke(
            args, at(provider.url, LLAMACPP_BASE_URL=f"{provider.url}/v1", OLLAMA_HOST=provider.url), cwd=folder
        )
        body = provider.requests[0].json if provider.requests else None
    return Sent(body, done.returncode, done.stderr.decode())


def every_option(folder: Path) -> dict[str, dict[str, Sent]]:
    """Sends every option in every dialect; the row "" is a request without options."""
    return {
        row: {api: send(api, options, folder, OLDER_MODELS.get(api, "") if row in OLDER else "") for api in APIS}
        for row, options in ({"": []} | OPTIONS).items()
    }


def cell(plain: Sent, sent: Sent) -> str:
    """Returns the fields that an option changed in the body, or "none"."""
    if sent.body is None:
        return "none"
    assert plain.body is not None
    changed = [key for key, value in sent.body.items() if plain.body.get(key) != value and key != "model"]
    return " , ".join(sorted(_field(key, sent.body[key]) for key in changed))


def _field(key: str, value: Any) -> str:
    if isinstance(value, dict) and len(value) == 1 and "type" not in value:
        return f"{key}.{next(iter(value))}"
    if key in ("messages", "input") and isinstance(value, list) and isinstance(value[-1]["content"], list):
        return value[-1]["content"][0]["type"]  # of the attachment
    if key == "messages" and "images" in value[-1]:
        return "messages.images"
    return key


PAIRS = (("chat", "responses"), ("messages", "ollama"))  # the dialects of each table: four are too wide for a page


def table(sent: dict[str, dict[str, Sent]]) -> dict[str, dict[str, str]]:
    """Returns the cells by option and dialect."""
    return {row: {api: cell(sent[""][api], sent[row][api]) for api in APIS} for row in OPTIONS}


def mdoc(rows: dict[str, dict[str, str]]) -> list[str]:
    """Returns the lines of the manual page, the heads included."""
    lines = []
    for apis in PAIRS:
        lines.append(" Ta ".join([".It Sy Option", *(f"Sy {api}" for api in apis)]))
        for name, cells in rows.items():
            flag, _, kind = name.partition(" ")
            first = f"Fl {flag[1:]}" + (f" Cm {kind}" if kind else "")
            lines.append(" Ta ".join([f".It {first}", *(cells[api] for api in apis)]))
    return lines


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print("\n".join(mdoc(table(every_option(Path(folder))))))
