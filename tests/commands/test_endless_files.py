"""Files that do not end, or do not begin: devices, FIFOs, and what a shell's <(...) gives."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from ..conftest import LLMSTREAM, at, environment
from ..support.limits import WAIT_S
from ..support.loopback import Provider, chat, head

ZERO = "/dev/zero"
PROMPT = ["gen", "Hi"]  # of the default model, whose key is set


@pytest.mark.parametrize(
    ("args", "limit"),
    [
        (["--schema", ZERO], "16 MB"),
        (["--schema-multi", ZERO], "16 MB"),
        (["-f", ZERO], "16 MB"),
        (["--messages", ZERO], "16 MB"),
        (["--tools", ZERO, "--events"], "16 MB"),
        (["-s", f"@{ZERO}"], "16 MB"),
        (["--attach", ZERO], "50"),
        (["-m", f"replay:{ZERO}"], "256 MB"),
    ],
)
def test_a_device_is_read_up_to_a_limit(invoke, args, limit):
    done = invoke(*PROMPT, *args, url="http://127.0.0.1:9")
    assert done.returncode == 2
    assert f"{ZERO} is too large: more than {limit}".encode() in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_so_are_the_configuration_and_stdin(run):
    done = run("models", env=environment(LLMSTREAM_CONFIG=ZERO))
    assert (done.returncode, b"the configuration /dev/zero is too large" in done.stderr) == (2, True)
    for args in ([], ["--messages", "-"], ["--attach", "-", "Hi"]):
        with open(ZERO, "rb") as zero:
            command = [*LLMSTREAM, "gen", "-m", "openai/m", *args]
            env = at("http://127.0.0.1:9")
            done = subprocess.run(command, stdin=zero, capture_output=True, env=env, timeout=WAIT_S)
        assert (done.returncode, b" is too large: more than " in done.stderr) == (2, True)


@pytest.mark.parametrize("args", [["--schema", "FIFO"], ["-f", "FIFO"], ["-s", "@FIFO"]])
def test_a_signal_ends_the_wait_for_a_fifo(tmp_path, args):
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    command = [*LLMSTREAM, *PROMPT, *(arg.replace("FIFO", fifo) for arg in args)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, env=at("http://127.0.0.1:9")) as process:
        writer = os.open(fifo, os.O_WRONLY)  # waits for the reader
        process.terminate()
        began = time.monotonic()
        assert process.wait(WAIT_S) == -signal.SIGTERM
        assert time.monotonic() - began < 5
        os.close(writer)


def test_what_a_shell_substitutes_is_read_to_its_end():
    script = " ".join(LLMSTREAM) + " gen -m openai/m -s @<(printf 'Be brief.') -f <(sleep 0.1; echo Hi) < /dev/null"
    with Provider([head(), *chat("Hello")]) as provider:
        done = subprocess.run(["bash", "-c", script], capture_output=True, env=at(provider.url), timeout=WAIT_S)
    assert (done.stdout, done.stderr, done.returncode) == (b"Hello\n", b"", 0)
    messages = provider.requests[0].json["messages"]
    assert [message["content"] for message in messages] == ["Be brief.", "Hi"]
