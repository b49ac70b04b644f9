"""`--within`: a background response is queued, polled until it has its answer, and cancelled when we leave."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import openai
import pytest
from openai.types.responses import Response

import llmstream
from llmstream.net import polling
from llmstream.net.transfer import HttpRequest, Transfer, Transport

from ..conftest import LLMSTREAM, at, environment
from ..support import needs
from ..support.background import SOON, Background, echo, provider
from ..support.limits import WAIT_S
from ..support.loopback import HOLD, RESET, Provider, head, reply
from ..support.mapping import wait_until
from ..support.option_bodies import APIS, MODELS

GEN = ["gen", "-n", "--api", "responses", "-m", "openai/gpt-6-luna", "--within"]
PATIENT = ["--first-token-timeout", "0.001", "--stall-timeout", "0.001"]  # which do not count here


@pytest.fixture
def account():
    account = Background()
    with provider(account) as account.server:
        yield account


def lines(account: Background) -> list[str]:
    return [request.line.removesuffix(" HTTP/1.1") for request in account.server.requests]


def test_a_response_is_queued_and_polled_until_it_has_its_answer(invoke, account):
    done = invoke(*GEN, "8h", *PATIENT, "Hello", url=account.server.url)
    assert (done.stdout, done.returncode) == (b"Hello\n", 0)
    assert done.stderr == b"llmstream gen: resp_0 is queued: its answer comes within 8h\n"
    assert lines(account) == ["POST /v1/responses", *["GET /v1/responses/resp_0"] * 2]
    body = account.requests["resp_0"]
    assert body["background_options"] == {"completion_window": "8h"}
    assert (body["background"], body["stream"], body["store"]) == (True, False, True)
    assert all(request.headers["authorization"] == "Bearer sk-test-key" for request in account.server.requests)
    shown = invoke(*GEN, "8h", "--dry-run", "Hello", url=account.server.url).stdout
    assert json.loads(shown.partition(b"\n\n")[2]) == body


def test_the_official_client_agrees_with_the_server(account):
    """It is the judge of the server that the other tests are about."""
    with openai.OpenAI(base_url=f"{account.server.url}/v1", api_key="k") as client:
        fields = {"model": "gpt-6-luna", "input": "Hello", "background": True, "stream": False, "store": True}
        response = client.responses.create(**fields, background_options={"completion_window": "2h"})
        states = [response.status]
        while response.status in polling.PENDING:
            response = client.responses.retrieve(response.id)
            states.append(response.status)
        assert (states, response.output_text) == (["queued", "in_progress", "completed"], "Hello")
        other = client.responses.create(**fields)
        assert [client.responses.cancel(other.id).status for _ in range(2)] == ["cancelled"] * 2
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve("resp_9")
        with pytest.raises(openai.BadRequestError):
            client.responses.create(model="m", input="Hi", background_options={"completion_window": "2h"})
    for response in account.responses.values():
        Response.model_validate_json(json.dumps(response))


@pytest.mark.parametrize(
    ("prompt", "options", "stdout", "status"),
    [("bad", [], b"", 3), ("long", [], b"long\n", 5), ("long", ["--max-tokens", "9"], b"long\n", 0)],
)
def test_an_answer_that_failed_or_is_cut_has_the_status_of_any_other(invoke, account, prompt, options, stdout, status):
    done = invoke(*GEN, "2h", *options, prompt, url=account.server.url)
    assert (done.stdout, done.returncode) == (stdout, status)
    assert len(account.responses) == 1


def test_a_response_that_failed_for_now_is_queued_again(invoke, account):
    failed = {"status": "failed", "error": {"code": "server_error", "message": "oops"}, "output": []}
    answer = account.answer
    account.answer = lambda request: failed if len(account.responses) == 1 else answer(request)
    done = invoke(*GEN, "2h", "Hello", url=account.server.url)
    assert (done.stdout, done.returncode, len(account.responses)) == (b"Hello\n", 0, 2)


def test_a_response_that_was_cancelled_elsewhere_is_not_whole(invoke, account):
    account.answer = lambda request: {"status": "cancelled"}
    done = invoke(*GEN, "2h", "Hello", url=account.server.url)
    assert (done.stdout, done.returncode) == (b"", 5)
    assert b"the answer is incomplete (finish reason cancelled)" in done.stderr


BUSY = reply("503 Service Unavailable", b"{}", "application/json", SOON)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (BUSY, b"answered HTTP 503"),
        (reply("429 Too Many Requests", b"{}", "application/json", SOON), b"answered HTTP 429"),
        (reply("200 OK", b"<p>Log in", "text/html", SOON), b"answered HTTP 200, but not a response"),
        ([head("200 OK", "application/json", "Content-Length: 9", SOON), RESET], b"Connection reset"),
    ],
)
def test_a_poll_that_fails_is_repeated(invoke, account, monkeypatch, fault, reason):
    monkeypatch.setattr(polling, "FIRST_WAIT_S", 0.01)
    account.faults = [fault, fault]
    done = invoke(*GEN, "2h", "--retries", "0", "Hello", url=account.server.url)
    assert (done.stdout, done.returncode) == (b"Hello\n", 0), done.stderr
    assert done.stderr.count(reason) == done.stderr.count(b": polling again in ") == 2
    assert len(account.responses) == 1


def test_a_poll_without_an_answer_is_repeated(invoke, account, monkeypatch):
    monkeypatch.setattr(polling, "POLL_TIMEOUT_S", 0.05)
    monkeypatch.setattr(polling, "FIRST_WAIT_S", 0.01)
    account.faults = [[HOLD]]
    done = invoke(*GEN, "2h", "Hello", url=account.server.url)
    assert (done.stdout, done.returncode) == (b"Hello\n", 0)
    assert b": no answer within 0.05 s: polling again in 0.0 s\n" in done.stderr


def test_a_provider_that_cannot_be_polled_for_long_is_given_up(invoke, account, monkeypatch):
    monkeypatch.setattr(polling, "GIVE_UP_S", 0.0)
    account.faults = [BUSY]
    done = invoke(*GEN, "2h", "Hello", url=account.server.url)
    assert (done.stdout, done.returncode) == (b"", 4)
    assert b"answered HTTP 503: resp_0 could not be polled for 0 s\n" in done.stderr
    assert (len(account.responses), account.cancelled) == (1, ["resp_0"])


def test_only_polls_that_fail_count_towards_giving_up():
    """Not the time that the first request took, or for which the process was stopped."""
    times, requests, notes = [0.0], [], []
    loop = SimpleNamespace(now=lambda: times[0], call_at=lambda when, call: SimpleNamespace(cancel=lambda: None))
    target = SimpleNamespace(headers=list, cert=("", ""), shown_name="a provider")

    class Scripted(Transport):
        def send(self, request, connect_timeout, wake):
            requests.append((Transfer(), wake))
            return requests[-1][0]

        def send_and_forget(self, request):
            pass

    Scripted.loop = loop
    outer = polling.Polling(Scripted(), target, note=notes.append).send(
        HttpRequest("POST", "http://localhost/v1/responses", [], {}), None, lambda: None
    )

    def answer(status: int, body: bytes, after_s: float) -> None:
        times[0] += after_s
        transfer, wake = requests[-1]
        transfer.response_head, transfer.ended = (status, {}), True
        transfer.chunks.append(body)
        wake()

    answer(200, b'{"id": "resp_0", "status": "queued"}', 599.0)
    for after_s in (polling.GIVE_UP_S, polling.GIVE_UP_S - 1):
        outer._poll()
        answer(503, b"", after_s)
        assert not outer.ended
    outer._poll()
    answer(503, b"", 1.0)
    assert outer.error.message.endswith("resp_0 could not be polled for 10 minutes")
    assert len(notes) == 2


def test_a_poll_that_is_refused_ends_it(invoke, account):
    error = b'{"error": {"message": "Response not found.", "type": "invalid_request_error"}}'
    account.faults = [reply("404 Not Found", error)]
    done = invoke(*GEN, "2h", "Hello", url=account.server.url)
    assert (done.stdout, done.returncode, len(account.responses)) == (b"", 3, 1)
    assert b"says: Response not found. (HTTP 404)\n" in done.stderr


def test_a_request_that_may_have_arrived_is_not_sent_again(invoke):
    with Provider([RESET]) as server:
        done = invoke(*GEN, "2h", "Hello", url=server.url)
        assert (done.stdout, done.returncode, len(server.requests)) == (b"", 4, 1)
    assert b"the request may have arrived, and is not sent again\n" in done.stderr


def test_a_request_that_was_refused_for_now_is_sent_again(invoke, account):
    with Provider(BUSY, account.script) as server:
        done = invoke(*GEN, "2h", "Hello", url=server.url)
        assert (done.stdout, done.returncode) == (b"Hello\n", 0)
        assert len(account.responses) == 1


def test_the_limit_of_the_whole_answer_cancels_the_response(invoke, account):
    account.open = True
    done = invoke(*GEN, "2h", "--timeout", "0.2", "Hello", url=account.server.url)
    assert (done.stdout, done.returncode) == (b"", 4)
    assert b"not complete within 0.2 s (--timeout)" in done.stderr
    assert (account.cancelled, len(account.responses)) == (["resp_0"], 1)


@contextmanager
def running(url: str):
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([*LLMSTREAM, *GEN, "2h", "Hello"], env=at(url), stdin=subprocess.DEVNULL, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_response(account, signum):
    account.open = True
    with running(account.server.url) as process:
        wait_until(lambda: account.looks)
        process.send_signal(signum)
        assert process.wait(WAIT_S) == -signum
        assert process.stdout.read() == b""
    assert account.cancelled == ["resp_0"]


def test_a_signal_before_the_id_is_there_cancels_the_response_too(account):
    def after_the_signal(request):
        process.send_signal(signal.SIGINT)
        wait_until(lambda: re.search(r"ShdPnd:\s0+$", Path(f"/proc/{process.pid}/status").read_text(), re.M))
        return account.script(request)

    with Provider(after_the_signal, account.script) as server, running(server.url) as process:
        assert process.wait(WAIT_S) == -signal.SIGINT
    assert account.cancelled == ["resp_0"]


@pytest.mark.parametrize("api", sorted({*APIS} - {"responses"}))
def test_other_apis_have_no_window(invoke, api):
    done = invoke("gen", "-n", "--api", api, "-m", MODELS[api], "--within", "2h", "Hi", url="http://127.0.0.1:9")
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"has no --within: only OpenAI's Responses API has it\n" in done.stderr


def test_other_servers_of_its_api_have_no_window(invoke):
    done = invoke("gen", "-n", "-m", "xai/grok-4.5", "--within", "2h", "Hi", env=environment(XAI_API_KEY="k"))
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"llmstream gen: the Responses API has no --within: of its servers only OpenAI has it\n"


def test_records_events_conversations_and_recordings_are_as_ever(invoke, account, tmp_path):
    url = account.server.url
    events = [json.loads(line) for line in invoke(*GEN, "2h", "--events", "Hello", url=url).stdout.splitlines()]
    assert [event["type"] for event in events] == ["start", "text", "usage", "finish"]
    assert (events[0]["id"], events[1]["text"], events[2]["tier"]) == ("resp_0", "Hello", "2h")
    chat, recording = str(tmp_path / "chat"), str(tmp_path / "recording")
    for prompt in ("One", "Two"):
        assert invoke(*GEN, "2h", "--chat", chat, prompt, url=url).stdout.decode() == f"{prompt}\n"
    assert [turn.get("role") for turn in account.prompts[-1]] == ["user", "assistant", "user"]
    assert invoke(*GEN, "2h", "--record", recording, "Hello", url=url).returncode == 0
    played = invoke("gen", "-n", "-m", f"replay:{recording}", "--speed", "0", "Hi", url=url)
    assert (played.stdout, played.returncode) == (b"Hello\n", 0)


@needs.package("genai_prices", "prices")
@pytest.mark.parametrize(("window", "factor"), [("2h", 0.7), ("8h", 0.6)])
def test_every_cost_has_the_discount(invoke, account, tmp_path, window, factor):
    account.answer = lambda request: echo(request) | {"usage": {"input_tokens": 1000, "output_tokens": 1000}}
    args, url = ("gen", "-n", "--api", "responses", "-m", "openai/gpt-5.5", "--within", window), account.server.url
    done = invoke(*args, "-u", "--stats-file", str(tmp_path / "stats"), "Hi", url=url)
    record = json.loads((tmp_path / "stats").read_text())
    assert record["cost_usd"] == pytest.approx(0.035 * factor)  # 5 dollars for a million tokens in, 30 out
    assert f", {window} tier, ${0.035 * factor:.4f}, ".encode() in done.stderr
    refused = invoke(*args, "--max-tokens", "1000", "--max-cost", "0.01", "Hi", url=url)
    assert (refused.returncode, f"may cost ${0.03 * factor:.4f} (".encode() in refused.stderr) == (2, True)
    cheap = ("map", *args[2:], "--dry-run", "--max-tokens", "1000")
    assert f", 1,000 out, ${0.03 * factor:.4f}\n".encode() in invoke(*cheap, input=b"Hi\n", url=url).stdout


def test_python_programs_wait_for_the_answer_too(account, monkeypatch):
    for name, value in at(account.server.url).items():
        monkeypatch.setenv(name, value)
    options = {"model": "openai/m", "api": "responses", "within": "2h"}
    with llmstream.stream("Hello", **options) as stream:
        assert stream.read() == "Hello"

    async def read() -> str:
        async with llmstream.astream("Bye", **options) as stream:
            return await stream.read()

    assert asyncio.run(read()) == "Bye"
    account.open = True
    with llmstream.stream("Hello", timeout=0.2, **options) as stream, pytest.raises(llmstream.Unavailable):
        stream.read()
    assert account.cancelled == ["resp_2"]

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await llmstream.astream("Hello", **options).read()

    asyncio.run(leave())
    assert account.cancelled == ["resp_2", "resp_3"]
