"""The examples in the manual pages and in the README, read and run.

Conventions that the documents keep:

- A session, in an EXAMPLES section, in any section of a page of section 7, or in a README block marked `console`:
  lines after "$ " are commands, those after "> " at once below go on with one; all others are the output, stderr in
  it, where a line "..." stands for any lines and "..." within a line for anything there. The output is compared where
  the session shows any. Every command succeeds, unless the next is `echo $?`. All runs in one bash, in a folder that
  holds FILES; every provider, and what is at OWN_SERVER, is a server that gives one of ANSWERS.
- A README block marked `python` is a program. Lines that begin with "# -> " are what it prints, compared as that of a
  session is.
- A README block marked `sh` is a script that is not run: bash can parse it, and the options in it exist.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from llmstream.dialects import ollama
from llmstream.providers.registry import PROVIDERS

from ..conftest import environment
from . import background, batches, docs, loopback
from .limits import RUN_S

OWN_SERVER = "http://127.0.0.1:8080"


class Block(NamedTuple):
    """A fenced block of a Markdown file, or a display of a page."""

    where: str
    kind: str  # console, python, sh
    text: str


def fenced(text: str, where: str) -> list[Block]:
    found = re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S)
    return [Block(f"{where}:{text.count(chr(10), 0, match.start()) + 1}", match[1], match[2]) for match in found]


def of_topic(name: str) -> list[Block]:
    """Returns the sessions and programs of a page of section 7; other displays there are not run."""
    return [
        Block(f"{name}.7:{number}", "console" if text.startswith("$ ") else "python", text)
        for number, text in enumerate(docs.page(name).displays(), 1)
        if text.startswith("$ ") or "import llmstream" in text
    ]


def of_page(name: str) -> list[Block]:
    """Returns the examples of a manual page; a script becomes a session of one command without output."""
    return [
        Block(f"{name}.1:{number}", "console", text if text.startswith("$ ") else _as_session(text))
        for number, text in enumerate(docs.page(name).displays("EXAMPLES"), 1)
    ]


def _as_session(script: str) -> str:
    first, *rest = script.splitlines()
    return "\n".join([f"$ {first}", *(f"> {line}" for line in rest), ""])


class Step(NamedTuple):
    command: str
    output: list[str]


def steps(session: str) -> list[Step]:
    found: list[Step] = []
    for line in session.splitlines():
        if line.startswith("$ "):
            found.append(Step(line[2:], []))
        elif line.startswith("> ") and found and not found[-1].output:
            found[-1] = Step(f"{found[-1].command}\n{line[2:]}", [])
        else:
            assert found, f"a session begins with a command: {line}"
            found[-1].output.append(line)
    return found


SEPARATORS = "();<>|&\n"
KEYWORDS = {"do", "done", "then", "if", "else", "fi", "while", "for", "case", "esac", "in", "!", "{", "}"}


def words(script: str) -> list[str]:
    """Splits a script into words and separators, without comments."""
    lines = [line for line in script.replace("\\\n", " ").splitlines() if not line.lstrip().startswith("#")]
    lexer = shlex.shlex("\n".join(lines), posix=True, punctuation_chars=SEPARATORS)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    return list(lexer)


def is_separator(word: str) -> bool:
    return set(word) <= set(SEPARATORS)


def invocations(script: str) -> Iterator[tuple[click.Context, list[str]]]:
    """Yields each llmstream command in the script, with the words after its name."""
    known, found = docs.commands(), words(script)
    for i, word in enumerate(found):
        if word.rpartition("/")[2] != "llmstream":
            continue
        rest = found[i + 1 :]
        end = next((j for j, w in enumerate(rest) if is_separator(w) or w == "#"), len(rest))
        name = f"llmstream-{rest[0]}" if end else ""
        yield (known[name], rest[1:end]) if name in known else (known["llmstream"], rest[:end])


def programs(script: str) -> set[str]:
    """Returns the programs that a script calls."""
    found = set()
    begins = True
    for word in words(script):
        if is_separator(word):
            begins = not set(word) & set("<>")
        elif word == "for":  # a name and values follow
            begins = False
        elif begins and word not in KEYWORDS and "=" not in word:
            found.add(word)
            begins = False
    return {word for word in found if re.fullmatch(r"[a-z][\w.-]*", word)}


def unknown_options(script: str) -> list[str]:
    """Returns the options in the script that the commands do not have."""
    unknown = []
    for ctx, arguments in invocations(script):
        by_name = {name: option for option in docs.options(ctx) for name in option.opts + option.secondary_opts}
        queue = iter(arguments)
        for word in queue:
            if word == "--":
                break
            if word.startswith("--"):
                name, equals, _ = word.partition("=")
                option = by_name.get(name)
                if option is None:
                    unknown.append(name)
                elif docs.takes_value(option) and not equals:
                    next(queue, None)
            elif word.startswith("-") and word != "-":
                unknown += _unknown_in_cluster(word, by_name, queue)
    return unknown


def _unknown_in_cluster(word: str, by_name: dict[str, click.Option], queue: Iterator[str]) -> list[str]:
    for position, letter in enumerate(word[1:], 1):
        option = by_name.get(f"-{letter}")
        if option is None:
            return [f"-{letter}"]
        if docs.takes_value(option):
            if position == len(word) - 1:
                next(queue, None)
            break
    return []


# The answer to a prompt that the pattern fits, from the provider of the examples.
ANSWERS = (
    ("That answer is wrong", '{"name": "Elbrus", "metres": 5642}'),
    ("highest mountain of Europe", '{"name": "Elbrus", "metres": "5,642"}'),
    ("bridge.*image/png", "The bridge is open."),
    ("How high is the water.*523", "The water is at 523 cm."),
    ("You are a translator", "Nommez trois fleuves."),
    ('"items"', '{"items": [{"name": "Rhine", "km": 1233}, {"name": "Loire", "km": 1006}]}'),
    ("JSON", '[\n  {"name": "Rhine", "km": 1233},\n  {"name": "Loire", "km": 1006}\n]'),
    ("commit message", "List the rivers of Europe by length"),
    ("(?i)summarize", "The disk of the server is full."),
    ("on the Rhine.*Vienna", "No."),
    ("yes or no", "Yes."),
    ("river.*Basel", "The Rhine."),
    ("river.*Vienna", "The Danube."),
    ("Where is Basel", "In Switzerland."),
    ("Where is Vienna", "In Austria."),
    ("Where is Atlantis", "Nowhere."),
    ("small.*Name one river|Name one river.*small", "The Rhine."),
    ("Name one river", "The Danube."),
    ("the longest", "The Danube, with 2,850 km."),
    ("longest river of Europe", '{"name": "Volga", "km": 3531}'),
    ("What is this text about.*three rivers", "A question."),
    ("What is this text about", "Two towns."),
    ("digest", "All rivers are at their normal level."),
    ("(?i)code|function|program|script", 'Here it is:\n\n```python\nprint("Hello")\n```\n\nRun it with Python.'),
    ("", "The Rhine, the Danube and the Loire.\nThese are three rivers of Europe."),
)


CALL = loopback.frame(
    {
        "id": "c1",
        "model": "m",
        "choices": [
            {
                "index": 0,
                "delta": {
                    "tool_calls": [
                        {"index": 0, "id": "c1", "function": {"name": "level", "arguments": '{"town": "Basel"}'}}
                    ]
                },
            }
        ],
    }
)  # of the tool in tools.json


MODELS = ("large", "small")  # of every provider of the examples


def _text(body: dict) -> str:
    """Returns the answer to the prompt in a request's body."""
    prompt = json.dumps(body, ensure_ascii=False)
    return next(answer for pattern, answer in ANSWERS if re.search(pattern, prompt))


def _answer(request: loopback.Request) -> list[loopback.Step]:
    """Makes the response of the examples' provider: its list of models, or the answer to the prompt."""
    if request.line.startswith("GET "):
        items = [*({"id": name} for name in MODELS), {"id": "old", "shutdown_date": "2026-10-23"}]
        return loopback.reply("200 OK", json.dumps({"data": items}).encode())
    if "tools" in request.json and not any(turn["role"] == "tool" for turn in request.json["messages"]):
        return [loopback.head(), CALL, loopback.chat_end("tool_calls")]
    path, pieces = request.line.split()[1], re.findall(r"\s*\S+", _text(request.json))
    if path == ollama.PATH:
        return [loopback.head("200 OK", loopback.NDJSON), b"".join(loopback.ollama(*pieces))]
    ending = path.rpartition("/")[2]
    dialect = loopback.DIALECTS["chat" if ending == "completions" else ending]
    return [loopback.head(), b"".join(dialect(*pieces))]


@contextlib.contextmanager
def every_provider() -> Iterator[tuple[str, dict[str, str]]]:
    """Yields the URL of a server that stands for all providers, and the environment of a user who has all keys."""
    rows = PROVIDERS.values()
    keys = {name: "test-key" for row in rows for name in row.key_env}
    account = batches.Batches(lambda line: (200, batches.chat_answer(_text(line["body"]))))
    queue = background.Background(lambda body: batches.responses_answer(_text(body)))

    def script(request: loopback.Request) -> list[loopback.Step]:
        if b'"background"' in request.body or re.search(r" /responses/", request.line):
            return queue.script(request)
        return (account.script if re.search(r" /(files|batches)\b", request.line) else _answer)(request)

    with loopback.Provider(script) as provider:
        yield provider.url, environment(**{row.url_env: provider.url for row in rows if row.url_env}, **keys)


def on_path(folder: Path, env: dict[str, str]) -> dict[str, str]:
    """Returns the environment in which the command `llmstream` is this checkout's."""
    folder.mkdir()
    wrapper = folder / "llmstream"
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m llmstream "$@"\n')
    wrapper.chmod(0o755)
    return env | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


TRANSLATE = """#!/usr/bin/env -S llmstream gen -f
+++
system = "You are a translator."
options.max_tokens = 2000
vars.language = "English"
+++
Translate into {{language}}:

{{stdin}}
"""
GAUGE = """#!/bin/sh
# gauge level: the water level at a town, in cm
case $1 in
level) town=$(jq -r .town); grep "^$town " levels || { echo "no gauge at $town"; exit 1; } ;;
esac
"""
LEVEL = """{"name": "level", "parameters": {"type": "object", "properties": {"town": {"type": "string"}}}}
"""
FILES = {
    "Basel.png": "\x89PNG\r\n\x1a\n",
    "camera": '#!/bin/sh\ncat "$(jq -r .town).png"\n',
    "gauge": GAUGE,
    "tools.json": LEVEL,
    "levels": "Basel 523\nVienna 310\n",
    "question.txt": "Name three rivers.\n",
    "towns.txt": "Basel\nVienna\n",
    "translate": TRANSLATE,
}
MARK = "\x1e"


def mismatches(session: str, folder: Path) -> list[str]:
    """Runs the session in the folder; returns the differences from what it shows."""
    home = folder / "home"
    home.mkdir()
    for name, text in FILES.items():
        (home / name).write_bytes(text.encode("latin-1"))
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    todo = steps(session)
    with every_provider() as (url, keys):
        env = on_path(folder / "bin", keys | {"HOME": str(home), "XDG_CACHE_HOME": cache})
        script = ["set -o pipefail"]
        if any("git" in programs(step.command) for step in todo):
            script.append("{ git init -q && git add -N towns.txt; } 2> /dev/null")
        for step in todo:
            command = step.command.replace(OWN_SERVER, url)
            script += [command, f"status=$?; printf '{MARK}%s{MARK}' $status; (exit $status)"]
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            cwd=home, env=env, timeout=RUN_S,
        )  # fmt: skip
    parts = done.stdout.decode().split(MARK)
    return list(_compare(todo, parts[0::2], parts[1::2]))


def wrong_output(program: str, folder: Path) -> str:
    """Runs a program in the folder; returns its output and errors if they differ from what it shows, else ""."""
    expected = "\n".join(re.findall(r"^# -> (.*)$", program, re.M))
    with every_provider() as (_, env):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=folder, env=env, timeout=RUN_S)
    output = done.stdout.decode()
    fits = re.fullmatch("".join(map(_pattern, expected.splitlines())), output)
    return "" if fits and done.returncode == 0 else output + done.stderr.decode() or "nothing"


def _compare(todo: list[Step], outputs: list[str], statuses: list[str]) -> Iterator[str]:
    shows_output = any(step.output for step in todo)
    for number, step in enumerate(todo):
        if number >= len(statuses):
            yield f"$ {step.command}\nwas not reached:\n{outputs[-1]}"
            return
        output, status = outputs[number], statuses[number]
        status_follows = number + 1 < len(todo) and todo[number + 1].command == "echo $?"
        if status != "0" and not status_follows:
            yield f"$ {step.command}\nfailed with status {status}:\n{output}"
        expected = "\n".join(step.output).rstrip()
        pattern = "".join(map(_pattern, expected.splitlines()))
        if shows_output and not re.fullmatch(pattern, f"{output.rstrip()}\n" if output.strip() else ""):
            yield f"$ {step.command}\nprinted:\n{output}\nnot:\n{expected}"


def _pattern(line: str) -> str:
    """Makes the pattern of a line of expected output: "..." fits any lines, or any text within a line."""
    return r"(?:.*\n)*?" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + r"\n"
