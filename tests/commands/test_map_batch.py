"""`map --batch`: prompts go out as OpenAI's batches, answers come back into the journal, nothing is asked twice."""

from __future__ import annotations

import json
import re
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llmstream.batch.openai_batches import OpenAIBatches

from ..support import needs
from ..support.batch_world import World
from ..support.batches import Batches, chat_answer, provider
from ..support.batches import echo as answer
from ..support.limits import WAIT_S
from ..support.loopback import RESET, Provider, Request, head, reply
from ..support.mapping import echo, records_of, terminated_while_it_prints, texts_of, wait_until


@pytest.fixture
def world(invoke, tmp_path):
    account = Batches()
    with provider(account) as server:
        yield World(invoke, tmp_path / "journal", account, server, "openai/m")


def test_the_records_are_those_of_map_in_its_order(world, invoke, tmp_path):
    records, status, stderr = world(b"a\nb\nc\n")
    assert [(record["index"], record["text"]) for record in records] == [(0, "a"), (1, "b"), (2, "c")]
    assert (status, [line["custom_id"][-2:] for line in world.account.sent]) == (0, ["-0", "-1", "-2"])
    assert b"llmstream map: batch_0: sent 3 prompts\n" in stderr
    assert b"llmstream map: 3 prompts: 3 done, 0 failed; 9 tokens in, 6 out" in stderr
    with Provider(echo) as plain:
        done = invoke("map", "-m", "openai/m", input=b"a\nb\nc\n", url=plain.url)
    assert records_of(done.stdout) == records


def test_an_answer_of_a_batch_is_one_of_the_journal(world, invoke):
    records, *_ = world(b"a\nb\n")
    assert world(b"a\nb\n")[0] == records
    assert len(world.account.batches) == 1
    done = invoke("map", "-m", "openai/m", "--journal", str(world.path), input=b"a\nb\n", url=world.server.url)
    assert records_of(done.stdout) == records


def test_responses_and_records_with_ids_and_models(world):
    lines = b'{"prompt": "a", "id": "x", "model": "openai/m"}\n{"prompt": "b", "model": "openai/n"}\n'
    records, status, _ = world(lines, "--jsonl", "--api", "responses")
    assert status == 0
    assert [(record.get("id"), record["text"]) for record in records] == [("x", "a"), (None, "b")]
    assert [batch["endpoint"] for batch in world.account.batches.values()] == ["/v1/responses"] * 2


def test_single_failures_are_records_and_asked_again_next_time(world):
    records, status, stderr = world(b"a\nbad\n")
    assert (records[0]["text"], records[1]["error"]["status"], status) == ("a", 3, 3)
    assert "no such thing" in records[1]["error"]["message"]
    assert b"1 prompt failed: " in stderr
    world(b"a\nbad\n")
    assert world.account.prompts == ["a", "bad", "bad"]


def test_requests_without_an_answer_or_a_whole_one_have_the_statuses_of_map(world):
    world.account.answer = lambda line: (200, chat_answer("a", "length"))
    assert [record["error"]["status"] for record in world(b"cut\n")[0]] == [5]
    assert "error" not in world(b"cut on purpose\n", "--max-tokens", "5")[0][0]
    records, status, _ = world(b"cut JSON\n", "--max-tokens", "5", "--json")
    assert (records[0]["error"]["status"], status) == (5, 5)
    assert records[0]["error"]["message"].endswith(": the JSON is not whole: raise max_tokens")
    world.account.answer = lambda line: (200, chat_answer('{"a": 1}', "length"))
    assert "error" not in world(b"whole JSON\n", "--max-tokens", "5", "--json")[0][0]
    world.account.answer = answer
    records, status, _ = world(b"late\n")
    assert (records[0]["error"]["status"], status) == (4, 4)
    assert "This request could not be executed in time." in records[0]["error"]["message"]


@pytest.mark.parametrize("line", ['{"batch": "n", "id": "b"}', '{"batch": "n", "url": "u"}', '{"batch": 1}'])
def test_a_line_on_a_batch_that_is_wrong_is_an_error_with_its_number(world, line):
    world(b"a\n")
    number = len(world.journal()) + 1
    with world.path.open("a") as file:
        file.write(f"{line}\n")
    _, status, stderr = world(b"a\n")
    assert (status, f"{world.path}:{number} is not a line of a journal of map".encode() in stderr) == (2, True)


def test_a_batch_that_is_found_to_be_wrong_fails_all_its_prompts(world):
    world.account.refuses = True
    records, status, _ = world(b"a\nb\n")
    assert status == 3
    assert all("This line is wrong." in record["error"]["message"] for record in records)


def test_no_wait_leaves_and_a_later_run_collects(world):
    world.account.open = True
    records, status, stderr = world(b"a\nb\n", "--no-wait")
    assert (records, status) == ([], 0)
    assert b"1 batch is not collected: run the same command again" in stderr
    assert world(b"a\nb\nc\n", "--no-wait")[:2] == ([], 0)
    assert world.account.prompts == ["a", "b", "c"]
    world.account.open = False
    records, *_ = world(b"c\na\nb\n")
    assert [record["text"] for record in records] == ["c", "a", "b"]
    assert world.account.prompts == ["a", "b", "c"]


def test_a_wait_looks_less_and_less_often_and_says_what_is_new(world, waits, monkeypatch):
    world.account.open = True
    show = world.account._show

    def count(batch):
        world.account.open = len(waits) < 9
        return show(batch)

    monkeypatch.setattr(world.account, "_show", count)
    records, status, stderr = world(b"a\n")
    assert (records[0]["text"], status) == ("a", 0)
    assert (waits[:3], waits[-2:]) == ([5.0, 7.5, 11.25], [60.0, 60.0])
    assert stderr.count(b"batch_0: in progress, 0 of 1 done\n") == 1
    assert stderr.count(b"batch_0: completed") == 1


def test_a_server_that_fails_is_asked_again_and_left_with_the_batch_in_the_journal(world, waits):
    world.account.open = True
    world(b"a\n", "--no-wait")
    busy = reply("503 Busy", b"{}")
    world.server.scripts = [lambda request: busy]
    before = len(world.server.requests)
    records, status, stderr = world(b"a\n", "--retries", "2")
    assert (records, status, len(world.server.requests) - before) == ([], 4, 3)
    assert b"1 batch is not collected: run the same command again" in stderr
    world.account.open, world.server.scripts = False, [world.account.script]
    assert world(b"a\n")[0][0]["text"] == "a"
    assert world.account.prompts == ["a"]


def test_records_have_what_map_adds_to_them(world):
    world.account.answer = lambda line: (200, chat_answer('{"n": 1.0}'))
    records, *_ = world(b"a\n", "--json", "--input")
    assert (records[0]["data"], records[0]["input"], records[0]["line"]) == ({"n": 1.0}, "a", 1)


def test_limits_split_a_batch(world, monkeypatch):
    monkeypatch.setattr(OpenAIBatches, "MAX_REQUESTS", 2)
    records, *_ = world(b"a\nb\nc\nd\ne\n")
    assert [record["text"] for record in records] == ["a", "b", "c", "d", "e"]
    assert [len(batch["lines"]) for batch in world.account.batches.values()] == [2, 2, 1]
    monkeypatch.setattr(OpenAIBatches, "MAX_BYTES", 400)
    records, *_ = world(b"f\n" + b"g" * 200 + b"\n" + b"h" * 500 + b"\n")
    assert [len(batch["lines"]) for batch in world.account.batches.values()] == [2, 2, 1, 1, 1]
    assert "longer than a batch may be" in records[2]["error"]["message"]


@pytest.mark.parametrize("fault", [[RESET], reply("500 Oops", b"{}"), reply("200 OK", b"?")])
def test_a_batch_whose_making_fails_is_looked_for_before_another_is_made(world, fault):
    world.account.faults = [fault]
    records, status, _ = world(b"a\n")
    assert (records[0]["text"], status, len(world.account.batches)) == ("a", 0, 1)


def test_a_batch_is_not_made_twice_where_the_server_closes_a_connection_that_it_kept(world):
    """libcurl sends a request again over a new connection, where one that was used before is closed."""
    account, lock = world.account, threading.Lock()

    class KeepAlive(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with lock:
                step = b"".join(account.script(Request(self.requestline, headers, body)))
            if self.requestline.startswith("POST /v1/batches "):
                self.close_connection = True  # and no answer
                return
            self.wfile.write(step.replace(b"Connection: close\r\n", b""))

        do_GET = do_POST = handle_any

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), KeepAlive) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        world.server.url = f"http://127.0.0.1:{server.server_port}"
        records, status, _ = world(b"a\n")
        server.shutdown()
    assert (records[0]["text"], status, len(account.batches)) == ("a", 0, 1)


@pytest.mark.parametrize("cut", [lambda data: data[:-9], lambda data: data[: data.index(b"\n") + 1]])
def test_results_that_are_cut_are_an_error_and_not_lost(world, cut):
    account = world.account
    world.server.scripts = [
        lambda request: (
            [head("200 OK", "application/octet-stream"), cut(account.files["file_1"])]
            if "/content" in request.line
            else account.script(request)
        )
    ]
    records, status, stderr = world(b"a\nb\n")
    assert (records, status) == ([], 5)
    assert b"cut" in stderr and b"batch_0" in stderr and b"1 batch is not collected: run the same command" in stderr
    world.server.scripts = [account.script]
    assert [record["text"] for record in world(b"a\nb\n")[0]] == ["a", "b"]
    assert account.prompts == ["a", "b"]


def test_after_a_kill_while_a_batch_is_made_it_is_found_by_its_nonce(world):
    world.kill_while_a_batch_is_made(b"a\nb\n")
    assert [line for line in world.journal() if "id" in line] == []
    for _ in range(4):  # others push it to a later page
        world.account._create(
            {"input_file_id": "file_0", "endpoint": "/v1/chat/completions", "completion_window": "", "metadata": None}
        )
    records, *_ = world(b"a\nb\n")
    assert [record["text"] for record in records] == ["a", "b"]
    assert len(world.account.batches) == 5


def test_a_batch_that_was_never_made_is_forgotten(world):
    world(b"a\n")
    url, requests = f"{world.server.url}/v1/batches", [["0", "k", "d", False]]
    line = {"batch": "n", "at": 1, "url": url, "api": "chat", "model": "m", "requests": requests}
    with world.path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    assert world(b"b\n")[0][0]["text"] == "b"
    assert {"batch": "n", "ended": "never made"} in world.journal()


def test_ctrl_c_leaves_the_batch_and_says_how_to_go_on(world, tmp_path):
    world.account.open = True
    with world.running("--stats-file", str(tmp_path / "stats")) as run:
        run.write(b"a\n")
        run.close_stdin()
        wait_until(lambda: any("in_progress" in batch["status"] for batch in world.account.batches.values()))
        wait_until(lambda: run.state == "S")
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(WAIT_S) == -signal.SIGINT
        stderr = run.stderr()
    assert b"run the same command again to collect the answers, or with --cancel-batch to cancel" in stderr
    assert b"llmstream map: 1 prompt: 0 done, 0 failed, 1 unfinished; " in stderr
    assert world.account.batches["batch_0"]["status"] == "in_progress"
    assert json.loads((tmp_path / "stats").read_text())["unfinished"] == 1


def test_all_answers_are_printed_where_a_signal_comes_while_they_are(world):
    prompts = [letter * 200_000 for letter in "abc"]
    with world.running() as run:
        run.write("\n".join(prompts).encode())
        run.close_stdin()
        output = terminated_while_it_prints(run.process)
        assert b"llmstream map: 3 prompts: 3 done, 0 failed; " in run.stderr()
    assert texts_of(output) == prompts


# Statistics.


def statistics(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


COUNTS = ("done", "earlier", "failed", "unfinished", "input_tokens", "output_tokens", "status")


def test_the_statistics_of_a_run_have_the_fields_of_map(world, invoke, tmp_path):
    path = tmp_path / "stats"
    world(b"a\nbad\nb\n", "--stats-file", str(path))
    world(b"a\nb\n", "--stats-file", str(path))
    with Provider(echo) as plain:
        invoke("map", "-m", "openai/m", "--stats-file", str(path), input=b"a\n", url=plain.url)
    first, second, streams = statistics(path)
    assert [first[name] for name in COUNTS] == [2, 0, 1, 0, 6, 4, 3]
    assert [second[name] for name in COUNTS] == [0, 2, 0, 0, None, None, 0]
    assert (first["retries"], first["rate_limits"]) == (0, 0)
    assert (first["ttft"], first["ttft_p99"], first["tokens_per_second"]) == (None, None, None)
    assert list(first) == list(streams)


def test_an_answer_counts_as_done_in_the_run_that_collects_it(world, monkeypatch, tmp_path):
    path, account = tmp_path / "stats", world.account
    account.open = True
    world(b"a\n", "--no-wait", "--stats-file", str(path))
    create = account._create

    def create_open(fields):
        account.open = True
        return create(fields)

    monkeypatch.setattr(account, "_create", create_open)
    account.open = False
    assert world(b"a\nb\n", "--no-wait", "--stats-file", str(path))[:2] == ([], 0)
    account.open = False
    assert [record["text"] for record in world(b"a\nb\n", "--stats-file", str(path))[0]] == ["a", "b"]
    assert [[line[name] for name in COUNTS] for line in statistics(path)] == [
        [0, 0, 0, 1, None, None, 0],
        [1, 0, 0, 1, 3, 2, 0],
        [1, 1, 0, 0, 3, 2, 0],
    ]


def test_statistics_count_the_retries_of_requests(world, waits, tmp_path):
    path, busy = tmp_path / "stats", reply("429 Too Many Requests", b"{}")
    scripts = [busy, world.account.script]
    world.server.scripts = [lambda request: scripts.pop(0) if len(scripts) == 2 else world.account.script(request)]
    assert world(b"a\n", "--stats-file", str(path))[1] == 0
    assert [(line["retries"], line["rate_limits"]) for line in statistics(path)] == [(1, 1)]


def test_cancel_batch_cancels_and_what_was_answered_is_collected(world):
    world.account.open = True
    world(b"a\nb\n", "--no-wait")
    records, status, stderr = world(b"", "--cancel-batch")
    assert (records, status) == ([], 0)
    assert b"batch_0: cancelling" in stderr
    assert b"run the command without --cancel-batch to collect what was answered" in stderr
    world.account.open = False
    records, status, _ = world(b"a\nb\n")
    assert (records[0]["text"], records[1]["error"]["status"], status) == ("a", 4, 4)
    assert world(b"a\nb\n")[1] == 0
    assert world.account.prompts == ["a", "b", "b"]
    assert b"the journal has no batches to cancel" in world(b"", "--cancel-batch")[2]


def test_a_journal_with_a_batch_is_for_batches_at_its_address(world, invoke):
    world.account.open = True
    world(b"a\n", "--no-wait")
    done = invoke("map", "-m", "openai/m", "--journal", str(world.path), input=b"a\n", url=world.server.url)
    assert (done.returncode, b"add --batch to collect them" in done.stderr) == (2, True)
    with provider(Batches()) as other:
        options = ("-m", "openai/m", "--batch", "--journal", str(world.path))
        done = invoke("map", *options, input=b"a\n", url=other.url)
    assert done.returncode == 2
    there, here = f"{world.server.url}/v1/batches", f"{other.url}/v1/batches"
    assert f"the journal has a batch at {there}, not at {here}: name a model there".encode() in done.stderr


def test_what_a_prompt_file_asks_for_and_a_batch_does_not_have_is_noted(world, tmp_path):
    (tmp_path / "p").write_text("+++\noptions.check = true\noptions.json = true\n+++\n{{stdin}}\n")
    _, status, stderr = world(b"a\n", "-f", str(tmp_path / "p"))
    assert status == 0
    assert f"{tmp_path}/p: --check has no meaning with --batch: it is left out\n".encode() in stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-j", "3"], "--jobs has no meaning with --batch: leave it out"),
        (["--rpm", "3"], "--rpm has no meaning"),
        (["--tpm", "3"], "--tpm has no meaning"),
        (["--events"], "--events has no meaning"),
        (["--until-lines", "1"], "--until-lines has no meaning"),
        (["--resume-cut"], "--resume-cut has no meaning"),
        (["--stats-file", "f", "--cancel-batch"], "--cancel-batch has no statistics: leave --stats-file out"),
        (["--no-wait", "--cancel-batch"], "--no-wait and --cancel-batch exclude each other"),
        (["--no-wait", "-O", "f"], "--no-wait may print nothing"),
        (["-m", "openai/n"], "a batch goes to one model"),
    ],
)
def test_options_without_a_meaning_are_refused(world, args, message):
    records, status, stderr = world(b"a\n", *args)
    assert (records, status, stderr.count(b"\n")) == ([], 2, 1)
    assert message.encode() in stderr
    assert not world.server.requests


def test_a_journal_and_a_provider_with_batches_are_needed(invoke, tmp_path):
    done = invoke("map", "-m", "openai/m", "--batch", input=b"a\n", url="http://127.0.0.1:9")
    assert (done.returncode, b"add --journal FILE" in done.stderr) == (2, True)
    options = ("-m", "ollama/m", "--batch", "--journal", str(tmp_path / "j"))
    done = invoke("map", *options, input=b"a\n", url="http://127.0.0.1:9")
    assert (done.returncode, b"ollama/m has no batches" in done.stderr) == (2, True)


def test_openais_client_finds_the_server_to_be_as_its_types_say(world):
    openai = pytest.importorskip("openai", reason="openai is not installed: pip install '.[dev]'")
    world.account.open = True
    client = openai.OpenAI(base_url=f"{world.server.url}/v1", api_key="k", _strict_response_validation=True)
    text = json.dumps(
        {
            "custom_id": "0",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "m", "messages": [{"role": "user", "content": "a"}]},
        }
    )
    file = client.files.create(file=("f.jsonl", text.encode()), purpose="batch")
    fields = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = client.batches.create(**fields, metadata={"n": "1"})
    assert client.batches.retrieve(batch.id).status == "in_progress"
    world(b"b\nbad\nc\n", "--no-wait")
    assert [batch.id for batch in client.batches.list(limit=1)] == ["batch_1", "batch_0"]
    assert client.batches.cancel(batch.id).status == "cancelling"
    world.account.open = False
    batch = client.batches.retrieve("batch_1")
    assert batch.status == "completed"
    results = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    assert {result["custom_id"][-2:] for result in results} == {"-0", "-2"}
    for result in results:
        openai.types.chat.ChatCompletion.model_validate(result["response"]["body"], strict=True)


# Prices.

PRICES = needs.package("genai_prices", "prices")


def half(text: bytes) -> tuple[float, ...]:
    """Returns the dollars in a text, halved."""
    return tuple(float(usd) / 2 for usd in re.findall(rb"\$([\d.]+)", text))


@PRICES
@pytest.mark.parametrize("model", ["openai/gpt-4o", "anthropic/claude-haiku-4-5"])
def test_dry_run_reckons_half_the_price_and_leaves_out_what_a_batch_has(world, invoke, model):
    lines, options = b"a\n" * 3, ("-m", model, "--dry-run", "--max-tokens", "100000")
    whole = invoke("map", *options, input=lines, url=world.server.url)
    done = invoke("map", *options, "--batch", "--journal", str(world.path), input=lines, url=world.server.url)
    usd = tuple(2 * each for each in half(done.stdout))
    assert (done.returncode, len(usd), usd) == (0, 2, half(whole.stdout))
    assert not world.path.exists() and not world.server.requests
    world.account.open = True
    world(b"a\nb\n", "--no-wait")
    options = ("-m", "openai/m", "--dry-run", "--batch", "--journal", str(world.path))
    done = invoke("map", *options, input=b"a\nb\nc\n", url=world.server.url)
    assert b"all: 1 prompt, 2 queued earlier, " in done.stdout


@PRICES
def test_usage_has_half_the_price(world):
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "total_tokens": 1_000_000}
    world.account.answer = lambda line: (200, chat_answer("a") | {"model": "gpt-4o", "usage": usage})
    assert b"; $1.2500; " in world(b"a\n", "-u", model="openai/gpt-4o")[2]


@PRICES
def test_max_cost_is_for_all_prompts_before_any_is_sent(world):
    options = ("--max-tokens", "1000000", "--max-cost")
    _, status, stderr = world(b"a\nb\n", *options, "8", model="openai/gpt-4o")
    assert (status, stderr.count(b"\n")) == (2, 1)
    assert b"the prompts may cost $10.0000, more than --max-cost 8: set a lower --max-tokens" in stderr
    assert not world.account.batches
    assert world(b"a\n", *options, "8", model="openai/gpt-4o")[1] == 0
    assert world(b"a\nb\n", *options, "8", model="openai/gpt-4o")[1] == 0  # one of them is there
    _, status, stderr = world(b"c\n", "--max-cost", "8", model="openai/gpt-4o")
    assert (status, b"--max-cost of a batch needs --max-tokens" in stderr) == (2, True)
