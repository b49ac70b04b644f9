"""How `map` ends: a reader that leaves, a full output, signals, few descriptors."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess

import pytest

from ..conftest import at
from ..support.limits import RUN_S, WAIT_S
from ..support.loopback import HOLD, Provider, chat, chat_text, head, reply
from ..support.mapping import MAP, echo, records_of, running, texts_of, wait_until


def test_a_reader_that_leaves_ends_all_streams_at_once():
    def script(request):
        return echo(request) if request.prompt == "first" else [head(), chat_text("on and on"), HOLD]

    reader, writer = os.pipe()
    with Provider(script) as provider, running(url=provider.url, stdout=writer) as run:
        os.close(writer)
        run.write(b"first\n" + b"x\n" * 7)
        assert json.loads(os.read(reader, 65536))["text"] == "first"
        wait_until(lambda: len(provider.requests) == 8)
        os.close(reader)
        assert run.process.wait(WAIT_S) == 0  # though all providers are silent, and stdin is open
        assert run.stderr() == b""
        wait_until(lambda: provider.running == 0)


def test_a_reader_that_leaves_after_a_failure_gets_its_status():
    def script(request):
        return reply("400 No", b"{}") if request.prompt == "bad" else [head(), HOLD]

    reader, writer = os.pipe()
    with Provider(script) as provider, running(url=provider.url, stdout=writer) as run:
        os.close(writer)
        run.write(b"bad\nx\n")
        assert json.loads(os.read(reader, 65536))["error"]["status"] == 3
        os.close(reader)
        assert run.process.wait(WAIT_S) == 3


@pytest.mark.parametrize(("target", "message"), [("/dev/full", "No space left on device"), ("&-", "stdout is closed")])
def test_an_output_that_cannot_be_written_is_status_5(target, message):
    with Provider(echo) as provider:
        command = f"echo a | {shlex.join(MAP)} >{target}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, env=at(provider.url), text=True)
    assert done.returncode == 5
    assert message in done.stderr
    assert done.stderr.count("\n") == 1  # no line that counts the answer as done


# Signals.


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_streams_commits_the_journal_and_prints_the_summary(signum, tmp_path):
    journal = tmp_path / "j"
    script = lambda request: echo(request) if request.prompt == "done" else [head(), chat_text("part"), HOLD]  # noqa: E731
    with Provider(script) as provider, running("--journal", str(journal), url=provider.url) as run:
        run.write(b"done\nx\ny\n")
        assert run.read_record()["text"] == "done"
        wait_until(lambda: len(provider.requests) == 3)
        run.process.send_signal(signum)
        assert run.process.wait(WAIT_S) == -signum
        assert run.stderr().startswith(b"llmstream map: 3 prompts: 1 done, 0 failed, 2 unfinished; ")
        wait_until(lambda: provider.running == 0)
    assert [json.loads(line)["record"]["text"] for line in journal.read_text().splitlines()[1:]] == ["done"]


def test_a_signal_gets_through_while_stdout_is_full():
    with Provider(lambda request: [head(), *chat("x" * 1_000_000)]) as provider, running(url=provider.url) as run:
        run.write(b"a\nb\n")
        assert run.process.stdout.read(1) == b"{"  # the rest fills the pipe
        run.process.send_signal(signal.SIGTERM)
        assert run.process.wait(WAIT_S) == -signal.SIGTERM


def test_a_signal_before_any_prompt():
    with running(url="http://127.0.0.1:9") as run:
        assert run.process.stderr.readline() == b"llmstream map: waiting for prompts on stdin\n"
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(WAIT_S) == -signal.SIGINT
        assert run.stderr().startswith(b"llmstream map: 0 prompts: 0 done, 0 failed")


# Descriptors.


def test_jobs_are_limited_by_the_open_file_limit():
    with Provider(echo) as provider:
        command = f"ulimit -n 64; seq 100 | {shlex.join(MAP)} -j 100"
        done = subprocess.run(["bash", "-c", command], capture_output=True, env=at(provider.url), timeout=RUN_S)
    assert texts_of(done.stdout) == [str(number) for number in range(1, 101)]
    assert done.stderr.startswith(
        b"llmstream map: limited to 32 streams: the limit of open files is 64 (raise it with ulimit -n)\n"
    )
    assert provider.most_running <= 32
    assert done.returncode == 0


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one():
    with Provider(echo) as provider:
        command = f"ulimit -Sn 64; seq 100 | {shlex.join(MAP)} -q -j 100"
        done = subprocess.run(["bash", "-c", command], capture_output=True, env=at(provider.url), timeout=RUN_S)
    assert (len(records_of(done.stdout)), done.stderr, done.returncode) == (100, b"", 0)
