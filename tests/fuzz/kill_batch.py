"""`map --batch` under kill -9, with both APIs: each prompt is asked exactly once, and the output is whole.

    python -m tests.fuzz.kill_batch [TIMES]

A run is killed at each request that it makes: before the server has acted, after it, and when half of the response has
arrived; also while it looks for a batch that a killed run has left. Then TIMES (20) runs are killed at random moments,
spread over a run. Each is run again to its end. Prints the counts; exits with status 1 where a rule is broken.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from ..conftest import LLMSTREAM, at
from ..support import anthropic_batches, batches
from ..support.limits import WAIT_S
from ..support.loopback import HOLD, Provider, Request, Step

PROMPTS, MODELS = 12, 3  # a batch for each model
PHASES = ("before", "after", "half")
REQUESTS = {  # of each API, in the order of a run
    "openai": {
        "upload": r"POST /v1/files ",
        "batch": r"POST /v1/batches ",
        "look": r"GET /v1/batches/",
        "results": r"GET /v1/files/\w+/content",
    },
    "anthropic": {
        "batch": r"POST /v1/messages/batches ",
        "look": r"GET /v1/messages/batches/\w+ ",
        "results": r"GET /v1/messages/batches/\w+/results",
    },
}
LISTS = {"openai": r"GET /v1/batches\?", "anthropic": r"GET /v1/messages/batches\?"}


class Kill(NamedTuple):
    """A moment: a request, by its name and its pattern, and a phase of it."""

    name: str
    pattern: str
    phase: str

    def __str__(self) -> str:
        return f"{self.phase} {self.name}"


class Gate:
    """A server's script, which stops at a moment once one is set; `reached` says so."""

    def __init__(self, account: batches.Batches | anthropic_batches.AnthropicBatches) -> None:
        self._account, self._lock = account, threading.Lock()
        self.moment: Kill | None = None
        self.reached = threading.Event()

    def script(self, request: Request) -> list[Step]:
        with self._lock:
            moment = self.moment
            if moment is None or not re.match(moment.pattern, request.line):
                return self._account.script(request)
            self.moment = None
            steps = [] if moment.phase == "before" else self._account.script(request)
            if moment.phase == "half":
                data = b"".join(step for step in steps if isinstance(step, bytes))
                return [_Reached(self.reached), data[: len(data) // 2], HOLD]
            return [_Reached(self.reached), HOLD]


class _Reached(threading.Event):
    """A step that is not waited for, and sets an event when it is taken."""

    def __init__(self, event: threading.Event) -> None:
        super().__init__()
        self._event = event

    def wait(self, timeout: float | None = None) -> bool:
        self._event.set()
        return True


class Trial:
    """Runs with one journal against one account; `wrong` is what is found in the end."""

    def __init__(self, api: str, folder: Path) -> None:
        self._api, self._folder, self.wrong = api, folder, list[str]()
        self.account = batches.Batches() if api == "openai" else anthropic_batches.AnthropicBatches()
        self.gate = Gate(self.account)
        lines = [{"id": n, "prompt": f"prompt {n}", "model": f"{api}/m{n % MODELS}"} for n in range(PROMPTS)]
        (folder / "prompts").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def run(self, url: str, kill: Kill | float | None) -> tuple[int, bytes]:
        """Runs the command, and kills it at a moment or after some seconds; returns its status and output."""
        command = [*LLMSTREAM, "map", "--jsonl", "--batch", "--journal", str(self._folder / "journal")]
        command += ["-m", f"{self._api}/m0"]
        self.gate.moment = kill if isinstance(kill, Kill) else None
        self.gate.reached.clear()
        out, err = self._folder / "out", self._folder / "err"
        with (
            (self._folder / "prompts").open() as stdin,
            out.open("wb") as stdout,
            err.open("wb") as stderr,
            subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, env=at(url)) as process,
        ):
            if isinstance(kill, float):
                time.sleep(kill)
            elif kill:
                while not self.gate.reached.wait(0.01) and process.poll() is None:
                    pass
            if kill is not None:
                process.kill()
            process.wait(WAIT_S)
        self.gate.moment = None
        return process.returncode, out.read_bytes()

    def check(self, url: str) -> None:
        """Runs to the end, and looks at what was asked and what was answered."""
        status, data = self.run(url, None)
        if status:
            self.wrong.append(f"status {status}: {(self._folder / 'err').read_text()}")
        expected = [(n, f"prompt {n}") for n in range(PROMPTS)]
        if [(record["id"], record.get("text")) for record in map(json.loads, data.splitlines())] != expected:
            self.wrong.append(f"the output is {data.decode()}")
        if sorted(self.account.prompts) != sorted(prompt for _, prompt in expected):
            self.wrong.append(f"asked: {sorted(self.account.prompts)}")


class Outcome(NamedTuple):
    """What has become of a trial: how many of its runs were killed, and what is wrong."""

    name: str
    killed: int
    wrong: list[str]


def run_trial(api: str, name: str, *kills: Kill | float, at_work: bool = False) -> Outcome:
    """Kills a run at each moment in turn, and runs to the end.

    `at_work`: in the meantime the batches are at work, another program's among them, and end during the last run.
    """
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(api, Path(folder))
        with Provider(trial.gate.script) as server:
            if at_work and isinstance(trial.account, anthropic_batches.AnthropicBatches):
                trial.account.add(*map(str, range(PROMPTS // MODELS)))
            trial.account.open = at_work
            statuses = [trial.run(server.url, kill)[0] for kill in kills]
            if at_work:
                threading.Timer(2.0, setattr, (trial.account, "open", False)).start()
            trial.check(server.url)
    return Outcome(f"{api}, {name}", sum(status < 0 for status in statuses), trial.wrong)


def named_moments(api: str) -> list[list[Kill]]:
    """Returns the moments of each trial with names."""
    moments = [Kill(name, pattern, phase) for name, pattern in REQUESTS[api].items() for phase in PHASES]
    lost = Kill("batch", REQUESTS[api]["batch"], "after")
    return [*([each] for each in moments), *([lost, Kill("list", LISTS[api], phase)] for phase in PHASES)]


def run_named(api: str) -> list[Outcome]:
    """Runs all trials with names."""
    outcomes = [run_trial(api, ", ".join(map(str, kills)), *kills) for kills in named_moments(api)]
    lost = Kill("batch", REQUESTS[api]["batch"], "after")
    return [*outcomes, run_trial(api, "after batch, which is at work", lost, at_work=True)]


def run_random(api: str, times: int, rng: random.Random) -> list[Outcome]:
    """Runs trials that are killed at moments spread over a run."""
    started = time.monotonic()
    run_trial(api, "whole")
    seconds = time.monotonic() - started
    moments = [(n + rng.random()) / times * seconds for n in range(times)]
    return [run_trial(api, f"after {moment:.2f} s", moment) for moment in moments]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.kill_batch", description=__doc__.splitlines()[0])
    parser.add_argument("times", type=int, nargs="?", default=20, metavar="TIMES")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    good = True
    for api in REQUESTS:
        for kind, outcomes in (
            ("named", run_named(api)),
            ("random", run_random(api, args.times, random.Random(args.seed))),
        ):
            wrong = [outcome for outcome in outcomes if outcome.wrong]
            killed = sum(outcome.killed for outcome in outcomes)
            print(f"{api}, {kind} moments: {len(outcomes)} trials, {killed} runs killed, {len(wrong)} trials wrong")
            for outcome in wrong:
                print(f"  {outcome.name}: {'; '.join(outcome.wrong)}")
            good = good and not wrong
    sys.exit(not good)


if __name__ == "__main__":
    main()
