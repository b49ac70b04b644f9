"""`map` against a provider that allows 100 requests a second and answers 429 beyond, beside `xargs -P` with llm.

    python -m tests.bench.map_limit [PROMPTS] [--peer N]

PROMPTS (3000) go through `map` with -j 8, 64 and 1000, where 429s have a Retry-After in whole seconds and where they
have none; the provider holds a burst of 20. Answers take 0.1 s, so that 8 streams cannot reach the rate: the ideal is
what the rate and the streams allow. `xargs` runs an `llm` for each of N (200) prompts, as it takes a second of CPU for
each: it cannot come near the limit on a small machine, and so is run against 10 requests a second with a burst of 2,
too, as is `map`.
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
RATE, BURST = 100, 20
LOW, LOW_BURST = 10, 2
SECONDS = 0.1  # that an answer takes, in 5 chunks
MODEL = "6@50"
JOBS = (8, 64, 1000)
PEER_JOBS = (8, 64)


class Outcome(NamedTuple):
    seconds: float
    failed: int
    requests: int
    limited: int


def mapped(url: str, prompts: Path, jobs: int) -> Outcome:
    """All prompts through `map`."""
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


def xargs(url: str, prompts: Path, jobs: int, folder: str) -> Outcome:
    """All prompts through as many processes of llm at once."""
    models = [{"model_id": MODEL, "model_name": MODEL, "api_base": f"{url}/v1"}]
    Path(folder, "extra-openai-models.yaml").write_text(json.dumps(models))  # JSON is YAML
    env = measure.environment(LLM_USER_PATH=folder, LLM_LOAD_PLUGINS="", OPENAI_API_KEY="sk-bench")
    # A status for each prompt: xargs itself tells only that one has failed.
    script = f'{peers()}/bin/llm --no-log -m {MODEL} "$1" > /dev/null 2>&1; echo $?'
    argv = ["xargs", "-P", str(jobs), "-d", "\n", "-n", "1", "sh", "-c", script, "sh"]
    # The first makes llm's database, at which several at once would fail.
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


def tell(name: str, count: int, ideal: float, outcome: Outcome) -> None:
    rate = (count - outcome.failed) / outcome.seconds
    print(
        f"{name:34} {count:7} {outcome.seconds:8.1f} {ideal:7.1f} {outcome.seconds / ideal:6.2f} {rate:9.1f} "
        f"{outcome.requests:9} {outcome.limited / outcome.requests:7.1%} {outcome.failed / count:7.1%}",
        flush=True,
    )


def fresh(folder: str, count: int) -> Path:
    path = Path(folder, f"prompts-{count}")
    path.write_text("".join(f"Tell me of a river, number {n}\n" for n in range(count)))
    return path


def ideal(count: int, jobs: int, rate: float, burst: float) -> float:
    """Seconds that the rate and the streams allow, from the first request on."""
    return max((count - burst) / rate, count * SECONDS / jobs) + SECONDS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.map_limit", description=__doc__.splitlines()[0])
    parser.add_argument("prompts", type=int, nargs="?", default=3000, metavar="PROMPTS")
    parser.add_argument("--peer", type=int, default=200, metavar="N", help="prompts for llm; 0 leaves it out")
    given = parser.parse_args()
    if given.peer:
        install_peers()
    print(f"map_limit: {measure.machine()}\n")
    title = f"{'':34} prompts  seconds   ideal  ratio   rate /s  requests    429s  failed"
    worst, most = 0.0, 0.0
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
                    least = ideal(given.prompts, jobs, RATE, BURST)
                    outcome = mapped(url, fresh(folder, given.prompts), jobs)
                tell(f"llmstream map -j {jobs}", given.prompts, least, outcome)
                worst = max(worst, outcome.seconds / least)
                most = max(most, outcome.limited / outcome.requests)
        if given.peer:
            for rate, burst in ((RATE, BURST), (LOW, LOW_BURST)):
                print(f"\n{rate} requests a second, burst {burst}, Retry-After\n{title}")
                for jobs in PEER_JOBS:
                    for name in ("llmstream map -j", "xargs -P"):
                        with crowd.running("--limit", str(rate), "--burst", str(burst)) as url:
                            prompts = fresh(folder, given.peer)
                            ours = name != "xargs -P"
                            outcome = mapped(url, prompts, jobs) if ours else xargs(url, prompts, jobs, folder)
                        tell(
                            f"{name} {jobs}{'' if ours else ' llm'}",
                            given.peer,
                            ideal(given.peer, jobs, rate, burst),
                            outcome,
                        )
    print(f"\ngoals (load at the end {os.getloadavg()[0]:.1f})")
    measure.goal("time, ratio to the ideal, the worst", worst, 1.25)
    measure.goal("share of 429s, the worst", most, 0.05)


if __name__ == "__main__":
    main()
