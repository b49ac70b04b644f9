"""The process and its surroundings: the reader that leaves, signals, descriptors that are closed or full.

The provider stays silent unless the test says otherwise, so nothing here can pass because a write failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from .conftest import LLMSTREAM, at, environment
from .support.limits import RUN_S, WAIT_S
from .support.loopback import HOLD, Provider, chat, chat_text, head

GEN = [*LLMSTREAM, "gen", "-n", "-m", "openai/m", "Hi"]


@contextlib.contextmanager
def silent_after(text: str) -> Iterator[Provider]:
    """Starts a provider that sends `text` and is then silent."""
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


def test_a_signal_within_nested_deferrals_is_raised_at_the_end_of_the_outermost():
    code = """
import os, signal
from llmstream import signals
from llmstream.errors import Signalled

signals.catch_signals()
try:
    with signals.SignalsDeferred():
        with signals.SignalsDeferred():
            os.kill(os.getpid(), signal.SIGTERM)
            print("inner")
        print("outer")
    print("behind")
except Signalled as error:
    print(error.signum, signals.deferring)
"""
    output = subprocess.check_output([sys.executable, "-c", code], timeout=WAIT_S)
    assert output.split() == [b"inner", b"outer", b"%d" % signal.SIGTERM, b"False"]


def test_a_signal_soon_after_the_first_adds_nothing_and_a_later_one_is_raised():
    code = """
import os, signal, time
from llmstream import signals
from llmstream.errors import Signalled

def end(signum):
    try:
        os.kill(os.getpid(), signum)
        print("goes on")
    except Signalled as error:
        print("raised", error.signum)

signals.catch_signals()
end(signal.SIGTERM)
end(signal.SIGTERM)
end(signal.SIGINT)
now = time.monotonic() + signals.REPEAT_S
time.monotonic = lambda: now
end(signal.SIGINT)
with signals.SignalsDeferred():
    os.kill(os.getpid(), signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=WAIT_S)
    assert done.stdout.decode().splitlines() == ["raised 15", "goes on", "goes on", "raised 2"]
    assert done.stderr.endswith(b"errors.Signalled: 15\n")


@pytest.mark.parametrize("channel", [pipe, fifo, socketpair])
def test_when_the_reader_leaves_the_connection_is_closed_though_the_model_is_silent(channel, tmp_path):
    reader, writer = channel(tmp_path)
    with silent_after("Hello") as provider:
        process = subprocess.Popen(
            GEN, stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.PIPE, env=at(provider.url)
        )
        os.close(writer)
        assert os.read(reader, 100) == b"Hello"
        os.close(reader)
        assert provider.client_left.wait(WAIT_S)
        _, stderr = process.communicate(timeout=WAIT_S)
    assert (stderr, process.returncode) == (b"", 0)


def test_the_reader_leaves_before_the_answer_begins(run):
    reader, writer = os.pipe()
    with Provider([HOLD]) as provider:
        process = subprocess.Popen(
            GEN, stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.PIPE, env=at(provider.url)
        )
        os.close(writer)
        assert provider.first_request.wait(WAIT_S)
        os.close(reader)
        assert provider.client_left.wait(WAIT_S)
        assert process.communicate(timeout=WAIT_S) == (None, b"")
    assert process.returncode == 0


def test_the_reader_leaves_before_the_prompt_has_come():
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [*LLMSTREAM, "gen", "-m", "openai/m"], stdin=subprocess.PIPE, stdout=writer, env=at("http://127.0.0.1:9")
    )
    os.close(writer)
    os.close(reader)
    assert process.wait(WAIT_S) == 0
    process.stdin.close()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_process_and_closes_the_connection(signum):
    with silent_after("Hello") as provider:
        process = subprocess.Popen(
            [*GEN, "-u"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=at(provider.url)
        )
        assert process.stdout.read(5) == b"Hello"
        process.send_signal(signum)
        assert provider.client_left.wait(WAIT_S)
        _, stderr = process.communicate(timeout=WAIT_S)
    assert process.returncode == -signum
    assert stderr.startswith(b"llmstream gen: openai/m: 5 characters")
    assert stderr.endswith(b", cancelled\n")


def test_a_signal_gets_through_while_stdout_is_full():
    with Provider([head(), chat_text("x" * 1_000_000), HOLD]) as provider:
        process = subprocess.Popen(GEN, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=at(provider.url))
        assert process.stdout.read(1) == b"x"  # the rest fills the pipe
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == -signal.SIGTERM
        process.stdout.close()


def test_an_ignored_signal_stays_ignored():
    with Provider([head(), chat_text("Hello"), *chat(" again")]) as provider:
        ignore = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
        process = subprocess.Popen(
            GEN, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=at(provider.url), **ignore
        )
        process.send_signal(signal.SIGHUP)
        assert process.communicate(timeout=WAIT_S) == (b"Hello again\n", None)
    assert process.returncode == 0


def shell(command: str, url: str) -> subprocess.CompletedProcess[bytes]:
    command = f'gen() {{ {shlex.join(LLMSTREAM)} gen -m openai/m "$@"; }}; {command}'
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, env=at(url), timeout=RUN_S, stdin=subprocess.DEVNULL
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
def test_all_that_prints_handles_a_full_or_closed_stdout_alike(what):
    command = f"{shlex.join(LLMSTREAM)} {what}"
    for failing in ("> /dev/full", ">&-"):
        assert shell(f"{command} {failing}", "http://127.0.0.1:9").returncode == 5
    gone = shell(f"{command} | true; echo ${{PIPESTATUS[0]}}", "http://127.0.0.1:9")
    assert (gone.stdout, gone.stderr) == (b"0\n", b"")


STDIN = {"null": "</dev/null", "closed": "<&-", "empty": "< <(:)"}
STDOUT = {"read": "", "closed": ">&-", "full": ">/dev/full", "gone": "> >(exec <&-; sleep 0.2)", "null": ">/dev/null"}
STDERR = {"read": "", "closed": "2>&-", "full": "2>/dev/full", "gone": "2> >(exec <&-; sleep 0.2)"}


@pytest.mark.slow
@pytest.mark.parametrize("stderr", STDERR)
@pytest.mark.parametrize("stdout", STDOUT)
@pytest.mark.parametrize("stdin", STDIN)
def test_descriptors_in_every_combination(stdin, stdout, stderr):
    with Provider([head(), *chat("Hello")]) as provider:
        redirects = f"{STDIN[stdin]} {STDERR[stderr]} {STDOUT[stdout]}"
        done = shell(f"exec 7>&1; gen -u Hi {redirects}; echo $? >&7", provider.url)
        requests = len(provider.requests)
    status = {"closed": 5, "full": 5}.get(stdout, 0)
    text = b"Hello\n" if stdout == "read" else b""
    assert done.stdout == text + f"{status}\n".encode()
    assert requests == (stdout != "closed") or stdout == "gone"  # who left before the request spared it
    assert b"Traceback" not in done.stderr


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


def test_stopped_and_continued():
    gate = threading.Event()
    with Provider([head(), chat_text("Hello"), gate, *chat(" again")]) as provider:
        with subprocess.Popen(GEN, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=at(provider.url)) as process:
            assert process.stdout.read(5) == b"Hello"
            process.send_signal(signal.SIGSTOP)  # SIGTSTP would stop nothing where no shell watches the group
            os.waitpid(process.pid, os.WUNTRACED)
            gate.set()
            process.send_signal(signal.SIGCONT)
            assert process.stdout.read() == b" again\n"
        assert process.returncode == 0


@pytest.mark.parametrize("rest", [[*chat(" again")], [chat_text(" again"), HOLD]], ids=["whole", "more to come"])
def test_stopped_for_longer_than_a_time_out(rest):
    """The text that came meanwhile waits in the kernel: it is read before the time-out is obeyed."""
    gate = threading.Event()
    with Provider([head(), chat_text("Hello"), gate, *rest]) as provider:
        command = [*GEN[:-1], "--stall-timeout", "0.5", GEN[-1]]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=at(provider.url)
        ) as process:
            assert process.stdout.read(5) == b"Hello"
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            gate.set()
            time.sleep(1)  # the time-out passes twice
            process.send_signal(signal.SIGCONT)
            assert process.stdout.read().rstrip(b"\n") == b" again"
        assert process.returncode == (0 if HOLD not in rest else 5)


def test_under_cron(tmp_path):
    """Runs without a terminal, without HOME, with a minimal PATH and with stdin closed."""
    with Provider([head(), *chat("Hello")]) as provider:
        passed_on = ("PYTHONPATH", "OPENAI_API_KEY", "OPENAI_BASE_URL")
        env = {k: v for k, v in at(provider.url).items() if k in passed_on} | {"PATH": "/usr/bin:/bin", "LANG": "C"}
        done = subprocess.run(
            ["sh", "-c", f"{shlex.join(GEN)} <&-"], capture_output=True, env=env, start_new_session=True
        )
    assert (done.stdout, done.stderr, done.returncode) == (b"Hello\n", b"", 0)


def test_the_timeout_command_gives_status_124():
    for seconds in (1, 5, 25):  # a busy machine may need more than the first to start the program
        with silent_after("Hello") as provider:
            done = shell(f"timeout {seconds} {shlex.join(GEN)}; echo $?", provider.url)
            if done.stdout != b"124\n":
                assert provider.client_left.wait(WAIT_S)
                break
    assert done.stdout == b"Hello124\n"


def test_one_signal_stops_a_shell_s_loop():
    with silent_after("Hello") as provider:
        loop = f"for i in 1 2 3; do {shlex.join(GEN)}; done"
        with subprocess.Popen(
            ["bash", "-c", loop], stdout=subprocess.PIPE, env=at(provider.url), start_new_session=True
        ) as process:
            assert process.stdout.read(5) == b"Hello"
            os.killpg(process.pid, signal.SIGINT)
            assert process.stdout.read() == b""
        assert process.returncode == -signal.SIGINT
        assert len(provider.requests) == 1


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_modules_load_is_no_traceback(signum, tmp_path):
    """The signal is sent by a module that is imported during the start."""
    (tmp_path / "json.py").write_text(f"import os\nos.kill(os.getpid(), {int(signum)})\nraise AssertionError\n")
    env = environment()
    env["PYTHONPATH"] = f"{tmp_path}:{env['PYTHONPATH']}"
    done = subprocess.run(GEN, capture_output=True, stdin=subprocess.DEVNULL, env=env, timeout=RUN_S)
    assert (done.returncode, done.stdout, done.stderr) == (-signum, b"", b"")


def test_a_second_signal_kills_during_the_cleanup_after_the_first():
    with silent_after("Hello") as provider:
        process = subprocess.Popen(GEN, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=at(provider.url))
        assert process.stdout.read(5) == b"Hello"
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == -signal.SIGINT
        process.stdout.close()


def test_a_full_file_system_is_status_5_and_the_text_that_fitted_is_kept(tmp_path):
    """Simulates the full disk by a limit on the size of files."""
    out = tmp_path / "out"
    with Provider([head(), chat_text("x" * 3000), *chat("y" * 3000)]) as provider:
        done = shell(f"trap '' XFSZ; ulimit -f 4; gen -n Hi > {shlex.quote(str(out))}", provider.url)
    assert done.returncode == 5
    assert done.stderr == b"llmstream gen: cannot write to stdout: File too large\n"
    assert out.read_bytes() == b"x" * 3000 + b"y" * 1096


def test_stats_of_parallel_runs_are_whole_lines(tmp_path):
    stats = tmp_path / "stats"
    with Provider([head(), *chat("ok")]) as provider:
        command = shlex.join([*LLMSTREAM, "gen", "-n", "-m", "openai/m", "--stats-file", str(stats)])
        done = shell(f"seq 12 | xargs -P6 -I@ {command} @", provider.url)
    records = [json.loads(line) for line in stats.read_text().splitlines()]
    assert done.returncode == 0
    assert [record["output_tokens"] for record in records] == [2] * 12


@pytest.mark.parametrize(
    ("args", "input"),
    [
        (["--help"], None),
        (["gne"], None),
        ([], None),
        (["gen", "--dry-run", "-m", "ollama/m", "--seed", "x"], b"Hi"),
        (["gen", "--dry-run", "-m", "ollama/m"], b"Hi"),
        (["until", "-F", "b"], b"abc"),
        (["until", "-F", "x"], b"abc"),
    ],
)
def test_a_run_inside_the_test_gives_what_a_process_gives(run, invoke, args, input):
    done, inside = run(*args, input=input), invoke(*args, input=input)
    assert (inside.stdout, inside.stderr, inside.returncode) == (done.stdout, done.stderr, done.returncode)
