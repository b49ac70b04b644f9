"""`map` in a pipeline: concurrency, order, when input is read and output written."""

from __future__ import annotations

import fcntl
import os
import shlex
import subprocess
import termios
import threading
from array import array
from pathlib import Path

import pytest

from ..conftest import at
from ..support.limits import RUN_S, WAIT_S
from ..support.loopback import Provider, chat, head, reply
from ..support.mapping import MAP, echo, records_of, running, texts_of, wait_until


class Gate:
    """A script that holds the answers to some prompts until the test sets their event in `opened`."""

    def __init__(self, *closed: str) -> None:
        self.opened = {prompt: threading.Event() for prompt in closed}

    def __call__(self, request):
        word = self.opened.get(request.prompt)
        return [head(), *([word] if word else []), *chat(request.prompt)]


def of_two_providers(*words: str) -> bytes:
    """Returns records of prompts, each for the provider that its word begins with."""
    models = {"o": "openai/m", "a": "anthropic/m"}
    return "".join(f'{{"prompt": "{word}", "model": "{models[word[0]]}"}}\n' for word in words).encode()


# Two providers.


def test_a_prompt_that_waits_for_its_provider_holds_up_no_other():
    with Provider(echo) as provider, running("--jsonl", "--unordered", "--rpm", "0.1", url=provider.url) as process:
        process.write(of_two_providers("o1", "o2", "o3", "a1"))
        assert {process.read_record()["text"] for _ in range(2)} == {"o1", "a1"}
        process.write(of_two_providers("a2"))
        process.process.kill()
    assert len(provider.requests) == 2


def test_retries_that_wait_take_no_stream_from_another_provider():
    def script(request):
        if request.prompt.startswith("o"):
            return reply("429 Too Many Requests", b"{}", "application/json", "Retry-After: 50")
        return echo(request)

    with Provider(script) as provider, running("--jsonl", "--unordered", "-j", "2", url=provider.url) as process:
        process.write(of_two_providers("o1", "o2", "o3", "o4"))
        wait_until(lambda: len(provider.requests) == 2)
        process.write(of_two_providers("a1", "a2", "a3"))
        assert sorted(process.read_record()["text"] for _ in range(3)) == ["a1", "a2", "a3"]
        process.process.kill()
    assert len(provider.requests) == 5


def test_the_prompts_of_a_provider_keep_their_order():
    words = [f"{'oa'[n % 2]}{n:02}" for n in range(20)]
    with (
        Provider(echo) as provider,
        running("--jsonl", "--unordered", "--rpm", "2400", "-j", "1", url=provider.url) as process,
    ):
        process.write(of_two_providers(*words))
        process.close_stdin()
        assert sorted(record["text"] for record in records_of(process.read_rest())) == sorted(words)
    sent = [request.prompt for request in provider.requests]
    for letter in "oa":
        assert [word for word in sent if word[0] == letter] == [word for word in words if word[0] == letter]


# How many at once.


@pytest.mark.parametrize(("args", "most"), [([], 8), (["-j", "1"], 1), (["-j3"], 3)])
def test_at_most_jobs_requests_run_at_once(run, args, most):
    with Provider(echo) as provider:
        done = run("map", "-q", "-m", "openai/m", *args, input=b"x\n" * 60, url=provider.url)
        assert len(provider.requests) == 60
    assert len(records_of(done.stdout)) == 60
    assert provider.most_running <= most


def test_eight_requests_run_at_once_by_default():
    """No request is answered before all eight have arrived: the pace begins with eight."""
    everyone = threading.Barrier(8)

    def script(request):
        everyone.wait(WAIT_S)
        return echo(request)

    with Provider(script) as provider, running("-q", url=provider.url) as run:
        run.write(b"x\n" * 16)
        run.close_stdin()
        assert len(records_of(run.read_rest())) == 16
    assert provider.most_running == 8


def test_concurrency_grows_to_jobs():
    """The last forty requests are answered only when all of them run at once."""
    last = threading.Barrier(40)

    def script(request):
        if request.prompt == "last":
            last.wait(WAIT_S)
        return echo(request)

    with Provider(script) as provider, running("-q", "-j", "40", url=provider.url) as run:
        run.write(b"x\n" * 100 + b"last\n" * 40)
        run.close_stdin()
        assert len(records_of(run.read_rest())) == 140
    assert provider.most_running == 40


# Order.


def test_records_are_in_the_order_of_the_prompts():
    gate = Gate("a")
    with Provider(gate) as provider, running("-q", url=provider.url) as run:
        run.write(b"a\nb\nc\n")
        run.close_stdin()
        wait_until(lambda: len(provider.requests) == 3 and provider.running == 1)
        gate.opened["a"].set()
        assert texts_of(run.read_rest()) == ["a", "b", "c"]


def test_unordered_records_come_as_their_answers_end():
    gate = Gate("a")
    with Provider(gate) as provider, running("-q", "--unordered", url=provider.url) as run:
        run.write(b"a\nb\nc\n")
        run.close_stdin()
        assert {run.read_record()["index"], run.read_record()["index"]} == {1, 2}  # though the first still runs
        gate.opened["a"].set()
        assert records_of(run.read_rest())[0]["index"] == 0


def test_the_window_bounds_the_answers_that_wait_for_an_earlier_one():
    """While the first prompt runs, four prompts are sent; then all are."""
    gate = Gate("0")
    prompts = [str(number) for number in range(100)]
    with Provider(gate) as provider, running("-q", "--window", "4", url=provider.url) as run:
        run.write("\n".join(prompts).encode() + b"\n")
        run.close_stdin()
        wait_until(lambda: len(provider.requests) == 4 and provider.running == 1 and run.state == "S")
        assert sorted(request.prompt for request in provider.requests) == prompts[:4]
        gate.opened["0"].set()
        assert texts_of(run.read_rest()) == prompts


# Input.


def test_an_answer_is_printed_before_the_next_prompt_is_written():
    with Provider(echo) as provider, running("-q", url=provider.url) as run:
        for number in range(5):
            run.write(f"p{number}\n".encode())
            assert run.read_record()["text"] == f"p{number}"
        run.close_stdin()
        assert run.read_rest() == b""
        assert run.process.wait(WAIT_S) == 0


def test_a_fifo_that_is_written_line_by_line(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with Provider(echo) as provider, running("-q", url=provider.url, stdin=reader) as run, open(path, "wb", 0) as fifo:
        os.close(reader)
        for number in range(3):
            fifo.write(f"p{number}\n".encode())
            assert run.read_record()["text"] == f"p{number}"
        fifo.close()
        assert run.process.wait(WAIT_S) == 0


def test_endless_input_is_read_as_streams_become_free():
    """No request is answered, so no more is read than a pipe and one chunk."""
    gate = threading.Event()
    with Provider(lambda request: [head(), gate, *chat("x")]) as provider, running("-q", url=provider.url) as run:
        written = 0
        os.set_blocking(run.process.stdin.fileno(), False)
        wait_until(lambda: len(provider.requests) == 8 or run.write(b"prompt\n"))
        try:
            while True:
                written += os.write(run.process.stdin.fileno(), b"prompt\n" * 1000)
        except BlockingIOError:
            pass
        assert written < 1 << 18
        assert len(provider.requests) == 8
        gate.set()


def test_yes_and_head(run):
    with Provider(echo) as provider:
        command = f"set -o pipefail; yes | {shlex.join(MAP)} | head -n 200; echo ${{PIPESTATUS[*]}}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, env=at(provider.url), timeout=RUN_S)
        *records, statuses = done.stdout.splitlines()
    assert len(records) == 200
    assert statuses == b"141 0 0"
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("redirect", "prompts", "status"),
    [
        ("< prompts", ["a", "b"], 0),
        ("< <(cat prompts)", ["a", "b"], 0),
        ("<<< c", ["c"], 0),
        ("< <(:)", [], 0),
        ("< /dev/null", [], 0),
        ("<&-", [], 0),
        ("0> other", [], 2),
    ],
)
def test_every_kind_of_stdin(redirect, prompts, status, tmp_path):
    (tmp_path / "prompts").write_bytes(b"a\nb\n")
    done = shell(f"{shlex.join(MAP)} -q {redirect}", tmp_path)
    assert (texts_of(done.stdout), done.returncode) == (prompts, status)
    assert done.stderr == (b"llmstream map: cannot read the input: Bad file descriptor\n" if status else b"")


def test_a_file_is_read_from_its_offset(tmp_path):
    (tmp_path / "prompts").write_bytes(b"a\nb\n")
    done = shell(f"{{ read -r line; {shlex.join(MAP)} -q; }} < prompts", tmp_path)
    assert texts_of(done.stdout) == ["b"]


def shell(command, cwd):
    with Provider(echo) as provider:
        return subprocess.run(
            ["bash", "-c", command], capture_output=True, env=at(provider.url), cwd=cwd, timeout=RUN_S
        )


def test_a_silent_stdin_is_explained():
    with Provider(echo) as provider, running(url=provider.url) as run:
        assert run.process.stderr.readline() == b"llmstream map: waiting for prompts on stdin\n"
        run.write(b"a\n")
        assert run.read_record()["text"] == "a"


def test_a_record_longer_than_the_limit_ends_the_input(run):
    with Provider(echo) as provider:
        done = run("map", "-q", "-m", "openai/m", url=provider.url, input=b"a\n" + b"x" * (64 * 1024 * 1024 + 1))
    assert texts_of(done.stdout) == ["a"]
    assert done.returncode == 5
    assert done.stderr == b"llmstream map: a record of the input is longer than 67108864 bytes: split it\n"


# Output.


def test_a_slow_reader_slows_the_streams_and_takes_no_memory():
    """There are 40 MB of answers; while the reader reads nothing, most of the prompts are not sent."""
    size, count = 100_000, 400
    with Provider(lambda request: [head(), *chat("x" * size)]) as provider, running(url=provider.url) as run:
        run.write(b"x\n" * count)
        assert run.read_record()["index"] == 0
        wait_until(lambda: run.state == "S" and _waiting(run.process.stdout) >= 60_000)
        assert len(provider.requests) < 50
        assert [run.read_record()["index"] for _ in range(count - 1)] == list(range(1, count))
        peak = Path(f"/proc/{run.process.pid}/status").read_text().partition("VmHWM:")[2].split()[0]
        assert int(peak) < 45_000  # KiB; the interpreter and libcurl are 25,000


def _waiting(pipe) -> int:
    """Returns the number of bytes in a pipe."""
    count = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]
