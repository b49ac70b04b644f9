"""What `map` writes when a signal or an error ends it: all finished answers, in order, each line whole."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading

import pytest

from ..conftest import at
from ..support.limits import WAIT_S
from ..support.loopback import HOLD, Provider, chat, chat_text, head
from ..support.mapping import echo, records_of, running, terminated_while_it_prints, texts_of, wait_until

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
# The first answer of two streams at once never ends: when "last" has come, those of "a" and "b" are finished.
PROMPTS = b"never\na\nb\nlast\n"


def holding(request):
    return [head(), chat_text("part"), HOLD] if request.prompt in ("never", "last") else echo(request)


def saved_texts(journal) -> list[str]:
    return [json.loads(line)["record"]["text"] for line in journal.read_text().splitlines()[1:]]


@pytest.mark.parametrize("signum", SIGNALS)
def test_answers_behind_an_unfinished_one_are_printed_when_a_signal_comes(signum):
    with Provider(holding) as provider, running("-j", "2", url=provider.url) as run:
        run.write(PROMPTS)
        wait_until(lambda: len(provider.requests) == 4)
        run.process.send_signal(signum)
        records = records_of(run.read_rest())
        assert run.process.wait(WAIT_S) == -signum
        assert run.stderr().startswith(b"llmstream map: 4 prompts: 2 done, 0 failed, 2 unfinished; ")
    assert [(record["index"], record["line"], record["text"]) for record in records] == [(1, 2, "a"), (2, 3, "b")]


def test_the_next_run_with_the_journal_sends_and_prints_the_rest_once(tmp_path, run):
    journal = tmp_path / "journal"
    released = threading.Event()

    def script(request):
        return echo(request) if released.is_set() else holding(request)

    with Provider(script) as provider:
        with running("-j", "2", "--journal", str(journal), url=provider.url) as first:
            first.write(PROMPTS)
            wait_until(lambda: len(provider.requests) == 4)
            first.process.send_signal(signal.SIGTERM)
            assert texts_of(first.read_rest()) == ["a", "b"]
            assert first.process.wait(WAIT_S) == -signal.SIGTERM
        assert sorted(saved_texts(journal)) == ["a", "b"]
        released.set()
        done = run("map", "-q", "-m", "openai/m", "--journal", str(journal), input=PROMPTS, url=provider.url)
        assert sorted(request.prompt for request in provider.requests[4:]) == ["last", "never"]
    assert (texts_of(done.stdout), done.returncode) == (["never", "a", "b", "last"], 0)


def test_an_output_file_keeps_them_beside_its_place(tmp_path):
    path = tmp_path / "answers.ndjson"
    path.write_text("precious\n")
    with Provider(holding) as provider, running("-j", "2", "-q", "-O", str(path), url=provider.url) as run:
        run.write(PROMPTS)
        wait_until(lambda: len(provider.requests) == 4)
        run.process.send_signal(signal.SIGTERM)
        assert run.process.wait(WAIT_S) == -signal.SIGTERM
        note = f"llmstream map: {path} is left as it was: the records so far are in {path}.partial\n"
        assert run.stderr().decode() == note
    assert texts_of((tmp_path / "answers.ndjson.partial").read_bytes()) == ["a", "b"]
    assert path.read_text() == "precious\n"


@pytest.mark.parametrize("journals", [True, False])
def test_each_answer_that_counts_as_done_is_printed_whenever_the_signal_comes(tmp_path, journals):
    """The signal comes while the process is busy with answers, wherever that is."""
    journal, prompts = tmp_path / "journal", b"never\n" + b"".join(b"p%d\n" % number for number in range(900))
    args = ["-j", "30", *(["--journal", str(journal)] if journals else [])]
    with Provider(holding) as provider, running(*args, url=provider.url) as run:
        run.write(prompts)
        wait_until(lambda: len(provider.requests) >= 300)
        run.process.send_signal(signal.SIGINT)
        records = records_of(run.read_rest())
        assert run.process.wait(WAIT_S) == -signal.SIGINT
        done = re.search(rb"prompts: (\d+) done", run.stderr())
    indexes = [record["index"] for record in records]
    assert indexes == sorted(set(indexes))
    assert int(done[1]) == len(records) > 0
    if journals:
        assert sorted(saved_texts(journal)) == sorted(record["text"] for record in records)


# Readers.


def test_a_write_that_a_signal_interrupts_is_continued_where_it_stopped():
    texts = {"a": "x" * 1_000_000, "b": "y" * 1_000_000}

    def script(request):
        return [head(), *chat(texts[request.prompt])] if request.prompt in texts else holding(request)

    with Provider(script) as provider, running("-j", "2", "--unordered", url=provider.url) as run:
        run.write(PROMPTS)
        output = terminated_while_it_prints(run.process)
        done = re.search(rb"prompts: (\d) done", run.stderr())
    printed = texts_of(output)
    assert printed in ([texts["a"]], [texts["a"], texts["b"]])  # "b" may not have come whole
    assert len(printed) == int(done[1])


def test_a_reader_that_takes_nothing_does_not_hold_the_end_up():
    script = lambda request: [head(), *chat("x" * 1_000_000)]  # noqa: E731
    with Provider(script) as provider, running("-j", "1", url=provider.url) as run:
        run.write(b"a\n")
        assert run.process.stdout.read(1) == b"{"
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(WAIT_S) == -signal.SIGINT
        assert run.stderr().startswith(b"llmstream map: 1 line is not written: the reader of stdout takes nothing\n")


PATIENT = """
import os
from llmstream import __main__, signals, stdio
from llmstream.batch import output

def announced(data, patience_s, write=stdio.write_while_read):
    os.write(2, b"waiting\\n")
    return write(data, patience_s)

stdio.write_while_read = announced
output.PATIENCE_S, signals.REPEAT_S = 1e6, 0.0
__main__.main()
"""


def test_a_second_signal_ends_the_wait_for_a_reader_at_once():
    def script(request):
        return [head(), *chat("x" * 1_000_000)] if request.prompt == "big" else holding(request)

    command, pipe = [sys.executable, "-c", PATIENT, "map", "-m", "openai/m"], subprocess.PIPE
    with (
        Provider(script) as provider,
        subprocess.Popen(command, env=at(provider.url), stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0) as process,
    ):
        process.stdin.write(b"big\nnever\n")
        wait_until(lambda: len(provider.requests) == 2)
        assert process.stdout.read(1) == b"{"
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == b"waiting\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == -signal.SIGINT
        note, totals = process.stderr.read().splitlines()
        assert note.startswith(b"llmstream map: not all lines are written: another signal came ")
        assert totals.startswith(b"llmstream map: 2 prompts: ")


def test_a_reader_that_has_left_is_no_error_of_its_own():
    """The reader ends by the same Ctrl-C, while the process is stopped."""
    reader, writer = os.pipe()
    with Provider(holding) as provider, running("-j", "2", url=provider.url, stdout=writer) as run:
        os.close(writer)
        run.write(PROMPTS)
        wait_until(lambda: len(provider.requests) == 4)
        run.process.send_signal(signal.SIGSTOP)
        run.process.send_signal(signal.SIGINT)
        os.close(reader)
        run.process.send_signal(signal.SIGCONT)
        assert run.process.wait(WAIT_S) in (0, -signal.SIGINT)  # whichever it notices first
        assert b"Traceback" not in run.stderr()


# Errors.


def test_a_journal_that_cannot_be_written_leaves_no_saved_answer_unprinted(tmp_path):
    """A limit on the size of files stands in for a full disk. What is not in the journal is asked again."""
    journal, saved = tmp_path / "journal", threading.Event()

    def script(request):
        return [head(), saved, *chat("x" * 10_000)] if request.prompt == "big" else holding(request)

    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))  # noqa: E731
    with (
        Provider(script) as provider,
        running("-j", "2", "--journal", str(journal), url=provider.url, preexec_fn=limit) as run,
    ):
        run.write(b"never\na\nb\nbig\n")
        wait_until(lambda: journal.exists() and len(saved_texts(journal)) == 2)
        saved.set()
        assert texts_of(run.read_rest()) == ["a", "b"]
        assert run.process.wait(WAIT_S) == 5
        message = f"llmstream map: cannot write {journal}: File too large: make room, then run the same command"
        assert run.stderr().decode().startswith(message)
    assert sorted(saved_texts(journal)) == ["a", "b"]
