"""Answers that are small on the wire and large when they are decompressed: nothing here decompresses."""

from __future__ import annotations

import gzip

import pytest

from ..support.faults import reply
from ..support.loopback import Provider, chat

BOMB = gzip.compress(b"".join(chat("x" * 1_000_000)) * 50)  # 50 MB


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
def test_a_decompression_bomb_stays_compressed(run, status):
    with Provider([reply(status, BOMB, "text/event-stream", "Content-Encoding: gzip")]) as provider:
        done = run("gen", "-m", "openai/m", "--retries", "0", "Hi", url=provider.url)
    assert done.returncode in (3, 4, 5)
    assert done.stdout == b""
    assert (done.stderr.count(b"\n"), b"xxxx" in done.stderr) == (1, False)
