"""`map` and what befalls every prompt: it is found out three times, not a thousand times."""

from __future__ import annotations

import json
import subprocess

import pytest

from ..conftest import at
from ..support.limits import RUN_S
from ..support.loopback import Provider, chat_text, head, reply
from ..support.mapping import MAP, echo, records_of

BAD_KEY = reply("401 Unauthorized", b'{"error": {"message": "bad key"}}')
BAD_PROMPT = reply("400 Bad Request", b'{"error": {"message": "bad prompt"}}')
NO_MODEL = reply("404 Not Found", b'{"error": {"message": "no such model", "code": "model_not_found"}}')
FAILS = {
    "key": BAD_KEY,
    "prompt": BAD_PROMPT,
    "busy": reply("503 Busy", b"{}"),
    "cut": [head(), chat_text("so f")],
    "quota": reply("429 Pay", b'{"error": {"message": "pay", "code": "insufficient_quota"}}'),
}
ALONE = ("-j", "1", "--retries", "0")


def by_prompt(request):
    """Answers with the failure that the prompt names; else echoes it."""
    return FAILS.get(request.prompt) or echo(request)


@pytest.mark.parametrize(
    ("answer", "http"),
    [
        (BAD_KEY, 401),
        (reply("403 Forbidden", b"{}"), 403),
        (NO_MODEL, 404),
        (reply("404 Not Found", b"<html>", "text/html"), 404),
        (reply("302 Found", b"", "text/html", "Location: https://login.example/"), 302),
    ],
)
def test_three_refusals_in_a_row_are_enough(run, answer, http):
    with Provider(lambda request: answer) as provider:
        done = run("map", "-m", "openai/m", "-j", "1", input=b"x\n" * 1000, url=provider.url)
        assert len(provider.requests) == 3
    records = records_of(done.stdout)
    assert [record["index"] for record in records] == list(range(1000))
    assert {record["error"]["status"] for record in records} == {3}
    stop = "openai/m refused 3 prompts in a row"
    cause = records[2]["error"]["message"]
    assert {record["error"]["message"] for record in records[3:]} == {f"not sent, because {stop}: {cause}"}
    assert done.returncode == 3
    note, summary, _ = done.stderr.decode().splitlines()
    assert note == f"llmstream map: {stop} (HTTP {http}): the others are not sent"
    assert summary.startswith("llmstream map: 1,000 prompts: 0 done, 1,000 failed (997 not sent); ")


def test_prompts_that_run_at_once_are_few_more(run):
    with Provider(lambda request: BAD_KEY) as provider:
        done = run("map", "-m", "openai/m", input=b"x\n" * 1000, url=provider.url)
        assert 3 <= len(provider.requests) <= 10  # eight run at once, and two more before the third has ended
    assert done.stderr.count(b"in a row") == 1


@pytest.mark.parametrize(
    "prompts",
    [
        ["fine", *["key"] * 5],  # it has answered
        ["cut", *["key"] * 5],
        ["key", "key", "fine", *["key"] * 5],
        ["key", "key", "prompt", "key", "key"],  # not in a row
        ["key", "key", "busy", "key", "key"],
        ["prompt"] * 5,  # the prompt's fault
        ["busy"] * 5,  # it may pass
        ["quota"] * 5,
    ],
)
def test_other_failures_do_not_stop_a_provider(run, prompts):
    with Provider(by_prompt) as provider:
        done = run("map", "-m", "openai/m", *ALONE, input="\n".join(prompts).encode(), url=provider.url)
        assert len(provider.requests) == len(prompts)
    assert b"in a row" not in done.stderr


def test_another_model_goes_on(run):
    lines = [{"prompt": "x", "model": f"openai/{name}"} for name in ("old", "old", "old", "new", "old", "new")]
    script = lambda request: NO_MODEL if request.json["model"] == "old" else echo(request)  # noqa: E731
    with Provider(script) as provider:
        done = run("map", "--jsonl", *ALONE, input="\n".join(map(json.dumps, lines)).encode(), url=provider.url)
        assert len(provider.requests) == 5
    assert ["text" in record for record in records_of(done.stdout)] == [False, False, False, True, False, True]


def test_prompts_that_are_not_sent_are_not_in_the_journal(run, tmp_path):
    args = ("map", "-m", "openai/m", "--journal", str(tmp_path / "j"), "-j", "1")
    prompts = "".join(f"{number}\n" for number in range(9)).encode()
    with Provider(lambda request: BAD_KEY if len(provider.requests) <= 3 else echo(request)) as provider:
        assert run(*args, input=prompts, url=provider.url).returncode == 3
        done = run(*args, input=prompts, url=provider.url)
        assert len(provider.requests) == 3 + 9
    assert [record["text"] for record in records_of(done.stdout)] == [str(number) for number in range(9)]


# --max-failures.


@pytest.mark.parametrize(("limit", "sent"), [("1", 2), ("2", 4), ("3", 5), ("0", 6), ("9", 6)])
def test_max_failures_ends_the_run(run, limit, sent):
    prompts = ["a", "prompt", "b", "busy", "prompt", "c"]
    args = (*ALONE, "--max-failures", limit)
    with Provider(by_prompt) as provider:
        done = run("map", "-m", "openai/m", *args, input="\n".join(prompts).encode(), url=provider.url)
        assert len(provider.requests) == sent
    assert len(records_of(done.stdout)) == sent
    assert done.returncode == (3 if sent == 2 else 4)
    note = "1 prompt has failed" if limit == "1" else f"{limit} prompts have failed"
    assert (f"llmstream map: {note} (--max-failures): no more are sent\n" in done.stderr.decode()) == (sent < 6)


def test_records_behind_a_prompt_that_is_dropped_are_printed(run):
    """The second prompt waits for the pace of its provider when the last one fails at another."""
    models = {"a": "openai/m", "b": "openai/m", "prompt": "anthropic/m"}  # --rpm lets one request of each go
    lines = [{"prompt": prompt, "model": model} for prompt, model in models.items()]
    args = ("--jsonl", "--retries", "0", "--rpm", "0.1", "--max-failures", "1")
    with Provider(by_prompt) as provider:
        done = run("map", *args, input="\n".join(map(json.dumps, lines)).encode(), url=provider.url)
        assert len(provider.requests) == 2
    assert [record["index"] for record in records_of(done.stdout)] == [0, 2]
    assert done.returncode == 3


def test_max_failures_ends_an_endless_input(run):
    """The prompts that run are waited for; those that are only read are not sent."""
    with Provider(lambda request: BAD_KEY) as provider, subprocess.Popen(["yes"], stdout=subprocess.PIPE) as yes:
        command = [*MAP, "--max-failures", "50"]
        done = subprocess.run(command, stdin=yes.stdout, capture_output=True, env=at(provider.url), timeout=RUN_S)
        yes.stdout.close()
    assert done.returncode == 3
    assert 50 <= len(records_of(done.stdout)) < 100
