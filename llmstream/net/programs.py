"""Runs tools that are programs: many calls at once, each in a process group of its own.

A call runs the command with the tool's name as its last argument, without a shell. Its stdin has the arguments, a JSON
object, and its stdout is the result, a text or a file; its stderr is ours. A call ends with its program: what that
leaves running in the background may hold its stdout open, and is not waited for.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from .. import signals, stdio
from ..core import file_types
from ..core.request import Call, Message
from ..errors import option
from .loop import READ, WRITE, Alarm, Loop

MAX_RESULT_BYTES = 16 * 1024 * 1024
MAX_NOTE_CHARACTERS = 1000  # of the arguments of a call
EXIT_POLL_S = 0.02  # after stdout has ended, until the program has
KILL_WAIT_S = 1.0  # for killed programs to end
HELD_POLL_S = 0.25  # while stdout is open: a program may leave it to another one


class ProgramOptions(NamedTuple):
    """The program that runs tools."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    jobs: int  # calls at once
    timeout: float  # seconds that a call may take, 0 for no limit


class Tools(NamedTuple):
    """The tools of a request."""

    names: frozenset[str]
    file_kinds: tuple[str, ...]  # of results that are files, as the model takes them


class _Turn(NamedTuple):
    """The calls of one answer, while they run."""

    calls: Sequence[Call]
    tools: Tools
    done: Callable[[list[Message]], object]
    label: str
    results: dict[int, Message]  # by the call's place


class Programs:
    """Runs calls of tools, at most `options.jobs` at once.

    `note` is called with a sentence for the user on each call, and on each failure.
    """

    def __init__(self, options: ProgramOptions, loop: Loop, note: Callable[[str], object]) -> None:
        self.options, self.loop, self._note = options, loop, note
        self._waiting: deque[tuple[_Turn, int]] = deque()
        self._running: set[_Process] = set()

    def start(
        self,
        calls: Sequence[Call],
        tools: Tools,
        done: Callable[[list[Message]], object],
        label: str = "",
    ) -> None:
        """Runs the calls of one answer; `label` stands before the notes on them.

        The loop, or this function, then calls `done` with the results, in the order of the calls; a failure is a result
        that says so.
        """
        turn = _Turn(calls, tools, done, label, {})
        self._waiting.extend((turn, place) for place in range(len(calls)))
        self._start_waiting()

    def run(self, calls: Sequence[Call], tools: Tools) -> list[Message]:
        """Runs the calls of one answer, as `start`, and waits for the results.

        Raises what ends the command, a signal for example; then no program is left.
        """
        results: list[Message] = []
        try:
            self.start(calls, tools, results.extend)
            while len(results) < len(calls):
                self.loop.wait()
        finally:
            self.close()
        return results

    def close(self) -> None:
        """Kills all programs. No result follows."""
        self._waiting.clear()
        for process in self._running:
            process.kill()
        deadline = time.monotonic() + KILL_WAIT_S
        for process in self._running:
            process.reap(deadline)
        self._running.clear()

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self.options.jobs:
            turn, place = self._waiting.popleft()
            call = turn.calls[place]
            arguments = call.arguments
            if len(arguments) > MAX_NOTE_CHARACTERS:
                arguments = f"{arguments[:MAX_NOTE_CHARACTERS]}... ({len(arguments):,} characters)"
            self._note(f"{turn.label}calls {call.name} {arguments}")
            if call.name not in turn.tools.names:
                self._add(turn, place, self._failed(turn, call, "", f"there is no tool {call.name}"))
                continue
            try:
                with signals.SignalsDeferred():
                    self._running.add(_Process(self, turn, place))
            except OSError as error:
                failure = f"cannot run {self.options.command[0]}: {error.strerror}"
                self._add(turn, place, self._failed(turn, call, "", failure))

    def ended(self, process: _Process) -> None:
        """Handles the end of a call."""
        self._running.discard(process)
        if process.failure:
            text = file_types.read_text(process.output) or ""
            result = self._failed(process.turn, process.call, text, process.failure, process.advice)
        else:
            result = self._result(process.turn, process.call, bytes(process.output))
        self._add(process.turn, process.place, result)
        self._start_waiting()

    def _result(self, turn: _Turn, call: Call, output: bytes) -> Message:
        """Returns the result of a call that has succeeded: a text, or a file of a type that the model takes."""
        file = file_types.attachment(call.name, output)
        text = file_types.read_text(output) if file.kind in ("", "text") else None
        if text is not None:
            return Message("tool", text, result_of=call)
        if file.kind in turn.tools.file_kinds:
            name = f"{call.name}.{file.media_type.rpartition('/')[2]}"
            return Message("tool", "", result_of=call, files=(file._replace(name=name),))
        kind = file.media_type or "binary, of an unknown type"
        kinds = ", ".join(file_types.DESCRIPTIONS[kind] for kind in turn.tools.file_kinds)
        return self._failed(turn, call, "", f"its output is {kind}: this model takes {kinds}")

    def _add(self, turn: _Turn, place: int, result: Message) -> None:
        turn.results[place] = result
        if len(turn.results) == len(turn.calls):
            turn.done([turn.results[place] for place in range(len(turn.calls))])

    def _failed(self, turn: _Turn, call: Call, text: str, failure: str, advice: str = "") -> Message:
        self._note(turn.label + ": ".join(filter(None, (f"the call of {call.name} failed", failure, advice))))
        content = f"{text.rstrip()}\nerror: {failure}".lstrip()
        return Message("tool", content, result_of=call, is_error=True)


class _Process:
    """One call: its program, until that has ended."""

    def __init__(self, programs: Programs, turn: _Turn, place: int) -> None:
        self._programs, self._loop, options = programs, programs.loop, programs.options
        self.turn, self.place, self.call = turn, place, turn.calls[place]
        self._input = memoryview(f"{self.call.arguments}\n".encode("utf-8", "replace"))
        self.output = bytearray()
        self.failure = ""
        self.advice = ""  # for the user
        self._is_over = False
        self._alarms: list[Alarm] = []
        pipe = subprocess.PIPE
        command = [*options.command, self.call.name]
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=options.env, process_group=0, bufsize=0)
        assert self._process.stdin and self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        for stream in (self._stdin, self._stdout):
            os.set_blocking(stream.fileno(), False)
        self._loop.watch(self._stdin.fileno(), WRITE, lambda mask: self._write())
        self._loop.watch(self._stdout.fileno(), READ, lambda mask: self._read())
        if options.timeout:
            late, advice = f"it took longer than {options.timeout:g} s", f"raise {option('tool_timeout')}"
            self._alarms.append(self._call_in(options.timeout, lambda: self._fail(late, advice)))
        self._poll = self._call_in(HELD_POLL_S, self._await_exit)

    def _call_in(self, seconds: float, callback: Callable[[], object]) -> Alarm:
        return self._loop.call_at(self._loop.now() + seconds, callback)

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

    def _close_stdout(self) -> None:
        if not self._stdout.closed:
            self._loop.unwatch(self._stdout.fileno())
            self._stdout.close()

    def _read(self) -> bool:
        """Reads a piece of the output; returns whether there may be more by now."""
        try:
            data = os.read(self._stdout.fileno(), stdio.CHUNK_BYTES)
        except BlockingIOError:
            return False
        self.output += data
        if not data:
            self._close_stdout()
            self._poll.cancel()
            self._await_exit()
        elif len(self.output) > MAX_RESULT_BYTES:
            self.output.clear()
            self._fail(f"its output is larger than {MAX_RESULT_BYTES >> 20} MiB")
        return not self._stdout.closed

    def _await_exit(self) -> None:
        """Ends the call where its program has ended; its stdout may still be open, and have some output."""
        if self._process.poll() is None:
            self._poll = self._call_in(EXIT_POLL_S if self._stdout.closed else HELD_POLL_S, self._await_exit)
            return
        while not self._stdout.closed and self._read():
            pass
        if self._is_over:
            return
        if status := self._process.returncode:
            self.failure = f"status {status}" if status > 0 else f"killed by signal {-status}"
        self._end()

    def _fail(self, failure: str, advice: str = "") -> None:
        if not self._is_over:
            self.failure, self.advice = failure, advice
            self.kill()
            self.reap(time.monotonic() + KILL_WAIT_S)
            self._programs.ended(self)

    def kill(self) -> None:
        """Kills the program and all of its process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._close()

    def reap(self, deadline: float) -> None:
        """Waits for the end of a program that was killed. One that does not end by `deadline` is left.

        The kernel may hold it, at a disk for example, or it may run as another user. The times are of time.monotonic.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))

    def _end(self) -> None:
        self._close()
        self._programs.ended(self)

    def _close(self) -> None:
        self._is_over = True
        self._close_stdin()
        self._close_stdout()
        self._poll.cancel()
        for alarm in self._alarms:
            alarm.cancel()
