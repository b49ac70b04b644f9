"""The attacks on serve, for a moment each: answers and memory. The times need an idle machine: the table has them."""

from __future__ import annotations

import re
import sys

import pytest

from . import serve


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_attacks_are_refused_in_bounded_memory():
    with serve.running() as server:
        for attack in serve.ATTACKS:
            few = attack._replace(clients=1) if attack.run is serve.crowd else attack  # times 300 connections
            result = server.measure(few, 0.3)
            assert result.memory <= serve.MAX_MEMORY_MB, attack.name
            for answer in result.answers.split():
                assert re.fullmatch(attack.expected, answer), attack.name
