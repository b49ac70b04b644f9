"""The official SDKs read the same text, calls, usage and finish reason from the same bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ..support import sdks
from ..support.transcripts import TRANSCRIPTS, Transcript, meaning, read

FAIR = [transcript for transcript in TRANSCRIPTS if not transcript.sdk]
UNFAIR = [transcript for transcript in TRANSCRIPTS if transcript.sdk]
MESSAGES = [transcript for transcript in FAIR if transcript.api == "messages" and transcript.is_complete]


def ours(transcript: Transcript) -> dict[str, Any]:
    exchange = transcript.exchange()
    found = meaning(exchange, read(exchange, [transcript.body]))
    finish, status = found.pop("finish"), found.pop("status")
    found.pop("sources")  # the SDKs leave them to their callers
    return {**found, "reason": (finish[1] or None) if finish else None, "failed": status != 0}


def without_usage(found: dict[str, Any], transcript: Transcript) -> dict[str, Any]:
    """Drops the usage of a failed answer, which llmstream does not report, and usage that the SDK cannot read."""
    return found if transcript.sdk_usage and not found["failed"] else {**found, "usage": None}


@pytest.mark.parametrize("transcript", FAIR, ids=repr)
def test_the_sdk_reads_the_same(transcript):
    theirs, found = sdks.read(transcript).meaning(), ours(transcript)
    for call in found["calls"] + theirs["calls"]:
        call[2] = call[2] or "{}"  # llmstream writes what the SDK's caller has to fill in
    assert without_usage(found, transcript) == without_usage(theirs, transcript)


@pytest.mark.parametrize("api", ["chat", "responses", "messages"])
@pytest.mark.parametrize(("place", "kind"), [(2, "cached"), (3, "reasoning"), (4, "written to a cache")])
def test_tokens_of_every_kind_are_compared(api, place, kind):
    """Without such tokens in a transcript both counts would be 0."""
    compared = [transcript for transcript in FAIR if transcript.api == api and transcript.sdk_usage]
    counts = [(transcript.meaning["usage"] or []) + [0] * 5 for transcript in compared]
    assert any(count[place] for count in counts), f"no transcript has tokens of the kind: {kind}"


@pytest.mark.parametrize("transcript", MESSAGES, ids=repr)
def test_final_message_of_the_sdk(transcript):
    theirs, found = sdks.final_message(transcript).meaning(), ours(transcript)
    for call in found["calls"] + theirs["calls"]:
        call[2] = json.loads(call[2] or "{}")
    assert without_usage(found, transcript) == without_usage(theirs, transcript)


@pytest.mark.parametrize("transcript", UNFAIR, ids=repr)
def test_reason_not_to_compare_with_the_sdk_holds(transcript):
    """A new version of an SDK that reads such a stream well makes this fail."""
    try:
        theirs = sdks.read(transcript).meaning()
    except (json.JSONDecodeError, TypeError):  # exceptions that are not the SDK's
        return
    assert without_usage(ours(transcript), transcript) != without_usage(theirs, transcript)
