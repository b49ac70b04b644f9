"""`gen --chat`: a conversation in a file, which holds whole exchanges only."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import threading

import pytest

from ..conftest import LLMSTREAM, at
from ..support.limits import WAIT_S
from ..support.loopback import HOLD, Provider, chat, chat_end, chat_text, frame, head, reply

PNG = b"\x89PNG\r\n\x1a\nx"


def gen(invoke, provider: Provider, *args: str, **more):
    return invoke("gen", "-n", "-m", "openai/m", "--chat", "talk", *args, url=provider.url, **more)


def lines(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "talk").read_text().splitlines()]


def test_a_conversation_goes_on(invoke, tmp_path):
    with Provider([head(), *chat("The Aare.")], [head(), *chat("288 km.")]) as provider:
        first = gen(invoke, provider, "-s", "Be brief.", "A river?", cwd=tmp_path)
        second = gen(invoke, provider, "-s", "Be brief.", "How long?", cwd=tmp_path)
    assert (first.stdout, first.stderr, second.stdout) == (b"The Aare.\n", b"", b"288 km.\n")
    talk = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "A river?"},
        {"role": "assistant", "content": "The Aare."},
        {"role": "user", "content": "How long?"},
    ]
    assert provider.requests[1].json["messages"] == talk
    assert lines(tmp_path) == [*talk, {"role": "assistant", "content": "288 km."}]
    assert (tmp_path / "talk").stat().st_mode & 0o777 == 0o600


def test_attachments_are_kept(invoke, tmp_path):
    (tmp_path / "p.png").write_bytes(PNG)
    (tmp_path / "notes.txt").write_text("Grüße")
    with Provider([head(), *chat("Yes.")]) as provider:
        gen(invoke, provider, "-a", "p.png", "-a", "notes.txt", "Look", cwd=tmp_path)
        gen(invoke, provider, "Again", cwd=tmp_path)
    first, second = (request.json["messages"][0] for request in provider.requests)
    assert first == second
    assert [part["type"] for part in lines(tmp_path)[0]["content"]] == ["image_url", "file", "text"]


def test_calls_wait_for_their_results_in_the_file(invoke, tmp_path):
    (tmp_path / "tools").write_text('{"name": "weather"}')
    call = {"index": 0, "id": "c1", "function": {"name": "weather", "arguments": "{}"}}
    called = frame({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
    with Provider([head(), called, chat_end("tool_calls")], [head(), *chat("Cold.")]) as provider:
        first = gen(invoke, provider, "--tools", "tools", "Weather?", cwd=tmp_path)
        assert (first.returncode, first.stderr.count(b"\n")) == (0, 1)
        assert b"wait for their results in talk" in first.stderr
        refused = gen(invoke, provider, "--tools", "tools", "So?", cwd=tmp_path)
        assert (refused.returncode, b"the call c1 of the tool weather has no result" in refused.stderr) == (2, True)
        with (tmp_path / "talk").open("a") as file:
            file.write('{"role": "tool", "tool_call_id": "c1", "content": "-3"}\n')
        assert gen(invoke, provider, "--tools", "tools", cwd=tmp_path).stdout == b"Cold.\n"
    assert [turn["role"] for turn in provider.requests[1].json["messages"]] == ["user", "assistant", "tool"]
    assert [line["role"] for line in lines(tmp_path)] == ["user", "assistant", "tool", "assistant"]


def test_nothing_is_kept_of_an_answer_that_is_cut(invoke, tmp_path):
    old = b'{"role":"user","content":"a"}\n{"role":"assistant","content":"b"}\n'
    (tmp_path / "talk").write_bytes(old)
    with Provider([head(), chat_text("Half")]) as provider:
        done = gen(invoke, provider, "Hi", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (5, b"Half")
        assert b"talk is left as it was: --keep-cut keeps" in done.stderr
        assert (tmp_path / "talk").read_bytes() == old
        assert gen(invoke, provider, "--keep-cut", "Hi", cwd=tmp_path).returncode == 5
    assert lines(tmp_path)[2:] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Half", "cut": True},
    ]


def test_a_failure_leaves_no_new_file(invoke, tmp_path):
    with Provider([head("401 Unauthorized", "application/json") + b"{}"]) as provider:
        assert gen(invoke, provider, "Hi", cwd=tmp_path).returncode == 3
    assert not (tmp_path / "talk").exists()


def test_an_answer_that_a_condition_ends_is_whole(invoke, tmp_path):
    with Provider([head(), chat_text("one two"), HOLD]) as provider:
        assert gen(invoke, provider, "--until-words", "1", "Hi", cwd=tmp_path).returncode == 0
    assert lines(tmp_path)[1]["content"].startswith("one")


def test_dry_run_neither_creates_nor_locks_the_file(invoke, tmp_path):
    with Provider([head()]) as provider:
        assert gen(invoke, provider, "--dry-run", "Hi", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "talk").exists() and not provider.requests


WHOLE = b'{"role":"user","content":"a"}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (WHOLE + b'{"role":"assistant","conte', "talk:2 is cut: complete the line, or delete it"),
        (b'{"journal": 1}\n', "talk:1 is not a message"),
        (b"[\n" + WHOLE + b"]\n", "talk:1 is not a message"),
        (b"Hello\n", "talk:1 is not a message"),
        (b'{"role": "robot", "content": "x"}\n', "talk, message 1: the role 'robot'"),
        (WHOLE + b"\xff\n", "talk:2: invalid UTF-8"),
    ],
)
def test_a_file_that_is_cut_or_no_conversation_is_left_as_it_is(invoke, tmp_path, content, message):
    (tmp_path / "talk").write_bytes(content)
    with Provider([head(), *chat("x")]) as provider:
        done = gen(invoke, provider, "Hi", cwd=tmp_path)
    assert (done.returncode, done.stderr.count(b"\n"), provider.requests) == (2, 1, [])
    assert message in done.stderr.decode()
    assert (tmp_path / "talk").read_bytes() == content


def test_a_last_line_without_its_newline_gets_it(invoke, tmp_path):
    (tmp_path / "talk").write_bytes(b'{"role":"system","content":"S"}')
    with Provider([head(), *chat("x")]) as provider:
        assert gen(invoke, provider, "Hi", cwd=tmp_path).returncode == 0
    assert [line["role"] for line in lines(tmp_path)] == ["system", "user", "assistant"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--messages", "talk", "x"], "--chat and --messages exclude each other"),
        ([], "the prompt is empty"),
        (["-s", "T", "x"], "talk and --system both have a system prompt: leave one out"),
    ],
)
def test_what_does_not_fit_together(invoke, tmp_path, args, message):
    if "-s" in args:
        (tmp_path / "talk").write_bytes(b'{"role":"system","content":"S"}\n')
    with Provider([head(), *chat("x")]) as provider:
        done = gen(invoke, provider, *args, cwd=tmp_path)
    assert (done.returncode, message in done.stderr.decode(), provider.requests) == (2, True, [])


def start(provider: Provider, folder, *args: str) -> subprocess.Popen:
    command = [*LLMSTREAM, "gen", "-n", "-m", "openai/m", "--chat", "talk", *args]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, env=at(provider.url), cwd=folder)


def test_a_second_process_waits_says_so_and_knows_the_first_answer(tmp_path):
    gate = threading.Event()
    with (
        Provider([head(), chat_text("one"), gate, chat_end()], [head(), *chat("two")]) as provider,
        start(provider, tmp_path, "1") as first,
    ):
        assert provider.first_request.wait(WAIT_S)
        with start(provider, tmp_path, "2") as second:
            assert second.stderr.readline() == b"llmstream gen: another process uses talk: waiting for its end\n"
            gate.set()
            assert second.wait(WAIT_S) == 0
        assert first.wait(WAIT_S) == 0
    assert [line["content"] for line in lines(tmp_path)] == ["1", "one", "2", "two"]
    assert len(provider.requests[1].json["messages"]) == 3


@pytest.mark.parametrize("keep", [False, True])
def test_an_interrupt_keeps_nothing_but_on_request(tmp_path, keep):
    with (
        Provider([head(), chat_text("Half"), HOLD]) as provider,
        start(provider, tmp_path, *["--keep-cut"] * keep, "Hi") as process,
    ):
        assert process.stdout.read(4) == b"Half"
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == -signal.SIGINT
    assert (tmp_path / "talk").exists() is keep
    if keep:
        assert lines(tmp_path)[1] == {"role": "assistant", "content": "Half", "cut": True}


def test_a_file_that_an_editor_replaces_meanwhile_is_not_touched(tmp_path):
    gate = threading.Event()
    (tmp_path / "talk").write_bytes(WHOLE)
    with (
        Provider([head(), chat_text("one"), gate, chat_end()]) as provider,
        start(provider, tmp_path, "1") as process,
    ):
        assert process.stdout.read(3) == b"one"
        (tmp_path / "new").write_bytes(b"")
        os.replace(tmp_path / "new", tmp_path / "talk")
        gate.set()
        assert process.wait(WAIT_S) == 5
        assert b"another program has replaced it" in process.stderr.read()
    assert (tmp_path / "talk").read_bytes() == b""


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path):
    (tmp_path / "talk").write_bytes(WHOLE)
    command = f'ulimit -f 1; exec "$@" --chat talk {"x" * 2000}'
    with Provider([head(), *chat("one")]) as provider:
        args = ["bash", "-c", f"trap '' XFSZ; {command}", "-", *LLMSTREAM, "gen", "-n", "-m", "openai/m"]
        env = at(provider.url)
        done = subprocess.run(args, capture_output=True, env=env, cwd=tmp_path, timeout=WAIT_S)
    assert (done.returncode, b"the exchange is not in it" in done.stderr) == (5, True)
    assert (tmp_path / "talk").read_bytes() == WHOLE


def test_the_lock_is_that_of_flock(invoke, tmp_path):
    with Provider([head(), *chat("x")]) as provider:
        gen(invoke, provider, "Hi", cwd=tmp_path)
    with (tmp_path / "talk").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_symbolic_link_to_a_new_file(invoke, tmp_path):
    link = tmp_path / "link"
    link.symlink_to("new")
    with Provider(reply("503 Busy", b"{}"), [head(), *chat("Hello")]) as provider:
        args = ("gen", "-m", "openai/m", "--retries=0", "--chat", str(link), "Hi")
        assert invoke(*args, url=provider.url).returncode == 4
        assert (link.is_symlink(), (tmp_path / "new").exists()) == (True, False)
        assert invoke(*args, url=provider.url).returncode == 0
    assert (link.is_symlink(), (tmp_path / "new").read_bytes().count(b"\n")) == (True, 2)


WHOLE = b'{"role":"user","content":"a"}\n{"role":"assistant","content":"b"}\n'


@pytest.mark.parametrize("cut", [b'\0"role":"user","content":"c"}\n{"role":"assis', b'\0"ro', b'\0{"role":"user"'])
def test_an_exchange_that_was_cut_while_it_was_written_is_left_out(invoke, tmp_path, cut):
    before = WHOLE.removesuffix(b"\n") if cut.startswith(b"\0{") else WHOLE
    (tmp_path / "talk").write_bytes(before + cut)
    with Provider([head(), *chat("e")]) as provider:
        args = ("gen", "-n", "-m", "openai/m", "--chat", "talk")
        shown = invoke(*args, "--dry-run", "d", url=provider.url, cwd=tmp_path)
        assert (shown.returncode, (tmp_path / "talk").read_bytes()) == (0, before + cut)
        done = invoke(*args, "d", url=provider.url, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"e\n")
    assert b"talk: an exchange that was cut while it was written is left out" in done.stderr
    assert [turn["content"] for turn in provider.requests[0].json["messages"]] == ["a", "b", "d"]
    added = b'{"role":"user","content":"d"}\n{"role":"assistant","content":"e"}\n'
    assert (tmp_path / "talk").read_bytes() == WHOLE + added


@pytest.mark.parametrize(
    "content", [b"\0" * 512, b'\0"role":\0', b"\x7fELF\0\0\1", b"\0", WHOLE + b"\0\0\0", b'\0"name": 1']
)
def test_another_kind_of_file_is_left_as_it_is(invoke, tmp_path, content):
    (tmp_path / "talk").write_bytes(content)
    done = invoke("gen", "-n", "-m", "openai/m", "--chat", "talk", "d", url="http://127.0.0.1:9", cwd=tmp_path)
    assert (done.returncode, (tmp_path / "talk").read_bytes()) == (2, content)
