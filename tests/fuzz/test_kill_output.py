"""A smaller run of `kill_output`."""

from __future__ import annotations

import random

import pytest

from ..bench import crowd
from .kill_output import gen, map_with_journal, run_killed


@pytest.mark.parametrize("make", [gen, pytest.param(map_with_journal, marks=pytest.mark.slow)])
def test_a_killed_run_leaves_the_file_whole(tmp_path, make):
    with crowd.running() as url:
        outcome = run_killed(url, tmp_path, make, 4, random.Random(5))
    assert outcome.good, outcome
    assert outcome.killed > 0
