"""`gen --chat FILE` under kill -9: the file always reads, and holds whole exchanges only.

    python -m tests.fuzz.kill_chat [TIMES]

`gen` is killed TIMES (20) times, at moments spread over a run, each time with another question, and then asks once
more. Then it is killed TIMES times while the file grows by a large question, which the kernel writes in parts. Prints
the counts; exits with status 1 where a rule is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from ..bench import crowd
from ..conftest import LLMSTREAM, at
from .kill_output import ANSWER, MODEL, run_once

LARGE_BYTES = 24 << 20


class Outcome(NamedTuple):
    """The counts of a series of runs."""

    killed: int
    stored: int  # exchanges of runs that were killed
    torn: list[str]  # contents that are no whole exchanges, or have lost one
    status: int  # the last run's

    @property
    def good(self) -> bool:
        return not self.torn and not self.status


def questions(text: str) -> list[str] | None:
    """Returns the questions of a conversation; None where an exchange is not whole."""
    try:
        messages = [json.loads(line) for line in text.splitlines()]
    except ValueError:
        return None
    pairs = list(zip(messages[::2], messages[1::2], strict=len(messages) % 2 == 0))
    whole = all(answer == {"role": "assistant", "content": ANSWER} for _, answer in pairs)
    return [question["content"] for question, _ in pairs] if whole and text[-1:] in ("", "\n") else None


def run_killed(url: str, folder: Path, times: int, rng: random.Random) -> Outcome:
    """Asks once, is killed `times` times at moments spread over as long a time, and asks once more."""
    path, env = folder / "talk", at(url)

    def ask(question: str, kill_after: float | None = None) -> int:
        return run_once(["gen", "-m", MODEL, "--chat", str(path), "-O", os.devnull, question], b"", env, kill_after)

    started = time.monotonic()
    ask("first")
    seconds = time.monotonic() - started
    expected, killed, stored, torn = ["first"], 0, 0, []
    for run in range(times):
        status = ask(str(run), (run + rng.random()) / times * seconds)
        killed += status < 0
        text = path.read_text()
        found = questions(text)
        if found not in (expected, [*expected, str(run)]) or (not status and found == expected):
            torn.append(text)
        stored += status < 0 and found != expected
        expected = found or expected
    status = ask("last")
    if questions(path.read_text()) != [*expected, "last"]:
        torn.append(path.read_text())
    return Outcome(killed, stored, torn, status)


def kill_in_write(url: str, folder: Path, times: int) -> Outcome:
    """Asks large questions, and kills `gen` each time that the file has begun to grow; asks small ones in between.

    Of the outcome `killed` counts the kills within the write, and `kept` those after it.
    """
    path, env = folder / "large", at(url)
    args = [*LLMSTREAM, "gen", "-m", MODEL, "--chat", str(path), "-O", os.devnull]
    within, stored, torn, status = 0, 0, [], 0
    for run in range(times):
        path.unlink(missing_ok=True)
        status = run_once([*args[len(LLMSTREAM) :], "before"], b"", env) or status
        before = path.stat().st_size
        question = f"{run} " + "x" * LARGE_BYTES
        with subprocess.Popen(args, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env) as process:
            process.stdin.write(question.encode())
            process.stdin.close()
            while process.poll() is None and path.stat().st_size == before:
                pass
            process.kill()
        with path.open("rb") as file:
            file.seek(before)
            is_cut = file.read(1) == b"\0"
        within += is_cut
        stored += not is_cut
        status = run_once([*args[len(LLMSTREAM) :], "after"], b"", env) or status
        if questions(path.read_text()) != ["before", *([] if is_cut else [question]), "after"]:
            torn.append(f"run {run}")
    return Outcome(within, stored, torn, status)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.kill_chat", description=__doc__.splitlines()[0])
    parser.add_argument("times", type=int, nargs="?", default=20, metavar="TIMES")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with crowd.running() as url, tempfile.TemporaryDirectory() as folder:
        outcome = run_killed(url, Path(folder), args.times, random.Random(args.seed))
        large = kill_in_write(url, Path(folder), args.times)
    print(f"{outcome.killed} runs killed, {outcome.kept} of them after their exchange was in the file")
    print(f"not whole, or lost: {len(outcome.torn)}; the last run: status {outcome.status}")
    print(f"large questions: {large.killed} runs killed within the write, {large.kept} after it")
    print(f"not whole, or lost: {len(large.torn)}; the worst of the runs between: status {large.status}")
    sys.exit(not (outcome.good and large.good))


if __name__ == "__main__":
    main()
