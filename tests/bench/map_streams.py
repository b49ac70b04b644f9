"""A thousand streams at once through `map`, beside a raw asyncio reader, httpx2 and AsyncOpenAI.

    python -m tests.bench.map_streams [STREAMS] [SECONDS]

Each of the STREAMS (1000) answers comes at 50 chunks a second for SECONDS (20). Each client is a process of its own,
which collects the texts and prints how long each stream waited for its first one. `map` runs with a provider of which
nothing is known, so that it starts slowly, with one whose headers say what it bears, and with --rpm. The raw reader
only cuts lines: no client can be faster. httpx2 and AsyncOpenAI cannot keep up with 1000 streams and get fewer; `map`
is run with as few, too. On two cores, the provider has one and the clients have the other. Wall is the whole process,
start-up and slow start of `map` included; when the provider itself was late, all clients were.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from . import crowd, measure, provider

ROOT = Path(__file__).parent.parent.parent
RATE = 50  # chunks per second
QUOTA = "600000"  # requests a minute
TOLD, CAPPED = "map, by headers", "map --rpm"
DIVISORS = {"httpx2": 4, "AsyncOpenAI": 10}  # of the number of streams
PROMPT = "Tell me of a river, number "

MAP = """
import sys
from llmstream.batch.totals import Totals
from llmstream.__main__ import main
Totals.summary = lambda self, *args, **named: "first " + " ".join(map(str, self._ttfts))
main()
"""
BEGIN = """
import asyncio, json, sys, time
url, model, count, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
def body(n):
    return {"model": model, "stream": True, "stream_options": {"include_usage": True},
            "messages": [{"role": "user", "content": "%s" + str(n)}]}
async def main(one):
    print("first", *await asyncio.gather(*map(one, range(count))), file=sys.stderr)
"""
RAW = """
async def one(n):
    started, first, texts, rest = time.monotonic(), None, [], b""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    data = json.dumps(body(n)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\\r\\nHost: {host}\\r\\nContent-Length: {len(data)}\\r\\n\\r\\n"
    writer.write(head.encode() + data)
    while not texts or not texts[-1].startswith(b"data: [DONE]"):
        *lines, rest = (rest + await reader.read(65536)).split(b"\\n")
        texts += [line for line in lines if line.startswith(b"data: ")]
        if first is None and len(texts) > 1:
            first = time.monotonic() - started
    writer.close()
    return first
asyncio.run(main(one))
"""
HTTPX = """
import httpx2
async def one(n):
    started, first, texts = time.monotonic(), None, []
    async with client.stream("POST", url + "/v1/chat/completions", json=body(n)) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                for choice in json.loads(line[6:])["choices"]:
                    if text := choice["delta"].get("content"):
                        texts.append(text)
                        first = first or time.monotonic() - started
    assert len("".join(texts)) == size
    return first
client = httpx2.AsyncClient(timeout=None, limits=httpx2.Limits())
asyncio.run(main(one))
"""
OPENAI = """
import openai
async def one(n):
    started, first, texts = time.monotonic(), None, []
    async for chunk in await client.chat.completions.create(**body(n)):
        if chunk.choices and (text := chunk.choices[0].delta.content):
            texts.append(text)
            first = first or time.monotonic() - started
    assert len("".join(texts)) == size
    return first
client = openai.AsyncOpenAI(api_key="sk-bench", base_url=url + "/v1", timeout=None, max_retries=0)
asyncio.run(main(one))
"""
CLIENTS = {"raw asyncio": RAW, "httpx2": HTTPX, "AsyncOpenAI": OPENAI}


class Row(NamedTuple):
    name: str
    streams: int
    cost: measure.Cost
    firsts: list[float]  # seconds, in ascending order
    late: float  # seconds that the provider was late

    def first(self, share: float) -> float:
        return self.firsts[min(len(self.firsts) - 1, int(len(self.firsts) * share))]


def rows(url: str, telling: str, streams: int, model: str, folder: Path) -> Iterator[Row]:
    """Runs the clients; the provider at the URL `telling` says what it bears."""
    few = max(1, streams // max(DIVISORS.values()))
    for count in (1, few, streams):
        yield map_row("llmstream map", url, count, model, folder)
    yield map_row(TOLD, telling, streams, model, folder)
    yield map_row(CAPPED, url, streams, model, folder, "--rpm", QUOTA)
    yield from client_rows(url, streams, model)


def map_row(name: str, url: str, streams: int, model: str, folder: Path, *options: str) -> Row:
    """Runs `map` with a prompt for each stream."""
    prompts = folder / "prompts"
    prompts.write_text("".join(f"{PROMPT}{n}\n" for n in range(streams)))
    argv = ["-c", MAP, "map", "-m", f"openai/{model}", "-j", str(streams), *options]
    return _row(name, streams, argv, url, str(prompts), len(_text(model).encode()) * streams)


def client_rows(url: str, streams: int, model: str) -> Iterator[Row]:
    """Runs the other clients."""
    for name, code in CLIENTS.items():
        count = max(1, streams // DIVISORS.get(name, 1))
        argv = ["-c", BEGIN % PROMPT + code, url, model, str(count), str(len(_text(model)))]
        yield _row(name, count, argv, url, os.devnull, 0)


def _text(model: str) -> str:
    return "".join(provider.words(int(model.partition("@")[0])))


def _row(name: str, count: int, argv: list[str], url: str, stdin: str, size: int) -> Row:
    measure.progress(f"{name} {count}")
    crowd.stats(url, reset=True)
    env = measure.environment(PYTHONPATH=str(ROOT), OPENAI_BASE_URL=f"{url}/v1", OPENAI_API_KEY="sk-bench")
    cost, stderr = measure.run_with_stderr([sys.executable, *argv], env, stdin)
    words = stderr.rpartition("first ")[2].split()
    firsts = sorted(map(float, words)) if words else []
    seen = crowd.stats(url)
    if cost.written < size or len(firsts) != count or seen["completed"] != count:
        sys.exit(f"{name}: {cost.written} bytes, {len(firsts)} first texts, {seen['whole']} whole answers\n{stderr}")
    return Row(name, count, cost, firsts, seen["late"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.map_streams", description=__doc__.splitlines()[0])
    parser.add_argument("streams", type=int, nargs="?", default=1000, metavar="STREAMS")
    parser.add_argument("seconds", type=float, nargs="?", default=20, metavar="SECONDS")
    args = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    chunks = round(args.seconds * RATE)
    ideal = (chunks - 1) / RATE
    print(f"map_streams: {measure.machine()}; provider and clients {measure.pin(0)}")
    print(", ".join(f"{name} {version(name)}" for name in ("pycurl", "httpx2", "openai")))
    print(f"{chunks} chunks a stream, {RATE} a second: {ideal:.1f} s is the ideal\n")
    print(f"{'':16} streams   wall s  ratio   CPU us a chunk  first p50 ms   p99 ms  peak MB  provider late s")
    results: dict[tuple[str, int], Row] = {}
    with tempfile.TemporaryDirectory() as folder, crowd.running() as url, crowd.running("--quota", QUOTA) as telling:
        measure.pin(1)
        for row in rows(url, telling, args.streams, f"{chunks}@{RATE}", Path(folder)):
            results[row.name, row.streams] = row
            cost, firsts = row.cost, f"{row.first(0.5) * 1000:13.1f} {row.first(0.99) * 1000:8.1f}"
            cpu = f"{cost.cpu * 1e6 / chunks / row.streams:16.1f}"
            print(
                f"{row.name:16} {row.streams:7} {cost.wall:8.1f} {cost.wall / ideal:6.2f} {cpu} {firsts} "
                f"{cost.peak / 1e6:8.1f} {row.late:16.2f}",
                flush=True,
            )
    measure.progress("")
    goals(results, args.streams, ideal)


def goals(results: dict[tuple[str, int], Row], streams: int, ideal: float) -> None:
    """Prints the goals of `map`, and what this run has reached."""
    print(f"\ngoals (load at the end {os.getloadavg()[0]:.1f})")
    one, ours = results["llmstream map", 1].cost, results["llmstream map", streams]
    openai = next(row for (name, _), row in results.items() if name == "AsyncOpenAI")
    same = results["llmstream map", openai.streams]
    for name in (TOLD, CAPPED):
        known = results[name, streams]
        measure.goal(f"wall of {name}, ratio to the ideal", known.cost.wall / ideal, 1.05)
        measure.goal(f"first token p99 of {name}, ms", known.first(0.99) * 1000, 100)
    cpu, same_cpu, openai_cpu = (row.cost.cpu / row.streams for row in (ours, same, openai))
    measure.goal("CPU a chunk, ratio to AsyncOpenAI's", cpu / openai_cpu, 1 / 6)
    measure.goal(f"the same, both with {openai.streams} streams", same_cpu / openai_cpu, 1 / 6)
    measure.goal("KiB a stream above one stream's", (ours.cost.peak - one.peak) / 1024 / max(1, streams - 1), 64)


if __name__ == "__main__":
    main()
