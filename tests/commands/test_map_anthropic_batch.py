"""`map --batch` with Anthropic's Message Batches, which have neither metadata nor keys of idempotency."""

from __future__ import annotations

import pytest

from llmstream.batch import batches as engine
from llmstream.batch.anthropic_batches import AnthropicBatches as Api

from ..support.anthropic_batches import AnthropicBatches, answer, provider
from ..support.batch_world import World
from ..support.loopback import RESET, head, reply
from ..support.mapping import records_of


@pytest.fixture
def world(invoke, tmp_path):
    account = AnthropicBatches()
    with provider(account) as server:
        yield World(invoke, tmp_path / "journal", account, server, "anthropic/m")


def test_the_records_are_those_of_map_in_its_order(world, invoke):
    records, status, stderr = world(b"a\nb\nc\n")
    assert [(record["index"], record["text"], record["finish"]) for record in records] == [
        (0, "a", "stop"),
        (1, "b", "stop"),
        (2, "c", "stop"),
    ]
    assert status == 0
    assert b"llmstream map: msgbatch_0: sent 3 prompts\n" in stderr
    assert b"llmstream map: 3 prompts: 3 done, 0 failed; 9 tokens in, 6 out" in stderr
    options = ("-m", "anthropic/m", "--journal", str(world.path))
    assert records_of(invoke("map", *options, input=b"a\nb\nc\n", url=world.server.url).stdout) == records


def test_single_failures_are_records_and_asked_again_next_time(world):
    records, status, _ = world(b"a\nbad\nlate\n")
    assert (records[0]["text"], [record["error"]["status"] for record in records[1:]], status) == ("a", [3, 4], 4)
    assert "no such thing" in records[1]["error"]["message"]
    assert records[2]["error"]["message"] == "the batch msgbatch_0 ended (expired) before it answered this prompt"
    world(b"a\nbad\nlate\n")
    assert world.account.prompts == ["a", "bad", "late", "bad", "late"]


def test_a_whole_answer_has_the_status_of_map(world):
    world.account.answer = lambda request: {"type": "succeeded", "message": answer("a", "max_tokens")}
    assert [record["error"]["status"] for record in world(b"cut\n")[0]] == [5]
    assert "error" not in world(b"cut on purpose\n", "--max-tokens", "5")[0][0]


def test_requests_of_different_versions_of_the_protocol_are_in_different_batches(world):
    lines = b'{"prompt": "a", "temperature": 0.5}\n{"prompt": "b"}\n{"prompt": "c", "temperature": 0.6}\n'
    records, status, _ = world(lines, "--jsonl", model="anthropic/claude-haiku-4-5")
    assert ([record["text"] for record in records], status) == (["a", "b", "c"], 0)
    assert world.account.prompts == ["a", "c", "b"]
    assert sorted(world.account.versions) == ["2023-06-01", "2026-10-21"]


def test_limits_split_a_batch(world, monkeypatch):
    monkeypatch.setattr(Api, "MAX_REQUESTS", 2)
    records, *_ = world(b"a\nb\nc\nd\ne\n")
    assert [record["text"] for record in records] == ["a", "b", "c", "d", "e"]
    assert [len(batch["requests"]) for batch in world.account.batches.values()] == [2, 2, 1]
    monkeypatch.setattr(Api, "MAX_BYTES", 450)
    records, *_ = world(b"f\n" + b"g" * 200 + b"\n" + b"h" * 500 + b"\ni\n")
    assert [len(batch["requests"]) for batch in world.account.batches.values()] == [2, 2, 1, 1, 1, 1]
    assert "longer than a batch may be" in records[2]["error"]["message"]


def test_no_wait_leaves_and_a_later_run_collects(world):
    world.account.open = True
    assert world(b"a\nb\n", "--no-wait")[:2] == ([], 0)
    assert world(b"a\nb\nc\n", "--no-wait")[:2] == ([], 0)
    world.account.open = False
    assert [record["text"] for record in world(b"c\na\nb\n")[0]] == ["c", "a", "b"]
    assert world.account.prompts == ["a", "b", "c"]


def test_cancel_batch_cancels_and_what_was_answered_is_collected(world):
    world.account.open = True
    world(b"a\nb\n", "--no-wait")
    _, status, stderr = world(b"", "--cancel-batch")
    assert (status, b"msgbatch_0: canceling, 0 of 2 done\n" in stderr) == (0, True)
    world.account.open = False
    records, status, _ = world(b"a\nb\n")
    assert (records[0]["text"], status) == ("a", 4)
    assert records[1]["error"]["message"] == "the batch msgbatch_0 ended (canceled) before it answered this prompt"
    assert world(b"a\nb\n")[1] == 0
    assert world.account.prompts == ["a", "b", "b"]


@pytest.mark.parametrize("cut", [lambda data: data[:-9], lambda data: data[: data.index(b"\n") + 1]])
def test_results_that_are_cut_are_an_error_and_not_lost(world, cut):
    account = world.account
    world.server.scripts = [
        lambda request: (
            [head("200 OK", "application/x-jsonl"), cut(account.results["msgbatch_0"])]
            if "/results" in request.line
            else account.script(request)
        )
    ]
    records, status, stderr = world(b"a\nb\n")
    assert (records, status, b"cut" in stderr) == ([], 5, True)
    world.server.scripts = [account.script]
    assert [record["text"] for record in world(b"a\nb\n")[0]] == ["a", "b"]
    assert account.prompts == ["a", "b"]


# A batch whose id is lost.


def test_after_a_kill_a_batch_that_has_ended_is_found_by_its_custom_ids(world):
    world.account.add("x", "y")
    world.kill_while_a_batch_is_made(b"a\nb\n")
    for _ in range(3):  # others push it to a later page
        world.account.add("x", "y")
    world.account.add("x")
    records, status, _ = world(b"a\nb\n")
    assert ([record["text"] for record in records], status) == (["a", "b"], 0)
    assert world.account.prompts == ["a", "b"]
    looked = [request.line.split()[1] for request in world.server.requests if "/results" in request.line]
    assert looked[-1].endswith("msgbatch_1/results")
    assert not any("msgbatch_5" in line for line in looked)  # with another number of requests


def test_after_a_kill_nothing_is_sent_while_a_batch_at_work_may_be_the_lost_one(world):
    world.account.open = True
    world.kill_while_a_batch_is_made(b"a\nb\n")
    records, status, stderr = world(b"a\nb\nc\n", "--no-wait")
    assert (records, status) == ([], 0)
    assert b"msgbatch_0 may be the batch of a run that was stopped: its results show whether it is\n" in stderr
    assert b"2 batches are not collected" in stderr
    world.account.open = False
    assert [record["text"] for record in world(b"a\nb\nc\n")[0]] == ["a", "b", "c"]
    assert world.account.prompts == ["a", "b", "c"]


def test_prompts_are_sent_when_the_batches_that_might_be_the_lost_one_turn_out_to_be_others(world, waits, monkeypatch):
    """The server refuses to answer the request that makes the batch, and makes none; another program's is like it."""
    world.server.scripts = [[RESET], world.account.script]
    world.account.open = True
    world.account.add("x", "y")

    def look(seconds):
        waits.append(seconds)
        world.account.open = len(waits) < 3

    monkeypatch.setattr("llmstream.net.fetch.Fetcher.sleep", lambda fetcher, seconds: look(seconds))
    records, status, stderr = world(b"a\nb\n")
    assert ([record["text"] for record in records], status) == (["a", "b"], 0)
    assert world.account.prompts == ["a", "b"]
    assert b"msgbatch_0 may be" in stderr and b"msgbatch_1: sent 2 prompts" in stderr


def test_a_batch_that_is_older_than_the_lost_one_is_not_it(world, monkeypatch):
    monkeypatch.setattr(engine, "SETTLE_S", 0.0)
    world.account.open = True
    old = world.account.add("x", "y")
    world.account.batches[old["id"]]["created_at"] = "2026-01-15T08:00:00Z"
    world.server.scripts = [reply("500 Oops", b"{}"), world.account.script]
    assert world(b"a\nb\n", "--no-wait", "--retries", "0")[:2] == ([], 4)
    assert world(b"a\nb\n", "--no-wait")[:2] == ([], 0)
    assert world.account.prompts == ["a", "b"]


def test_two_lost_batches_with_one_size_are_told_apart(world):
    world.account.open = True
    world.kill_while_a_batch_is_made(b"a\nb\n")
    world.kill_while_a_batch_is_made(b"c\nd\n")
    world.account.open = False
    records, *_ = world(b"d\nc\nb\na\n")
    assert [record["text"] for record in records] == ["d", "c", "b", "a"]
    assert sorted(world.account.prompts) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("fault", [[RESET], reply("500 Oops", b"{}"), reply("200 OK", b"?")])
def test_a_batch_whose_making_fails_is_looked_for_before_another_is_made(world, fault):
    world.account.faults = [fault]
    records, status, _ = world(b"a\n")
    assert (records[0]["text"], status, len(world.account.batches)) == ("a", 0, 1)


def test_a_rate_limit_has_made_no_batch_and_others_are_not_waited_for(world, waits):
    world.account.open = True
    world.account.add("x")
    busy = reply("429 Too Many", b'{"type": "error", "error": {"type": "rate_limit_error", "message": "slowly"}}')
    world.server.scripts = [busy, world.account.script]
    assert world(b"a\n", "--no-wait")[:2] == ([], 0)
    assert world.account.prompts == ["a"]
    assert max(waits) < 1


def test_the_key_goes_to_the_target_s_address_only(world):
    """Results that are at another address, as behind a gateway, are read from the documented path instead."""
    script = world.account.script

    def elsewhere(request):
        steps = script(request)
        for batch in world.account.batches.values():
            if batch["results_url"]:
                batch["results_url"] = f"http://127.0.0.1:9/v1/messages/batches/{batch['id']}/results"
        return steps if "/results" in request.line or b"results_url" not in steps[-1] else script(request)

    world.server.scripts = [elsewhere]
    assert world(b"a\n")[0][0]["text"] == "a"


def test_anthropics_client_finds_the_server_to_be_as_its_types_say(world):
    anthropic = pytest.importorskip("anthropic", reason="anthropic is not installed: pip install '.[dev]'")
    world.account.open = True
    client = anthropic.Anthropic(base_url=world.server.url, api_key="k", _strict_response_validation=True)
    params = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]}
    batch = client.messages.batches.create(requests=[{"custom_id": "x-0", "params": params}])
    assert (batch.processing_status, batch.request_counts.processing) == ("in_progress", 1)
    world(b"b\nbad\nlate\nc\n", "--no-wait")
    assert [batch.id for batch in client.messages.batches.list(limit=1)] == ["msgbatch_1", "msgbatch_0"]
    assert client.messages.batches.cancel(batch.id).processing_status == "canceling"
    world.account.open = False
    assert client.messages.batches.retrieve("msgbatch_1").request_counts.succeeded == 2
    results = [*client.messages.batches.results("msgbatch_1")]
    assert {(each.custom_id[-2:], each.result.type) for each in results} == {
        ("-0", "succeeded"),
        ("-1", "errored"),
        ("-2", "expired"),
        ("-3", "succeeded"),
    }
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve("msgbatch_9")


# A journal that is damaged, or of another provider.


def test_a_journal_that_is_cut_anywhere_sends_nothing_twice(world):
    world.account.open = True
    world(b"a\nb\n", "--no-wait")
    whole = world.path.read_bytes()
    made = whole.index(b"\n", whole.index(b"\n") + 1) + 1  # the end of the line that is on disk before the request
    for end in range(made, len(whole), 4):
        world.path.write_bytes(whole[:end])
        _, status, stderr = world(b"a\nb\n", "--no-wait")
        assert (status, b"1 batch is not collected" in stderr) == (0, True)
        assert (b"ends with an incomplete line, which is left out" in stderr) == (end > made)
    for end in range(0, made, 9):  # as if the process had ended before the request
        world.path.write_bytes(whole[:end])
        assert world(b"", "--no-wait")[:2] == ([], 0)
    assert world.account.prompts == ["a", "b"]


def test_a_journal_whose_beginning_is_cut_is_one_clear_error(world):
    world.account.open = True
    world(b"a\n", "--no-wait")
    head, batch, id = world.path.read_bytes().splitlines(keepends=True)
    for lines, number in ((batch + id, 1), (head + id, 2), (head + batch[9:] + id, 2)):
        world.path.write_bytes(lines)
        _, status, stderr = world(b"a\n")
        assert (status, stderr.count(b"\n")) == (2, 1)
        assert f"{world.path}:{number} is not a ".encode() in stderr


def test_a_batch_of_another_provider_is_one_clear_error(world):
    world.account.open = True
    world(b"a\n", "--no-wait")
    records, status, stderr = world(b"a\n", model="openai/m")
    assert (records, status, stderr.count(b"\n")) == ([], 2, 1)
    there, here = f"{world.server.url}/v1/messages/batches", f"{world.server.url}/v1/batches"
    assert f"the journal has a batch at {there}, not at {here}: name a model there\n".encode() in stderr


def test_a_record_with_a_model_of_another_provider_is_its_error(world):
    lines = b'{"prompt": "a"}\n{"prompt": "b", "model": "openai/m"}\n{"prompt": "c", "model": "ollama/m"}\n'
    records, status, _ = world(lines, "--jsonl")
    assert (records[0]["text"], status) == ("a", 2)
    assert records[1]["error"]["message"].startswith("openai/m is at another address: the batches of a run go to ")
    assert records[2]["error"]["message"].startswith("ollama/m has no batches")
