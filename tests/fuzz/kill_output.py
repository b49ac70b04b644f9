"""`-O FILE` under kill -9: the file holds the old output or the new one, whole, and the next run is not disturbed.

    python -m tests.fuzz.kill_output [TIMES]

`gen` and `map` with a journal are each killed TIMES (20) times, at moments spread over a run, and then run to their
ends. Prints the counts; exits with status 1 where a rule is broken.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from ..bench import crowd, provider
from ..conftest import LLMSTREAM, at
from ..support.limits import WAIT_S

CHUNKS, RATE = 40, 100  # of an answer: 0.4 s
ANSWER = "".join(provider.words(CHUNKS))
MODEL = f"openai/{CHUNKS}@{RATE}"
PROMPTS = 8


class Outcome(NamedTuple):
    """The counts of a series of runs."""

    killed: int
    leftovers: int  # temporary files in the end
    whole: int  # times that the file held a new output after a kill
    torn: list[str]  # contents that were neither
    status: int  # the last run's
    complete: bool  # whether the last run's output is whole, and in place

    @property
    def good(self) -> bool:
        return not self.torn and not self.status and self.complete


def gen(path: Path, run: int) -> tuple[list[str], bytes]:
    """Returns the arguments and the input of a run of gen."""
    return ["gen", "-m", MODEL, "-O", str(path), f"prompt {run}"], b""


def map_with_journal(path: Path, run: int) -> tuple[list[str], bytes]:
    """Returns the arguments and the input of a run of map, each with a journal of its own."""
    args = ["map", "-q", "-j", "2", "-m", MODEL, "-O", str(path), "--journal", str(path.parent / f"journal {run}")]
    return args, b"".join(b"prompt %d\n" % n for n in range(PROMPTS))


def is_whole(command: str, text: str) -> bool:
    if command == "gen":
        return text == ANSWER + "\n"
    try:
        return [json.loads(line)["text"] for line in text.splitlines()] == [ANSWER] * PROMPTS
    except ValueError:
        return False


def run_once(args: list[str], stdin: bytes, env: dict[str, str], kill_after: float | None = None) -> int:
    """Runs llmstream, kills it after `kill_after` seconds if it is still running, and returns its status."""
    with subprocess.Popen([*LLMSTREAM, *args], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        process.stdin.write(stdin)
        process.stdin.close()
        if kill_after is not None:
            time.sleep(kill_after)
            process.kill()
        process.stderr.read()
        return process.wait(WAIT_S)


def run_killed(url: str, folder: Path, make, times: int, rng: random.Random) -> Outcome:
    """Lets a run end, kills `times` runs at moments spread over as long a time, and lets one more end."""
    path, env = folder / "output", at(url)
    started = time.monotonic()
    run_once(*make(path, times), env)
    seconds = time.monotonic() - started
    killed, whole, torn = 0, 0, []
    for run in range(times):
        old = f"old {run}"
        path.write_text(old)
        args, stdin = make(path, run)
        killed += run_once(args, stdin, env, (run + rng.random()) / times * seconds) < 0
        text = path.read_text()
        whole += is_whole(args[0], text)
        torn += [] if is_whole(args[0], text) or text == old else [text]
    args, stdin = make(path, times + 1)
    status = run_once(args, stdin, env)
    leftovers = len(list(folder.glob(".output.*.tmp")))
    return Outcome(killed, leftovers, whole, torn, status, is_whole(args[0], path.read_text()))


def report(name: str, outcome: Outcome) -> bool:
    print(f"{name}: {outcome.killed} runs killed, {outcome.whole} outputs were in place by then")
    print(f"  neither old nor whole: {len(outcome.torn)}; temporary files left: {outcome.leftovers}")
    print(f"  the last run: status {outcome.status}, output {'whole' if outcome.complete else 'NOT WHOLE'}")
    return outcome.good


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.kill_output", description=__doc__.splitlines()[0])
    parser.add_argument("times", type=int, nargs="?", default=20, metavar="TIMES")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    good = True
    with crowd.running() as url:
        for make in (gen, map_with_journal):
            with tempfile.TemporaryDirectory() as folder:
                rng = random.Random(args.seed)
                good &= report(make.__name__, run_killed(url, Path(folder), make, args.times, rng))
    sys.exit(not good)


if __name__ == "__main__":
    main()
