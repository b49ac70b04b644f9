"""Enough is enough: what a provider still does after the token that met the condition.

    python -m tests.bench.cancel [RUNS]

A provider on loopback sends a token every 10 ms. Counted are the tokens that it sent after the one that met the
condition, and the time from sending that one until it saw the connection close. `tee` notices only at its next write
that nobody reads. Beside it, where they are installed, llm and llcat before `grep -m1`, for which the provider ends the
line as well. With xllamacpp the same question goes to a real model: how many tokens its server made, by its own count.
"""

from __future__ import annotations

import importlib.util
import json
import os
import select
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from itertools import accumulate

from llmstream.commands import COMMANDS

from ..conftest import LLMSTREAM, at
from ..support.loopback import chat_text, head, read_request
from .measure import machine, progress

PAUSE = 0.010
LEAD = ["word "] * 20
TAIL = ["more "] * 60
LL = " ".join(LLMSTREAM)
GEN = f"{LL} gen -n -m openai/m Hi"
GOALS = {"process": (1, 5.0), "pipe": (2, 15.0)}  # tokens, milliseconds


class Ticking:
    """Serves one answer, a token every PAUSE; `met` is the token that the client waits for."""

    def __init__(self, tokens: list[str], met: int) -> None:
        self._tokens, self._met = tokens, met
        self.after = 0  # tokens sent after it
        self.seconds = 0.0  # from it to the client's leaving
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(20)
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            read_request(connection)
            connection.sendall(head())
            due = time.perf_counter()
            met_at = due
            for number, token in enumerate(self._tokens):
                due += PAUSE
                if select.select([connection], [], [], max(0.0, due - time.perf_counter()))[0]:
                    break  # it sends nothing: it has left
                if number == self._met:
                    met_at = time.perf_counter()
                try:
                    connection.sendall(chat_text(token))
                except OSError:
                    break
                self.after += number > self._met
            else:
                select.select([connection], [], [], 5)
            self.seconds = time.perf_counter() - met_at


def cancel(command: str, tokens: list[str], met: int, env: Callable[[str], dict[str, str]]) -> tuple[int, float]:
    """Tokens and milliseconds too many."""
    provider = Ticking(tokens, met)
    with tempfile.TemporaryFile() as stderr:
        shell = ["bash", "-c", command.replace("URL", provider.url)]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        subprocess.run(shell, env=env(provider.url), stderr=stderr, timeout=30, **quiet)
        provider.join()
        if provider.after == len(tokens) - 1 - met or provider.seconds < 0:
            stderr.seek(0)
            message = stderr.read().decode()
            if message:
                progress(message)
    return provider.after, provider.seconds * 1000


def case(name: str, command: str, where: str, text: list[str]) -> tuple[str, str, str, list[str], int]:
    """A row; the last token of text meets the condition."""
    return name, command, where, [*LEAD, *text, *TAIL], len(LEAD) + len(text) - 1


def cases() -> list[tuple[str, str, str, list[str], int]]:
    block = ["\n", "```py\n", "x = 1\n", "``", "`", "\n"]
    rows = [
        case("gen --until-regex", f"{GEN} --until-regex STOP", "process", ["ST", "OP"]),
        case("gen | until -e", f"{GEN} | {LL} until -e STOP", "pipe", ["ST", "OP"]),
        case("gen | code", f"{GEN} | {LL} code", "pipe", block),
        case("gen | tee | until -e | cat", f"{GEN} | tee /dev/null | {LL} until -e STOP | cat", "", ["ST", "OP"]),
        case("gen | grep -m1", f"{GEN} | grep -m1 STOP", "", ["ST", "OP\n"]),
    ]
    if "fields" in COMMANDS:
        rows.insert(3, case("gen | fields -1", f"{GEN} | {LL} fields -1 a", "pipe", ['{"a":', ' "x', '"']))
    if shutil.which("llm"):
        rows.append(case("llm | grep -m1", "llm -m ticking Hi | grep -m1 STOP", "", ["ST", "OP\n"]))
    if shutil.which("llcat"):
        rows.append(case("llcat | grep -m1", "llcat -u URL -m m Hi | grep -m1 STOP", "", ["ST", "OP\n"]))
    return rows


def peers(url: str, folder: str) -> dict[str, str]:
    """The environment in which the model `ticking` of llm is the provider."""
    with open(os.path.join(folder, "extra-openai-models.yaml"), "w") as file:
        file.write(f"- model_id: ticking\n  model_name: m\n  api_base: {url}/v1\n  api_key_name: openai\n")
    return at(url, LLM_USER_PATH=folder)


def main(runs: int = 20) -> None:
    print(f"{machine()}: a token every {PAUSE * 1000:g} ms, {runs} runs")
    print(f"{'':30}{'tokens after':>20}{'ms to the close':>22}")
    print(f"{'':30}{'median':>10}{'max':>10}{'median':>11}{'max':>11}   goal, by the median")
    rows = cases()
    found: dict[str, list[tuple[int, float]]] = {row[0]: [] for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(runs):
            for name, command, _, tokens, met in rows:
                progress(f"{turn}/{runs} {name}")
                found[name].append(cancel(command, tokens, met, lambda url: peers(url, folder)))
    progress("")
    for name, _, where, _, _ in rows:
        after, times = zip(*found[name], strict=True)
        tokens, late = statistics.median(after), statistics.median(times)
        verdict = ""
        if where:
            most, longest = GOALS[where]
            verdict = f"{most} and {longest:g} ms: " + ("met" if tokens <= most and late <= longest else "NOT MET")
        print(f"{name:30}{tokens:10g}{max(after):10g}{late:11.2f}{max(times):11.2f}   {verdict}")
    if importlib.util.find_spec("xllamacpp"):
        model(max(3, runs // 4))


# A real model.

PROMPT = "Count from one to fifty in words."
CHARACTERS = 60


def slots(url: str) -> tuple[bool, int]:
    """Whether the server is busy, and the tokens of prompt and answer in the slot that it used last."""
    with urllib.request.urlopen(f"{url}/slots") as answer:
        found = json.load(answer)
    last = max(found, key=lambda slot: slot.get("id_task", -1))
    return any(slot["is_processing"] for slot in found), last["n_prompt_tokens"]


def model(runs: int) -> None:
    command = [sys.executable, "-m", "tests.support.llamacpp"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout and server.stdin
        url = server.stdout.readline().strip()
        gen = [*LLMSTREAM, "gen", "-n", "-m", "openai/m", "-t", "0", PROMPT]
        done = subprocess.run([*gen, "--events", "--max-tokens", "80"], env=at(url), capture_output=True, check=True)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        input_tokens = next(event["input_tokens"] for event in events if event["type"] == "usage")
        ends = list(accumulate(len(event["text"]) for event in events if event["type"] == "text"))
        needed = next(number for number, end in enumerate(ends, 1) if end >= CHARACTERS)
        line = " ".join(map(shlex.quote, gen))
        print(f"\nembedded model, {needed} tokens needed{'made':>26}{'(median, max)':>16}")
        for name, shell in (
            (f"gen --until-chars {CHARACTERS}", f"{line} --until-chars {CHARACTERS}"),
            (f"gen | until --chars {CHARACTERS}", f"{line} | {LL} until --chars {CHARACTERS}"),
        ):
            made = []
            for _ in range(runs):
                subprocess.run(["bash", "-c", shell], env=at(url), stdout=subprocess.DEVNULL, check=True)
                while slots(url)[0]:
                    time.sleep(0.01)
                made.append(slots(url)[1] - input_tokens)
            print(f"{name:30}{statistics.median(made):30g}{max(made):16g}")
        server.stdin.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
