"""A transport without a network and its clock, both driven by the test."""

from __future__ import annotations

from collections.abc import Callable

from llmstream.core.request import Request
from llmstream.core.retry import RetryPolicy
from llmstream.core.timing import Timeouts
from llmstream.net.generation import Generation
from llmstream.net.transfer import HttpRequest, Transfer
from llmstream.providers.target import Target

TARGET = Target("p", "m", "chat", "http://p/v1/chat/completions", "")
STREAM = {"content-type": "text/event-stream"}


class Alarm:
    def __init__(self, when: float, due: Callable[[], object]) -> None:
        self.when, self.due = when, due

    def cancel(self) -> None:
        self.due = None


class Sent(Transfer):
    """A request on its way; the test answers it with `arrive` and `finish`."""

    def __init__(self, request: HttpRequest, wake: Callable[[], object]) -> None:
        super().__init__()
        self.request, self.wake = request, wake
        self.paused = self.closed = False
        self.answered: tuple[int, dict[str, str]] | None = None

    def head(self) -> tuple[int, dict[str, str]] | None:
        return self.answered

    def pause(self, paused: bool) -> None:
        assert not self.closed
        self.paused = paused

    def arrive(self, *chunks: bytes, status: int = 200, headers: dict[str, str] = STREAM) -> None:
        assert not self.closed
        self.answered = status, headers
        must_wake = self.ended or not chunks
        for chunk in chunks:
            if self.on_chunk is None:
                self.chunks.append(chunk)
                must_wake = True
            elif self.on_chunk(chunk):
                must_wake = True
        if must_wake:
            self.wake()

    def finish(self, reason: str = "") -> None:
        assert not self.closed
        self.ended, self.reason = True, reason
        self.wake()


class ScriptedTransport:
    """A Transport, and the EventLoop that it is on."""

    def __init__(self, calls_on_chunk: bool = False) -> None:
        self.calls_on_chunk = calls_on_chunk
        self.sent: list[Sent] = []
        self.forgotten: list[HttpRequest] = []
        self.time = 0.0
        self.alarms: list[Alarm] = []

    @property
    def loop(self) -> ScriptedTransport:
        return self

    @property
    def last(self) -> Sent:
        return self.sent[-1]

    def now(self) -> float:
        return self.time

    def call_at(self, when: float, callback: Callable[[], object]) -> Alarm:
        self.alarms.append(Alarm(when, callback))
        return self.alarms[-1]

    def until(self, time: float) -> None:
        """Advances the clock, and calls the alarms that are due by then."""
        while due := [alarm for alarm in self.alarms if alarm.due and alarm.when <= time]:
            alarm = min(due, key=lambda alarm: alarm.when)
            self.alarms.remove(alarm)
            self.time = max(self.time, alarm.when)
            alarm.due()
        self.time = time

    def send(self, request: HttpRequest, connect_timeout: float, wake: Callable[[], object]) -> Sent:
        self.sent.append(Sent(request, wake))
        return self.last

    def send_and_forget(self, request: HttpRequest) -> None:
        self.forgotten.append(request)

    def end(self, transfer: Transfer) -> None:
        assert isinstance(transfer, Sent)
        assert not transfer.closed
        transfer.closed = True

    def close(self) -> None: ...


def started(
    transport: ScriptedTransport,
    timeouts: Timeouts | None = None,
    *,
    target: Target = TARGET,
    retries: int = 4,
    **more: object,
) -> Generation:
    """Starts a generation, which sends its request."""
    generation = Generation(target, Request("m", "Hi"), timeouts or Timeouts(), RetryPolicy(retries), transport, **more)
    generation.start()
    return generation
