"""Sources that an answer cites, scores of its tokens, and notes on it, as gen and map show them."""

from __future__ import annotations

import json
import subprocess

import pytest

from llmstream.core.events import Source, Text
from llmstream.core.render import SourceList

from ..conftest import LLMSTREAM, at
from ..support.limits import WAIT_S
from ..support.loopback import HOLD, Provider, chat, chat_end, chat_text, frame, head
from ..support.mapping import records_of, run_map

ALPS, LAKE = "https://example.com/alps", "https://example.com/lake"


def chunk(delta: dict[str, object], **choice: object) -> bytes:
    return frame({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, **choice}]})


def cites(url: str, title: str = "", start: int = 0, end: int = 0) -> bytes:
    """Returns a chunk that cites a page."""
    citation = {"url": url, "title": title, "start_index": start, "end_index": end}
    return chunk({"annotations": [{"type": "url_citation", "url_citation": citation}]})


CITED = [
    head(),
    chat_text("Snow melts. "),
    cites(ALPS, "The Alps", 0, 10),
    cites(LAKE, "", 3, 10),
    chat_text("It flows."),
    cites(ALPS, "The Alps", 12, 20),
    *chat("\n"),
]
LIST = b"[1] The Alps - https://example.com/alps\n[2] https://example.com/lake\n"


def gen(invoke, *args: str, script: list = CITED):
    with Provider(script) as provider:
        return invoke("gen", *args, "-m", "openai/m", "Hi", url=provider.url)


def test_each_source_is_listed_once_in_the_order_of_the_citations(invoke):
    done = gen(invoke, "--sources")
    assert (done.stdout, done.stderr, done.returncode) == (b"Snow melts. It flows.\n", LIST, 0)


def test_without_the_option_or_a_source_nothing_is_listed(invoke):
    assert gen(invoke).stderr == b""
    assert gen(invoke, "--sources", script=[head(), *chat("a")]).stderr == b""


def test_the_list_comes_before_the_usage(invoke):
    done = gen(invoke, "--sources", "-u")
    assert done.stderr.startswith(LIST + b"llmstream gen: openai/m: ")


def test_sources_are_events_too(invoke):
    done = gen(invoke, "--sources", "--events")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event for event in events if event["type"] == "source"] == [
        {"type": "source", "url": ALPS, "title": "The Alps", "start": 0, "end": 10},
        {"type": "source", "url": LAKE, "start": 3, "end": 10},
        {"type": "source", "url": ALPS, "title": "The Alps", "start": 12, "end": 20},
    ]
    assert done.stderr == LIST


def test_an_answer_that_a_condition_ends_has_its_sources_so_far(invoke):
    script = [head(), chat_text("a "), cites(ALPS, "The Alps"), chat_text("b c"), cites(LAKE), HOLD]
    done = gen(invoke, "--sources", "--until-words", "2", script=script)
    assert (done.stderr, done.returncode) == (b"[1] The Alps - https://example.com/alps\n", 0)


def test_an_answer_that_is_cut_has_its_sources_so_far(invoke):
    done = gen(invoke, "--sources", "--retries", "0", script=[head(), chat_text("a"), cites(LAKE)])
    first, second = done.stderr.splitlines()
    assert (first, done.returncode) == (b"[1] https://example.com/lake", 5)
    assert second.startswith(b"llmstream gen: the stream ended")


def test_a_signal_leaves_the_sources_so_far():
    with Provider([head(), cites(LAKE), chat_text("a\n"), HOLD]) as provider:
        command = [*LLMSTREAM, "gen", "--sources", "-m", "openai/m", "Hi"]
        process = subprocess.Popen(
            command, env=at(provider.url), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout.read(2) == b"a\n"
        process.terminate()
        assert process.communicate(timeout=WAIT_S)[1] == b"[1] https://example.com/lake\n"


def test_a_title_writes_no_escapes_and_no_lines(invoke):
    source = cites(LAKE, "A\x1b[31m\n[7] HALF").replace(b"HALF", rb"\ud83d!")  # of a surrogate pair
    done = gen(invoke, "--sources", script=[head(), source, *chat("a")])
    assert done.stderr.count(b"\n") == 1
    assert done.stderr.startswith("[1] A [31m [7] \ufffd! - ".encode())
    assert b"\x1b" not in done.stderr


def test_a_source_may_lack_its_address_or_get_its_title_later():
    sources = SourceList()
    sources.feed([Source("", "A report"), Source(LAKE), Text("a"), Source(LAKE, "Lakes"), Source("", "A report")])
    assert sources.lines() == ["[1] A report", f"[2] Lakes - {LAKE}"]


# map.


def test_records_have_the_sources(invoke):
    done, _ = run_map(invoke, "-q", input=b"a\n", script=CITED)
    (record,) = records_of(done.stdout)
    assert record["sources"] == [
        {"url": ALPS, "title": "The Alps", "start": 0, "end": 10},
        {"url": LAKE, "start": 3, "end": 10},
        {"url": ALPS, "title": "The Alps", "start": 12, "end": 20},
    ]
    assert list(record) == ["index", "line", "text", "sources", "finish", "usage"]


def test_the_record_of_a_cut_answer_has_its_sources(invoke):
    script = [head(), chat_text("a"), cites(LAKE)]
    done, _ = run_map(invoke, "-q", "--retries", "0", input=b"a\n", script=script)
    (record,) = records_of(done.stdout)
    assert (record["sources"], record["error"]["status"]) == ([{"url": LAKE}], 5)


# Words of the provider, and what is left out.


@pytest.mark.parametrize(
    ("word", "status", "message"),
    [
        ("pause_turn", 5, "the provider paused the answer (finish reason pause_turn): it waits for the conversation"),
        ("something_new", 5, "the answer may be incomplete (finish reason something_new): llmstream does not know"),
        ("malformed_response", 5, "the answer is incomplete (finish reason malformed_response)"),
    ],
)
def test_an_answer_that_is_not_whole_says_why(invoke, word, status, message):
    script = [head(), chat_text("a"), chat_end(word)]
    done = gen(invoke, script=script)
    assert (done.stdout, done.returncode) == (b"a\n", status)
    assert message in done.stderr.decode()
    done, _ = run_map(invoke, "-q", input=b"a\n", script=script)
    (record,) = records_of(done.stdout)
    assert (record["text"], record["error"]["status"]) == ("a", status)
    assert message in record["error"]["message"]


REFUSED = [
    head(),
    frame({"type": "message_start", "message": {"id": "m1", "model": "m"}}),
    frame(
        {
            "type": "message_delta",
            "delta": {
                "stop_reason": "refusal",
                "stop_details": {"type": "refusal", "category": "cyber", "explanation": "Ask for something else."},
            },
        }
    ),
    frame({"type": "message_stop"}),
]


def test_the_provider_s_explanation_is_shown(invoke):
    with Provider(REFUSED) as provider:
        done = invoke("gen", "-m", "anthropic/m", "Hi", url=provider.url)
    assert done.returncode == 3
    assert b"Ask for something else." in done.stderr
    done, _ = run_map(invoke, "-q", "-m", "anthropic/m", input=b"a\n", script=REFUSED)
    (record,) = records_of(done.stdout)
    assert (record["finish"], record["error"]["status"]) == ("refusal", 3)
    assert "Ask for something else." in record["error"]["message"]


IMAGE = [
    head(),
    chunk({"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}),
    chat_end(),
]


def test_what_is_left_out_is_noted(invoke):
    done = gen(invoke, script=IMAGE)
    note = "the answer has no text, but an image"
    assert (done.stdout, done.stderr.decode(), done.returncode) == (b"", f"llmstream gen: {note}\n", 0)
    done, _ = run_map(invoke, "-q", input=b"a\n", script=IMAGE)
    (record,) = records_of(done.stdout)
    assert (record["text"], record["finish"], record["note"], done.returncode) == ("", "stop", note, 0)


# Scores of tokens.


def scored(*tokens: str) -> bytes:
    scores = [{"token": token, "logprob": -0.5, "bytes": None, "top_logprobs": []} for token in tokens]
    return chunk({"content": "".join(tokens)}, logprobs={"content": scores, "refusal": None})


def scores(done) -> list[tuple[str, list[str]]]:
    """Returns the texts of events, each with the tokens whose scores it has."""
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return [
        (event["text"], [score["token"] for score in event.get("logprobs", [])])
        for event in events
        if event["type"] == "text"
    ]


def test_scores_are_a_field_of_the_events(invoke):
    script = [head(), scored("Aa", "re"), scored("!"), *chat("\n")]
    done = gen(invoke, "--events", "-o", "logprobs=true", script=script)
    assert scores(done) == [("Aare", ["Aa", "re"]), ("!", ["!"]), ("\n", [])]
    assert gen(invoke, script=script).stdout == b"Aare!\n"


def test_conditions_keep_the_scores(invoke):
    script = [head(), scored("Aa", "re"), scored(" is"), scored(" long"), HOLD]
    done = gen(invoke, "--events", "--until-words", "2", script=script)
    texts = scores(done)
    assert "".join(text for text, _ in texts) == "Aare is"
    assert [token for _, tokens in texts for token in tokens][:3] == ["Aa", "re", " is"]
    done = gen(invoke, "--events", "--until-fixed", "is", script=script)
    assert [token for _, tokens in scores(done) for token in tokens] == ["Aa", "re", " is"]
