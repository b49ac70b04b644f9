"""A smaller run of `kill_chat`."""

from __future__ import annotations

import random

from ..bench import crowd
from .kill_chat import run_killed


def test_a_killed_run_leaves_whole_exchanges(tmp_path):
    with crowd.running() as url:
        outcome = run_killed(url, tmp_path, 4, random.Random(5))
    assert outcome.good, outcome
    assert outcome.killed > 0
