"""Random faults: whatever a network does to a stream, the output is a prefix of the text, and the status is 0
exactly when the end mark was sent.

    python -m tests.fuzz.test_random_faults [EXAMPLES]

runs more examples than the suite does. The transport is scripted, and so is its clock; above it all is real.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmstream.core.render import TextRenderer
from llmstream.core.request import Request
from llmstream.core.retry import RetryPolicy
from llmstream.core.timing import Timeouts
from llmstream.errors import Error
from llmstream.net.generation import Generation, events
from llmstream.net.transfer import HttpRequest, Transfer
from llmstream.providers.target import Target

from ..support.faults import ERRORS
from ..support.loopback import DIALECTS, frame

NOISE = (b": ping\n\n", b'event: ping\ndata: {"type": "ping"}\n\n', b"data: null\n\n", b"retry: 3\n\n")
RETRIES = 2


class Try(NamedTuple):
    """The response to one request: its bytes, the places of the cuts, and its end."""

    sent: bytes
    cuts: list[int]
    ending: str  # eof, reset, stall, error
    complete: bool  # the end mark was sent
    texts: int  # text deltas that were sent whole


class Alarm:
    def __init__(self, when: float, due: Callable[[], object]) -> None:
        self.when, self.due = when, due

    def cancel(self) -> None:
        self.due = None


class ScriptedTransport:
    """A transport that does what the tries say. Silence lasts until the deadline, by a clock that stands otherwise."""

    calls_on_chunk = False

    def __init__(self, tries: list[Try], api: str) -> None:
        self.tries, self.api = tries, api
        self.requests = 0
        self._now = 0.0
        self._alarms: list[Alarm] = []
        self._arrivals: list[bytes] = []
        self._transfer = Transfer()

    @property
    def loop(self) -> ScriptedTransport:
        return self

    def now(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Callable[[], object]) -> Alarm:
        alarm = Alarm(when, callback)
        self._alarms.append(alarm)
        return alarm

    def send(self, request: HttpRequest, connect_timeout: float, wake: Callable[[], object]) -> Transfer:
        script = self.tries[min(self.requests, len(self.tries) - 1)]
        self.requests += 1
        self._script = script
        points = [0, *sorted(script.cuts), len(script.sent)]
        self._arrivals = [script.sent[a:b] for a, b in pairwise(points) if b > a]
        if script.ending == "error":
            self._arrivals.append(frame(ERRORS[self.api], "error" if self.api == "messages" else ""))
        self._transfer, self._wake = Transfer(), wake
        self._transfer.head = lambda: (200, {"content-type": "text/event-stream"})
        return self._transfer

    def wait(self) -> float:
        transfer = self._transfer
        if transfer.ended or (not self._arrivals and self._script.ending == "stall"):
            alarm = min(self._alarms, key=lambda alarm: alarm.when)
            self._alarms.remove(alarm)
            if alarm.due:
                self._now = max(self._now, alarm.when)
                alarm.due()
            return self._now
        if self._arrivals:
            transfer.chunks.append(self._arrivals.pop(0))
        else:
            transfer.ended = True
            transfer.reason = "reset" if self._script.ending == "reset" else ""
        self._wake()
        return self._now

    def send_and_forget(self, request: HttpRequest) -> None: ...

    def end(self, transfer: Transfer) -> None:
        transfer.ended = True

    def close(self) -> None: ...


@st.composite
def tries(draw, api: str, texts: list[str]) -> Try:
    whole = b"".join(DIALECTS[api](*texts))
    ends = [0]  # of the frames
    while ends[-1] < len(whole):
        ends.append(whole.index(b"\n\n", ends[-1]) + 2)
    before = {"chat": 0, "responses": 1, "messages": 2}[api]  # frames before the first text
    mark = {"chat": before + len(texts) + 1, "responses": -1, "messages": -2}[api]  # the frame of the end mark

    ending = draw(st.sampled_from(["eof", "reset", "stall", "error"]))
    size = len(whole) if draw(st.booleans()) else draw(st.integers(0, len(whole)))
    if ending == "error":  # it comes between two frames
        size = max(end for end in ends if end <= size)
    sent = whole[:size]
    for noise in draw(st.lists(st.sampled_from(NOISE), max_size=3)):
        at = draw(st.sampled_from([end for end in ends if end <= size]))
        if b"\n\n" in sent[at - 2 : at] or at == 0:  # still a boundary, after the noise before
            sent = sent[:at] + noise + sent[at:]
    cuts = draw(st.lists(st.integers(0, len(sent)), max_size=8))

    slack = 2 if ending in ("eof", "reset") else 0  # a last frame may lack its blank line where the stream ends
    whole_texts = sum(end - slack <= size for end in ends[before + 1 : before + 1 + len(texts)])
    complete = ends[-1 if ending == "error" else mark] - slack <= size  # an error after the end mark is an error
    return Try(sent, cuts, ending, complete, whole_texts)


@st.composite
def scripts(draw) -> tuple[str, list[str], list[Try]]:
    api = draw(st.sampled_from(sorted(DIALECTS)))
    texts = draw(st.lists(st.text(min_size=1, max_size=8).filter(lambda t: t.isprintable()), min_size=1, max_size=4))
    return api, texts, draw(st.lists(tries(api, texts), min_size=1, max_size=3))


def generate(api: str, script: list[Try]) -> tuple[bytes, int, int]:
    """Runs a generation; returns its stdout, its status and the number of requests."""
    transport = ScriptedTransport(script, api)
    target = Target("p", "m", api, "http://p", "")
    generation = Generation(target, Request("m", "Hi"), Timeouts(), RetryPolicy(RETRIES), transport)
    renderer, out = TextRenderer(), b""
    generation.start()
    try:
        for batch in events(generation, transport):
            out += renderer.feed(batch)
    except Error as error:
        return out, error.status, transport.requests
    return out, 0, transport.requests


def expected(texts: list[str], script: list[Try]) -> tuple[str, bool, int]:
    """Returns the expected text, its completeness, and the number of requests: no retry follows output."""
    for number in range(RETRIES + 1):
        attempt = script[min(number, len(script) - 1)]
        timed_out = attempt.ending == "stall" and not attempt.complete
        if attempt.complete or attempt.texts or timed_out or number == RETRIES:
            return "".join(texts[: attempt.texts]), attempt.complete, number + 1
    raise AssertionError


def check(case: tuple[str, list[str], list[Try]]) -> None:
    api, texts, script = case
    out, status, requests = generate(api, script)
    assert (out.decode().removesuffix("\n" * (status == 0)), status == 0, requests) == expected(texts, script)


@pytest.mark.slow
@given(scripts())
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_faults(case):
    check(case)


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))(given(scripts())(check))()
    print(f"{count} random fault scripts, none wrong")
