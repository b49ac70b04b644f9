"""The fault list: what networks and providers do to a stream, and what `gen` makes of each.

    python -m tests.support.faults

runs every row and prints the table of the outcomes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from ..conftest import at
from .invoking import invoke
from .loopback import DIALECTS, HOLD, RESET, Provider, Step, frame, head, reply

TEXT = ("Hello, ", "wörld")
WHOLE = "Hello, wörld\n"
KEPT = "Hello, wörld"
KEY = at("")["OPENAI_API_KEY"]
AGAIN = ["--max-retry-wait", "0.01"]  # of the backoff, which is tested on its own clock

MODELS = {"chat": "openai/m", "responses": "openai/m", "messages": "anthropic/m"}
END_MARKS = {"chat": 1, "responses": 1, "messages": 2}  # frames of a good answer from the end mark on
ERRORS = {  # the dialects' own ways to report trouble inside a stream
    "chat": {"error": {"message": "Overloaded", "type": "overloaded_error"}},
    "responses": {"type": "error", "code": "server_error", "message": "Overloaded", "sequence_number": 99},
    "messages": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
}


class Fault(NamedTuple):
    """A row: the provider's script of each request, and the expected outcome."""

    name: str
    api: str
    scripts: list[list[Step]]
    stdout: str
    status: int | None  # None: any
    stderr: tuple[str, ...] = ()  # a part of each line
    requests: int = 1
    args: tuple[str, ...] = ()


class Outcome(NamedTuple):
    """The outcome of a row's run."""

    stdout: str
    status: int
    stderr: list[str]
    requests: int
    milliseconds: float


def rows() -> Iterator[Fault]:
    for api in DIALECTS:
        yield from stream_rows(api)
    yield from response_rows()


def stream_rows(api: str) -> Iterator[Fault]:
    """Yields the faults of a stream in a dialect."""
    good = [head(), *DIALECTS[api](*TEXT)]
    cut = good[: -END_MARKS[api]]
    early = [head(), DIALECTS[api](*TEXT)[0]] if api != "chat" else [head()]
    error = frame(ERRORS[api], "error" if api == "messages" else "")
    broken = "the answer breaks off after 12 characters"

    def row(name: str, *scripts: list[Step], **expected: object) -> Fault:
        return Fault(name, api, list(scripts), **({"stdout": WHOLE, "status": 0, "args": tuple(AGAIN)} | expected))

    whole = b"".join(good[1:])
    yield row("good, close-delimited", good)
    yield row("good, chunked", [chunked_head(), *map(chunk, good[1:]), b"0\r\n\r\n"])
    yield row(
        "good, byte by byte in chunks",
        [chunked_head(), b"".join(chunk(whole[i : i + 1]) for i in range(len(whole))), b"0\r\n\r\n"],
    )
    yield row("good, one segment with its head", [good[0] + whole])
    yield row("good, CRLF", [head(), whole.replace(b"\n", b"\r\n")])
    yield row("good, CR", [head(), whole.replace(b"\n", b"\r")])
    yield row("good, BOM and comments", [head(), b"\xef\xbb\xbf: hello\n\nretry: 10\nid: 7\n\n" + whole])
    yield row("good, data: without a blank", [head(), whole.replace(b"data: ", b"data:")])
    yield row("good, unknown events", [head(), frame({"type": "new.thing"}, "new.thing"), *good[1:]])
    yield row("good, null and empty data", [head(), frame("null"), b"data\n\n", frame("7"), *good[1:]])
    yield row("good, then the socket is held open", [*good, HOLD])
    yield row("good, then RST", [*good, RESET])
    yield row("clean end without an end mark", cut, stdout=KEPT, status=5, stderr=(broken,))
    yield row(
        "clean end of chunks without an end mark",
        [chunked_head(), *map(chunk, cut[1:]), b"0\r\n\r\n"],
        stdout=KEPT,
        status=5,
        stderr=(broken,),
    )
    yield row("end amid chunks", [chunked_head(), *map(chunk, cut[1:])], stdout=KEPT, status=5, stderr=(broken,))
    yield row("end amid an event", [*cut, b'data: {"type":'], stdout=KEPT, status=5, stderr=(broken,))
    yield row(
        "bad chunk size", [chunked_head(), *map(chunk, cut[1:]), b"XYZ\r\n"], stdout=KEPT, status=5, stderr=(broken,)
    )
    length = f"Content-Length: {len(whole) + 100}"
    yield row(
        "content-length too long",
        [head("200 OK", "text/event-stream", length), *cut[1:]],
        stdout=KEPT,
        status=5,
        stderr=(broken,),
    )
    yield row("error event after text", [*cut, error], stdout=KEPT, status=5, stderr=("Overloaded",))
    yield row(
        "an event that is not JSON", [*cut, b"data: {oops\n\n"], stdout=KEPT, status=5, stderr=("is not JSON ({oops)",)
    )
    yield row("error event first, then good", [head(), error], good, requests=2, stderr=("Overloaded",))
    yield row(
        "error event first, always",
        [head(), error],
        stdout="",
        status=4,
        requests=3,
        stderr=("Overloaded",) * 3,
        args=(*AGAIN, "--retries", "2"),
    )
    yield row("end after the head, then good", [head()], good, requests=2, stderr=("no output came",))
    yield row("end after the first event, then good", early, good, requests=2, stderr=("no output came",))
    yield row("RST after the head, then good", [head(), RESET], good, requests=2, stderr=("",))
    yield row("RST before the head, then good", [RESET], good, requests=2, stderr=("",))
    yield row("FIN before the head, then good", [], good, requests=2, stderr=("",))
    yield row(
        "silence before the head",
        [HOLD],
        stdout="",
        status=4,
        stderr=("no data for 0.3 s",),
        args=("--first-token-timeout", "0.3"),
    )
    yield row(
        "silence after text",
        [*cut, HOLD],
        stdout=KEPT,
        status=5,
        stderr=("no data for 0.3 s",),
        args=("--stall-timeout", "0.3"),
    )
    yield row(
        "silence after keep-alives",
        [*cut, b": ping\n\n" * 3, HOLD],
        stdout=KEPT,
        status=5,
        stderr=("no data for 0.3 s",),
        args=("--stall-timeout", "0.3"),
    )
    huge = b"data: " + b"x" * (17 << 20)
    yield row("an endless line", [*cut, huge, HOLD], stdout=KEPT, status=5, stderr=("larger than 16777216 bytes",))


def response_rows() -> Iterator[Fault]:
    """Yields the faults of the response as a whole, which do not depend on the dialect."""
    good = [head(), *DIALECTS["chat"](*TEXT)]

    def row(name: str, *scripts: list[Step], **expected: object) -> Fault:
        return Fault(name, "chat", list(scripts), **({"stdout": "", "status": 3, "args": tuple(AGAIN)} | expected))

    def error_reply(status: str, message: str, **more: object) -> list[Step]:
        return reply(status, frame({"error": {"message": message, **more}})[6:].strip())

    for status in (
        "400 Bad Request",
        "401 Unauthorized",
        "402 Payment Required",
        "403 Forbidden",
        "404 Not Found",
        "405 Method Not Allowed",
        "413 Content Too Large",
        "422 Unprocessable Content",
    ):
        yield row(status, error_reply(status, "no such luck"), stderr=(" says: no such luck",))
    for status in (
        "408 Request Timeout",
        "409 Conflict",
        "425 Too Early",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "502 Bad Gateway",
        "503 Service Unavailable",
        "504 Gateway Timeout",
        "529 Overloaded",
    ):
        yield row(
            f"{status}, then good",
            error_reply(status, "later"),
            good,
            stdout=WHOLE,
            status=0,
            requests=2,
            stderr=("later",),
        )
    yield row(
        "503 with HTML, always",
        reply("503 Service Unavailable", b"<html>...", "text/html"),
        status=4,
        requests=2,
        stderr=("HTTP 503",) * 2,
        args=(*AGAIN, "--retries", "1"),
    )
    yield row(
        "429 insufficient_quota",
        error_reply("429 Too Many Requests", "pay", code="insufficient_quota"),
        stderr=("pay",),
    )
    for name, script in quoting(f"wrong key {KEY}"):
        yield row(f"the key is quoted: {name}", script, status=None, stderr=("[key]",), args=("--retries", "0"))
    for value in ("0", "0.01", "-1", "Tue, 14 Nov 2023 22:13:20 GMT", "soon"):
        limited = reply("429 Too Many Requests", b"{}", "application/json", f"Retry-After: {value}")
        yield row(
            f"429, Retry-After: {value}", limited, good, stdout=WHOLE, status=0, requests=2, stderr=("trying again",)
        )
    forever = reply("429 Too Many Requests", b"{}", "application/json", "Retry-After: 1382400")
    yield row("429, Retry-After: 16 days", forever, status=4, stderr=("the server asks to wait 16 days",))
    beyond = reply("503 Service Unavailable", b"{}", "application/json", "Retry-After: 5")
    yield row("503, Retry-After past --timeout", beyond, status=4, stderr=("HTTP 503",), args=("--timeout", "3"))
    refused = reply("500 Oops", b"{}", "application/json", "x-should-retry: false")
    yield row("500, x-should-retry: false", refused, status=4, stderr=("HTTP 500",))
    allowed = reply("400 Oops", b"{}", "application/json", "x-should-retry: true")
    yield row("400, x-should-retry: true", allowed, good, stdout=WHOLE, status=0, requests=2, stderr=("trying again",))
    unknown = error_reply("400 Bad Request", "Unknown field: stream_options")
    yield row("400 for stream_options, then good", unknown, good, stdout=WHOLE, status=0, requests=2)
    for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"):
        moved = reply(status, b"", "text/html", "Location: http://elsewhere.invalid/")
        yield row(f"{status}, to another host", moved, stderr=("redirects to http://elsewhere.invalid/",))
    moved = reply("307 Temporary", b"", "text/html", "Location: /v2")
    yield row("307 within the host", moved, good, stdout=WHOLE, status=0, requests=2)
    yield row("307 in circles", moved, requests=6, stderr=("redirects to /v2",))
    yield row(
        "200 with HTML", reply("200 OK", b"<html>login</html>", "text/html"), status=5, stderr=("not an event stream",)
    )
    yield row(
        "200 with endless HTML",
        [head("200 OK", "text/html"), b"x" * 70_000, HOLD],
        status=5,
        stderr=("not an event stream",),
    )
    yield row(
        "200 with a JSON error",
        reply("200 OK", b'{"error": "Unexpected endpoint"}'),
        status=3,
        stderr=("Unexpected endpoint",),
        args=("--retries", "0"),
    )
    answer = b'{"choices": [{"index": 0, "message": {"content": "whole"}, "finish_reason": "stop"}]}'
    yield row("200 with a whole answer", reply("200 OK", answer), stdout="whole\n", status=0)
    yield row(
        "200 with gzip that the client did not ask for",
        reply("200 OK", b"\x1f\x8b" + b"x" * 100, "text/event-stream", "Content-Encoding: gzip"),
        status=5,
        stderr=("no output came",),
        args=("--retries", "0"),
    )
    text = {"choices": [{"index": 0, "delta": {"content": "a\xffb"}}]}
    invalid = frame(text).replace("ÿ".encode(), b"\xff")
    yield row(
        "invalid UTF-8 in an event",
        [head(), invalid, *good[3:]],
        stdout="a\ufffdb\n",
        status=0,
        stderr=("invalid UTF-8",),
    )
    yield row("HTTP/0.9 nonsense", [b"hello there\r\n\r\n"], status=4, stderr=("HTTP/0.9",), args=("--retries", "0"))


def quoting(words: str) -> Iterator[tuple[str, list[Step]]]:
    """Yields the ways in which a server can quote the request in its answer."""
    error = {"error": {"message": words}}
    yield "in a 401", reply("401 Unauthorized", json.dumps(error).encode())
    yield "in a 401 as text", reply("401 Unauthorized", json.dumps({"detail": words}).encode())
    yield "in an event", [head(), frame(error)]
    yield "in an event that is not JSON", [head(), frame("{" + words)]
    yield "in a Location", reply("302 Found", b"", "text/html", f"Location: https://login.example/{KEY}")


def chunked_head() -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def run(fault: Fault) -> Outcome:
    """Runs a row: a provider on loopback, and the command line in this process."""
    with Provider(*fault.scripts) as provider:
        args = ["gen", "-n", "--api", fault.api, "-m", MODELS[fault.api], *fault.args, "Hi"]
        started = time.monotonic()
        done = invoke(args, at(provider.url))
        milliseconds = (time.monotonic() - started) * 1000
        requests = len(provider.requests)
    return Outcome(done.stdout.decode(), done.returncode, done.stderr.decode().splitlines(), requests, milliseconds)


def differences(fault: Fault, outcome: Outcome) -> list[str]:
    """Compares an outcome with its row; returns the differences."""
    wrong = []
    if outcome.stdout != fault.stdout:
        wrong.append(f"stdout {outcome.stdout[:60]!r}, not {fault.stdout!r}")
    if KEY in outcome.stdout + "".join(outcome.stderr):
        wrong.append("the key is in the output")
    if fault.status is not None and outcome.status != fault.status:
        wrong.append(f"status {outcome.status}, not {fault.status}")
    if outcome.requests != fault.requests:
        wrong.append(f"{outcome.requests} requests, not {fault.requests}")
    lines = zip(fault.stderr, outcome.stderr, strict=False)
    if len(outcome.stderr) != len(fault.stderr) or not all(part in line for part, line in lines):
        wrong.append(f"stderr {outcome.stderr}, not {list(fault.stderr)}")
    return wrong


def main() -> None:
    table = list(rows())
    failed = 0
    print(f"{'fault':48}{'dialect':11}{'status':>6}{'requests':>9}{'ms':>7}")
    for fault in table:
        outcome = run(fault)
        wrong = differences(fault, outcome)
        failed += bool(wrong)
        verdict = "" if not wrong else "   WRONG: " + "; ".join(wrong)
        print(
            f"{fault.name:48}{fault.api:11}{outcome.status:6}{outcome.requests:9}{outcome.milliseconds:7.0f}{verdict}"
        )
    print(f"{len(table) - failed} of {len(table)} rows as they should be, on {os.uname().sysname}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
