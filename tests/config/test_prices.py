"""The price of an answer in --usage and --stats-file, computed after the answer."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest

from llmstream.config import prices
from llmstream.core.events import Usage
from llmstream.providers.registry import PROVIDERS

from ..conftest import LLMSTREAM, at
from ..support import needs
from ..support.limits import WAIT_S
from ..support.loopback import Provider, chat, frame, head, messages

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
        ("local", "smollm2-135m", Usage(10, 10)),
        ("a-name-of-a-configuration", "m", Usage(10, 10)),
    ],
)
def test_answers_without_a_price(provider, model, usage):
    assert prices.cost(provider, model, usage) is None


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
