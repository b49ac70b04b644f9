"""Coverage-guided fuzzing of the event-stream parser and the dialects (`pip install atheris` first).

    python -m tests.fuzz.wire [SECONDS] [libFuzzer's options]

Any bytes, cut anywhere: nothing is raised, what comes out can be written, the verdict is one of our errors, and what
is held stays below the bound. The corpus begins with the transcripts.
"""

from __future__ import annotations

import os
import sys
import tempfile
import tracemalloc

import atheris

with atheris.instrument_imports(include=["llmstream"]):
    from llmstream.core import sse
    from llmstream.core.exchange import Exchange
    from llmstream.core.render import EventRenderer, TextRenderer
    from llmstream.core.timing import Timeouts, Timing
    from llmstream.dialects import APIS, dialect
    from llmstream.errors import Error, Incomplete

from ..support.transcripts import TRANSCRIPTS

OTHER_TYPES = ("application/json", "text/html", "")
LIMIT = 4096  # bytes, of the parser that is fuzzed for its bound


def one(data: bytes) -> None:
    """One case: two bytes that choose, one for the size of the pieces, and the body."""
    if len(data) < 3:
        return
    choice, status, step, body = data[0], (200, 200, 200, 429)[data[1] % 4], data[2] or 1, data[3:]
    chunks = [body[i : i + step] for i in range(0, len(body), step)]
    decoder = dialect(APIS[choice % len(APIS)]).Decoder("p", "m")
    exchange = Exchange(decoder, Timeouts(), Timing(0.0), 0.0, "http://host")
    exchange.head(status, {"content-type": (decoder.content_types[0], *OTHER_TYPES)[choice // len(APIS) % 4]})
    events = [event for chunk in chunks for event in exchange.feed(chunk, 1.0)]
    events += exchange.close(2.0, "reset" if choice & 64 else "")
    assert exchange.over
    assert exchange.failure is None or isinstance(exchange.failure, Error)
    TextRenderer().feed(events)
    EventRenderer(None).feed(events, 0.0)
    str(exchange.failure).encode()
    bounded(chunks)


def bounded(chunks: list[bytes]) -> None:
    parser = sse.Parser(LIMIT)
    try:
        for chunk in chunks:
            parser.feed(chunk)
            assert parser.held <= LIMIT + len(chunk)
        parser.close()
    except Incomplete:
        pass


def large() -> None:
    """A line of 64 MiB, and 256 MiB of gzip nobody asked for: both end at the bound, in little memory."""
    piece = b"x" * 65536
    tracemalloc.start()
    for first, pieces in ((b"data: ", 1024), (b"\x1f\x8b", 4096)):
        exchange = Exchange(dialect("chat").Decoder("p", "m"), Timeouts(), Timing(0.0), 0.0, "http://host")
        exchange.head(200, {"content-type": "text/event-stream"})
        exchange.feed(first, 1.0)
        for _ in range(pieces):
            exchange.feed(piece, 1.0)
        assert isinstance(exchange.failure, Incomplete), first
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"64 MiB in a line, 256 MiB of gzip: refused, peak {peak / 2**20:.1f} MiB")
    assert peak < 2 * sse.MAX_EVENT_BYTES + 2**20


def main() -> None:
    seconds = sys.argv[1] if len(sys.argv) > 1 else "600"
    large()
    with tempfile.TemporaryDirectory() as corpus:
        for number, transcript in enumerate(t for t in TRANSCRIPTS if t.api in APIS):
            start = bytes([APIS.index(transcript.api), 0, 1 + number % 200])
            with open(os.path.join(corpus, str(number)), "wb") as file:
                file.write(start + transcript.body)
        options = [f"-max_total_time={seconds}", "-max_len=20000", "-print_final_stats=1", *sys.argv[2:], corpus]
        atheris.Setup([sys.argv[0], *options], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
