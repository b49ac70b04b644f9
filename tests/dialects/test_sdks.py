"""The official SDKs as judges: of the same bytes they make the same text, calls, usage and finish reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ..support import sdks
from ..support.transcripts import TRANSCRIPTS, Transcript, meaning, read

FAIR = [transcript for transcript in TRANSCRIPTS if not transcript.sdk]
UNFAIR = [transcript for transcript in TRANSCRIPTS if transcript.sdk]
MESSAGES = [transcript for transcript in FAIR if transcript.api == "messages" and transcript.is_whole]


def ours(transcript: Transcript) -> dict[str, Any]:
    exchange = transcript.exchange()
    found = meaning(exchange, read(exchange, [transcript.body]))
    finish, status = found.pop("finish"), found.pop("status")
    return {**found, "reason": (finish[1] or None) if finish else None, "failed": status != 0}


def without_usage(found: dict[str, Any], transcript: Transcript) -> dict[str, Any]:
    """A failed answer has no usage that we would print; some usage the SDK cannot read."""
    return found if transcript.sdk_usage and not found["failed"] else {**found, "usage": None}


@pytest.mark.parametrize("transcript", FAIR, ids=repr)
def test_the_sdk_reads_the_same(transcript):
    theirs = sdks.read(transcript).meaning()
    assert without_usage(ours(transcript), transcript) == without_usage(theirs, transcript)


@pytest.mark.parametrize("api", ["chat", "responses", "messages"])
@pytest.mark.parametrize(("place", "kind"), [(2, "cached"), (3, "reasoning"), (4, "written to a cache")])
def test_the_sdk_has_judged_tokens_of_every_kind(api, place, kind):
    """A transcript without any would agree on their number by chance."""
    judged = [transcript for transcript in FAIR if transcript.api == api and transcript.sdk_usage]
    counts = [(transcript.meaning["usage"] or []) + [0] * 5 for transcript in judged]
    assert any(count[place] for count in counts), f"no transcript has tokens of the kind: {kind}"


@pytest.mark.parametrize("transcript", MESSAGES, ids=repr)
def test_the_sdk_ends_up_with_the_same_message(transcript):
    theirs, found = sdks.final_message(transcript).meaning(), ours(transcript)
    for call in found["calls"] + theirs["calls"]:
        call[2] = json.loads(call[2] or "{}")
    assert without_usage(found, transcript) == without_usage(theirs, transcript)


@pytest.mark.parametrize("transcript", UNFAIR, ids=repr)
def test_where_the_sdk_is_no_judge(transcript):
    """Each reason not to ask the SDK still holds: a new version that reads such a stream well makes this fail."""
    try:
        theirs = sdks.read(transcript).meaning()
    except json.JSONDecodeError:  # not even an error of its own
        return
    assert without_usage(ours(transcript), transcript) != without_usage(theirs, transcript)
