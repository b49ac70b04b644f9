"""What decoders share: the pieces of tool calls, and texts of different blocks."""

from __future__ import annotations

from llmstream.core.decoder import Blocks, ToolCalls
from llmstream.core.events import ToolCall


def test_id_and_name_come_with_the_first_piece_only():
    calls = ToolCalls()
    assert calls.add("k", "c1", "f") == [ToolCall(0, "c1", "f", "")]
    assert calls.add("k", "c1", "f", "{") == [ToolCall(0, "", "", "{")]
    assert calls.add("k", arguments="}") == [ToolCall(0, "", "", "}")]
    assert calls.close() == []


def test_nothing_is_passed_on_before_the_name():
    calls = ToolCalls()
    assert calls.add(7, "c1", "", "{") == []
    assert len(calls) == 0
    assert calls.lack_name
    assert calls.add(7, "", "f", "}") == [ToolCall(0, "c1", "f", "{}")]
    assert not calls.lack_name


def test_a_call_without_a_name_takes_no_index():
    calls = ToolCalls()
    assert calls.add(0, "", "", "") == []
    assert not calls.lack_name
    assert calls.add(1, "c2", "g") == [ToolCall(0, "c2", "g", "")]


def test_an_empty_piece_is_nothing():
    calls = ToolCalls()
    calls.add(0, "c1", "f")
    assert calls.add(0, "c1", "f", "") == []


def test_calls_without_arguments_end_as_an_empty_object():
    calls = ToolCalls()
    calls.add(0, "c1", "f")
    calls.add(1, "c2", "g", "{}")
    calls.add(2, "c3", "query", is_json=False)
    assert calls.close() == [ToolCall(0, "", "", "{}")]
    assert calls.close() == []


def test_complete_arguments_add_what_is_new():
    calls = ToolCalls()
    calls.add(0, "c1", "f", '{"a"')
    assert calls.complete(0, '{"a": 1}') == [ToolCall(0, "", "", ": 1}")]
    assert calls.complete(0, '{"a": 1}') == []
    assert calls.complete(0, "other") == []  # they contradict the pieces, which are out


def test_escaped_quotes_without_end_are_read_once():
    calls = ToolCalls()
    calls.add(0, "i", "f", '{"text": "' + '\\"' * 100_000)
    assert calls.break_off


def test_plain_text_never_breaks_off():
    calls = ToolCalls()
    calls.add(0, "c1", "query", "SELECT {", is_json=False)
    assert not calls.break_off
    calls.add(1, "c2", "f", '{"a": ')
    assert calls.break_off


def test_a_newline_between_blocks():
    blocks = Blocks()
    blocks.begin()
    assert blocks.add("One") == "One"
    assert blocks.add(" two") == " two"
    blocks.begin()
    blocks.begin()
    assert blocks.add("three\n") == "\nthree\n"
    blocks.begin()
    assert blocks.add("four") == "four"
    blocks.begin()
    assert blocks.add("\nfive") == "\nfive"
