"""Streams that the garbage collector finds, and streams of a process that forks."""

from __future__ import annotations

import gc
import ssl
import subprocess
import sys
import threading
import time

import pytest

import llmstream
from llmstream.net import pool

from ..conftest import environment
from ..support import tls
from ..support.limits import PATIENCE, WAIT_S
from ..support.loopback import HOLD, Provider, chat, chat_text, head
from ..support.streams import at, remove_configuration

PROMPTLY_S = 5 * PATIENCE  # a loop that lost its watches goes on after ten seconds at the earliest


@pytest.fixture(autouse=True)
def nobody(monkeypatch):
    remove_configuration(monkeypatch)


class Program:
    """Refers to its stream, which refers to it: only the garbage collector finds the two."""

    def __init__(self, provider: Provider) -> None:
        self.texts: list[str] = []
        self.stream = llmstream.stream("Hi", on_text=self.take, **at(provider))

    def take(self, text: str) -> None:
        self.texts.append(text)


def collect() -> None:
    gc.collect()


def collect_in_a_thread() -> None:
    thread = threading.Thread(target=gc.collect)
    thread.start()
    thread.join()


@pytest.mark.parametrize("collect", [collect, collect_in_a_thread])
def test_a_collected_stream_is_closed_and_does_not_return_to_the_pool(collect):
    with Provider([head(), chat_text("a"), HOLD]) as provider:
        for _ in range(3):
            program = Program(provider)
            while not program.texts:
                next(program.stream)
            idle = len(pool._idle)
            del program
            collect()
            assert provider.client_left.wait(WAIT_S)
            assert len(pool._idle) == idle
    for _ in range(pool.MAX_IDLE + 1):
        with Provider([head(), *chat("b", "c")]) as provider:
            assert llmstream.stream("Hi", **at(provider)).read() == "bc"


def test_an_interrupted_loop_does_not_return_to_the_pool():
    def interrupt(text: str) -> None:
        raise KeyboardInterrupt

    with Provider([head(), *chat("a")]) as provider:
        assert llmstream.stream("Hi", **at(provider)).read() == "a"
    loop = pool._idle[-1]
    with Provider([head("503 Service Unavailable")], [head(), *chat("a")]) as provider:
        stream = llmstream.stream("Hi", note=interrupt, **at(provider))
        with pytest.raises(KeyboardInterrupt):
            stream.read()
    assert loop not in pool._idle


# A fork. The child must change nothing in the parent's stream, however it ends.

BEGINNING = """
import asyncio, gc, os, sys, llmstream
def fork(action):
    pid = os.fork()
    if pid == 0:
        exec(action)
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    print("waited", flush=True)
"""
THREAD = """
answer = llmstream.stream("Hi", **options)
print(next(answer.text), flush=True)
fork(action)
print(answer.read(), answer.finish.reason)
"""
ASYNCIO = """
async def main():
    async with llmstream.astream("Hi", **options) as answer:
        print(await anext(answer.text), flush=True)
        fork(action)
        print(await answer.read(), answer.finish.reason)
answer = None
asyncio.run(main())
"""
ACTIONS = {
    "exit": "pass",
    "close": "answer.close(); assert answer.finish.reason == 'cancelled'",
    "collect": "global answer\nanswer = None\ngc.collect()",
    "read": "try: next(answer)\nexcept RuntimeError: pass\nelse: raise AssertionError",
    "another": "assert llmstream.stream('Hi', **options).read() == 'ab'",
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[ssl.SSLContext, str]:
    return tls.certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("program", [THREAD, ASYNCIO], ids=["thread", "asyncio"])
@pytest.mark.parametrize("action", ACTIONS)
def test_a_fork_leaves_the_stream_to_the_parent(certificate, program, action):
    if program is ASYNCIO and action in ("close", "collect", "read"):
        pytest.skip("the child has no loop to use the stream in")
    context, path = certificate
    gate = threading.Event()
    scripts = [[head(), chat_text("a"), gate, *chat("b")], [head(), *chat("a", "b")]]
    with Provider(*scripts, tls=context) as provider:
        lines = [BEGINNING, f"options, action = {at(provider)!r}, {ACTIONS[action]!r}", program]
        command = [sys.executable, "-c", "\n".join(lines)]
        env = environment(SSL_CERT_FILE=path, CURL_CA_BUNDLE=path)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
            assert [process.stdout.readline(), process.stdout.readline()] == ["a\n", "waited\n"], process.stderr.read()
            gate.set()
            began = time.monotonic()
            assert process.stdout.readline() == "b stop\n"
            assert time.monotonic() - began < PROMPTLY_S
            assert process.wait(WAIT_S) == 0
            assert process.stderr.read() == ""
