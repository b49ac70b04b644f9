"""Efforts, temperatures and tiers that are refused before anything is sent, where a model is known not to take them."""

from __future__ import annotations

import re
from typing import get_args

import pytest
from openai.types import ChatModel
from openai.types.responses.service_tier import ServiceTier

from llmstream.core.request import EFFORTS, Request, Tool
from llmstream.errors import UsageError, command_line, spell
from llmstream.providers import model_limits
from llmstream.providers.registry import OPENAI_TIERS, PROVIDERS
from llmstream.providers.resolve import resolve

from ..conftest import environment

KEYS = {key: "sk-test-key" for row in PROVIDERS.values() for key in row.key_env}


def body(model: str, env: dict[str, str] = KEYS, extra: dict[str, object] | None = None, **fields: object) -> dict:
    target = resolve(model, None, env)
    same_names = {name: fields.pop(name) for name in ("temperature", "top_p") if name in fields}
    extra_fields = tuple((extra or {}).items())
    return target.body(Request(target.model, "Hi", same_names=same_names, extra=extra_fields, **fields))


@pytest.mark.parametrize(
    ("model", "fields", "message"),
    [
        ("local", {"effort": "high"}, "smollm2-135m has no --effort high: leave it out"),
        ("local", {"effort": "none"}, "smollm2-135m has no --effort none: leave it out"),
        ("local", {"tools": (Tool("w", "", {}),)}, "smollm2-135m has no --tools: leave it out"),
        ("gpt-4o", {"effort": "low"}, "gpt-4o has no --effort low: leave it out"),
        ("gpt-4.1-mini", {"effort": "none"}, "gpt-4.1-mini has no --effort none: leave it out"),
        ("o3", {"effort": "minimal"}, "o3 has no --effort minimal: use one of low, medium, high"),
        ("o3", {"temperature": 0}, "o3 has no --temperature: leave it out"),
        ("gpt-5-mini", {"effort": "none"}, "gpt-5-mini has no --effort none: use one of minimal, low, medium, high"),
        ("gpt-5-pro", {"effort": "low"}, "gpt-5-pro has no --effort low: use --effort high"),
        ("gpt-5.1", {"effort": "minimal"}, "gpt-5.1 has no --effort minimal: use one of none, low, medium, high"),
        ("gpt-5.1", {"effort": "low", "top_p": 0.5},
         "gpt-5.1 has no --top-p while it thinks: use --effort none, or leave it out"),
        ("gpt-6-luna", {"temperature": 0.5},
         "gpt-6-luna has no --temperature while it thinks: use --effort none, or leave it out"),
        ("gpt-6-luna", {"effort": "minimal"},
         "gpt-6-luna has no --effort minimal: use one of none, low, medium, high, xhigh, max"),
        ("gemini/gemini-3-pro-preview", {"effort": "none"},
         "gemini-3-pro-preview has no --effort none: use one of minimal, low, medium, high"),
        ("groq/qwen/qwen3-32b", {"effort": "low"}, "qwen/qwen3-32b has no --effort low: use --effort none"),
        ("groq/openai/gpt-oss-20b", {"effort": "none"},
         "openai/gpt-oss-20b has no --effort none: use one of low, medium, high"),
        ("mistral-small-latest", {"effort": "low"}, "mistral-small-latest has no --effort low: use one of none, high"),
        ("grok-4.5", {"effort": "none"}, "grok-4.5 has no --effort none: use one of low, medium, high"),
        ("gpt-6-luna", {"extra": {"service_tier": "turbo"}},
         "openai has no service_tier 'turbo': use one of auto, default, flex, scale, priority, fast, ultrafast"),
        ("claude-sonnet-5-5", {"extra": {"service_tier": "flex"}},
         "anthropic has no service_tier 'flex': use one of auto, standard_only"),
    ],
)  # fmt: skip
def test_one_line_says_what_a_model_takes(model, fields, message):
    with pytest.raises(UsageError) as error:
        body(model, **fields)
    assert spell(error.value.message, command_line) == message


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("gpt-4o", {"temperature": 0.5}),
        ("o3", {"effort": "high", "temperature": 1, "top_p": 1.0}),
        ("gpt-5.2", {"temperature": 0.5}),
        ("gpt-5.2", {"temperature": 0.5, "effort": "none"}),
        ("gpt-6-luna", {"temperature": 0.5, "effort": "none"}),
        ("openai/a-model-of-tomorrow", {"temperature": 0.5, "effort": "minimal"}),
        ("gpt-7", {"temperature": 0.5, "effort": "max"}),
        ("gpt-6-luna", {"extra": {"service_tier": "flex"}}),
        ("grok-4.3", {"effort": "none"}),
        ("together/openai/gpt-oss-20b", {"effort": "minimal", "extra": {"service_tier": "turbo"}}),
    ],
)
def test_all_else_is_sent(model, fields):
    assert body(model, **fields)


def test_a_server_at_another_address_may_have_other_models_of_that_name():
    assert body(
        "openai/gpt-4o", KEYS | {"OPENAI_BASE_URL": "http://other/v1"}, effort="low", extra={"service_tier": "x"}
    )


def test_the_rows_are_of_models_that_exist_and_of_efforts_that_exist():
    """No model has two rows, and each of OpenAI's rows has a model of the SDK's list or of this one."""
    names = [*get_args(ChatModel), "o3-pro", "gpt-5-pro", "gpt-5.5-pro"]
    for row in model_limits.OPENAI:
        assert [name for name in names if re.fullmatch(row.models, name)], row.models
    for name in names:
        assert sum(bool(re.fullmatch(row.models, name)) for row in model_limits.OPENAI) <= 1, name
    tables = [row.limits for row in PROVIDERS.values()]
    assert all({*limits.efforts, *(limits.sampling or ())} <= {*EFFORTS, ""} for table in tables for limits in table)


def test_openai_s_tiers_are_the_sdk_s():
    literal = next(arg for arg in get_args(ServiceTier) if get_args(arg))
    assert set(OPENAI_TIERS) == set(get_args(literal))


def test_the_command_says_so_before_it_connects(invoke):
    done = invoke("gen", "-n", "-t", "0.5", "-m", "gpt-6-luna", "Hi", env=environment(OPENAI_API_KEY="sk-test-key"))
    line = "gpt-6-luna has no --temperature while it thinks: use --effort none, or leave it out"
    assert (done.returncode, done.stderr.decode()) == (2, f"llmstream gen: {line}\n")


# Rows.


def test_deepseek_stops_thinking_by_a_field_of_its_own():
    assert body("deepseek", effort="none") == body("deepseek") | {"thinking": {"type": "disabled"}}
    assert body("deepseek", effort="max")["reasoning_effort"] == "max"


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("perplexity", "perplexity/sonar"),
        ("perplexity/sonar", "perplexity/sonar"),
        ("sonar", "perplexity/sonar"),
        ("perplexity/perplexity/sonar", "perplexity/sonar"),
        ("perplexity/openai/gpt-5.4", "openai/gpt-5.4"),
    ],
)
def test_perplexity_s_models_have_the_name_of_their_maker(name, model):
    target = resolve(name, None, KEYS)
    assert (target.provider, target.model, target.url) == (
        "perplexity", model, "https://api.perplexity.ai/v1/responses",
    )  # fmt: skip


def test_perplexity_gets_no_field_that_it_does_not_know():
    assert body("sonar", effort="low") == {
        "model": "perplexity/sonar", "input": "Hi", "stream": True, "reasoning": {"effort": "low"},
    }  # fmt: skip


def test_xai_speaks_responses():
    assert resolve("grok-4.5", None, KEYS).url == "https://api.x.ai/v1/responses"
