"""A smaller run of `kill_map`."""

from __future__ import annotations

import random

import pytest

from ..bench import crowd
from .kill_map import Series, run_killed, run_limited

pytestmark = pytest.mark.slow


@pytest.fixture
def series(tmp_path):
    with crowd.running() as url:
        yield Series(url, tmp_path, 80)


def test_no_prompt_in_the_journal_is_sent_again_after_kill_9(series):
    outcome = run_killed(series, 5, random.Random(7))
    assert outcome.good, outcome
    assert outcome.stopped > 0
    assert outcome.in_journal == sorted(outcome.in_journal) and outcome.in_journal[-1] > 0


def test_a_journal_at_a_file_size_limit_loses_nothing(series):
    outcome = run_limited(series, [2000, 14000])  # the first may be less than one commit
    assert outcome.good, outcome
    assert outcome.stopped == 2
    assert outcome.in_journal == sorted(outcome.in_journal) and outcome.in_journal[-1] > 0
