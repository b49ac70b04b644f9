"""`map --journal` under kill -9 and on full disks: prompts in the journal are never sent again, and none is lost.

    python -m tests.fuzz.kill_map [TIMES] [PROMPTS]

One run of PROMPTS (400) is killed and started again TIMES (20) times, and then runs to its end; so does one whose
journal has a size limit (RLIMIT_FSIZE), and, where a file system can be mounted, one on a full disk. Prints the counts;
exits with status 1 where a rule is broken.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ..bench import crowd, provider
from ..conftest import LLMSTREAM, at
from ..support.limits import WAIT_S

LENGTHS = 40  # an answer has 1 to LENGTHS chunks, which tells one from another
RATE = 200  # chunks per second
GROWTH_BYTES = 6000  # by which the journal grows, at most, before a run is killed


class Outcome(NamedTuple):
    """The counts of a series of runs."""

    prompts: int
    stopped: int  # runs that were killed, or failed because of the disk
    in_journal: list[int]  # prompts in the journal at the start of each run
    requests: int
    repeated: list[str]  # prompts that were sent although they were in the journal
    missing: list[int]  # prompts that a stopped run had printed, but that were not in the journal
    errors: list[str]  # in the output of the last run
    status: int  # the last run's

    @property
    def good(self) -> bool:
        return not (self.repeated or self.missing or self.errors or self.status)


class Series:
    """Runs of `map` with one input and one journal."""

    def __init__(self, url: str, folder: Path, prompts: int, journal: Path | None = None) -> None:
        self._url, self._prompts = url, prompts
        self._input, self._output = folder / "prompts", folder / "answers"
        self.journal = journal or folder / "journal"
        self._input.write_text("".join(json.dumps(_record(n)) + "\n" for n in range(prompts)))
        self._stopped, self._in_journal, self._repeated, self._missing = 0, list[int](), list[str](), list[int]()
        crowd.stats(url, reset=True)

    def run(self, disturb: Callable[[subprocess.Popen[bytes]], object], **limits: object) -> tuple[int, bytes, bytes]:
        """One run; returns its status, stdout and stderr."""
        saved, before = self._read_journal(), crowd.stats(self._url, prompts=True)["prompts"]
        self._in_journal.append(len(saved))
        argv = [*LLMSTREAM, "map", "--jsonl", "-j", "16", "--journal", str(self.journal)]
        with (
            self._input.open() as stdin,
            self._output.open("wb") as stdout,  # not a pipe, which would fill up
            subprocess.Popen(
                argv, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, env=at(self._url), **limits
            ) as process,
        ):
            disturb(process)
            err = process.communicate(timeout=WAIT_S)[1]
        out = self._output.read_bytes()
        now = crowd.stats(self._url, prompts=True)["prompts"]
        self._repeated += [prompt for n in saved if now.get(prompt := f"prompt {n}", 0) != before.get(prompt, 0)]
        if process.returncode:
            self._stopped += 1
            whole = out[: out.rfind(b"\n") + 1]
            printed = {json.loads(line)["id"] for line in whole.splitlines()}
            self._missing += sorted(printed - self._read_journal())
        return process.returncode, out, err

    def outcome(self) -> Outcome:
        """Runs to the end; returns the counts of all runs."""
        status, out, err = self.run(lambda process: None)
        errors = [] if not status else [err.decode()]
        records = [json.loads(line) for line in out.splitlines()]
        if [record["id"] for record in records] != list(range(self._prompts)):
            errors.append("the output is not every prompt once, in order")
        errors += [f"the answer of {one['id']} is wrong" for one in records if one.get("text") != _text(one["id"])]
        requests = crowd.stats(self._url)["requests"]
        return Outcome(
            self._prompts, self._stopped, self._in_journal, requests, self._repeated, self._missing, errors, status
        )

    def _read_journal(self) -> set[int]:
        """Returns the prompts whose complete lines are in the journal."""
        data = self.journal.read_bytes() if self.journal.exists() else b""
        _, *lines = data[: data.rfind(b"\n") + 1].splitlines() or [b""]
        return {int(json.loads(line)["key"].removeprefix("id ")) for line in lines}

    def size(self) -> int:
        return self.journal.stat().st_size if self.journal.exists() else 0


def _record(n: int) -> dict[str, object]:
    return {"id": n, "prompt": f"prompt {n}", "model": f"openai/{n % LENGTHS + 1}@{RATE}"}


def _text(n: int) -> str:
    return "".join(provider.words(n % LENGTHS + 1))


def run_killed(series: Series, times: int, rng: random.Random) -> Outcome:
    """Kills each run at random: some time after its start, or after the journal has grown."""
    for _ in range(times):
        size = series.size()
        grown = size + rng.choice([0, 1]) * rng.random() * GROWTH_BYTES

        def kill(process: subprocess.Popen[bytes], size: int = size, grown: float = grown) -> None:
            while series.size() < grown and process.poll() is None:
                time.sleep(0.001)
            time.sleep(rng.random() * (0.1 if grown > size else 1.0))
            process.send_signal(signal.SIGKILL)

        series.run(kill)
    return series.outcome()


def run_limited(series: Series, sizes: list[int]) -> Outcome:
    """Limits the journal to each of the sizes in turn."""
    for size in sizes:
        series.run(
            lambda process: None, preexec_fn=lambda size=size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        )
    return series.outcome()


@contextmanager
def tiny_disk(folder: Path, kilobytes: int):
    """Mounts a file system of that size in folder/disk; None where that is not possible."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    try:
        yield disk if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", str(disk)], check=True)


def run_full(series: Series, disk: Path, kilobytes: int) -> Outcome:
    """Runs until the disk is full, makes it larger, and runs to the end."""
    series.run(lambda process: None)
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(disk)], check=True)
    return series.outcome()


def report(name: str, outcome: Outcome) -> bool:
    unfinished = outcome.requests - outcome.prompts
    print(
        f"{name}: {outcome.prompts} prompts, {outcome.stopped} runs stopped, the last one ended with {outcome.status}"
    )
    print(f"  prompts in the journal at each start: {', '.join(map(str, outcome.in_journal))}")
    print(f"  requests {outcome.requests}: {unfinished} of prompts that were running when a run was stopped")
    print(f"  sent again though in the journal: {len(outcome.repeated)}; printed and not in it: {len(outcome.missing)}")
    print(f"  the last output: {'; '.join(outcome.errors[:3]) or 'every prompt once, in order, its own answer'}")
    return outcome.good


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.kill_map", description=__doc__.splitlines()[0])
    parser.add_argument("times", type=int, nargs="?", default=20, metavar="TIMES")
    parser.add_argument("prompts", type=int, nargs="?", default=400, metavar="PROMPTS")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    good = True
    with crowd.running() as url:
        with tempfile.TemporaryDirectory() as folder:
            series = Series(url, Path(folder), args.prompts)
            good &= report(f"kill -9, seed {args.seed}", run_killed(series, args.times, random.Random(args.seed)))
        with tempfile.TemporaryDirectory() as folder:
            good &= report(
                "RLIMIT_FSIZE", run_limited(Series(url, Path(folder), args.prompts), [10_000, 20_000, 40_000])
            )
        with tempfile.TemporaryDirectory() as folder, tiny_disk(Path(folder), 32) as disk:
            if disk is None:
                print("a full disk: no file system could be mounted")
            else:
                good &= report(
                    "a full disk of 32 KiB",
                    run_full(Series(url, Path(folder), args.prompts, disk / "journal"), disk, 4096),
                )
    sys.exit(not good)


if __name__ == "__main__":
    main()
