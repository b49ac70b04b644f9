"""asyncio's loop as ours, what its streams share, and what is left of both."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import select
import socket
import threading
import time
import weakref
from typing import Any

import pytest

import llmstream
from llmstream import Incomplete, Text, UsageError
from llmstream.config import keys
from llmstream.net import aio
from llmstream.net.aio import AsyncLoop
from llmstream.net.loop import READ, WRITE

from ..bench import crowd
from ..support.clouds import entra
from ..support.limits import WAIT_S
from ..support.loopback import DONE, HOLD, RESET, Provider, chat, chat_end, chat_text, head, read_request, responses
from ..support.streams import LOOPS, at, remove_configuration, run

both = pytest.mark.parametrize("driver", LOOPS)


def on(url: str, model: str = "5", **options: Any) -> Any:
    return llmstream.astream("Hi", f"openai/{model}", api="chat", base_url=f"{url}/v1", api_key="k", **options)


@pytest.fixture(autouse=True)
def nobody(monkeypatch):
    remove_configuration(monkeypatch)


@pytest.fixture(scope="module")
def server():
    with crowd.running() as url:
        yield url


# The loop.


@both
def test_a_descriptor_is_watched_for_what_the_mask_says(driver):
    async def main() -> None:
        loop = AsyncLoop(asyncio.get_running_loop())
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            seen: asyncio.Queue[int] = asyncio.Queue()

            def on_ready(mask: int) -> None:
                seen.put_nowait(mask)
                loop.unwatch(ours.fileno())

            loop.watch(ours.fileno(), READ, on_ready)
            theirs.send(b"a")
            assert await seen.get() == READ
            loop.watch(ours.fileno(), WRITE, on_ready)
            assert await seen.get() == WRITE
            got = set()
            loop.watch(ours.fileno(), READ | WRITE, got.add)
            while got != {READ, WRITE}:
                await asyncio.sleep(0)
            loop.watch(ours.fileno(), WRITE, got.discard)  # less than before
            while got != {READ}:
                await asyncio.sleep(0)
            loop.unwatch(ours.fileno())
            loop.unwatch(ours.fileno())
            got.clear()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert seen.empty()

    run(driver, main())


@both
def test_a_broken_descriptor_is_told(driver):
    async def main() -> None:
        loop = AsyncLoop(asyncio.get_running_loop())
        reader, writer = os.pipe()
        broken = asyncio.Event()
        loop.watch(writer, WRITE, lambda mask: broken.set() if select.select([], [], [writer], 0) else None)
        os.close(reader)
        await broken.wait()
        loop.unwatch(writer)
        os.close(writer)

    run(driver, main())


@both
def test_alarms_are_in_order_never_early_and_can_be_cancelled(driver):
    async def main() -> None:
        loop = AsyncLoop(asyncio.get_running_loop())
        begun, rung, done = loop.now(), [], asyncio.Event()

        def ring(name: str, when: float) -> None:
            assert loop.now() >= when
            rung.append(name)

        for name, delay in (("c", 0.25), ("a", -1.0), ("d", 0.3), ("b", 0.2), ("never", 0.22)):
            alarm = loop.call_at(begun + delay, lambda name=name, when=begun + delay: ring(name, when))
            if name == "never":
                alarm.cancel()
                alarm.cancel()
        loop.call_at(begun + 0.35, done.set)  # far behind the time that it takes to set all of them
        await done.wait()
        assert rung == ["a", "b", "c", "d"]

    run(driver, main())


@both
def test_a_closed_loop_is_left_alone_and_not_kept(driver):
    async def main() -> AsyncLoop:
        return AsyncLoop(asyncio.get_running_loop())

    loop = run(driver, main())
    reader, writer = os.pipe()
    loop.watch(reader, READ, print)
    loop.unwatch(reader)
    loop.call_at(0.0, print).cancel()
    os.close(reader)
    os.close(writer)
    gc.collect()
    assert loop._loop() is None


# Many streams on one.


@both
def test_connections_are_used_again(driver, server):
    async def main() -> None:
        for _ in range(5):
            assert await on(server).read() == " the river runs down to"

    crowd.stats(server, reset=True)
    run(driver, main())
    seen = crowd.stats(server)
    assert (seen["completed"], seen["connections"]) == (5, 2)  # this question's one of them


def test_threads_use_connections_again_too(server):
    options = {"api": "chat", "base_url": f"{server}/v1", "api_key": "k"}
    llmstream.stream("Hi", "openai/5", **options).read()
    crowd.stats(server, reset=True)
    for _ in range(5):
        assert llmstream.stream("Hi", "openai/5", **options).read() == " the river runs down to"
    seen = crowd.stats(server)
    assert (seen["completed"], seen["connections"]) == (5, 1)


@both
def test_200_at_once(driver, server):
    async def main() -> None:
        for _ in range(2):
            texts = await asyncio.gather(*(on(server, "20@200").read() for _ in range(200)))
            assert len({*texts}) == 1
            assert len(texts[0].split()) == 18  # 20 chunks, of which some are commas

    crowd.stats(server, reset=True)
    run(driver, main())
    seen = crowd.stats(server)
    assert (seen["completed"], seen["disconnected"]) == (400, [])
    assert seen["connections"] <= 201


@both
def test_200_are_cancelled(driver, server):
    async def main() -> None:
        begun = asyncio.Semaphore(0)

        async def one() -> None:
            async for _ in on(server, "100000@10").text:
                begun.release()

        tasks = [asyncio.create_task(one()) for _ in range(200)]
        for _ in tasks:
            await begun.acquire()
        for task in tasks:
            task.cancel()
        assert {type(end) for end in await asyncio.gather(*tasks, return_exceptions=True)} == {asyncio.CancelledError}
        assert await asyncio.to_thread(_until, lambda: len(crowd.stats(server)["disconnected"]) == 200)

    crowd.stats(server, reset=True)
    run(driver, main())
    assert crowd.stats(server)["under_way"] == 0


def _until(true: Any) -> bool:
    ends = time.monotonic() + WAIT_S
    while not true():
        if time.monotonic() > ends:
            return False
        time.sleep(0.005)
    return True


@both
def test_idle_connections_end_with_the_loop(driver, server):
    before = crowd.stats(server)["open"]

    async def main() -> None:
        await asyncio.gather(*(on(server).read() for _ in range(5)))
        assert crowd.stats(server)["open"] > before

    run(driver, main())
    assert _until(lambda: crowd.stats(server)["open"] <= before)


@both
def test_a_loop_that_is_closed_under_a_stream_is_not_kept(driver):
    with Provider([head(), chat_text("a"), HOLD]) as provider:
        loop = (LOOPS[driver] or asyncio.new_event_loop)()
        stream = llmstream.astream("Hi", **at(provider))
        while not isinstance(loop.run_until_complete(anext(stream)), Text):
            pass
        loop.close()  # without asyncio.run's care
        there = weakref.ref(loop)
        stream.close()
        assert provider.client_left.wait(WAIT_S)
        del loop, stream
        gc.collect()
        assert there() is None


def test_loops_in_threads_are_apart(server):
    texts: list[str] = []

    async def main() -> None:
        texts.extend(await asyncio.gather(*(on(server, "20@200").read() for _ in range(10))))

    threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert len(texts) == 40
    assert len({*texts}) == 1


@both
def test_a_stream_has_one_reader(driver):
    async def main(provider: Provider) -> None:
        stream = llmstream.astream("Hi", **at(provider))
        task = asyncio.create_task(stream.read())
        await asyncio.to_thread(provider.first_request.wait, WAIT_S)
        with pytest.raises(RuntimeError, match="another task is reading"):
            await anext(stream)
        await stream.aclose()
        assert await task == ""

    with Provider([HOLD]) as provider:
        run(driver, main(provider))


@both
def test_a_lost_connection_is_noticed(driver):
    with Provider([head(), chat_text("a"), RESET]) as provider, pytest.raises(Incomplete):
        run(driver, llmstream.astream("Hi", **at(provider)).read())


# Slow readers.


class Flooding:
    """Sends pieces until the client has taken nothing for a while, and then the end."""

    PIECE = chat_text("x" * 1000)

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent = 0
        self.stuck = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, self._listener:
            read_request(connection)
            connection.sendall(head())
            while select.select([], [connection], [], 0.3)[1] and self.sent < 100_000:
                connection.sendall(self.PIECE)
                self.sent += 1
            self.stuck.set()
            connection.sendall(chat_end() + DONE)

    def join(self) -> None:
        self._thread.join(WAIT_S)


@both
def test_a_slow_reader_holds_the_server_and_not_what_it_sends(driver):
    async def main(flood: Flooding) -> None:
        count = 0
        async with on(flood.url, stall_timeout=0.2) as stream:
            while not isinstance(await anext(stream), Text):
                pass
            assert await asyncio.to_thread(flood.stuck.wait, WAIT_S)
            assert flood.sent < 40_000  # MB are in the kernel's buffers
            batches = stream.batches()
            waiting = await anext(batches)
            assert len(waiting) < 1000
            async for batch in batches:
                waiting += batch
            count = 1 + sum(isinstance(event, Text) for event in waiting)
        assert count == flood.sent

    flood = Flooding()
    run(driver, main(flood))
    flood.join()


# SDKs.


@pytest.mark.parametrize("driver", ["thread", *LOOPS])
def test_an_sdk_signs_and_the_programs_logging_is_its_own(driver, monkeypatch):
    with Provider([head(), *responses("a", "b")]) as provider:
        for name, value in entra(provider.url).items():
            monkeypatch.setenv(name, value)
        if driver == "thread":
            assert llmstream.stream("Hi", "azure/m").read() == "ab"
        else:
            assert run(driver, llmstream.astream("Hi", "azure/m").read()) == "ab"
    assert logging.root.manager.disable == 0


@both
def test_a_cancelled_sdk_stream_is_closed(driver, monkeypatch):
    async def main(provider: Provider) -> None:
        task = asyncio.create_task(llmstream.astream("Hi", "azure/m").read())
        await asyncio.to_thread(provider.first_request.wait, WAIT_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(provider.client_left.wait, WAIT_S)

    with Provider([head(), responses("a")[0], HOLD]) as provider:
        for name, value in entra(provider.url).items():
            monkeypatch.setenv(name, value)
        run(driver, main(provider))


# What blocks.


async def _longest_turn(work: Any) -> tuple[Any, float]:
    """Awaits the work; returns its result, and the longest time in seconds that the loop did nothing else."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            longest = max(longest, time.monotonic() - before)

    watcher = asyncio.create_task(watch())
    await asyncio.sleep(0)
    result = await work
    watcher.cancel()
    return result, longest


SLOW_S, QUICK_S = 1.0, 0.5  # what a command takes; what the loop may take for one turn on a busy machine


@pytest.fixture
def slow_key(tmp_path, monkeypatch):
    """slow_key(url): configures provider w, whose key a slow command prints; returns its log of runs."""

    def slow_key(url: str) -> Any:
        runs, path = tmp_path / "runs", tmp_path / "config.toml"
        command = f"echo run >> {runs}; sleep {SLOW_S}; echo a-key"
        path.write_text(f'[providers.w]\nbase_url = "{url}"\nkey_cmd = ["sh", "-c", "{command}"]\n')
        monkeypatch.setenv("LLMSTREAM_CONFIG", str(path))
        return runs

    keys.cache.clear()
    return slow_key


@both
def test_a_slow_key_command_blocks_no_loop_and_runs_once(driver, slow_key, monkeypatch):
    with Provider(lambda request: [head(), *chat("Hello")]) as provider:
        runs = slow_key(provider.url)

        async def ask() -> str:
            return await llmstream.astream("Hi", "w/m").read()

        async def main() -> None:
            answers, longest = await _longest_turn(asyncio.gather(*(ask() for _ in range(5))))
            assert answers == ["Hello"] * 5
            assert longest < QUICK_S
            monkeypatch.setattr(aio, "in_thread", None)
            assert await ask() == "Hello"  # the key is cached: no thread

        run(driver, main())
    assert runs.read_text().splitlines() == ["run"]
    assert {request.headers["authorization"] for request in provider.requests} == {"Bearer a-key"}


@both
def test_a_stream_is_closed_while_its_key_command_runs(driver, slow_key):
    slow_key("http://127.0.0.1:9")

    async def main() -> float:
        stream = llmstream.astream("Hi", "w/m")
        reader = asyncio.create_task(stream.read())
        await asyncio.sleep(0.1)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert (stream.finish.reason, stream.cost, stream.usage) == ("cancelled", None, None)
        stream = llmstream.astream("Hi", "w/m")
        stream.close()
        assert await stream.read() == ""

    before = time.monotonic()
    run(driver, main())
    assert time.monotonic() - before < SLOW_S  # nor does the loop's end wait for the command


@both
def test_an_attachment_is_fetched_and_read_in_a_thread(driver, tmp_path):
    gate = threading.Event()
    os.mkfifo(tmp_path / "slow")

    def answer(request: Any) -> list:
        if request.line.startswith("GET"):
            return [head("200 OK", "text/plain"), gate, b"The Rhine."]
        return [head(), *chat("Hello")]

    def write() -> None:
        time.sleep(SLOW_S)
        (tmp_path / "slow").write_text("The Elbe.")
        gate.set()

    with Provider(answer) as provider:
        threading.Thread(target=write, daemon=True).start()

        async def main() -> None:
            stream = on(provider.url, attach=[str(tmp_path / "slow"), f"{provider.url}/a.txt"])
            answer, longest = await _longest_turn(stream.read())
            assert answer == "Hello"
            assert longest < QUICK_S

        run(driver, main())
    assert b"The Elbe." in provider.requests[-1].body
    assert b"The Rhine." in provider.requests[-1].body


@both
@pytest.mark.parametrize("name", ["attach", "messages", "tools"])
def test_what_a_file_holds_is_an_error_of_the_first_read(driver, name, tmp_path):
    (tmp_path / "strange").write_bytes(b"\xff\0")

    async def main() -> None:
        path = str(tmp_path / "strange")
        stream = on("http://127.0.0.1:9", **{name: [path] if name == "attach" else path})
        with pytest.raises(UsageError):
            await stream.read()

    run(driver, main())


@both
def test_without_threads_left_the_error_is_a_plain_one(driver, slow_key, monkeypatch):
    slow_key("http://127.0.0.1:9")

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        monkeypatch.setattr(threading.Thread, "start", fail)
        with pytest.raises(llmstream.Unavailable, match="can't start new thread"):
            await llmstream.astream("Hi", "w/m").read()

    run(driver, main())
