"""The process and its surroundings: the reader that leaves, signals, descriptors that are closed or full.

The provider stays silent unless the test says otherwise, so nothing here can pass because a write failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from .conftest import LLMSTREAM, at
from .loopback import HOLD, Provider, chat, chat_text, head

GEN = [*LLMSTREAM, "gen", "-n", "-m", "openai/m", "Hi"]


@contextlib.contextmanager
def silent_after(text: str) -> Iterator[Provider]:
    """A provider that says `text` and then nothing more."""
    with Provider([head(), chat_text(text), HOLD]) as provider:
        yield provider


def pipe(tmp_path):
    return os.pipe()


def fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    os.set_blocking(reader, True)
    return reader, writer


def socketpair(tmp_path):
    reader, writer = socket.socketpair()
    return reader.detach(), writer.detach()


@pytest.mark.parametrize("channel", [pipe, fifo, socketpair])
def test_a_reader_that_leaves_closes_the_connection_though_the_model_is_silent(channel, tmp_path):
    reader, writer = channel(tmp_path)
    with silent_after("Hello") as provider:
        process = subprocess.Popen(
            GEN, stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.PIPE, env=at(provider.url)
        )
        os.close(writer)
        assert os.read(reader, 100) == b"Hello"
        os.close(reader)
        assert provider.left.wait(10)
        _, stderr = process.communicate(timeout=10)
    assert (stderr, process.returncode) == (b"", 0)


def test_a_reader_that_leaves_before_the_answer_begins(run):
    reader, writer = os.pipe()
    with Provider([HOLD]) as provider:
        process = subprocess.Popen(
            GEN, stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.PIPE, env=at(provider.url)
        )
        os.close(writer)
        assert provider.asked.wait(10)
        os.close(reader)
        assert provider.left.wait(10)
        assert process.communicate(timeout=10) == (None, b"")
    assert process.returncode == 0


def test_a_reader_that_leaves_while_the_prompt_is_awaited():
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [*LLMSTREAM, "gen", "-m", "openai/m"], stdin=subprocess.PIPE, stdout=writer, env=at("http://127.0.0.1:9")
    )
    os.close(writer)
    os.close(reader)
    assert process.wait(10) == 0
    process.stdin.close()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_by_the_signal_and_closes_the_connection(signum):
    with silent_after("Hello") as provider:
        process = subprocess.Popen(
            [*GEN, "-u"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=at(provider.url)
        )
        assert process.stdout.read(5) == b"Hello"
        process.send_signal(signum)
        assert provider.left.wait(10)
        _, stderr = process.communicate(timeout=10)
    assert process.returncode == -signum
    assert stderr.startswith(b"llmstream gen: openai/m: 5 characters")
    assert stderr.endswith(b", cancelled\n")


def test_a_signal_gets_through_while_stdout_is_full():
    with Provider([head(), chat_text("x" * 1_000_000), HOLD]) as provider:
        process = subprocess.Popen(GEN, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=at(provider.url))
        assert process.stdout.read(1) == b"x"  # the rest fills the pipe
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM
        process.stdout.close()


def test_an_ignored_signal_stays_ignored():
    with Provider([head(), chat_text("Hello"), *chat(" again")]) as provider:
        ignore = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
        process = subprocess.Popen(
            GEN, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=at(provider.url), **ignore
        )
        process.send_signal(signal.SIGHUP)
        assert process.communicate(timeout=10) == (b"Hello again\n", None)
    assert process.returncode == 0


def shell(command: str, url: str) -> subprocess.CompletedProcess[bytes]:
    command = f'gen() {{ {" ".join(LLMSTREAM)} gen -m openai/m "$@"; }}; {command}'
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, env=at(url), timeout=30, stdin=subprocess.DEVNULL
    )


def test_closed_stdout_is_refused_before_anything_is_sent():
    with Provider([head(), *chat("Hello")]) as provider:
        done = shell("gen -n Hi >&-", provider.url)
        assert provider.requests == []
    assert (done.returncode, done.stderr) == (
        5,
        b"llmstream gen: stdout is closed: redirect it to a file or to /dev/null\n",
    )


def test_full_stdout_is_status_5():
    with Provider([head(), *chat("Hello")]) as provider:
        done = shell("gen -n Hi > /dev/full", provider.url)
    assert (done.returncode, done.stderr) == (5, b"llmstream gen: cannot write to stdout: No space left on device\n")


@pytest.mark.parametrize("closed", ["2>&-", "<&-", "2>/dev/full", "<&- 2>&-"])
def test_other_descriptors_may_be_closed_or_full(closed):
    with Provider([head(), *chat("Hello")]) as provider:
        done = shell(f"gen -u Hi {closed}", provider.url)
    assert (done.returncode, done.stdout) == (0, b"Hello\n")


@pytest.mark.parametrize(
    "what", ["--help", "gen --help", "--version", "completion bash", "man gen", "gen --dry-run Hi"]
)
def test_whatever_prints_keeps_the_same_rules(what):
    command = f"{' '.join(LLMSTREAM)} {what}"
    assert shell(f"{command} > /dev/full", "http://127.0.0.1:9").returncode == 5
    gone = shell(f"{command} | true; echo ${{PIPESTATUS[0]}}", "http://127.0.0.1:9")
    assert (gone.stdout, gone.stderr) == (b"0\n", b"")


def test_pipefail_stays_green_when_the_reader_has_enough():
    with Provider([head(), chat_text("Hello\n"), HOLD]) as provider:
        done = shell("set -o pipefail; gen -n Hi | head -n 1; echo ${PIPESTATUS[*]}", provider.url)
    assert done.stdout == b"Hello\n0 0\n"
    assert done.stderr == b""


def test_a_while_read_loop_keeps_its_stdin():
    with Provider([head(), *chat("ok")]) as provider:
        done = shell("printf 'a\\nb\\nc\\n' | while read -r line; do gen -n \"$line\"; done", provider.url)
        prompts = sorted(request.json["messages"][0]["content"] for request in provider.requests)
    assert done.stdout == b"ok\nok\nok\n"
    assert prompts == ["a", "b", "c"]


def test_stats_of_parallel_runs_are_whole_lines(tmp_path):
    stats = tmp_path / "stats"
    with Provider([head(), *chat("ok")]) as provider:
        command = f"seq 24 | xargs -P8 -I@ {' '.join(LLMSTREAM)} gen -n -m openai/m --stats-file {stats} @"
        done = shell(command, provider.url)
    records = [json.loads(line) for line in stats.read_text().splitlines()]
    assert done.returncode == 0
    assert [record["output_tokens"] for record in records] == [2] * 24
