"""The loop of many prompts, where the command shows it only now and then."""

from __future__ import annotations

import json

from ..loopback import Provider, reply

BUSY = reply("429 Too Many Requests", b"{}", "application/json", "Retry-After: 1")


def test_a_condition_that_is_met_between_two_tries_ends_the_prompt(run):
    with Provider(BUSY) as provider:
        done = run(
            "map", "-q", "-j", "1", "-m", "openai/m", "--until-seconds", "0.3", url=provider.url, input=b"a\nb\n"
        )
        records = [json.loads(line) for line in done.stdout.splitlines()]
        assert [(record["index"], record["finish"]) for record in records] == [(0, "cancelled"), (1, "cancelled")]
        assert len(provider.requests) == 2
