"""`map --batch` with a run that is killed, or a batch that the provider does not know; with both APIs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from llmstream.batch import batches as engine
from llmstream.batch.batch_api import Batch, BatchApi, Search
from llmstream.batch.journal import Journal
from llmstream.batch.totals import Totals
from llmstream.core.retry import RetryPolicy
from llmstream.errors import Unavailable

from ..support import anthropic_batches, batches
from ..support.batch_world import World
from ..support.limits import WAIT_S
from ..support.loopback import HOLD
from ..support.mapping import wait_until

ACCOUNTS = {"openai": batches, "anthropic": anthropic_batches}


@pytest.fixture(params=ACCOUNTS)
def new_world(request, invoke, tmp_path):
    module = ACCOUNTS[request.param]
    account = batches.Batches() if module is batches else anthropic_batches.AnthropicBatches()
    with module.provider(account) as server:
        yield World(invoke, tmp_path / "journal", account, server, f"{request.param}/m")


@pytest.fixture
def world(new_world):
    """A world whose first batch, of the prompts a and b, is at work."""
    new_world.account.open = True
    new_world(b"a\nb\n", "--no-wait")
    return new_world


@pytest.fixture
def id(world):
    return next(iter(world.account.batches))


@pytest.mark.parametrize(
    ("new_world", "number"),
    [  # the upload, the batch, its end, its answers, its errors; the batch, its end, its results
        *(("openai", number) for number in range(5)),
        *(("anthropic", number) for number in range(3)),
    ],
    indirect=["new_world"],
)
def test_a_kill_at_any_request_sends_nothing_twice(new_world, monkeypatch, number):
    """The server does nothing at the request during which the process is killed."""
    world = new_world
    world.server.scripts = [[HOLD] if n == number else world.account.script for n in range(number + 1)]
    with world.running() as run:
        run.write(b"a\nbad\n")
        run.close_stdin()
        wait_until(lambda: len(world.server.requests) > number)
        run.process.kill()
        run.process.wait(WAIT_S)
    world.server.scripts = [world.account.script]
    monkeypatch.setattr(engine, "SETTLE_S", 0.0)
    records, status, _ = world(b"a\nbad\n")
    assert (records[0]["text"], records[1]["error"]["status"], status) == ("a", 3, 3)
    assert world.account.prompts == ["a", "bad"]


def test_a_batch_that_the_provider_does_not_know_fails_its_prompts_until_it_is_forgotten(world, id):
    world.account.batches["other"] = world.account.batches.pop(id)
    world.account.open = False
    for _ in range(2):
        records, status, stderr = world(b"a\nc\nb\n")
        assert [record.get("text") for record in records] == [None, "c", None]
        assert ([record["error"]["status"] for record in records[::2]], status) == ([3, 3], 3)
        line = f"does not know the batch {id} (HTTP 404): use the key of its account, or --cancel-batch to forget it"
        assert line.encode() in stderr
    world.account.batches[id] = world.account.batches.pop("other")  # the right key again
    assert [record["text"] for record in world(b"a\nb\n")[0]] == ["a", "b"]
    assert world.account.prompts == ["a", "b", "c"]


def test_cancel_batch_forgets_a_batch_that_the_provider_does_not_know(world, id):
    world.account.batches["other"] = world.account.batches.pop(id)
    _, status, stderr = world(b"", "--cancel-batch")
    assert (status, f"{id}: removed from the journal".encode() in stderr) == (0, True)
    world(b"a\n", "--no-wait")
    assert world.account.prompts == ["a", "b", "a"]


def test_a_batch_that_is_too_old_to_have_results_is_forgotten_after_one_run(world, id, monkeypatch):
    world.account.batches["other"] = world.account.batches.pop(id)
    monkeypatch.setattr(engine, "RETENTION_S", -1.0)
    world.account.open = False
    records, status, stderr = world(b"a\n")
    assert (records[0]["error"]["status"], status) == (3, 3)
    assert f"does not know the batch {id} (HTTP 404): the next run sends its prompts again".encode() in stderr
    assert world(b"a\n")[0][0]["text"] == "a"


def test_results_that_are_gone_fail_the_prompts_once(world, id):
    def forgetful(request):
        world.account.script(request)
        world.account.forget_results()
        return world.account.script(request)

    world.account.open = False
    world.server.scripts = [forgetful]
    records, status, _ = world(b"a\n")
    assert (records[0]["error"]["status"], status) == (4, 4)
    message = records[0]["error"]["message"]
    assert message == f"the results of {id} are no longer there: the next run sends its prompts again"
    world.server.scripts = [world.account.script]
    assert world(b"a\n")[0][0]["text"] == "a"
    assert world.account.prompts == ["a", "b", "a"]


def test_a_batch_is_looked_for_until_it_must_be_in_the_list_however_long_its_request_took(tmp_path, monkeypatch):
    times, waits = [1000.0], []
    target = SimpleNamespace(api="messages", model="m")

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        times[0] += seconds

    class SlowApi(BatchApi):
        @staticmethod
        def batches_url(target):
            return "http://localhost/batches"

        def prepare(self, parcel):
            return None

        def create(self, request):
            times[0] += 60.0
            raise Unavailable("the connection broke")

        def find(self, nonce, since, count, others):
            batch = Batch("batch_0", "in_progress", False, False, count, 0, 0, {})
            return Search(batch if times[0] > 1065 else None)

    monkeypatch.setattr(engine, "time", SimpleNamespace(time=lambda: times[0]))
    parcel = SimpleNamespace(nonce="n", requests=[["0", "k", "d", False]], target=target)
    parcel.complete = lambda: parcel
    journal = Journal(str(tmp_path / "slow.journal"))
    api = SlowApi(None, target, RetryPolicy())
    running = engine.Batches(api, journal, Totals(), sleep, lambda note: None)
    running._send(parcel)
    journal.close()
    assert waits == [engine.SETTLE_S]
    assert journal.batches["n"]["id"] == "batch_0"
