"""`map --within`: responses are queued, and a later run collects those in the journal: nothing is asked twice."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from llmstream.net import polling

from ..support.background import Background, provider
from ..support.limits import WAIT_S
from ..support.loopback import HOLD, Provider, reply
from ..support.mapping import echo, records_of, running, texts_of, wait_until

API = ("--api", "responses")
WITHIN = (*API, "--within", "8h")
PROMPTS = [f"prompt {number}" for number in range(20)]
INPUT = "".join(f"{prompt}\n" for prompt in PROMPTS).encode()


@pytest.fixture
def account():
    account = Background()
    with provider(account) as account.server:
        yield account


@pytest.fixture
def leave(account, tmp_path):
    """leave(input, count, *args) runs map until `count` responses are in the journal, and leaves them."""

    def leave(input: bytes, count: int, *args: str) -> None:
        account.open = True
        with running("--journal", str(tmp_path / "journal"), *WITHIN, *args, url=account.server.url) as run:
            run.write(input)
            run.close_stdin()
            wait_until(lambda: len(set(account.looks)) == count)
            run.process.send_signal(signal.SIGTERM)
            assert run.process.wait(WAIT_S) == -signal.SIGTERM
        account.open = False

    return leave


@pytest.fixture
def collect(invoke, account, tmp_path):
    """collect(*args) runs map over INPUT with the journal; returns the finished process."""

    def collect(*args: str, input: bytes = INPUT):
        options = ("-m", "openai/m", "--journal", collect.journal, *(args or WITHIN))
        return invoke("map", *options, input=input, url=account.server.url)

    collect.journal = str(tmp_path / "journal")
    return collect


def test_the_records_are_those_of_map_in_its_order(invoke, account):
    done = invoke("map", "-m", "openai/m", *WITHIN, input=INPUT, url=account.server.url)
    with Provider(echo) as plain:
        expected = invoke("map", "-m", "openai/m", *API, input=INPUT, url=plain.url)
    records = records_of(done.stdout)
    assert (done.returncode, [record["usage"].pop("tier") for record in records]) == (0, ["8h"] * len(PROMPTS))
    assert records == records_of(expected.stdout)
    assert sorted(account.prompts) == sorted(PROMPTS)


def test_failures_have_records_and_are_queued_again_by_the_next_run(collect, account):
    for _ in range(2):
        done = collect(input=b"a\nbad\nlong\n")
        records = records_of(done.stdout)
        assert [record.get("error", {}).get("status") for record in records] == [None, 3, 5]
        assert b"queued" not in done.stderr
    assert sorted(account.prompts) == ["a", "bad", "bad", "long"]


def test_a_run_that_was_killed_leaves_its_responses_to_the_next(collect, account):
    account.open = True
    with running("--journal", collect.journal, *WITHIN, url=account.server.url) as run:
        run.write(INPUT)
        run.close_stdin()
        wait_until(lambda: len(set(account.looks)) == len(PROMPTS))  # more than 8 at once, each in the journal
        run.process.kill()
        run.process.wait(WAIT_S)
    assert account.cancelled == []
    account.open = False
    done = collect()
    assert (texts_of(done.stdout), done.returncode) == (PROMPTS, 0)
    assert all(record["usage"]["tier"] == "8h" for record in records_of(done.stdout))
    assert sorted(account.prompts) == sorted(PROMPTS)


@pytest.mark.parametrize("number", range(6))  # two prompts, each queued and looked at twice
def test_a_kill_at_any_request_sends_nothing_twice(collect, account, number):
    """The server does nothing at the request during which the process is killed."""
    account.server.scripts = [[HOLD] if n == number else account.script for n in range(number + 1)]
    with running("-j", "1", "--journal", collect.journal, *WITHIN, url=account.server.url) as run:
        run.write(b"a\nb\n")
        run.close_stdin()
        wait_until(lambda: len(account.server.requests) > number)
        run.process.kill()
        run.process.wait(WAIT_S)
    account.server.scripts = [account.script]
    assert texts_of(collect(input=b"a\nb\n").stdout) == ["a", "b"]
    assert sorted(account.prompts) == ["a", "b"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_what_the_journal_has_and_says_so(collect, account, signum):
    account.open = True
    with running("--journal", collect.journal, *WITHIN, url=account.server.url) as run:
        run.write(b"a\nb\n")
        run.close_stdin()
        wait_until(lambda: len(set(account.looks)) == 2)
        run.process.send_signal(signum)
        assert run.process.wait(WAIT_S) == -signum
        assert b"2 responses are queued: run map with the same prompts and journal for the answers\n" in run.stderr()
    assert account.cancelled == []
    shown = collect(*WITHIN, "--dry-run", input=b"a\nb\nc\n").stdout
    assert b"all: 1 prompt, 2 queued earlier, " in shown
    account.open = False
    assert texts_of(collect(*API, input=b"a\nb\n").stdout) == ["a", "b"]  # without the option, too
    assert sorted(account.prompts) == ["a", "b"]


def test_cancel_batch_cancels_the_responses_of_the_journal(collect, leave, account):
    leave(b"a\nb\nc\n", 3)
    gone, answered = (next(id for id, body in account.requests.items() if body["input"] == text) for text in "ab")
    del account.responses[gone]
    account.responses[answered]["status"] = "in_progress"
    account._show(answered)
    refused = collect("--cancel-batch", input=b"")
    assert (refused.returncode, b"give the -m and --api of its run\n" in refused.stderr) == (2, True)
    done = collect(*API, "--cancel-batch", input=b"")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode().splitlines() == [
        "llmstream map: 2 responses are cancelled",
        "llmstream map: 1 response is queued: run map with the same prompts and journal for the answers",
    ]
    assert texts_of(collect(input=b"a\nb\nc\n").stdout) == ["a", "b", "c"]
    assert sorted(account.prompts) == ["a", "a", "b", "c", "c"]


def test_without_a_journal_a_signal_cancels_all_responses(account):
    account.open = True
    with running(*WITHIN, url=account.server.url) as run:
        run.write(b"a\nb\n")
        run.close_stdin()
        wait_until(lambda: len(set(account.looks)) == 2)
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(WAIT_S) == -signal.SIGINT
    assert sorted(account.cancelled) == ["resp_0", "resp_1"]


def test_a_response_that_comes_after_the_signal_is_in_the_journal(collect, account):
    def after_the_signal(request):
        run.process.send_signal(signal.SIGINT)
        wait_until(lambda: run.state == "S")
        return account.script(request)

    args = ("--journal", collect.journal, *WITHIN)
    with Provider(after_the_signal) as server, running(*args, url=server.url) as run:
        run.write(b"a\n")
        run.close_stdin()
        assert run.process.wait(WAIT_S) == -signal.SIGINT
    lines = [json.loads(line) for line in Path(collect.journal).read_bytes().splitlines()]
    assert [line.get("response") for line in lines] == [None, "resp_0"]
    assert account.cancelled == []


@pytest.mark.parametrize("end", ["gone", "failed", "cancelled"])
def test_a_prompt_whose_response_has_no_answer_is_sent_again(collect, account, monkeypatch, end):
    give_up(collect, account, monkeypatch)
    if end == "gone":
        del account.responses["resp_0"]
    else:
        account.responses["resp_0"] |= {"status": end, "error": {"code": "server_error", "message": "oops"}}
    assert texts_of(collect(input=b"a\n").stdout) == ["a"]
    assert account.prompts == ["a", "a"]


def test_what_could_not_be_looked_at_is_collected_later(collect, account, monkeypatch):
    give_up(collect, account, monkeypatch)
    assert texts_of(collect(input=b"a\n").stdout) == ["a"]
    assert (account.prompts, account.cancelled) == (["a"], [])


def test_looks_that_fail_are_noted_once_a_minute(collect, account, monkeypatch):
    monkeypatch.setattr(polling, "FIRST_WAIT_S", 0.01)
    account.faults = [reply("503 Service Unavailable", b"{}") for _ in range(9)]
    done = collect(input=b"a\nb\nc\n")
    assert texts_of(done.stdout) == ["a", "b", "c"]
    assert done.stderr.count(b"answered HTTP 503: polling again in ") == 1


def give_up(collect, account, monkeypatch):
    """Runs map until it gives up looking at the only response."""
    account.faults = [reply("503 Service Unavailable", b"{}")]
    with monkeypatch.context() as patch:
        patch.setattr(polling, "GIVE_UP_S", 0.0)
        done = collect(input=b"a\n")
    assert (records_of(done.stdout)[0]["error"]["status"], done.returncode) == (4, 4)
    assert b"1 response is queued: run map with the same prompts and journal for the answers\n" in done.stderr


def test_the_limit_of_an_answer_leaves_it_to_a_later_run(collect, account):
    account.open = True
    assert records_of(collect(*WITHIN, "--timeout", "2", input=b"a\n").stdout)[0]["error"]["status"] == 4
    account.open = False
    assert texts_of(collect(input=b"a\n").stdout) == ["a"]
    assert (account.prompts, account.cancelled) == (["a"], [])


def test_equal_prompts_and_ids_have_responses_of_their_own(collect, leave, account):
    lines = b'{"prompt": "a"}\n{"prompt": "a"}\n{"prompt": "b", "id": "x"}\n'
    leave(lines, 3, "--jsonl")
    done = collect(*WITHIN, "--jsonl", input=lines)
    assert texts_of(done.stdout) == ["a", "a", "b"]
    assert sorted(account.prompts) == ["a", "a", "b"]


def test_a_wrong_answer_that_the_journal_has_queued_is_not_taken_for_right(collect, account):
    checked = (*WITHIN, "--schema", "name", "--check", "--check-retries", "0")
    assert [records_of(collect(*checked, input=b"a\n").stdout)[0]["error"]["status"] for _ in range(2)] == [5, 5]
    assert account.prompts == ["a", "a"]


def test_a_model_after_the_first_one_is_collected_as_well(invoke, account, tmp_path):
    models = ("-m", "openai/down", "-m", "openai/m", "--retries", "0")
    account.answer = lambda request: {"status": "failed", "error": {"code": "server_error", "message": "down"}}
    answer = Background().answer
    down = account.answer
    account.answer = lambda request: (down if request["model"] == "down" else answer)(request)
    args = ("map", *models, *WITHIN, "--journal", str(tmp_path / "journal"))
    records = [records_of(invoke(*args, input=b"a\n", url=account.server.url).stdout)[0] for _ in range(2)]
    assert [record["model"] for record in records] == ["openai/m"] * 2
    assert [request["model"] for request in account.requests.values()] == ["down", "m"]


def test_batches_and_windows_exclude_each_other(collect, leave):
    done = collect("--batch", *WITHIN)
    assert (done.returncode, done.stderr) == (
        2, b"llmstream map: --within has no meaning with --batch: leave it out\n"
    )  # fmt: skip
    leave(b"a\n", 1)
    done = collect("--batch", input=b"a\n")
    assert done.returncode == 2
    assert b" has responses that are not collected: leave --batch out to collect them\n" in done.stderr


def test_a_wrong_line_on_a_response_is_one_clear_error(collect, account):
    with open(collect.journal, "w") as file:
        file.write('{"journal": 1}\n{"key": "k", "digest": "d", "response": 7, "within": "8h"}\n')
    done = collect()
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b":2 is not a line of a journal of map: " in done.stderr
