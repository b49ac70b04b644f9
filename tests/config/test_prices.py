"""The price of an answer in --usage and --stats-file, computed after the answer."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest

from llmstream.config import prices
from llmstream.core.decoder import amount
from llmstream.core.events import Usage
from llmstream.providers.registry import PROVIDERS

from ..conftest import LLMSTREAM, at
from ..support import needs
from ..support.limits import WAIT_S
from ..support.loopback import DONE, Provider, chat, chat_end, chat_text, frame, head, messages

needs_list = needs.package("genai_prices", "prices")
MODEL = "claude-sonnet-4-5"


def price(**tokens: int) -> float:
    """Returns the price of tokens of one kind, by genai_prices itself."""
    import genai_prices

    return float(genai_prices.calc_price(genai_prices.Usage(**tokens), MODEL, provider_id="anthropic").total_price)


@needs_list
def test_each_kind_of_token_has_its_price():
    found = prices.cost("anthropic", MODEL, Usage(1000, 50, cached_tokens=400, cache_write_tokens=100))
    kinds = [
        price(input_tokens=500),
        price(input_tokens=400, cache_read_tokens=400),
        price(input_tokens=100, cache_write_tokens=100),
        price(output_tokens=50),
    ]
    assert found == pytest.approx(sum(kinds), abs=1e-8)
    assert kinds[1] / 400 < kinds[0] / 500 < kinds[2] / 100


@needs_list
def test_an_hour_in_the_cache_and_a_search_cost_more():
    minutes = prices.cost("anthropic", MODEL, Usage(1000, 50, cache_write_tokens=400))
    hour = prices.cost("anthropic", MODEL, Usage(1000, 50, 0, 0, 400, 400))
    both = prices.cost("anthropic", MODEL, Usage(1000, 50, 0, 0, 400, 300))
    search = prices.cost("anthropic", MODEL, Usage(1000, 50, 0, 0, 400, searches=2))
    assert minutes < both < hour < search
    assert search - minutes == pytest.approx(0.02)


@needs_list
@pytest.mark.parametrize(
    ("provider", "model", "tier", "factor"),
    [
        ("openai", "gpt-5", "default", 1),
        ("openai", "gpt-5", "priority", 2),
        ("openai", "gpt-5", "flex", 0.5),
        ("openai", "gpt-5", "no-such-tier", 1),
        ("anthropic", "claude-opus-5", "standard", 1),
        ("anthropic", "claude-opus-5", "fast", 2),
        ("gemini", "gemini-2.5-flash", "STANDARD", 1),
        ("xai", "grok-4", "priority", 1),  # unknown to the list
    ],
)
def test_a_tier_has_its_price(provider, model, tier, factor):
    usual = prices.cost(provider, model, Usage(1000, 100))
    assert prices.cost(provider, model, Usage(1000, 100, tier=tier)) == pytest.approx(usual * factor)


@needs_list
@pytest.mark.parametrize(
    ("provider", "requested", "answering", "priced"),
    [
        ("openai", "gpt-6-luna", "gpt-6-luna-2026-10-01", "gpt-6-luna"),
        ("openai", "gpt-6-luna", "gpt-5-2025-08-07", "gpt-5"),  # a fallback
        ("azure", "our-deployment", "gpt-4o-2024-08-06", "gpt-4o"),
        ("anthropic", MODEL, "no-such-model", MODEL),
        ("anthropic", MODEL, "", MODEL),
        (  # in which the name of the request has more: the price differs by region
            "bedrock",
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "claude-sonnet-4-5-20250929",
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
    ],
)
def test_the_model_that_answered_has_the_price(provider, requested, answering, priced):
    assert prices.cost(provider, requested, Usage(1000, 100), answering) == prices.cost(
        provider, priced, Usage(1000, 100)
    )


@needs_list
def test_many_answers_are_priced_by_their_average():
    alone = prices.cost("gemini", "gemini-2.5-pro", Usage(150_000, 10))
    long = prices.cost("gemini", "gemini-2.5-pro", Usage(300_000, 20))  # of which each token costs more
    assert prices.cost("gemini", "gemini-2.5-pro", Usage(300_000, 20), answers=2) == pytest.approx(2 * alone)
    assert long > 2 * alone
    third = prices.cost("anthropic", MODEL, Usage(10, 10, 5, 3, 5, 4, 1), answers=3)
    assert third == pytest.approx(prices.cost("anthropic", MODEL, Usage(10, 10, 5, 3, 5, 4, 1)), abs=1e-5)


@pytest.mark.parametrize("provider", ["openrouter", "xai", "ollama", "a-name-of-a-configuration"])
def test_the_price_that_the_provider_states_counts_first(provider):
    assert prices.cost(provider, MODEL, Usage(1000, 100, cost_usd=0.125)) == 0.125
    assert prices.cost(provider, MODEL, Usage(1000, 100, cost_usd=0.0)) == 0.0


@pytest.mark.parametrize(
    ("value", "dollars"),
    [(0.5, 0.5), (1, 1.0), (0, 0.0), (None, None), (True, None), ("0.5", None), (10**400, None), (float("inf"), None)],
)
def test_an_amount_of_money_is_a_number(value, dollars):
    assert amount({"a": {"cost": value}}, "a", "cost") == dollars
    assert amount(value, "cost") is None


def test_impossible_counts_are_dropped():
    usage = Usage(-1, 2**60, 3, -4, 5, 6, 10**400, tier="x", cost_usd=-1.0).drop_impossible()
    assert usage == Usage(0, 0, 3, 0, 5, 6, 0, tier="x")
    for cost in (float("nan"), float("inf")):
        assert Usage(1, 1, cost_usd=cost).drop_impossible().cost_usd is None
    assert Usage(1, 1, cost_usd=0.0).drop_impossible().cost_usd == 0.0


@needs_list
@pytest.mark.parametrize(
    "counts",
    [
        {"prompt_tokens": -1, "completion_tokens": -5},
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": 1.5, "completion_tokens": "20"},
        {"prompt_tokens": 10**30, "completion_tokens": True},
        {"prompt_tokens": [], "completion_tokens": {}, "prompt_tokens_details": -1, "service_tier": 3, "cost": "free"},
        {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 99}},
        {"cost": -0.5},
        {"cost": float("nan")},
        {"cost": float("inf")},
        {"cost": 10**400},
        {"cost_in_usd_ticks": 10**400},
    ],
)
def test_absurd_counts_have_no_absurd_price(invoke, tmp_path, counts):
    last = frame({"choices": [], "usage": counts})
    with Provider([head(), chat_text("Hello"), chat_end(usage=False), last + DONE]) as provider:
        stats = tmp_path / "stats"
        done = invoke("gen", "-u", "--stats-file", str(stats), "-m", "openai/gpt-5.5", "Hi", url=provider.url)
    assert done.returncode == 0
    record = json.loads(stats.read_text())
    assert record["input_tokens"] in (0, 3) and record["output_tokens"] in (0, 2)
    assert not record["cost_usd"]


@needs_list
@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-5.5"),
        ("azure", "gpt-4o"),
        ("bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("vertex", "claude-sonnet-4-5@20250929"),
        ("foundry", "claude-sonnet-4-5"),
        ("gemini", "gemini-2.5-flash"),
        ("xai", "grok-4"),
    ],
)
def test_genai_prices_has_our_providers(provider, model):
    assert prices.cost(provider, model, Usage(1000, 100)) > 0


@needs_list
def test_provider_names_that_differ_exist_in_genai_prices():
    from genai_prices.data import providers as theirs

    ids = {provider.id for provider in theirs}
    assert set(prices.LISTED_AS.values()) <= ids
    assert not set(prices.LISTED_AS) & ids
    assert set(prices.LISTED_AS) <= set(PROVIDERS)


@pytest.mark.parametrize(
    ("provider", "model", "usage"),
    [
        ("anthropic", MODEL, None),
        ("anthropic", "no-such-model", Usage(10, 10)),
        ("anthropic", MODEL, Usage(10, 10, cached_tokens=99)),
        ("ollama", "gpt-5.5", Usage(10, 10)),
        ("a-name-of-a-configuration", "m", Usage(10, 10)),
    ],
)
def test_answers_without_a_price(provider, model, usage):
    assert prices.cost(provider, model, usage) is None


@pytest.mark.parametrize("provider", ["local", "replay"])
@pytest.mark.parametrize("usage", [None, Usage(10, 10), Usage(10, 10, cost_usd=0.5)])
def test_this_machine_and_recordings_cost_nothing(provider, usage):
    assert prices.cost(provider, "m", usage) == 0.0


@pytest.mark.parametrize("stated", [{}, {"cost": 0.5}])
def test_a_recording_is_within_every_limit(invoke, tmp_path, stated):
    recording, stats = str(tmp_path / "r"), str(tmp_path / "stats")
    end = frame({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    end += frame({"id": "c1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, **stated}})
    with Provider([head(), chat_text("Hello"), end, DONE]) as provider:
        invoke("gen", "-m", "openai/gpt-5.5", "--record", recording, "Hi", url=provider.url)
    args = ["-m", f"replay:{recording}", "--max-cost", "0.01", "-u", "--stats-file", stats]
    done = invoke("gen", *args, "Hi")
    assert (done.returncode, done.stdout) == (0, b"Hello\n")
    assert b" tokens in, 2 out, $0, " in done.stderr
    assert json.loads((tmp_path / "stats").read_text())["cost_usd"] == 0.0
    done = invoke("map", *args, input=b"Hi\n")
    assert (done.returncode, json.loads(done.stdout)["text"]) == (0, "Hello")
    assert b"; $0; " in done.stderr
    done = invoke("gen", "--dry-run", "-m", "local", "--max-cost", "0.01", "Hi")
    assert (done.returncode, done.stderr) == (0, b"")


@needs_list
def test_usage_and_statistics_show_the_price(invoke, tmp_path):
    counts = {"input_tokens": 3, "cache_read_input_tokens": 2000, "cache_creation_input_tokens": 100}
    start, *rest = messages("Hello")
    start = frame({"type": "message_start", "message": {"id": "m1", "model": "m", "usage": counts}})
    with Provider([head(), start, *rest]) as provider:
        stats = str(tmp_path / "stats")
        done = invoke("gen", "-u", "--stats-file", stats, "-m", f"anthropic/{MODEL}", "Hi", url=provider.url)
    record = json.loads((tmp_path / "stats").read_text())
    expected = prices.cost("anthropic", MODEL, Usage(2103, 2, 2000, 0, 100))
    assert (record["cost_usd"], record["cache_write_tokens"]) == (expected, 100)
    tokens = "2103 tokens in (2000 cached, 100 into the cache), 2 out"
    assert f"{tokens}, ${expected:.4f}, first after" in done.stderr.decode()


@pytest.mark.parametrize("model", ["openai/m", "openai/gpt-5.5"])
def test_without_genai_prices_no_price_is_shown(run, tmp_path, model):
    """The second model has a price, but the package that knows it cannot be imported."""
    (tmp_path / "genai_prices.py").write_text("raise ImportError\n")
    with Provider([head(), *chat("Hello")]) as provider:
        env = at(provider.url)
        env["PYTHONPATH"] = f"{tmp_path}:{env['PYTHONPATH']}"
        done = run("gen", "-u", "--stats-file", str(tmp_path / "stats"), "-m", model, "Hi", env=env)
    assert done.returncode == 0
    assert re.search(rb": 3 tokens in, 2 out, first after [^$]*\n", done.stderr)
    assert json.loads((tmp_path / "stats").read_text())["cost_usd"] is None


def test_the_answer_does_not_wait_for_its_price(tmp_path):
    """The prices are loaded after all text is out; here the import blocks until the test ends it."""
    word = tmp_path / "word"
    os.mkfifo(word)
    (tmp_path / "genai_prices.py").write_text(f"open({str(word)!r}).read()\nraise ImportError\n")
    with Provider([head(), *chat("Hello")]) as provider:
        env = at(provider.url)
        env["PYTHONPATH"] = f"{tmp_path}:{env['PYTHONPATH']}"
        process = subprocess.Popen(
            [*LLMSTREAM, "gen", "-u", "-m", "openai/gpt-5.5", "Hi"],
            env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout.read(6) == b"Hello\n"
        assert process.poll() is None
        word.write_text("go on")
        assert b"2 out" in process.communicate(timeout=WAIT_S)[1]


@needs_list
def test_statistics_name_the_model_that_answered_and_its_tier(invoke, tmp_path):
    counts = {"prompt_tokens": 1000, "completion_tokens": 100}
    text = {"model": "gpt-5-2025-08-07", "choices": [{"index": 0, "delta": {"content": "a"}}]}
    last = {"model": "gpt-5-2025-08-07", "service_tier": "flex", "choices": [], "usage": counts}
    with Provider([head(), frame(text), chat_end(usage=False), frame(last) + DONE]) as provider:
        stats = tmp_path / "stats"
        done = invoke("gen", "-u", "--stats-file", str(stats), "-m", "openai/gpt-6-luna", "Hi", url=provider.url)
    record = json.loads(stats.read_text())
    assert (record["model"], record["answered_by"], record["tier"]) == ("gpt-6-luna", "gpt-5-2025-08-07", "flex")
    assert record["cost_usd"] == prices.cost("openai", "gpt-5", Usage(1000, 100, tier="flex"))
    assert b"flex tier, $" in done.stderr
