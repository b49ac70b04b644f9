"""gen and map --max-cost: what may cost too much is not sent, and what costs too much is cut."""

from __future__ import annotations

import json

import pytest

from ..conftest import at
from ..support import needs
from ..support.loopback import DONE, HOLD, Provider, chat, chat_end, chat_text, frame, head

pytestmark = needs.package("genai_prices", "prices")
MODEL = ("-m", "openai/gpt-5.5")  # 5 dollars for a million tokens in, 30 out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--max-tokens", "1000"), "may cost $0.0300 (about 1 token in, 1,000 out), more than --max-cost 0.02: "),
        (("-o", "max_completion_tokens=1000"), "may cost $0.0300 (about 1 token in, 1,000 out), more than "),
        (("-s", "x" * 40_000), "may cost $0.0500 (about 10,001 tokens in), more than --max-cost 0.02: "),
        (("-m", "anthropic/claude-sonnet-4-5"), "may cost $0.4800 (about 1 token in, 32,000 out), more than "),
        (("-m", "openai/no-such-model"), "the price of openai/no-such-model is unknown: leave --max-cost out"),
        (("-m", "ollama/m"), "the price of ollama/m is unknown: "),
    ],
)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_gen_refuses_what_may_cost_too_much(invoke, args, message, dry):
    with Provider([head(), *chat("Hello")]) as provider:
        done = invoke(
            "gen", "-n", *(() if "-m" in args else MODEL), *args, *dry, "--max-cost", "0.02", "Hi", url=provider.url
        )
        assert (done.returncode, done.stdout, provider.requests) == (2, b"", [])
    assert message in done.stderr.decode() and done.stderr.count(b"\n") == 1


def test_a_prompt_within_the_limit_is_sent(invoke):
    with Provider([head(), *chat("Hello")]) as provider:
        done = invoke("gen", "-n", *MODEL, "--max-tokens", "100", "--max-cost", "0.01", "Hi", url=provider.url)
    assert (done.returncode, done.stdout) == (0, b"Hello\n")


@pytest.mark.parametrize("form", [(), ("--events",), ("--line",)])
def test_gen_ends_the_answer_where_the_limit_is_reached(run, form):
    """200 bytes are 50 tokens, which cost 0.0015 dollars."""
    with Provider([head(), chat_text("a" * 120), chat_text("b" * 120), HOLD]) as provider:
        done = run("gen", "-n", *MODEL, *form, "--max-cost", "0.0015", "Hi", url=provider.url)
    assert done.returncode == 5
    assert done.stderr == b"llmstream gen: the answer is cut: it has reached --max-cost 0.0015\n"
    assert b"b" * 120 in done.stdout
    if form == ("--line",):
        assert json.loads(done.stdout)["error"]["status"] == 5


def test_reasoning_that_is_not_printed_counts_as_it_comes(run):
    thought = frame({"choices": [{"index": 0, "delta": {"reasoning_content": "a" * 240}}]})
    with Provider([head(), thought, HOLD]) as provider:
        done = run("gen", "-n", *MODEL, "--max-cost", "0.0015", "Hi", url=provider.url)
    assert (done.returncode, done.stdout) == (5, b"")
    assert b": the answer is cut: it has reached --max-cost 0.0015\n" in done.stderr


@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan", "a"])
@pytest.mark.parametrize("command", ["gen", "map"])
def test_a_limit_is_a_number_above_0(invoke, command, value):
    done = invoke(command, *MODEL, f"--max-cost={value}", input=b"Hi")
    assert done.returncode == 2
    assert b"--max-cost" in done.stderr and b"a number above 0" in done.stderr


def test_an_answer_that_is_whole_is_not_cut(run):
    with Provider([b"".join([head(), *chat("a" * 240)])]) as provider:
        done = run("gen", "-n", *MODEL, "--max-cost", "0.0015", "Hi", url=provider.url)
    assert (done.returncode, done.stdout) == (0, b"a" * 240 + b"\n")


@pytest.mark.parametrize("command", [("gen",), ("map",), ("map", "--jsonl")])
def test_without_the_extra_the_option_is_an_error(run, tmp_path, command):
    (tmp_path / "genai_prices.py").write_text("raise ImportError\n")
    with Provider([head(), *chat("Hello")]) as provider:
        env = at(provider.url)
        env["PYTHONPATH"] = f"{tmp_path}:{env['PYTHONPATH']}"
        done = run(*command, *MODEL, "--max-cost", "1", input=b"Hi\n", env=env)
        assert (done.returncode, provider.requests) == (2, [])
    assert done.stderr.decode() == (
        f"llmstream {command[0]}: --max-cost needs the extra `prices`: pip install 'llmstream-cli[prices]'\n"
    )


def test_a_turn_that_may_cost_too_much_is_not_sent(run, tmp_path):
    """The first turn costs 0.15 dollars; the second would cost 0.05 more for what it repeats."""
    (tmp_path / "tools").write_text('{"name": "echo"}\n')
    arguments = json.dumps({"text": "x" * 20_000})
    call = {"index": 0, "id": "c1", "function": {"name": "echo", "arguments": arguments}}
    delta = frame({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
    tools = ("--tools", "tools", "--run-tools", "sh -c cat")
    with Provider([head(), delta, chat_end("tool_calls")], [head(), *chat("Done")]) as provider:
        done = run("gen", "-n", *MODEL, *tools, "--max-cost", "0.18", "Hi", url=provider.url, cwd=tmp_path)
        assert (done.returncode, len(provider.requests)) == (5, 1)
    assert b"\nllmstream gen: the next turn is not sent: openai/gpt-5.5 may cost $0.2" in b"\n" + done.stderr


# map.

MAP = ("map", *MODEL, "-q", "--max-tokens", "1000")  # 0.03 dollars a prompt at most
SPENT = frame({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 500}})  # 0.01505 dollars
ANSWER = [head(), chat_text("Hello"), chat_end(usage=False), SPENT + DONE]


def test_map_starts_no_prompt_past_the_limit_and_goes_on_with_the_journal(run, tmp_path):
    args = (*MAP, "--journal", str(tmp_path / "journal"), "--max-cost", "0.05")
    with Provider(ANSWER) as provider:
        done = run(*args, input=b"a\nb\nc\nd\n", url=provider.url)
        assert (done.returncode, len(provider.requests), provider.most_running) == (5, 2, 1)
        assert [json.loads(line)["index"] for line in done.stdout.splitlines()] == [0, 1]
        assert done.stderr.decode() == (
            "llmstream map: the next prompt may cost $0.0300, and $0.0301 of --max-cost 0.05 are spent: "
            "run the same again for the rest\n"
        )
        done = run(*args, input=b"a\nb\nc\nd\n", url=provider.url)
        assert (done.returncode, len(provider.requests)) == (0, 4)
    assert [json.loads(line)["index"] for line in done.stdout.splitlines()] == [0, 1, 2, 3]


def test_what_is_under_way_counts_as_it_may_cost(run):
    with Provider(ANSWER) as provider:
        done = run(*MAP, "-j", "9", "--max-cost", "0.2", input=b"a\n" * 9, url=provider.url)
    assert done.returncode == 0
    assert 1 <= provider.most_running <= 6


IMPOSSIBLE = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 99}}


@pytest.mark.parametrize("counts", [DONE, frame({"choices": [], "usage": IMPOSSIBLE}) + DONE])
def test_an_answer_without_counts_costs_what_it_is_estimated_at(run, counts):
    with Provider([head(), chat_text("a" * 4000), chat_end(usage=False), counts]) as provider:
        done = run(*MAP, "--max-cost", "0.05", input=b"a\nb\nc\n", url=provider.url)
        assert (done.returncode, len(provider.requests)) == (5, 1)
    assert b"and $0.0300 of --max-cost 0.05 are spent: no more are sent\n" in done.stderr


def test_map_says_that_a_prompt_alone_may_cost_too_much(invoke):
    with Provider(ANSWER) as provider:
        done = invoke(*MAP, "--max-cost", "0.02", input=b"a\nb\n", url=provider.url)
        assert (done.returncode, done.stdout, provider.requests) == (2, b"", [])
    assert done.stderr == (
        b"llmstream map: the prompt may cost $0.0300, more than --max-cost 0.02: "
        b"set a lower --max-tokens, or raise the limit\n"
    )


def test_a_prompt_that_alone_may_cost_too_much_does_not_stop_the_others(invoke, tmp_path):
    (tmp_path / "long").write_text("x" * 40_000)
    (tmp_path / "short").write_text("Hi")
    record, dear = b'{"prompt": "a", "max_tokens": 9}\n', b'{"prompt": "b", "max_tokens": 9000}\n'
    with Provider(ANSWER) as provider:
        records = (*MAP, "--max-cost", "0.06", "--jsonl"), record + dear + record
        files = (*MAP, "--max-cost", "0.06", "--files"), b"short\nlong\nshort\n"
        for args, input in (records, files):
            done = invoke(*args, input=input, url=provider.url, cwd=tmp_path)
            lines = [json.loads(line) for line in done.stdout.splitlines()]
            assert (done.returncode, ["error" in line for line in lines]) == (2, [False, True, False]), done.stderr
            assert lines[1]["error"]["message"].startswith("the prompt may cost $0.")
        assert len(provider.requests) == 4


def test_map_refuses_unknown_prices(invoke):
    with Provider(ANSWER) as provider:
        done = invoke("map", "-m", "openai/no-such-model", "--max-cost", "1", input=b"a\n", url=provider.url)
        assert (done.returncode, done.stdout, provider.requests) == (2, b"", [])
        assert b"map: the price of openai/no-such-model is unknown: " in done.stderr
        records = b'{"prompt": "a", "model": "openai/no-such-model"}\n{"prompt": "b"}\n'
        done = invoke(*MAP, "--jsonl", "--max-cost", "1", input=records, url=provider.url)
        assert (done.returncode, len(provider.requests)) == (2, 1)
    errors = [json.loads(line).get("error", {}).get("message", "") for line in done.stdout.splitlines()]
    assert errors[0].startswith("the price of openai/no-such-model is unknown: ") and errors[1] == ""


@pytest.mark.parametrize(
    ("args", "input", "status", "output"),
    [
        (
            (),
            "abcd\nabcdefgh\n",
            0,
            "first: 1 token in, 1,000 out, $0.0300\nall: 2 prompts, 3 tokens in, 2,000 out, $0.0600\n",
        ),
        ((), "", 0, "all: 0 prompts, 0 tokens in, 0 out, $0\n"),
        (
            ("-m", "ollama/m"),
            "a\n",
            0,
            "first: 1 token in, 1,000 out, price unknown\nall: 1 prompt, 1 token in, 1,000 out, price unknown\n",
        ),
        (
            ("--jsonl",),
            '{"prompt": "a", "max_tokens": 10}\n{}\n',
            2,
            "first: 1 token in, 10 out, $0.000305\nall: 1 prompt, 1 wrong, 1 token in, 10 out, $0.000305\n",
        ),
    ],
)
def test_a_dry_run_of_map_prints_tokens_and_cost(invoke, args, input, status, output):
    args = [*(("map", "--max-tokens", "1000") if "-m" in args else MAP), *args]
    with Provider(ANSWER) as provider:
        done = invoke(*args, "--dry-run", input=input.encode(), url=provider.url)
        assert (done.returncode, done.stdout.decode(), provider.requests) == (status, output, [])


def test_a_dry_run_counts_what_the_journal_has(run, tmp_path):
    args = (*MAP, "--journal", str(tmp_path / "journal"))
    with Provider(ANSWER) as provider:
        dry = run(*args, "--dry-run", input=b"a\nb\n", url=provider.url)
        assert b"\nall: 2 prompts, " in dry.stdout and not (tmp_path / "journal").exists()
        run(*args, input=b"a\n", url=provider.url)
        dry = run(*args, "--dry-run", input=b"a\nb\n", url=provider.url)
        assert b"\nall: 1 prompt, 1 done earlier, 1 token in, 1,000 out, " in dry.stdout
        loud = [arg for arg in args if arg != "-q"]
        dry = run(*loud, "--dry-run", "-t", "0", input=b"a\nb\n", url=provider.url)
    assert b"\nall: 2 prompts, 0 done earlier, 2 tokens in, 2,000 out, " in dry.stdout
    assert b"has 1 answer, but not to these requests: " in dry.stderr


@pytest.mark.parametrize(("limit", "is_noted"), [("0.05", True), ("1", False)])
def test_a_dry_run_says_that_the_limit_would_stop_the_run(invoke, limit, is_noted):
    with Provider(ANSWER) as provider:
        done = invoke(*MAP, "--max-cost", limit, "--dry-run", input=b"a\nb\n", url=provider.url)
    note = f"llmstream map: $0.0600 is more than --max-cost {limit}: the run would stop before its end\n"
    assert (done.returncode, done.stderr.decode()) == (0, note if is_noted else "")
