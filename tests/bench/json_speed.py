"""Speed of json-objects and fields beside jq and gojq: one table, all rows of one run.

    python -m tests.bench.json_speed [--quick]

Whole processes, best and median of five, on 20 MB of records. Ratios within one run mean something; figures of two runs
on a busy machine do not. Then the cost of a chunk of 4 characters, time at twice the input for eleven adversarial
shapes, start-up beside a bare `import click`, and resident memory for 1 GB.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from llmstream.core.json.fields import Fields
from llmstream.core.json.objects import Objects
from llmstream.core.json.path import compile_path
from llmstream.core.text import Utf8Decoder

from ..support.shapes import shapes

ROOT = Path(__file__).parent.parent.parent
QUICK = "--quick" in sys.argv
SIZE = 2_000_000 if QUICK else 20_000_000
ENV = {k: v for k, v in os.environ.items() if k not in ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")}
ENV |= {"PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
LLMSTREAM = [sys.executable, "-m", "llmstream"]


WORDS = ["alpha", "beta", "gamma", "delta", "stream", "token", "model", "answer", "number"]
WORDS += ["quick", "brown", "fox", "jumps", "over", "lazy", "dog"]


def records(size: int) -> list[dict]:
    """About `size` characters of what a model writes when asked for data, in records of about 430 characters.

    They have strings, numbers, small lists and one nested object.
    """
    random = Random(1)
    batch: list[dict] = []
    written = 0
    while written < size:
        body = " ".join(random.choices(WORDS, k=30)).replace("fox", 'f"ox\n')
        position = [random.random(), random.random()]
        title = " ".join(random.choices(WORDS, k=6))
        record = {"id": len(batch), "title": title, "score": round(random.random() * 100, 3)}
        record |= {"ok": len(batch) % 3 == 0, "tags": random.choices(WORDS, k=4), "body": body}
        record["meta"] = {"author": random.choice(WORDS), "n": random.randrange(10**9), "note": None, "pos": position}
        batch.append(record)
        written += len(json.dumps(record)) + 1
    return batch


def timed(args: list[str], path: str) -> tuple[float, float]:
    """(best, median) of the wall-clock seconds of five processes."""
    times = []
    for _ in range(5):
        with open(path, "rb") as stdin, open(os.devnull, "wb") as stdout:
            started = time.perf_counter()
            subprocess.run(args, stdin=stdin, stdout=stdout, env=ENV, check=True)
            times.append(time.perf_counter() - started)
    return min(times), statistics.median(times)


def throughput(folder: str) -> None:
    batch = records(SIZE)
    lines, pretty = os.path.join(folder, "lines.json"), os.path.join(folder, "pretty.json")
    Path(lines).write_text("".join(json.dumps(record) + "\n" for record in batch))
    Path(pretty).write_text(json.dumps(batch[: len(batch) * 3 // 4], indent=2) + "\n")
    tools = [path for name in ("jq", "gojq") if (path := shutil.which(name))]
    jobs = [
        ("NDJSON, objects", lines, ["json-objects"], ["-c", "."]),
        ("pretty array, objects", pretty, ["json-objects"], ["-c", ".[]"]),
        ("NDJSON, one field", lines, ["fields", "-r", "title"], ["-r", ".title"]),
        ("NDJSON, nested field", lines, ["fields", "meta.n"], ["-c", ".meta.n"]),
        ("pretty array, one field", pretty, ["fields", "-r", "[*].title"], ["-r", ".[].title"]),
    ]
    for job, path, arguments, program in jobs:
        size = os.path.getsize(path) / 1e6
        rows = [("llmstream", timed(LLMSTREAM + arguments, path))]
        rows += [(os.path.basename(tool), timed([tool, *program], path)) for tool in tools]
        base = rows[1][1][1] if tools else rows[0][1][1]
        for name, (best, median) in rows:
            print(f"{job:24} {name:10} {size / best:7.1f} {size / median:7.1f} MB/s {base / median:6.2f} x jq")


# In process.


def objects() -> Callable[[str], object]:
    return Objects().feed


def fields(*paths: str, follow: bool = False) -> Callable[[], Callable[[str], object]]:
    return lambda: Fields([compile_path(path) for path in paths], follow=follow).feed


def seconds(make: Callable[[], Callable[[str], object]], chunks: list[str]) -> float:
    """The least CPU seconds of five runs, since other processes disturb some."""
    best = 9e9
    for _ in range(5):
        feed = make()
        started = time.process_time()
        for chunk in chunks:
            feed(chunk)
        best = min(best, time.process_time() - started)
    return best


def cut(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def small_chunks() -> None:
    text = "".join(json.dumps(record, indent=1) + "\n" for record in records(SIZE // 20))
    chunks = cut(text, 4)
    decoder, encoded = Utf8Decoder(), [chunk.encode() for chunk in chunks]
    rows = [("objects", objects), ("fields title", fields("title")), ("fields $..n", fields("$..n"))]
    for name, make in [*rows, ("fields -f body", fields("body", follow=True))]:
        print(f"{'chunks of 4 characters':24} {name:16} {seconds(make, chunks) / len(chunks) * 1e6:6.2f} us a chunk")
    times = seconds(lambda: decoder.feed, encoded)  # type: ignore[arg-type, return-value]
    print(f"{'chunks of 4 characters':24} {'(decoding)':16} {times / len(chunks) * 1e6:6.2f} us a chunk")


def adversarial() -> None:
    n = 20_000 if QUICK else 200_000
    once, twice = shapes(n), shapes(2 * n)
    for name, text in once.items():
        row = []
        for size in (4, 65536):
            for make in (objects, fields("a"), fields("$..b")):
                row.append(seconds(make, cut(twice[name], size)) / seconds(make, cut(text, size)))
        print(f"{'time at twice the input':24} {name:24} " + " ".join(f"{ratio:5.2f}" for ratio in row))


def start_up(folder: str) -> None:
    bare = os.path.join(folder, "bare.py")
    Path(bare).write_text("import click\n@click.command()\ndef main():\n    click.echo('x')\nmain()\n")
    path = os.path.join(folder, "small.json")
    Path(path).write_text('{"title": "x"}')
    runs: dict[str, list[float]] = {}
    for _ in range(5):
        for name, args in (
            ("bare click", [sys.executable, bare]),
            ("json-objects", [*LLMSTREAM, "json-objects"]),
            ("fields title", [*LLMSTREAM, "fields", "title"]),
        ):
            runs.setdefault(name, []).append(timed(args, path)[1])
    base = statistics.median(runs["bare click"])
    for name, times in runs.items():
        median = statistics.median(times)
        print(f"{'start-up':24} {name:16} {median * 1000:6.1f} ms {median / base:5.2f} x")


def memory(args: list[str], total: int) -> None:
    block = "".join(json.dumps(record) + "\n" for record in records(1_000_000)).encode()
    process = subprocess.Popen(
        [*LLMSTREAM, *args], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=ENV, bufsize=0
    )
    stdin = process.stdin
    assert stdin is not None

    started = time.perf_counter()
    for _ in range(total // len(block)):
        view = memoryview(block)
        while view:
            view = view[stdin.write(view) :]
    rate = total / 1e6 / (time.perf_counter() - started)
    status = Path(f"/proc/{process.pid}/status").read_text()  # the peak; getrusage would count this process's own
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    stdin.close()
    process.wait()
    print(f"{'memory, NDJSON':24} {' '.join(args):16} {total / 1e9:4.1f} GB, {peak:6.1f} MB resident, {rate:.0f} MB/s")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        throughput(folder)
        small_chunks()
        adversarial()
        start_up(folder)
    for args in (["json-objects"], ["fields", "title"], ["fields", "$..n"]):
        memory(args, 10**8 if QUICK else 10**9)


if __name__ == "__main__":
    main()
