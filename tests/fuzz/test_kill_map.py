"""A smaller run of tests/fuzz/kill_map.py."""

from __future__ import annotations

import random

import pytest

from ..bench import crowd
from .kill_map import Series, killed, limited

pytestmark = pytest.mark.slow


@pytest.fixture
def series(tmp_path):
    with crowd.running() as url:
        yield Series(url, tmp_path, 80)


def test_nothing_that_is_in_the_journal_is_asked_again_after_kill_9(series):
    outcome = killed(series, 5, random.Random(7))
    assert outcome.good, outcome
    assert outcome.stopped > 0
    assert outcome.kept == sorted(outcome.kept) and outcome.kept[-1] > 0


def test_a_journal_that_can_grow_no_further_loses_nothing(series):
    outcome = limited(series, [2000, 14000])  # the first may be less than one commit
    assert outcome.good, outcome
    assert outcome.stopped == 2
    assert outcome.kept == sorted(outcome.kept) and outcome.kept[-1] > 0
