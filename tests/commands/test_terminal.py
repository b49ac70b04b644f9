"""What a terminal gets: on a pseudo-terminal, its bytes beside those of a pipe, and on a screen of tmux."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import threading

import pytest

from ..conftest import LLMSTREAM, at, environment
from ..support.limits import RUN_S
from ..support.loopback import CLOSE, Provider, Request, Step, chat, chat_text, frame, head, reply
from ..support.screen import screen, tmux

EVIL = "a\x1b]52;c;cm0gLXJm\x07b\x1b]0;title\x07\x1b[2J\x1b[8mc\x9b2Jd\x7fe\u202ef\rg\bh\n"
SHOWN = "a^[]52;c;cm0gLXJm^Gb^[]0;title^G^[[2J^[[8mc<U+009B>2Jd^?e<U+202E>f^Mg^Hh\n"
STREAM = b"".join(chat(*EVIL))
OBJECT = json.dumps({"x": EVIL}).encode()
FENCED = f"```\n{EVIL}```\n".encode()


def on_terminal(*args: str, input: bytes, env: dict[str, str], stderr: int | None = None) -> bytes:
    """Runs llmstream with a terminal as stdout, and as stderr unless one is passed; returns what the terminal got."""
    outer, inner = pty.openpty()
    pipes = {"stdin": subprocess.PIPE, "stdout": inner, "stderr": inner if stderr is None else stderr}
    with subprocess.Popen([*LLMSTREAM, *args], env=env, **pipes) as process:
        os.close(inner)
        process.stdin.write(input)
        process.stdin.close()
        data = b""
        try:
            while piece := os.read(outer, 65536):
                data += piece
        except OSError:  # EIO: no process has it open any more
            pass
        process.wait(RUN_S)
    os.close(outer)
    return data.replace(b"\r\n", b"\n")


def in_pipe(*args: str, input: bytes) -> bytes:
    return subprocess.run([*LLMSTREAM, *args], input=input, env=environment(), stdout=subprocess.PIPE).stdout


# Control characters.

FILTERS = {
    "until": (["until", "--lines", "1"], EVIL.encode(), EVIL),
    "text": (["text"], STREAM, EVIL),
    "code": (["code"], FENCED, EVIL),
    "fields": (["fields", "-r", "x"], OBJECT, EVIL + "\n"),
    "fields -f": (["fields", "-f", "x"], OBJECT, EVIL + "\n"),
}


@pytest.mark.parametrize("args, input, output", FILTERS.values(), ids=FILTERS)
def test_filters_show_control_characters_on_a_terminal_only(args, input, output):
    assert in_pipe(*args, input=input) == output.encode()
    shown = output.replace(EVIL, SHOWN)
    assert on_terminal(*args, input=input, env=environment()) == shown.encode()
    assert on_terminal(*args, "--raw-control", input=input, env=environment()) == output.encode()


def test_json_on_a_terminal_has_no_control_characters_either():
    line = '{"x":"\x9b2J\x7f\u202e"}\n'
    assert in_pipe("json-objects", input=line.encode()) == line.encode()
    for args in (["json-objects"], ["fields"]):
        shown = on_terminal(*args, input=line.encode(), env=environment())
        assert b'"<U+009B>2J^?<U+202E>"' in shown


def thinking(request: Request) -> list[Step]:
    thought = frame({"choices": [{"index": 0, "delta": {"reasoning_content": EVIL}}]})
    return [head(), thought, *chat(EVIL)]


def test_gen_shows_control_characters_of_the_answer_and_of_its_reasoning():
    with Provider(thinking) as provider:
        args = ["gen", "-m", "openai/m", "--reasoning", "-n", "Hi"]
        env = at(provider.url)
        assert on_terminal(*args, input=b"", env=env) == (SHOWN + SHOWN).encode()
        assert on_terminal(*args, "--raw-control", input=b"", env=env) == (EVIL + EVIL).encode()
        done = subprocess.run([*LLMSTREAM, *args], env=env, capture_output=True)
        assert (done.stdout, done.stderr) == (EVIL.encode(), EVIL.encode())


def test_words_of_a_provider_are_cleaned_in_notes_and_stand_on_one_line(invoke):
    body = json.dumps({"error": {"message": f"no\r\n{EVIL}model"}}).encode()
    with Provider(lambda request: reply("400 Bad Request", body)) as provider:
        args = ["gen", "-n", "-m", "openai/m", "Hi"]
        done = invoke(*args, url=provider.url)
        seen = on_terminal(*args, input=b"", env=at(provider.url))
    for note in (done.stderr, seen):
        assert note.startswith(b"llmstream gen: ")
        assert note.decode().rstrip("\n").isprintable()
        assert b"model" in note


def test_names_of_models_are_lines_without_control_characters(invoke):
    body = json.dumps({"data": [{"id": f"m1\nm2{EVIL}"}]}).encode()
    with Provider(lambda request: reply("200 OK", body)) as provider:
        done = invoke("models", "openai", url=provider.url)
    assert done.stdout.startswith(b"openai/m1 m2a ")
    assert done.stdout.decode().rstrip("\n").isprintable()


# The end of the output, and notes.


@pytest.mark.parametrize("args, input, output", [
    (["until", "--words", "2"], b"one two three", "one two"),
    (["until", "-e", "x"], b"abc", "abc"),
    (["until", "--drain", "--words", "2"], b"one two three", "one two"),
    (["code"], b"```\nx\n", "x\n"),
    (["fields", "-0", "x"], b'{"x":"y"}', "y\0"),
])  # fmt: skip
def test_the_output_ends_with_a_newline_on_a_terminal_and_as_it_is_in_a_pipe(args, input, output):
    assert in_pipe(*args, input=input) == output.encode()
    shown = output.replace("\0", "^@").removesuffix("\n") + "\n"
    with open(os.devnull, "wb") as null:
        assert on_terminal(*args, input=input, env=environment(), stderr=null.fileno()) == shown.encode()


def test_no_newline_is_added_where_none_is_wanted():
    assert on_terminal("text", "--no-newline", input=b"".join(chat("a")), env=environment()) == b"a"


def cut(request: Request) -> list[Step]:
    return [head(), chat_text("Half an ans"), CLOSE]


CUT = b"Half an ans\nllmstream gen: "


def test_a_note_begins_a_line_where_both_outputs_are_one(tmp_path):
    with Provider(cut) as provider:
        args = [*LLMSTREAM, "gen", "-m", "openai/m", "-n", "Hi"]
        env = at(provider.url)
        done = subprocess.run(args, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.stdout.startswith(CUT)
        with open(tmp_path / "log", "wb") as log:
            subprocess.run(args, env=env, stdout=log, stderr=log)
        assert (tmp_path / "log").read_bytes().startswith(CUT)
        assert on_terminal(*args[3:], input=b"", env=env).startswith(CUT)
        done = subprocess.run(args, env=env, capture_output=True)
        assert (done.stdout, done.stderr[:15]) == (CUT[:11], CUT[12:])


# On a screen.

TEXT = "The Rhine rises in the Alps, and the Danube in the Black Forest; both are long rivers.\n\nThe Loire is another."


def answer(request: Request) -> list[Step]:
    return [head(), *chat(*(TEXT[at : at + 3] for at in range(0, len(TEXT), 3)))]


@pytest.fixture(scope="module")
def rivers():
    with Provider(answer) as provider, screen(at(provider.url, LLMSTREAM_MODEL="openai/m")) as opened:
        yield opened


JOBS = {
    "wrapped at words": ("llmstream gen Rivers", [
        "The Rhine rises in the Alps, and the Danube in the Black",
        "Forest; both are long rivers.", "", "The Loire is another.",
    ]),
    "not wrapped": ("llmstream gen --no-wrap Rivers", [
        "The Rhine rises in the Alps, and the Danube in the Black For",
        "est; both are long rivers.", "", "The Loire is another.",
    ]),
    "not wrapped in a pipe": ("llmstream gen Rivers | cat", [
        "The Rhine rises in the Alps, and the Danube in the Black For",
        "est; both are long rivers.", "", "The Loire is another.",
    ]),
    "a newline after a condition": ("llmstream gen Rivers --until-words 3", ["The Rhine rises"]),
    "a newline after a match": ("llmstream gen Rivers | llmstream until -e Alps", ["The Rhine rises in the Alps"]),
    "no newline in a pipe": ("llmstream gen Rivers --until-words 3 | od -c | tail -n 1", ["0000017"]),
}  # fmt: skip


@tmux
@pytest.mark.parametrize("command, rows", JOBS.values(), ids=JOBS)
def test_jobs_on_a_screen(rivers, command, rows):
    rivers.run(command)
    assert rivers.output() == rows


@tmux
@pytest.mark.parametrize("command, rows", [
    ("llmstream gen -u Rivers --until-words 3", ["The Rhine rises"]),
    ("llmstream gen -u Rivers | llmstream until --words 3", ["The Rhine rises"]),
    ("llmstream gen -u Hi --until-words 3 > log 2>&1; cat log", ["The Rhine rises"]),
])  # fmt: skip
def test_a_note_stands_on_a_line_of_its_own_on_a_screen(rivers, command, rows):
    rivers.run(command)
    seen = rivers.output()
    assert seen[: len(rows)] == rows
    assert seen[len(rows)].startswith("llmstream gen: openai/m: ")


@tmux
def test_a_note_stands_on_a_line_of_its_own_behind_the_text_of_a_reader():
    gate = threading.Event()
    with (
        Provider([head(), chat_text("Half an ans"), gate, CLOSE]) as provider,
        screen(at(provider.url, LLMSTREAM_MODEL="openai/m")) as opened,
    ):
        opened.run("llmstream gen Rivers | cat")
        opened.expect("Half an ans")
        gate.set()
        first, second, *_ = opened.output()
    assert first == "Half an ans"
    assert second.startswith("llmstream gen: ")


@tmux
def test_the_width_of_the_terminal_is_read_at_each_line():
    gate = threading.Event()
    with (
        Provider([head(), chat_text(TEXT[:45]), gate, *chat(TEXT[45:])]) as provider,
        screen(at(provider.url, LLMSTREAM_MODEL="openai/m")) as opened,
    ):
        opened.run("llmstream gen Rivers")
        opened.expect("the Danube")
        opened.resize(50)
        gate.set()
        assert "Forest; both are long rivers." in opened.output()


@tmux
def test_the_progress_of_map_gives_way_to_the_lines_of_jq():
    gates = {name: threading.Event() for name in "abc"}
    lines = [name * 79 for name in gates]  # as wide as the progress
    with (
        Provider(lambda request: [head(), gates[request.prompt], *chat(request.prompt * 79)]) as provider,
        screen(at(provider.url, LLMSTREAM_MODEL="openai/m"), columns=80) as opened,
    ):
        opened.run(r"printf 'a\nb\nc\n' > p; llmstream map < p | jq -r .text")
        opened.expect("0/3, 3 running")
        gates["a"].set()
        assert opened.expect(lines[0], "1/3, 2 running")[-2] == lines[0]
        gates["b"].set()
        assert opened.expect(lines[1], "2/3, 1 running")[-3:-1] == lines[:2]
        gates["c"].set()
        rows = opened.output()
    assert rows[:3] == lines
    assert rows[3].startswith("llmstream map: 3 prompts: 3 done, 0 failed; ")
