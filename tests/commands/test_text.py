"""`text` as its users run it."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from ..conftest import LLMSTREAM, environment
from ..support import loopback
from ..support.limits import WAIT_S

OLLAMA = b'{"model":"m","response":"Hi \xc3\xb6","done":false}\n{"model":"m","response":"","done":true}\n'


@pytest.mark.parametrize(
    ("args", "input", "output", "status"),
    [
        ([], OLLAMA, "Hi ö\n".encode(), 0),
        (["--no-newline"], OLLAMA, "Hi ö".encode(), 0),
        ([], b"".join(loopback.messages("a", "b")), b"ab\n", 0),
        ([], b"".join(loopback.chat("a", "b")[:-1]), b"ab", 5),
        ([], loopback.chat_text("a") + loopback.chat_end("length"), b"a\n", 5),
        ([], loopback.chat_text("a") + loopback.chat_end("content_filter"), b"a\n", 3),
        ([], b'{"error":{"message":"bad key","type":"authentication_error"}}', b"", 3),
        ([], b'{"error":{"message":"busy","code":429}}', b"", 4),
        ([], b"<html>", b"", 5),
        ([], b"", b"", 5),
    ],
)
def test_output_and_status(invoke, args, input, output, status):
    done = invoke("text", *args, input=input)
    assert (done.stdout, done.returncode) == (output, status)
    assert done.stderr.count(b"\n") == bool(status)


def test_events(invoke):
    done = invoke("text", "--events", input=OLLAMA)
    assert [json.loads(line)["type"] for line in done.stdout.splitlines()] == ["start", "text", "usage", "finish"]
    done = invoke("text", "--events", input=b"".join(loopback.chat("a")[:-1]))
    assert json.loads(done.stdout.splitlines()[-1])["type"] == "error"
    assert done.returncode == 5


def test_streams_and_leaves_at_the_end_mark():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*LLMSTREAM, "text"], env=environment(), bufsize=0, **pipes) as process:
        for text in ("Hello", " you"):
            process.stdin.write(loopback.chat_text(text))
            assert os.read(process.stdout.fileno(), 100) == text.encode()
        process.stdin.write(loopback.chat_end() + loopback.DONE)
        assert process.wait(WAIT_S) == 0  # stdin is still open


def test_each_file_is_a_stream(invoke, tmp_path):
    (tmp_path / "a").write_bytes(OLLAMA)
    (tmp_path / "b").write_bytes(b"".join(loopback.responses("x")))
    done = invoke("text", str(tmp_path / "a"), str(tmp_path / "b"))
    assert (done.stdout, done.returncode) == ("Hi ö\nx\n".encode(), 0)


def test_what_gen_writes_as_events_comes_back_as_text(invoke):
    with loopback.Provider([loopback.head(), *loopback.chat("Hello, ", "wörld")]) as provider:
        events = invoke("gen", "--events", "-m", "openai/m", "Hi", url=provider.url).stdout
    assert invoke("text", input=events).stdout == "Hello, wörld\n".encode()
    assert invoke("text", "--events", input=events).stdout == events
