"""gen and map --max-cost: what may cost too much is not sent, and what costs too much is cut."""

from __future__ import annotations

import json

import pytest

from ..conftest import at
from ..support import needs
from ..support.loopback import HOLD, Provider, chat, chat_end, chat_text, frame, head

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


def test_an_answer_that_is_whole_is_not_cut(run):
    with Provider([b"".join([head(), *chat("a" * 240)])]) as provider:
        done = run("gen", "-n", *MODEL, "--max-cost", "0.0015", "Hi", url=provider.url)
    assert (done.returncode, done.stdout) == (0, b"a" * 240 + b"\n")


def test_without_the_extra_the_option_is_an_error(run, tmp_path):
    (tmp_path / "genai_prices.py").write_text("raise ImportError\n")
    with Provider([head(), *chat("Hello")]) as provider:
        env = at(provider.url)
        env["PYTHONPATH"] = f"{tmp_path}:{env['PYTHONPATH']}"
        done = run("gen", *MODEL, "--max-cost", "1", input=b"Hi\n", env=env)
        assert (done.returncode, provider.requests) == (2, [])
    assert done.stderr.decode() == (
        "llmstream gen: --max-cost needs the extra `prices`: pip install 'llmstream-cli[prices]'\n"
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
