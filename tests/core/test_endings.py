"""How an answer ends decides whether it is whole: each word, in each dialect, and no word at all."""

from __future__ import annotations

import pytest

from ..support import endings
from ..support.endings import UNKNOWN_WORD, answer, outcome
from ..support.loopback import DONE, frame

WHOLE = [
    ("chat", "stop tool_calls function_call eos end_turn stop_sequence STOP Stop"),
    ("responses", "completed"),
    ("messages", "end_turn stop_sequence tool_use"),
    ("gemini", "STOP stop"),
    ("ollama", "stop"),
]
NOT_WHOLE = [
    ("chat", "length max_tokens model_length MAX_TOKENS pause_turn MALFORMED_FUNCTION_CALL malformed_response error"),
    ("responses", "max_output_tokens max_messages steered incomplete"),
    ("messages", "max_tokens model_context_window_exceeded pause_turn compaction"),
    ("gemini", "MAX_TOKENS MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS MALFORMED_RESPONSE"),
    ("gemini", "MISSING_THOUGHT_SIGNATURE OTHER NO_IMAGE max_tokens other"),
    ("ollama", "length"),
]
REFUSED = [
    ("chat", "content_filter refusal SAFETY recitation language model_armor"),
    ("responses", "content_filter"),
    ("messages", "refusal"),
    ("gemini", "SAFETY RECITATION LANGUAGE BLOCKLIST PROHIBITED_CONTENT SPII MODEL_ARMOR IMAGE_SAFETY"),
    ("gemini", "IMAGE_PROHIBITED_CONTENT IMAGE_RECITATION IMAGE_OTHER safety"),
]
CASES = [
    (api, word, status)
    for rows, status in ((WHOLE, 0), (NOT_WHOLE, 5), (REFUSED, 3))
    for api, words in rows
    for word in words.split()
]


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


@pytest.mark.parametrize(("api", "word", "status"), CASES)
def test_status_of_a_finish_word(api, word, status):
    assert outcome(api, word).status == status
    assert outcome(api, word, bytewise(answer(api, word))).status == status


@pytest.mark.parametrize("api", endings.ANSWERS)
def test_an_unknown_word_is_not_whole(api):
    assert outcome(api, UNKNOWN_WORD) == (api, UNKNOWN_WORD, "unknown", 5)


START = frame({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant"}}]})
USAGE = frame({"id": "c", "model": "m", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 0}})
FINISH = frame({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
TEXT = frame({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": "a"}}]})


MARKS = [b"data:  [DONE]\n\n", b"data:[DONE] \n\n", b"data:\t[DONE]\t\n\n", b"data:   [DONE]  \r\n\r\n"]


@pytest.mark.parametrize("mark", MARKS)
def test_blanks_around_done(mark):
    for chunks in ([TEXT + mark], bytewise(TEXT + mark)):
        assert outcome("chat", "", chunks) == ("chat", "", "stop", 0)


@pytest.mark.parametrize("cut", ['{"river": "Aa', '{"river"', "{", '{"a": [1, 2', '{"a": {"b": 1}', '{"a": "\\'])
@pytest.mark.parametrize("word", ["tool_calls", "stop"])
def test_a_call_that_breaks_off_within_its_json_is_not_whole(cut, word):
    call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": cut}}
    body = frame({"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
    body += frame({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": word}]}) + DONE
    assert outcome("chat", word, [body])[2:] == ("incomplete", 5)


@pytest.mark.parametrize("whole", ['{"river": "Aare"}', "{}", "", " ", "null", '{"a": "{["}', '{"a": "\\"{"}', "river"])
def test_a_call_that_does_not_break_off_is_whole(whole):
    call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": whole}}
    body = frame({"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
    body += frame({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}) + DONE
    assert outcome("chat", "", [body])[2:] == ("tool_calls", 0)


@pytest.mark.parametrize(("word", "reason", "status"), [("stop", "stop", 0), ("length", "length", 5)])
def test_a_finish_word_that_text_follows_still_counts_at_done(word, reason, status):
    """Some gateways write it in every chunk, but not in the last."""
    choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": word}
    body = frame({"id": "c", "model": "m", "choices": [choice]}) + TEXT + DONE
    for chunks in ([body], bytewise(body)):
        assert outcome("chat", word, chunks)[2:] == (reason, status)
