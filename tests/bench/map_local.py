"""The embedded model with `map -j 4`, in the slots of one process, beside four processes of `gen` and `map -j 1`.

    python -m tests.bench.map_local [PROMPTS] [--runs N]

PROMPTS (40) with --max-tokens 40, the three commands in turn, N (1) times. The model is downloaded before. Beside busy
processes, each of our processes lets llama.cpp use fewer threads (llmstream/net/embedded.py).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from llmstream.net import model_file

from . import measure
from .gen import llmstream

ROOT = Path(__file__).parent.parent.parent
MAX_TOKENS = "40"


def run(argv: list[str], prompts: Path, count: int) -> tuple[float, float]:
    """Runs a command; returns its wall time and its CPU time, in seconds."""
    env = measure.environment(PYTHONPATH=str(ROOT))
    before, started = os.times(), time.perf_counter()
    with prompts.open() as stdin:
        done = subprocess.run(argv, stdin=stdin, capture_output=True, env=env, check=False)
    seconds, after = time.perf_counter() - started, os.times()
    lines = done.stdout.splitlines()
    if done.returncode or len(lines) < count or ("map" in argv and any("error" in json.loads(line) for line in lines)):
        sys.exit(f"{' '.join(argv)}: status {done.returncode}, {len(lines)} lines\n{done.stderr.decode()}")
    return seconds, sum(after[2:4]) - sum(before[2:4])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.map_local", description=__doc__.splitlines()[0])
    parser.add_argument("prompts", type=int, nargs="?", default=40, metavar="PROMPTS")
    parser.add_argument("--runs", type=int, default=1, metavar="N")
    args = parser.parse_args()
    model_file.fetch("map_local")
    print(f"map_local: {measure.machine()}; {args.prompts} prompts, at most {MAX_TOKENS} tokens each")
    options = ["-m", "local", "--max-tokens", MAX_TOKENS]
    commands = {
        "map -j 4": [*llmstream(), "map", "-q", "-j", "4", *options],
        "map -j 1": [*llmstream(), "map", "-q", "-j", "1", *options],
        "xargs -P 4 gen": ["xargs", "-P", "4", "-d", "\n", "-n", "1", *llmstream(), "gen", "-n", *options],
    }
    walls: dict[str, list[float]] = {name: [] for name in commands}
    cpus: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        prompts = Path(folder, "prompts")
        prompts.write_text("".join(f"Name {n + 2} rivers of Asia.\n" for n in range(args.prompts)))
        for turn in range(args.runs):
            for name, argv in commands.items():
                measure.progress(f"{turn}/{args.runs} {name}")
                wall, cpu = run(argv, prompts, args.prompts)
                walls[name].append(wall)
                cpus[name].append(cpu)
    measure.progress("")
    measure.section("seconds", walls, "map -j 4")
    measure.section("CPU, seconds", cpus, "map -j 4")
    print(f"\ngoals (load at the end {os.getloadavg()[0]:.1f})")
    ours, one, four = (statistics.median(walls[name]) for name in commands)
    measure.goal("time, ratio to four processes'", ours / four, 1)
    measure.goal("time, ratio to map -j 1", ours / one, 1.05)


if __name__ == "__main__":
    main()
