"""`map` against a provider that allows 100 requests a second and answers 429 beyond, beside `xargs -P` with llm.

    python -m tests.bench.map_limit [PROMPTS] [--peer N]

PROMPTS (3000) go through `map` with -j 8, 64 and 1000, with 429s that have a Retry-After in whole seconds and with
429s that have none; the provider allows a burst of 20. Answers take 0.1 s, so 8 streams cannot reach the rate: the
ideal is what the rate and the streams allow. `xargs` runs an `llm` for each of N (200) prompts. Each takes a second of
CPU, so it cannot reach the limit on a small machine; both are therefore also run against 10 requests a second with a
burst of 2.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from . import crowd, measure
from .gen import install_peers, llmstream, peers

ROOT = Path(__file__).parent.parent.parent
RATE, BURST = 100, 20  # requests per second; requests at once
LOW_RATE, LOW_BURST = 10, 2
ANSWER_S = 0.1  # in 5 chunks
MODEL = "6@50"
JOBS = (8, 64, 1000)
PEER_JOBS = (8, 64)


class Outcome(NamedTuple):
    seconds: float
    failed: int
    requests: int
    limited: int


def run_map(url: str, prompts: Path, jobs: int) -> Outcome:
    """Sends all prompts through `map`."""
    env = measure.environment(PYTHONPATH=str(ROOT), OPENAI_BASE_URL=f"{url}/v1", OPENAI_API_KEY="sk-bench")
    argv = [*llmstream(), "map", "-q", "-m", f"openai/{MODEL}", "-j", str(jobs)]
    started = time.perf_counter()
    with prompts.open() as stdin:
        done = subprocess.run(argv, stdin=stdin, stdout=subprocess.PIPE, env=env, check=False)
    seconds = time.perf_counter() - started
    records = [json.loads(line) for line in done.stdout.splitlines()]
    if len(records) != len(prompts.read_text().splitlines()):
        sys.exit(f"{len(records)} answers")
    return _outcome(url, seconds, sum("error" in record for record in records))


def run_xargs(url: str, prompts: Path, jobs: int, folder: str) -> Outcome:
    """Runs `jobs` processes of llm at once until all prompts are sent."""
    models = [{"model_id": MODEL, "model_name": MODEL, "api_base": f"{url}/v1"}]
    Path(folder, "extra-openai-models.yaml").write_text(json.dumps(models))  # JSON is YAML
    env = measure.environment(LLM_USER_PATH=folder, LLM_LOAD_PLUGINS="", OPENAI_API_KEY="sk-bench")
    # Prints a status for each prompt: xargs itself reports only that one has failed.
    script = f'{peers()}/bin/llm --no-log -m {MODEL} "$1" > /dev/null 2>&1; echo $?'
    argv = ["xargs", "-P", str(jobs), "-d", "\n", "-n", "1", "sh", "-c", script, "sh"]
    # The first process creates llm's database; several at once would fail.
    subprocess.run(argv, input="first\n", capture_output=True, text=True, env=env, check=True)
    crowd.stats(url, reset=True)
    started = time.perf_counter()
    with prompts.open() as stdin:
        done = subprocess.run(argv, stdin=stdin, capture_output=True, text=True, env=env, check=True)
    seconds = time.perf_counter() - started
    return _outcome(url, seconds, sum(status != "0" for status in done.stdout.split()))


def _outcome(url: str, seconds: float, failed: int) -> Outcome:
    seen = crowd.stats(url)
    return Outcome(seconds, failed, seen["requests"], seen["limited"])


def print_row(name: str, count: int, ideal: float, outcome: Outcome) -> None:
    rate = (count - outcome.failed) / outcome.seconds
    print(
        f"{name:34} {count:7} {outcome.seconds:8.1f} {ideal:7.1f} {outcome.seconds / ideal:6.2f} {rate:9.1f} "
        f"{outcome.requests:9} {outcome.limited / outcome.requests:7.1%} {outcome.failed / count:7.1%}",
        flush=True,
    )


def write_prompts(folder: str, count: int) -> Path:
    path = Path(folder, f"prompts-{count}")
    path.write_text("".join(f"Tell me of a river, number {n}\n" for n in range(count)))
    return path


def ideal(count: int, jobs: int, rate: float, burst: float) -> float:
    """Returns the shortest time (seconds) that the rate and the streams allow, from the first request on."""
    return max((count - burst) / rate, count * ANSWER_S / jobs) + ANSWER_S


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.map_limit", description=__doc__.splitlines()[0])
    parser.add_argument("prompts", type=int, nargs="?", default=3000, metavar="PROMPTS")
    parser.add_argument("--peer", type=int, default=200, metavar="N", help="prompts for llm; 0 leaves it out")
    args = parser.parse_args()
    if args.peer:
        install_peers()
    print(f"map_limit: {measure.machine()}\n")
    title = f"{'':34} prompts  seconds   ideal  ratio   rate /s  requests    429s  failed"
    worst_ratio, worst_share = 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        for hint in ("Retry-After", "no Retry-After"):
            print(f"{RATE} requests a second, burst {BURST}, {hint}\n{title}")
            for jobs in JOBS:
                options = [
                    "--limit",
                    str(RATE),
                    "--burst",
                    str(BURST),
                    *([] if hint == "Retry-After" else ["--no-hint"]),
                ]
                with crowd.running(*options) as url:
                    least = ideal(args.prompts, jobs, RATE, BURST)
                    outcome = run_map(url, write_prompts(folder, args.prompts), jobs)
                print_row(f"llmstream map -j {jobs}", args.prompts, least, outcome)
                worst_ratio = max(worst_ratio, outcome.seconds / least)
                worst_share = max(worst_share, outcome.limited / outcome.requests)
        if args.peer:
            for rate, burst in ((RATE, BURST), (LOW_RATE, LOW_BURST)):
                print(f"\n{rate} requests a second, burst {burst}, Retry-After\n{title}")
                for jobs in PEER_JOBS:
                    for name in ("llmstream map -j", "xargs -P"):
                        with crowd.running("--limit", str(rate), "--burst", str(burst)) as url:
                            prompts = write_prompts(folder, args.peer)
                            ours = name != "xargs -P"
                            outcome = run_map(url, prompts, jobs) if ours else run_xargs(url, prompts, jobs, folder)
                        print_row(
                            f"{name} {jobs}{'' if ours else ' llm'}",
                            args.peer,
                            ideal(args.peer, jobs, rate, burst),
                            outcome,
                        )
    print(f"\ngoals (load at the end {os.getloadavg()[0]:.1f})")
    measure.goal("time, ratio to the ideal, the worst", worst_ratio, 1.25)
    measure.goal("share of 429s, the worst", worst_share, 0.05)


if __name__ == "__main__":
    main()
