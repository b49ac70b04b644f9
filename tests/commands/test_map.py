"""`map`: prompts in, records out."""

from __future__ import annotations

import re
import threading

import pytest

from ..conftest import environment
from ..support.limits import WAIT_S
from ..support.loopback import DONE, HOLD, Provider, chat, chat_end, chat_text, head, reply
from ..support.mapping import echo, records_of, run_map, running, texts_of

USAGE = {
    "input_tokens": 3,
    "output_tokens": 2,
    "cached_tokens": 0,
    "reasoning_tokens": 0,
    "cache_write_tokens": 0,
}

# Prompts.


def test_each_line_is_a_prompt_and_each_answer_is_a_line(invoke):
    done, _ = run_map(invoke, input=b"a\nb\n")
    assert records_of(done.stdout) == [
        {"index": 0, "line": 1, "text": "a", "finish": "stop", "usage": USAGE},
        {"index": 1, "line": 2, "text": "b", "finish": "stop", "usage": USAGE},
    ]
    assert done.returncode == 0
    assert re.fullmatch(
        rb"llmstream map: 2 prompts: 2 done, 0 failed; 6 tokens in, 4 out, [\d,]+ tokens/s; \d\.\d s\n", done.stderr
    )


@pytest.mark.parametrize(
    ("args", "stdin", "prompts"),
    [
        ([], b"a\r\n\r\n  \nb", ["a", "b"]),
        ([], b"\xef\xbb\xbfa\n", ["a"]),
        ([], "ä \U0001f600\n".encode(), ["ä \U0001f600"]),
        ([], b"", []),
        ([], b"\n\n", []),
        (["-0"], b"a\nb\0c\0", ["a\nb", "c"]),
        (["-0"], b"a\0\0b", ["a", "b"]),
        (["Say {}!"], b"a\nb\n", ["Say a!", "Say b!"]),
        (["Say:"], b"a\n", ["Say:\n\na"]),
        (["{} and \\{} and {}"], b"a\n", ["a and {} and a"]),
        (["{}"], b"{}\n", ["{}"]),
        (["--jsonl"], b'{"prompt": "a"}\n{"prompt":"b","more":[1]}\n', ["a", "b"]),
        (["--jsonl", "{a.b} {n}"], b'{"a": {"b": "x"}, "n": 1.50}\n', ["x 1.50"]),
        (["--jsonl", "{} in {lang}"], b'{"prompt": "a", "lang": "C"}\n', ["a in C"]),
    ],
)
def test_prompts(invoke, args, stdin, prompts):
    done, requests = run_map(invoke, "-q", *args, input=stdin)
    assert (done.returncode, done.stderr) == (0, b"")
    assert texts_of(done.stdout) == prompts
    assert [record["index"] for record in records_of(done.stdout)] == list(range(len(prompts)))
    assert len(requests) == len(prompts)


def test_prompts_that_are_not_utf8_are_noted_once(invoke):
    done, _ = run_map(invoke, "-q", input=b"a\xff\nb\n\xfe\n")
    assert texts_of(done.stdout) == ["a\ufffd", "b", "\ufffd"]
    assert done.stderr == b"llmstream map: 2 prompts are not valid UTF-8: invalid bytes are replaced by U+FFFD\n"
    assert done.returncode == 0


# Answers.


@pytest.mark.parametrize(
    ("args", "stdin", "heads"),
    [
        ([], "ä\n\nb", ['"index":0,"line":1,"input":"ä"', '"index":1,"line":3,"input":"b"']),
        (["-0"], "a\nb\0\0c", ['"index":0,"line":1,"input":"a\\nb"', '"index":1,"line":3,"input":"c"']),
        (
            ["--jsonl", "{n}"],
            '{"n": [1.50, 1E400, 1234567890123456789012], "id": 7, "a": "\\ud83d\\ude00"}\n{"id": 8}\n[1]\n',
            [
                '"index":0,"id":7,"line":1,"input":{"n":[1.50,1E400,1234567890123456789012],"id":7,"a":"\U0001f600"}',
                '"index":1,"id":8,"line":2,"input":{"id":8},"error"',
                '"index":2,"line":3,"error"',
            ],
        ),
    ],
)
def test_input_carries_what_was_read(invoke, tmp_path, args, stdin, heads):
    journal = str(tmp_path / "run.journal")
    for _ in range(2):  # the second time from the journal
        done, _ = run_map(invoke, "-q", "--input", "--journal", journal, *args, input=stdin.encode())
        lines = done.stdout.decode().splitlines()
        assert [line[1 : 1 + len(head)] for line, head in zip(lines, heads, strict=True)] == heads


def test_input_is_not_for_events(invoke):
    done, _ = run_map(invoke, "--input", "--events", input=b"a")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        2,
        b"llmstream map: --input and --events exclude each other: choose one",
    )


def test_a_failed_prompt_stops_no_other_and_the_worst_status_counts(invoke):
    def script(request):
        if request.prompt == "refused":
            return reply("400 No", b'{"error": {"message": "bad"}}')
        if request.prompt == "down":
            return reply("500 Oops", b"")
        if request.prompt == "cut":
            return [head(), chat_text("so f")]
        if request.prompt == "long":
            return [head(), chat_text("long"), chat_end("length"), DONE]
        return echo(request)

    def records(*prompts):
        done, _ = run_map(invoke, "-q", "--retries", "0", input="\n".join(prompts).encode(), script=script)
        return done.returncode, records_of(done.stdout)

    status, (fine, refused) = records("fine", "refused")
    assert (status, fine["text"]) == (3, "fine")
    message = refused["error"].pop("message")
    assert message.endswith(" says: bad (HTTP 400)")
    assert refused == {"index": 1, "line": 2, "error": {"status": 3}}
    assert records("down", "refused", "fine")[0] == 4
    status, (cut, long, fine) = records("cut", "long", "fine")
    assert status == 5
    assert cut["text"] == "so f"
    assert "finish" not in cut
    assert cut["error"]["status"] == 5
    assert cut["error"]["message"].endswith("the answer breaks off after 4 characters")
    assert (long["text"], long["finish"], long["error"]["status"]) == ("long", "length", 5)
    assert fine["text"] == "fine"
    assert run_map(invoke, "--max-tokens", "9", input=b"long", script=script)[0].returncode == 0


def test_events_of_all_streams_have_their_index(invoke):
    done, _ = run_map(invoke, "--events", "-q", "--retries", "0", input=b"a\nb\n")
    assert done.returncode == 0
    events = records_of(done.stdout)
    for index, text in enumerate("ab"):
        mine = [{k: v for k, v in event.items() if k != "index"} for event in events if event["index"] == index]
        assert mine == [
            {"type": "start", "provider": "openai", "model": "m", "id": "c1"},
            {"type": "text", "text": text},
            {"type": "usage", **USAGE},
            {"type": "finish", "reason": "stop", "provider_reason": "stop"},
        ]


def test_events_come_as_they_arrive_and_interleave():
    words = {"a": threading.Event(), "b": threading.Event()}

    def script(request):
        return [head(), chat_text("1"), words[request.prompt], *chat("2")]

    with Provider(script) as provider, running("--events", "-q", url=provider.url) as run:
        run.write(b"a\nb\n")
        first = [run.read_record() for _ in range(4)]
        assert sorted((event["index"], event["type"]) for event in first) == [
            (0, "start"), (0, "text"), (1, "start"), (1, "text"),
        ]  # fmt: skip
        words["b"].set()
        assert [run.read_record()["index"] for _ in range(3)] == [1, 1, 1]
        words["a"].set()
        run.close_stdin()
        assert {event["index"] for event in records_of(run.read_rest())} == {0}


def test_an_error_is_an_event(invoke):
    done, _ = run_map(invoke, "--events", "-q", input=b"a", script=reply("400 No", b'{"error": {"message": "bad"}}'))
    [error] = records_of(done.stdout)
    assert error.pop("message").endswith(" says: bad (HTTP 400)")
    assert error == {"index": 0, "type": "error", "status": 3}
    assert done.returncode == 3


def test_reasoning_is_not_in_the_record(invoke):
    thought = b'data: {"choices": [{"index": 0, "delta": {"reasoning_content": "hmm"}}]}\n\n'
    done, _ = run_map(invoke, "-q", input=b"a", script=[head(), thought, *chat("a")])
    assert texts_of(done.stdout) == ["a"]
    assert b"hmm" not in done.stdout + done.stderr


def test_a_condition_ends_each_answer_and_its_connection():
    with Provider([head(), chat_text("one. two"), HOLD]) as provider:  # which would go on for ever
        with running("--until-regex", r"\.", "-q", url=provider.url) as run:
            run.write(b"a\nb\nc\n")
            run.close_stdin()
            records = records_of(run.read_rest())
            assert run.process.wait(WAIT_S) == 0
        assert provider.client_left.wait(WAIT_S)
        assert [(record["text"], record["finish"]) for record in records] == [("one.", "until")] * 3


def test_an_unmet_condition_is_status_1(invoke):
    done, _ = run_map(invoke, "-q", "--until-fixed", "b", input=b"abc\nxyz\n")
    met, missed = records_of(done.stdout)
    assert (met["text"], missed["text"], missed["error"]["status"]) == ("ab", "xyz", 1)
    assert done.returncode == 1


def test_that_a_provider_cannot_resume_is_noted_once(run):
    with Provider(lambda request: [head(), *chat("a")]) as provider:
        env = environment(OPENAI_BASE_URL=f"{provider.url}/v1")
        done = run("map", "--resume-cut", "-m", "openai/m", input=b"a\nb\nc\n", env=env)
    assert texts_of(done.stdout) == ["a"] * 3
    note, _ = done.stderr.decode().splitlines()
    assert note == "llmstream map: openai/m cannot resume a cut answer: --resume-cut is ignored"


def test_resume_cut_resumes_a_cut_answer(run):
    def script(request):
        last = request.json["messages"][-1]
        return [head(), *chat("lo")] if last["role"] == "assistant" else [head(), chat_text("Hel")]

    with Provider(script) as provider:
        env = environment(VLLM_BASE_URL=f"{provider.url}/v1")
        done = run("map", "-q", "--resume-cut", "-m", "vllm/m", input=b"a\nb\n", env=env)
    assert texts_of(done.stdout) == ["Hello", "Hello"]
    assert (done.returncode, done.stderr) == (0, b"")


def test_usage_prints_times_and_retries(invoke):
    failed = iter([True])

    def script(request):
        return reply("500 Oops", b"") if next(failed, False) else echo(request)

    done, _ = run_map(invoke, "-u", input=b"a\n", script=script)
    summary, times = done.stderr.decode().splitlines()
    assert summary.startswith("llmstream map: 1 prompt: 1 done, 0 failed; 3 tokens in, 2 out, ")
    assert re.fullmatch(r"llmstream map: first after \S+ s \(median\), \S+ s \(99 %\);.* 1 retry", times)
