"""The fuzzers of JSON in text, for a moment."""

from __future__ import annotations

import random

import pytest

from . import braces, bulk, repair


@pytest.mark.parametrize("check", [braces.check_prose, braces.check_objects, braces.check_line_ends])
def test_braces_and_line_ends(check):
    rng = random.Random(7)
    for _ in range(60):
        check(rng)


def test_bulk():
    rng = random.Random(7)
    for _ in range(200):
        bulk.check(rng)


def test_repair():
    with pytest.raises(SystemExit) as ended:
        repair.main(300, 7)
    assert not ended.value.code
