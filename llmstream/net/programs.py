"""Runs tools that are programs: the calls of one turn at once, each in a process group of its own.

A call runs the command with the tool's name as its last argument, without a shell. Its stdin has the arguments, a JSON
object, and its stdout is the result; its stderr is ours.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from .. import signals, stdio
from ..core.request import Call, Message
from ..errors import option
from .loop import READ, WRITE, Alarm, Loop

MAX_RESULT_BYTES = 16 * 1024 * 1024
EXIT_POLL_S = 0.02  # after stdout has ended, until the program has


class Programs:
    """Runs calls of the tools in `names`.

    `timeout` is the seconds that a call may take, 0 for no limit; `jobs` run at once. `note` is
    called with a sentence for the user on each call, and on each failure.
    """

    def __init__(
        self,
        command: Sequence[str],
        names: frozenset[str],
        env: Mapping[str, str],
        loop: Loop,
        *,
        timeout: float,
        jobs: int,
        note: Callable[[str], object],
    ) -> None:
        self.command, self.env, self.loop, self.timeout = command, env, loop, timeout
        self._names, self._jobs, self._note = names, jobs, note

    def run(self, calls: Sequence[Call]) -> list[Message]:
        """Returns the results, in the order of the calls; a failure is a result that says so.

        Raises what ends the command, a signal for example; then no program is left.
        """
        results: dict[int, Message] = {}
        waiting = deque(enumerate(calls))
        running: dict[int, _Process] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self._jobs:
                    number, call = waiting.popleft()
                    self._note(f"calls {call.name} {call.arguments}")
                    if call.name not in self._names:
                        results[number] = self._failed(call, "", f"there is no tool {call.name}")
                        continue
                    try:
                        with signals.SignalsDeferred():
                            running[number] = _Process(self, call)
                    except OSError as error:
                        results[number] = self._failed(call, "", f"cannot run {self.command[0]}: {error.strerror}")
                if running and not any(process.over for process in running.values()):
                    self.loop.wait()
                for number in [number for number, process in running.items() if process.over]:
                    process = running.pop(number)
                    results[number] = self._result(calls[number], process)
        finally:
            for process in running.values():
                process.kill()
        return [results[number] for number in range(len(calls))]

    def _result(self, call: Call, process: _Process) -> Message:
        text = process.output.decode("utf-8", "replace")
        if process.failure:
            return self._failed(call, text, process.failure, process.advice)
        return Message("tool", text, result_of=call)

    def _failed(self, call: Call, text: str, failure: str, advice: str = "") -> Message:
        self._note(": ".join(filter(None, (f"the call of {call.name} failed", failure, advice))))
        content = f"{text.rstrip()}\nerror: {failure}".lstrip()
        return Message("tool", content, result_of=call, is_error=True)


class _Process:
    """One call: its program, until it has ended and its stdout is closed."""

    def __init__(self, programs: Programs, call: Call) -> None:
        self._loop = programs.loop
        self._input = memoryview(f"{call.arguments}\n".encode("utf-8", "replace"))
        self.output = bytearray()
        self.failure = ""
        self.advice = ""  # for the user
        self.over = False
        self._alarms: list[Alarm] = []
        pipe = subprocess.PIPE
        command = [*programs.command, call.name]
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=programs.env, process_group=0, bufsize=0)
        assert self._process.stdin and self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        for stream in (self._stdin, self._stdout):
            os.set_blocking(stream.fileno(), False)
        self._loop.watch(self._stdin.fileno(), WRITE, lambda mask: self._write())
        self._loop.watch(self._stdout.fileno(), READ, lambda mask: self._read())
        if programs.timeout:
            late, advice = f"it took longer than {programs.timeout:g} s", f"raise {option('tool_timeout')}"
            self._alarm(programs.timeout, lambda: self._fail(late, advice))

    def _alarm(self, seconds: float, callback: Callable[[], object]) -> None:
        self._alarms.append(self._loop.call_at(self._loop.now() + seconds, callback))

    def _write(self) -> None:
        try:
            self._input = self._input[os.write(self._stdin.fileno(), self._input) :]
        except BlockingIOError:
            return
        except OSError:  # the program does not read its arguments
            self._input = self._input[:0]
        if not self._input:
            self._close_stdin()

    def _close_stdin(self) -> None:
        if not self._stdin.closed:
            self._loop.unwatch(self._stdin.fileno())
            self._stdin.close()

    def _read(self) -> None:
        try:
            data = os.read(self._stdout.fileno(), stdio.CHUNK_BYTES)
        except BlockingIOError:
            return
        self.output += data
        if not data:
            self._loop.unwatch(self._stdout.fileno())
            self._stdout.close()
            self._await_exit()
        elif len(self.output) > MAX_RESULT_BYTES:
            self.output.clear()
            self._fail(f"its output is larger than {MAX_RESULT_BYTES >> 20} MiB")

    def _await_exit(self) -> None:
        if self.over:
            return
        status = self._process.poll()
        if status is None:
            self._alarm(EXIT_POLL_S, self._await_exit)
            return
        if status:
            self.failure = f"status {status}" if status > 0 else f"killed by signal {-status}"
        self._close()

    def _fail(self, failure: str, advice: str = "") -> None:
        if not self.over:
            self.failure, self.advice = failure, advice
            self.kill()

    def kill(self) -> None:
        """Kills the program and all of its process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._close()

    def _close(self) -> None:
        self.over = True
        self._close_stdin()
        if not self._stdout.closed:
            self._loop.unwatch(self._stdout.fileno())
            self._stdout.close()
        for alarm in self._alarms:
            alarm.cancel()
