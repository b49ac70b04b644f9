"""Many streams in one asyncio loop: how soon they end, and what they cost beside AsyncOpenAI.

    python -m tests.bench.aio [RUNS [STREAMS]]

First, all tasks are cancelled in mid-answer: how long until the provider saw each connection close. Then STREAMS (200)
answers of 200 chunks, at once and at 50 chunks a second: seconds in all, CPU time a chunk, time to the first token.
Each measurement is a process of its own, in turn; the provider (tests/bench/crowd.py) is one more. `late` is by how
much the provider itself was behind, at most: where it is large, it is the provider that was measured.
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from . import crowd
from .measure import RSS_UNIT, environment, goal, machine, progress

CHUNKS = 200
MODELS = {"at once": f"{CHUNKS}", "50 a second": f"{CHUNKS}@50"}
ENDLESS = "1000000@20"
GOAL = 0.050  # seconds until the provider has seen the last close
CLIENTS = ("astream", "astream, uvloop", "AsyncOpenAI", "AsyncOpenAI, uvloop")

First = Callable[[], object]  # to be called at the first token
Client = Callable[[str, First], Coroutine[Any, Any, int]]  # answers the characters of an answer


# In the process that is measured.


def ours(url: str) -> Client:
    import llmstream

    async def one(model: str, first: First) -> int:
        length = 0
        options = {"api": "chat", "base_url": f"{url}/v1", "api_key": "k"}
        async with llmstream.astream("Hi", f"openai/{model}", **options) as stream:
            async for piece in stream.text:
                if not length:
                    first()
                length += len(piece)
        return length

    return one


def theirs(url: str) -> Client:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=f"{url}/v1", api_key="k")
    more: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}

    async def one(model: str, first: First) -> int:
        length = 0
        question = [{"role": "user", "content": "Hi"}]
        async with await client.chat.completions.create(model=model, messages=question, **more) as stream:
            async for chunk in stream:
                if chunk.choices and (piece := chunk.choices[0].delta.content):
                    if not length:
                        first()
                    length += len(piece)
        return length

    return one


async def answers(one: Client, model: str, streams: int) -> dict[str, Any]:
    """All answers to their ends."""
    firsts: list[float] = []
    await one("1", lambda: None)  # what is imported or built at the first use is
    cpu, begun = time.process_time(), time.perf_counter()
    lengths = await asyncio.gather(*(one(model, lambda: firsts.append(time.perf_counter())) for _ in range(streams)))
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    assert len(set(lengths)) == 1
    assert lengths[0] > CHUNKS
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT
    return {"wall": wall, "cpu": cpu, "firsts": [at - begun for at in firsts], "peak": peak}


async def cancelled(one: Client, model: str, streams: int) -> dict[str, Any]:
    """All tasks cancelled in mid-answer; when that was."""
    begun = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(one(model, begun.release)) for _ in range(streams)]
    for _ in tasks:
        await begun.acquire()
    await asyncio.sleep(0.5)
    at = time.monotonic()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    ended = time.monotonic()
    await asyncio.sleep(0.5)
    return {"at": at, "ended": ended}


def measured(name: str, url: str, model: str, streams: str) -> None:
    kind, _, loop = name.partition(", ")
    run = asyncio.run
    if loop:
        import uvloop

        run = uvloop.run
    client = (ours if kind == "astream" else theirs)(url)
    measure = cancelled if model == ENDLESS else answers
    print(json.dumps(run(measure(client, model, int(streams)))))


# In the one that asks for it.


def child(name: str, url: str, model: str, streams: int) -> dict[str, Any]:
    command = [sys.executable, "-m", __spec__.name, "--measured", name, url, model, str(streams)]
    done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def cancelling(url: str, runs: int, streams: int) -> None:
    print(f"\n{streams} tasks cancelled: ms until the provider saw the close")
    print(f"{'':26}{'median':>10}{'max':>10}{'tasks ended':>14}")
    worst: dict[str, float] = {}
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in CLIENTS}
    for turn in range(runs):
        for name in CLIENTS:
            progress(f"{turn}/{runs} {name}")
            crowd.stats(url, reset=True)
            found = child(name, url, ENDLESS, streams)
            left = [at - found["at"] for at in crowd.stats(url)["disconnected"]]
            assert len(left) == streams
            rows[name].append((statistics.median(left), max(left), found["ended"] - found["at"]))
    progress("")
    for name, row in rows.items():
        medians, longest, ended = zip(*row, strict=True)
        worst[name] = max(longest)
        print(
            f"  {name:24}{statistics.median(medians) * 1000:10.1f}{worst[name] * 1000:10.1f}"
            f"{statistics.median(ended) * 1000:14.1f}"
        )
    goal("seconds until the last close of astream", worst["astream"], GOAL)


def costs(url: str, runs: int, streams: int) -> None:
    for title, model in MODELS.items():
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in CLIENTS}
        late = dict.fromkeys(CLIENTS, 0.0)
        for turn in range(runs):
            for name in CLIENTS:
                progress(f"{turn}/{runs} {title}: {name}")
                crowd.stats(url, reset=True)
                found[name].append(child(name, url, model, streams))
                late[name] = max(late[name], crowd.stats(url)["late"])
        progress("")
        print(f"\n{streams} streams of {CHUNKS} chunks, {title}; medians")
        print(f"{'':26}{'wall s':>9}{'µs CPU/chunk':>14}{'first p50 ms':>14}{'p99 ms':>9}{'peak MB':>9}{'late ms':>9}")
        for name, runs_of in found.items():
            cpu = statistics.median(run["cpu"] for run in runs_of) / (streams * CHUNKS)
            firsts = [statistics.quantiles(run["firsts"], n=100) for run in runs_of]
            p50, p99 = (statistics.median(one[at] for one in firsts) for at in (49, 98))
            wall, peak = (statistics.median(run[what] for run in runs_of) for what in ("wall", "peak"))
            print(
                f"  {name:24}{wall:9.2f}{cpu * 1e6:14.1f}{p50 * 1000:14.1f}{p99 * 1000:9.1f}{peak / 1e6:9.0f}"
                f"{late[name] * 1000:9.1f}"
            )


def main(runs: int = 3, streams: int = 200) -> None:
    print(machine())
    with crowd.running() as url:
        cancelling(url, runs, streams)
        costs(url, runs, streams)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measured"]:
        measured(*sys.argv[2:])
    else:
        main(*map(int, sys.argv[1:]))
