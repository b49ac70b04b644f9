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


def test_the_provider_of_a_stream_that_does_not_name_it_is_empty(invoke):
    for stream in (OLLAMA, b"".join(loopback.responses("x")), b"".join(loopback.chat("x"))):
        start = json.loads(invoke("text", "--events", input=stream).stdout.splitlines()[0])
        assert (start["type"], start["provider"]) == ("start", "")


@pytest.mark.parametrize("reason", ["until", "cancelled"])
def test_events_that_end_at_a_condition_are_a_whole_answer(invoke, reason):
    lines = [{"type": "start", "provider": "p", "model": "m", "id": ""}, {"type": "text", "text": "a"}]
    lines.append({"type": "finish", "reason": reason, "provider_reason": ""})
    done = invoke("text", input="".join(f"{json.dumps(line)}\n" for line in lines).encode())
    assert (done.stdout, done.stderr, done.returncode) == (b"a\n", b"", 0)


def test_answers_have_lines_of_their_own(invoke):
    cut = b"".join(loopback.chat("cut")[:1]) * 2
    whole = b"".join(loopback.messages("whole"))
    done = invoke("text", input=cut + whole + OLLAMA)
    assert (done.stdout, done.returncode) == ("cutcut\nwhole\nHi ö\n".encode(), 5)
    assert done.stderr.decode().splitlines() == [
        "llmstream text: answer 1: another answer begins before the end mark: the answer breaks off after 6 characters"
    ]
    done = invoke("text", "--no-newline", input=whole + OLLAMA)
    assert (done.stdout, done.returncode) == ("whole\nHi ö".encode(), 0)


def test_the_status_is_the_highest_of_all_answers(invoke):
    refused = b'{"error":{"message":"bad key","type":"authentication_error"}}\n'
    busy = b'{"error":{"message":"busy","code":429}}\n'
    done = invoke("text", input=refused + OLLAMA + busy)
    assert (done.stdout, done.returncode) == ("Hi ö\n".encode(), 4)
    assert [line.partition(": the")[0] for line in done.stderr.decode().splitlines()] == [
        "llmstream text: answer 1",
        "llmstream text: answer 3",
    ]
    assert invoke("text", input=OLLAMA + refused).returncode == 3
    done = invoke("text", input=OLLAMA + b'{"weather":"fine"}\n')
    assert done.returncode == 5
    assert b'text: after answer 1: unrecognised: it begins with {"weather"' in done.stderr


def test_a_file_that_is_not_whole_does_not_hide_the_next(invoke, tmp_path):
    (tmp_path / "a").write_bytes(OLLAMA + b"".join(loopback.chat("a", "b")[:-1]))
    (tmp_path / "b").write_bytes(b"".join(loopback.responses("x")))
    (tmp_path / "c").write_bytes(b"<html>")
    done = invoke("text", *(str(tmp_path / name) for name in "abc"))
    assert (done.stdout, done.returncode) == ("Hi ö\nab\nx\n".encode(), 5)
    notes = done.stderr.decode().splitlines()
    assert notes[0].startswith(f"llmstream text: {tmp_path}/a: answer 2: the stream ended")
    assert notes[1].startswith(f"llmstream text: {tmp_path}/c: unrecognised stream")


def test_a_line_before_the_first_answer_does_not_hide_it(invoke, tmp_path):
    done = invoke("text", input=b"Signed in as somebody.\n" + OLLAMA)
    assert (done.stdout, done.returncode) == ("Hi ö\n".encode(), 5)
    note = "before answer 1: unrecognised: it begins with Signed in as somebody."
    assert done.stderr.decode() == f"llmstream text: {note}\n"
    (tmp_path / "a").write_bytes(b"Signed in as somebody.\n" + OLLAMA)
    (tmp_path / "b").write_bytes(OLLAMA)
    done = invoke("text", *(str(tmp_path / name) for name in "ab"))
    assert (done.stdout, done.returncode) == ("Hi ö\nHi ö\n".encode(), 5)
    assert done.stderr.decode() == f"llmstream text: {tmp_path}/a: {note}\n"
    events = invoke("text", "--events", input=OLLAMA + b"a line\n" + OLLAMA).stdout.splitlines()
    types = [json.loads(line)["type"] for line in events]
    assert types == ["start", "text", "usage", "finish", "error", "start", "text", "usage", "finish"]


def test_events_of_several_answers_come_back(invoke):
    cut = b"".join(loopback.chat("cut")[:1]) * 2
    events = invoke("text", "--events", input=cut + OLLAMA)
    types = [json.loads(line)["type"] for line in events.stdout.splitlines()]
    assert types == ["start", "text", "text", "error", "start", "text", "usage", "finish"]
    again = invoke("text", "--events", input=events.stdout)
    assert (again.stdout, again.returncode) == (events.stdout, events.returncode)


def test_answers_follow_one_another_while_they_come():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*LLMSTREAM, "text"], env=environment(), bufsize=0, **pipes) as process:
        for text in ("Hello", "again"):
            process.stdin.write(b"".join(loopback.messages(text)))
            assert process.stdout.readline() == f"{text}\n".encode()
        assert process.wait(WAIT_S) == 0  # stdin is still open


def test_a_recording_is_read(invoke, tmp_path):
    record = tmp_path / "r.ndjson"
    with loopback.Provider([loopback.head(), *loopback.chat("Hello, ", "wörld")]) as provider:
        invoke("gen", "--record", str(record), "-m", "openai/m", "Hi", url=provider.url)
    done = invoke("text", str(record))
    assert (done.stdout, done.returncode) == ("Hello, wörld\n".encode(), 0)


def test_utf_16_is_told(invoke):
    done = invoke("text", input='{"a":1}'.encode("utf-16"))
    assert (done.stdout, done.returncode) == (b"", 5)
    assert b"iconv" in done.stderr
