"""Surrogate pairs split across deltas: a text that is cut by UTF-16 units is joined to the same text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.surrogates import REPLACEMENT, Joiner, scrub


def units(text: str) -> list[str]:
    """Returns the text's UTF-16 units, each as a string, as servers in JavaScript cut them."""
    data = text.encode("utf-16-le", "surrogatepass")
    return [chr(int.from_bytes(data[i : i + 2], "little")) for i in range(0, len(data), 2)]


@given(st.text())
def test_unit_by_unit(text):
    joiner = Joiner()
    assert "".join(joiner.feed("a", unit) for unit in units(text)) == text
    assert joiner.close() == []


@given(st.text("a🌊\ud83c\udf0a"), st.text("b🌊\ud83c\udf0a"))
def test_halves_of_different_texts(one, other):
    """Halves of two texts that grow at the same time are not joined."""
    joiner = Joiner()
    pieces: dict[str, str] = {"one": "", "other": ""}
    for i in range(max(len(one), len(other))):
        pieces["one"] += joiner.feed("one", one[i : i + 1])
        pieces["other"] += joiner.feed("other", other[i : i + 1])
    for key in joiner.close():
        pieces[key] += REPLACEMENT
    assert pieces == {"one": scrub(one), "other": scrub(other)}
    "".join(pieces.values()).encode()  # raises where half a character is left


def test_halves():
    assert scrub("\ud83c\udf0a") == "🌊"
    assert scrub("a\ud83cb") == "a\ufffdb"
    assert scrub("\udf0a\ud83c") == "\ufffd\ufffd"
    joiner = Joiner()
    assert joiner.feed(1, "a\ud83c") == "a"
    assert joiner.feed(2, "b") == "b"
    assert joiner.feed(1, "\udf0a!") == "🌊!"
    assert joiner.feed(2, "\ud83c") == ""
    assert joiner.close() == [2]
    assert joiner.close() == []
