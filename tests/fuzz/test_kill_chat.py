"""A smaller run of `kill_chat`."""

from __future__ import annotations

import random

from ..bench import crowd
from .kill_chat import kill_in_write, run_killed


def test_a_killed_run_leaves_whole_exchanges(tmp_path):
    with crowd.running() as url:
        outcome = run_killed(url, tmp_path, 4, random.Random(5))
    assert outcome.good, outcome
    assert outcome.killed > 0


def test_a_kill_within_the_write_leaves_whole_exchanges(tmp_path):
    with crowd.running() as url:
        outcome = kill_in_write(url, tmp_path, 2)
    assert outcome.good, outcome
