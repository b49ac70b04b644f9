"""A smaller run of `kill_batch`."""

from __future__ import annotations

import random

import pytest

from .kill_batch import REQUESTS, named_moments, run_named, run_random

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("api", REQUESTS)
def test_each_prompt_is_asked_once_after_kill_9_at_any_request(api):
    outcomes = run_named(api)
    assert [outcome for outcome in outcomes if outcome.wrong] == []
    assert sum(outcome.killed for outcome in outcomes) == sum(map(len, named_moments(api))) + 1


@pytest.mark.parametrize("api", REQUESTS)
def test_each_prompt_is_asked_once_after_kill_9_at_random_moments(api):
    outcomes = run_random(api, 4, random.Random(3))
    assert [outcome for outcome in outcomes if outcome.wrong] == []
