"""How soon `gen` says its first word, and what a word costs, beside curl, the SDKs and the peers.

    python -m tests.bench.gen [--quick] [--only NAME ...]

The provider is on loopback and answers at once, so that what is measured is the client. The peers are installed at
the first run, into a virtual environment in the cache directory; llm runs without plug-ins, at its quickest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from fnmatch import fnmatch
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from . import measure, provider

ROOT = Path(__file__).parent.parent.parent
PEERS = ("llm==0.36", "llcat==0.18.2")
SHORT, LONG, FLOWING = "50", "5000", "5000-flowing"
THOUSANDS = 5
PROMPT = "Tell me of a river."

BASE = "llmstream gen"
CLICK = """
import click, os
@click.command()
def one_byte():
    os.write(1, b"x")
one_byte()
"""
OPENAI = """
import openai, os, sys
stream = openai.OpenAI().chat.completions.create(
    model=sys.argv[1], messages=[{"role": "user", "content": sys.argv[2]}],
    stream=True, stream_options={"include_usage": True})
for chunk in stream:
    if chunk.choices and chunk.choices[0].delta.content:
        os.write(1, chunk.choices[0].delta.content.encode())
"""
OPENAI_RESPONSES = """
import openai, os, sys
for event in openai.OpenAI().responses.create(model=sys.argv[1], input=sys.argv[2], stream=True):
    if event.type == "response.output_text.delta":
        os.write(1, event.delta.encode())
"""
ANTHROPIC = """
import anthropic, os, sys
stream = anthropic.Anthropic().messages.create(
    model=sys.argv[1], messages=[{"role": "user", "content": sys.argv[2]}], max_tokens=8192, stream=True)
for event in stream:
    if event.type == "content_block_delta" and event.delta.type == "text_delta":
        os.write(1, event.delta.text.encode())
"""

FILTERS = tuple(
    (f"llmstream {args}", args.split()) for args in ("until --lines 1", "code", "json-objects", "fields a", "text")
)
INPUTS = {
    "until": "one\ntwo\n",
    "code": "```\none\n```\n",
    "json-objects": '{"a": 1}\n',
    "fields": '{"a": 1}\n',
    "text": 'data: {"choices": [{"index": 0, "delta": {"content": "one"}, "finish_reason": "stop"}]}\n\n',
}

Measure = Callable[[], measure.Cost]
T = TypeVar("T")


def start_ups(folder: str) -> dict[str, Measure]:
    """What any answer begins with, and the filters with an input of one line."""
    python, env = sys.executable, measure.environment(PYTHONPATH=str(ROOT))
    filters = {name: partial(measure.run, [*llmstream(), *args], env, f"{folder}/{args[0]}") for name, args in FILTERS}
    commands = {
        "python -c pass (to its end)": [python, "-c", "pass"],
        "a click script that writes one byte": [python, "-c", CLICK],
        "llmstream --version": [*llmstream(), "--version"],
        "llmstream gen --help": [*llmstream(), "gen", "--help"],
    }
    return {name: partial(measure.run, argv, env) for name, argv in commands.items()} | filters


def clients(url: str, folder: str, model: str) -> dict[str, Measure]:
    """The ways to one answer: `model` tells the provider which."""
    keys = {"OPENAI_API_KEY": "sk-bench", "ANTHROPIC_API_KEY": "sk-ant-bench"}
    bases = {"OPENAI_BASE_URL": f"{url}/v1", "ANTHROPIC_BASE_URL": url}
    env = measure.environment(PYTHONPATH=str(ROOT), **keys, **bases)
    theirs = measure.environment(LLM_USER_PATH=folder, LLM_LOAD_PLUGINS="", **keys)
    python, peer = sys.executable, peers() / "bin"
    chat = f"{url}/v1/chat/completions"
    curl = ["curl", "-sN", "-H", "Content-Type: application/json", "-d", f"@{folder}/{model}.json", chat]
    commands = {
        BASE: ([*llmstream(), "gen", "-m", f"openai/{model}", PROMPT], env),
        "llmstream gen, Responses": ([*llmstream(), "gen", "--api=responses", "-m", f"openai/{model}", PROMPT], env),
        "llmstream gen, Messages": ([*llmstream(), "gen", "-m", f"anthropic/{model}", PROMPT], env),
        "llmstream gen --events": ([*llmstream(), "gen", "--events", "-m", f"openai/{model}", PROMPT], env),
        "curl -sN": (curl, env),
        "openai SDK script": ([python, "-c", OPENAI, model, PROMPT], env),
        "openai SDK script, Responses": ([python, "-c", OPENAI_RESPONSES, model, PROMPT], env),
        "anthropic SDK script": ([python, "-c", ANTHROPIC, model, PROMPT], env),
        "llm": ([f"{peer}/llm", "--no-log", "-m", model, PROMPT], theirs),
        "llcat": ([f"{peer}/llcat", "-u", url, "-m", model, PROMPT], theirs),
    }
    size = len("".join(provider.words(int(model.partition("-")[0]))).encode())
    return {name: partial(answer, argv, env, size) for name, (argv, env) in commands.items()}


def answer(argv: list[str], env: dict[str, str], size: int) -> measure.Cost:
    """Runs a client; it must have written at least the text."""
    cost = measure.run(argv, env)
    if cost.written < size:
        sys.exit(f"{' '.join(argv)}: {cost.written} bytes of {size}")
    return cost


def llmstream() -> list[str]:
    """The command as it is installed; the checkout is what it imports."""
    script = Path(sys.executable).parent / "llmstream"
    return [str(script)] if script.exists() else [sys.executable, "-m", "llmstream"]


def peers() -> Path:
    """The peers' own environment."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "llmstream-bench" / "-".join([*PEERS, sys.implementation.cache_tag])


def install_peers() -> None:
    """Makes that environment at the first use."""
    venv = peers()
    if not (venv / "ready").exists():
        print(f"installing {', '.join(PEERS)} into {venv}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([venv / "bin" / "python", "-m", "pip", "install", "--quiet", *PEERS], check=True)
        (venv / "ready").touch()


def prepare(url: str, folder: str) -> None:
    """A ready body for curl, the filters' inputs, and the provider as models of llm's."""
    for name, text in INPUTS.items():
        Path(folder, name).write_text(text)
    models = []
    for model in (SHORT, LONG, FLOWING):
        body = {"model": model, "messages": [{"role": "user", "content": PROMPT}], "stream": True}
        Path(folder, f"{model}.json").write_text(json.dumps(body))
        models.append({"model_id": model, "model_name": model, "api_base": f"{url}/v1"})
    Path(folder, "extra-openai-models.yaml").write_text(json.dumps(models))  # JSON is YAML


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gen", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a third of the runs")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these rows; patterns as the shell's")
    options = parser.parse_args()
    short, long = (5, 2) if options.quick else (15, 5)

    def chosen(measures: dict[str, T]) -> dict[str, T]:
        wanted = options.only or ["*"]
        return {k: v for k, v in measures.items() if any(fnmatch(k, name) for name in wanted)}

    if chosen(dict.fromkeys(("llm", "llcat"))):
        install_peers()

    with tempfile.TemporaryDirectory() as folder, provider.running() as url:
        prepare(url, folder)
        print(f"gen: {measure.machine()}")
        print(", ".join(versions()))
        shorts = measure.in_turn(chosen(start_ups(folder) | clients(url, folder, SHORT)), short)
        longs = measure.in_turn(chosen(clients(url, folder, LONG)), long)
        flows = measure.in_turn(chosen(clients(url, folder, FLOWING)), long)

    def part(
        title: str, costs: dict[str, list[measure.Cost]], what: Callable[[measure.Cost], float]
    ) -> dict[str, float]:
        return measure.section(title, {name: [what(cost) for cost in of] for name, of in costs.items()}, BASE)

    first = part("first byte of a short answer (50), ms", shorts, lambda cost: cost.first * 1000)
    part("first byte of a long answer (5,000), ms", longs, lambda cost: cost.first * 1000)
    part("CPU of a short answer, ms", shorts, lambda cost: cost.cpu * 1000)
    cpu = part("CPU per 1,000 chunks, all at once, ms", longs, lambda cost: cost.cpu * 1000 / THOUSANDS)
    part("CPU per 1,000 chunks, flowing, ms", flows, lambda cost: cost.cpu * 1000 / THOUSANDS)
    part("peak memory of a long answer, MB", longs, lambda cost: cost.peak / 1e6)
    if not options.only:
        goals(first, cpu)


def goals(first: dict[str, float], cpu: dict[str, float]) -> None:
    """What `gen` has to reach, by the medians of this run."""
    print("\ngoals")
    click = first["a click script that writes one byte"]
    measure.goal("first byte, ratio to the click script's", first[BASE] / click, 1)
    for name, _ in FILTERS:
        measure.goal(f"first byte of {name}, ratio to the click script's", first[name] / click, 0.9)
    for sdk in ("openai SDK script", "anthropic SDK script"):
        measure.goal(f"first byte, ratio to the {sdk}'s", first[BASE] / first[sdk], 1 / 8)
    measure.goal("first byte, ratio to llcat's", first[BASE] / first["llcat"], 1)
    measure.goal("CPU of 5,000 chunks, ratio to the openai SDK script's", cpu[BASE] / cpu["openai SDK script"], 1 / 10)


def versions() -> list[str]:
    """What is compared."""
    curl = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    packages = [f"{name} {version(name)}" for name in ("click", "pycurl", "openai", "anthropic")]
    return [*packages, f"curl {curl}", *(peer.replace("==", " ") for peer in PEERS)]


if __name__ == "__main__":
    main()
