"""Runs `map --batch` against an account on loopback."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path

from ..conftest import Run
from . import anthropic_batches, batches, mapping
from .limits import WAIT_S
from .loopback import Provider

Account = batches.Batches | anthropic_batches.AnthropicBatches


class World:
    """An account, its server, and a journal at `path`: world(stdin, *args) gives records, status and stderr."""

    def __init__(self, invoke: Run, path: Path, account: Account, server: Provider, model: str) -> None:
        self._invoke, self.path, self.account, self.server, self.model = invoke, path, account, server, model

    def __call__(self, stdin: bytes, *args: str, model: str = "") -> tuple[list[dict], int, bytes]:
        options = ("-m", model or self.model, "--batch", "--journal", str(self.path), *args)
        done = self._invoke("map", *options, input=stdin, url=self.server.url)
        return mapping.records_of(done.stdout), done.returncode, done.stderr

    def running(self, *args: str) -> AbstractContextManager[mapping.Running]:
        """Runs the command as a process of its own."""
        return mapping.running("--batch", "--journal", str(self.path), *args, url=self.server.url, model=self.model)

    def kill_while_a_batch_is_made(self, stdin: bytes) -> None:
        """Kills a run when the server has made its batch, and before the answer arrives."""
        self.account.faults = [["hold"]]
        before = len(self.account.batches)
        with self.running() as run:
            run.write(stdin)
            run.close_stdin()
            mapping.wait_until(lambda: len(self.account.batches) > before)
            run.process.kill()
            run.process.wait(WAIT_S)

    def journal(self) -> list[dict]:
        """Returns the lines of the journal."""
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]
