"""Every transcript over a socket and libcurl, and the cut ones through the program as well."""

from __future__ import annotations

import re

import pytest

from llmstream.core.request import Request
from llmstream.core.retry import RetryPolicy
from llmstream.core.timing import Timeouts
from llmstream.dialects import dialect
from llmstream.errors import Error
from llmstream.net.curl import Curl
from llmstream.net.generation import Generation, events
from llmstream.net.loop import Loop
from llmstream.providers.target import Target
from tests.support.loopback import RESET, Provider, head

from ..support.transcripts import TRANSCRIPTS, Transcript, meaning

CUT = [t for t in TRANSCRIPTS if t.meaning["status"] == 5]


def response(transcript: Transcript) -> bytes:
    status = f"{transcript.http} {'OK' if transcript.http == 200 else 'Bad Request'}"
    return head(status, transcript.content_type)


def anonymous(failure: Error | None) -> str:
    """Returns the failure's class and its message, without the name of the provider."""
    return re.sub(r"openai at [\d.:]+ says", "the provider says", repr(failure))


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=repr)
def test_over_a_socket(transcript):
    with Provider([response(transcript), transcript.body]) as provider:
        url = provider.url + dialect(transcript.api).PATH
        target = Target("openai", "m", transcript.api, url, "sk-test-key")
        loop = Loop()
        generation = Generation(target, Request("m", "Hi"), Timeouts(grace=0.1), RetryPolicy(0), Curl(loop))
        generation.start()
        arrived, failure = [], None
        try:
            for batch in events(generation, loop):
                arrived += batch
        except Error as error:
            failure = error
    assert meaning(generation.exchange, arrived) == transcript.meaning
    assert anonymous(failure) == repr(generation.exchange.failure)
    assert transcript.says in anonymous(failure)


@pytest.mark.parametrize("transcript", CUT, ids=repr)
def test_the_program_keeps_the_text_of_a_cut_answer(run, transcript):
    """The connection is reset."""
    model = "anthropic/m" if transcript.api == "messages" else "openai/m"
    with Provider([response(transcript), transcript.body, RESET]) as provider:
        done = run("gen", "--retries", "0", "--api", transcript.api, "-m", model, "Hi", url=provider.url)
    assert (done.stdout.decode(), done.returncode) == (transcript.meaning["text"], 5)
    assert done.stderr.startswith(b"llmstream gen: ")
    assert done.stderr.count(b"\n") == 1
