"""`map` and limits: the user's caps, Retry-After, refusals, a provider that is down."""

from __future__ import annotations

import json
import threading

import pytest

from ..conftest import at
from ..support.limits import WAIT_S
from ..support.loopback import HOLD, RESET, Provider, chat_text, head, reply
from ..support.mapping import echo, records_of, running, texts_of

pytestmark = pytest.mark.slow

# Caps of the user.


def test_rpm_spreads_the_requests(run):
    """600 requests a minute are one in 0.1 s; the kernel's timers may make it a little less."""
    with Provider(echo) as provider:
        done = run("map", "-q", "-m", "openai/m", "--rpm", "600", input=b"a\n" * 8, url=provider.url)
        times = [request.at for request in provider.requests]
    assert len(records_of(done.stdout)) == 8
    assert max(times) - min(times) >= 0.65


def test_tpm_spreads_the_tokens(run):
    """Each request may cost 100 tokens and a few of input: 60,000 a minute allow about ten a second."""
    args = ["-q", "--tpm", "60000", "--max-tokens", "100"]
    with Provider(echo) as provider:
        done = run("map", *args, "-m", "openai/m", input=b"a\n" * 8, url=provider.url)
        times = [request.at for request in provider.requests]
    assert len(records_of(done.stdout)) == 8
    assert max(times) - min(times) >= 0.65


def test_tpm_learns_what_answers_cost(run):
    """An answer is expected to have 256 tokens until the first ones turn out to have 2: then more are sent."""
    with Provider(echo) as provider:
        done = run("map", "-q", "-m", "openai/m", "--tpm", "60000", input=b"a\n" * 60, url=provider.url)
        times = sorted(request.at for request in provider.requests)
    assert len(records_of(done.stdout)) == 60
    assert times[10] - times[0] > times[-1] - times[-11]


# Limits of the provider.


def test_retry_after_delays_all_streams(run):
    """After the first 429 no request is sent for a second, though seven others have been answered."""
    refused = threading.Event()

    def script(request):
        if request.prompt == "first" and not refused.is_set():
            refused.set()
            refusal.append(request)
            return reply("429 Slow down", b"{}", "application/json", "Retry-After: 1")
        assert refused.wait(WAIT_S)
        return echo(request)

    refusal: list = []
    with Provider(script) as provider:
        done = run("map", "-m", "openai/m", input=b"first\n" + b"x\n" * 40, url=provider.url)
        after = sorted(request.at - refusal[0].at for request in provider.requests)
    assert [record["text"] for record in records_of(done.stdout)] == ["first"] + ["x"] * 40
    assert done.returncode == 0
    late = [seconds for seconds in after if seconds > 0.5]
    assert min(late) >= 1.0
    assert len(late) >= 25  # all but the first 8, and those that started before the 429 arrived


def test_a_retry_after_beyond_the_limit_closes_that_provider_only(run):
    def script(request):
        if "/chat/" in request.line:
            return reply("429 Slow down", b'{"error": {"message": "slow"}}', "application/json", "Retry-After: 3600")
        return echo(request)

    rows = [{"prompt": str(n), "model": "anthropic/m" if n % 2 else "openai/m"} for n in range(40)]
    with Provider(script) as provider:
        env = at(provider.url) | {"ANTHROPIC_BASE_URL": provider.url}
        done = run("map", "--jsonl", input="\n".join(map(json.dumps, rows)).encode(), env=env)
        refused = [request for request in provider.requests if "/chat/" in request.line]
    records = records_of(done.stdout)
    assert [record["text"] for record in records[1::2]] == [str(n) for n in range(1, 40, 2)]
    assert {record["error"]["status"] for record in records[::2]} == {4}
    assert records[38]["error"]["message"] == "the provider asks to wait 60 minutes: more than max_retry_wait allows"
    assert "--max-retry-wait allows" in done.stderr.decode().splitlines()[-1]  # a record has no dashes, a note has
    assert len(refused) <= 8
    assert done.returncode == 4


def test_a_prompt_that_waits_for_its_retry_delays_no_other():
    """The others are sent meanwhile; the retry comes after its random wait."""
    refused = threading.Event()

    def script(request):
        if request.prompt == "flaky" and not refused.is_set():
            refused.set()
            return [RESET]
        return echo(request)

    with Provider(script) as provider, running("-q", "--unordered", url=provider.url) as run:
        run.write(b"flaky\n")
        assert refused.wait(WAIT_S)
        run.write(b"x\n" * 20)
        run.close_stdin()
        records = records_of(run.read_rest())
    assert sorted(record["text"] for record in records) == ["flaky", *["x"] * 20]


def test_a_waiting_retry_fails_when_its_provider_is_closed():
    """One prompt waits for its retry; then the response to another asks to wait for an hour."""
    waits = threading.Event()

    def script(request):
        if request.prompt == "waits":
            waits.set()
            return reply("503 Later", b"{}", "application/json", "Retry-After: 1")
        return reply("429 Slow down", b"{}", "application/json", "Retry-After: 3600")

    with Provider(script) as provider, running("-q", url=provider.url) as run:
        run.write(b"closes\nwaits\n")
        run.close_stdin()
        assert [run.read_record()["error"]["status"] for _ in range(2)] == [4, 4]
        assert run.process.wait(WAIT_S) == 4


def test_rate_limited_prompts_are_retried_until_they_work(run):
    refused: dict[str, int] = {}

    def script(request):
        count = refused[request.prompt] = refused.get(request.prompt, 0) + 1
        return reply("429 Slow down", b"{}") if count <= 2 and request.prompt in "ab" else echo(request)

    with Provider(script) as provider:
        done = run("map", "-u", "-m", "openai/m", input=b"a\nb\nc\nd\n", url=provider.url)
    assert texts_of(done.stdout) == ["a", "b", "c", "d"]
    assert done.returncode == 0
    assert b"4 retries, 4 rate limits\n" in done.stderr


# A provider that is down.


def test_a_provider_that_is_down_fails_fast(run):
    """A thousand prompts share one budget of retries: four retries for each would be an hour of waits."""
    done = run("map", "-m", "openai/m", input=b"x\n" * 1000, url="http://127.0.0.1:9")
    records = records_of(done.stdout)
    assert len(records) == 1000
    assert {record["error"]["status"] for record in records} == {4}
    assert done.returncode == 4
    summary, why = done.stderr.decode().splitlines()
    assert summary.startswith("llmstream map: 1,000 prompts: 0 done, 1,000 failed; ")
    messages = {record["error"]["message"] for record in records}  # the first to fail need not be the first prompt
    assert why.removeprefix("llmstream map: the first failed: ") in messages


def test_a_provider_that_answers_500_fails_fast(run):
    with Provider(lambda request: reply("500 Oops", b"{}")) as provider:
        done = run("map", "-q", "-m", "openai/m", input=b"x\n" * 300, url=provider.url)
        sent_prompts = len(provider.requests)
    assert {record["error"]["status"] for record in records_of(done.stdout)} == {4}
    assert done.returncode == 4
    assert sent_prompts <= 300 + 40  # the budget is 4 times 8, and nothing that failed adds to it


@pytest.mark.parametrize("option", ["--stall-timeout", "--first-token-timeout", "--timeout"])
def test_each_prompt_has_its_own_time_outs(run, option):
    beginning = [chat_text("so f")] if option == "--stall-timeout" else []

    def script(request):
        return [head(), *beginning, HOLD] if request.prompt == "hangs" else echo(request)

    with Provider(script) as provider:
        done = run(
            "map", "-q", option, "0.5", "--retries", "0", "-m", "openai/m", input=b"hangs\nx\n", url=provider.url
        )
        assert provider.client_left.wait(WAIT_S)
    hangs, x = records_of(done.stdout)
    assert x["text"] == "x"
    assert hangs["error"]["status"] == (5 if beginning else 4)
    assert hangs.get("text") == ("so f" if beginning else None)


def test_a_spent_quota_is_a_refusal_and_does_not_slow_the_others(run):
    """OpenAI sends 429 for it: each prompt is sent once, and delays no other."""
    error = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
    with Provider(lambda request: reply("429 Too Many Requests", json.dumps(error).encode())) as provider:
        done = run("map", "-u", "-m", "openai/m", input=b"a\n" * 60, url=provider.url)
        assert len(provider.requests) == 60
    assert {record["error"]["status"] for record in records_of(done.stdout)} == {3}
    assert done.returncode == 3
    assert b"rate limit" not in done.stderr.splitlines()[-1]


def test_only_rate_limits_close_a_provider_after_the_longest_wait(run):
    with Provider(lambda request: reply("429 Too Many Requests", b"{}")) as provider:
        args = ["--max-retry-wait", "0.5", "-m", "openai/m"]
        done = run("map", "-q", *args, input=b"a\n" * 200, url=provider.url)
        assert len(provider.requests) < 200
    records = records_of(done.stdout)
    assert {record["error"]["status"] for record in records} == {4}
    assert "the provider has refused everything for" in records[-1]["error"]["message"]
