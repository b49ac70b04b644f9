"""The loop of many prompts, where the command shows it only now and then."""

from __future__ import annotations

import json

from ..loopback import HOLD, Provider, head, reply

BUSY = reply("429 Too Many Requests", b"{}", "application/json", "Retry-After: 1")


def test_a_condition_that_is_met_between_two_tries_ends_the_prompt(run):
    """One is asked to wait for a second and is over before; the ninth is under way when that second has passed."""
    with Provider(BUSY, [head(), HOLD]) as provider:
        args = ["-q", "-m", "openai/m", "--until-seconds", "0.9"]
        done = run("map", *args, url=provider.url, input=b"prompt\n" * 9)
        records = [json.loads(line) for line in done.stdout.splitlines()]
        assert [record["finish"] for record in records] == ["cancelled"] * 9
        assert len(provider.requests) == 9
