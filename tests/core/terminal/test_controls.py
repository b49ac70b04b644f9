"""Control characters made visible, however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.terminal.controls import VisibleControls, visible
from llmstream.core.terminal.display import Display

from ...support.chunks import cut, same

CASES = {
    "clipboard (OSC 52)": (b"a\x1b]52;c;cm0gLXJm\x07b", "a^[]52;c;cm0gLXJm^Gb"),
    "title (OSC 0), ended by ST": (b"\x1b]0;title\x1b\\", "^[]0;title^[\\"),
    "cursor (CSI)": (b"\x1b[2J\x1b[1;1H\x1b[8mhidden\x1b[0m", "^[[2J^[[1;1H^[[8mhidden^[[0m"),
    "C1 in UTF-8": ("\x9b2J\x9d0;x\x9c\x85".encode(), "<U+009B>2J<U+009D>0;x<U+009C><U+0085>"),
    "C1 as raw bytes": (b"\x9b2J\x9d", "<9B>2J<9D>"),
    "a lone carriage return": (b"safe\rrm -rf", "safe^Mrm -rf"),
    "a carriage return at the end": (b"safe\r", "safe^M"),
    "lines of Windows": (b"a\r\nb\r\r\nc\r\n", "a\nb^M\nc\n"),
    "backspaces": (b"abc\b\b\bxyz", "abc^H^H^Hxyz"),
    "other controls": (bytes([0, 5, 7, 11, 12, 14, 15, 0x7F]), "^@^E^G^K^L^N^O^?"),
    "newline and tab": (b"a\tb\nc\n", "a\tb\nc\n"),
    "bidirectional controls": ("a\u202eb\u2066c\u2069\u202c".encode(), "a<U+202E>b<U+2066>c<U+2069><U+202C>"),
    "marks that right-to-left text has": ("\u200f\u05d0\u200e".encode(), "\u200f\u05d0\u200e"),
    "text": ("Grüße, 世界 👩‍🚀 e\u0301\n".encode(), "Grüße, 世界 👩‍🚀 e\u0301\n"),
    "invalid UTF-8": (b"\xff\xc3(\xe2\x82", "<FF><C3>(<E2><82>"),
    "half a surrogate pair, encoded": (b"\xed\xa0\x80", "<ED><A0><80>"),
    "a control within a character": (b"\xe2\x1b\x82", "<E2>^[<82>"),
}


def shown(chunks: list[bytes]) -> str:
    controls = VisibleControls()
    return "".join([controls.feed(chunk) for chunk in chunks]) + controls.close()


@pytest.mark.parametrize("data, text", CASES.values(), ids=CASES)
def test_cases_at_every_cut(data, text):
    assert same(shown, data) == text


@given(st.binary(), st.lists(st.integers(min_value=0)))
def test_any_bytes(data, places):
    text = shown([data])
    assert shown(cut(data, places)) == text
    assert not [c for c in text if (c < " " and c not in "\n\t") or "\x7f" <= c <= "\x9f"]
    assert visible(text) == text


@given(st.text(st.sampled_from("ab é世\n\t\r\x1b\x9b")), st.lists(st.integers(min_value=0)))
def test_a_display_shows_the_same_for_any_chunks(text, places):
    def run(chunks: list[bytes]) -> bytes:
        display = Display(lambda: 30)
        return b"".join([display.feed(chunk) for chunk in chunks]) + display.close()

    data = text.encode()
    assert run(cut(data, places)) == run([data])


def test_at_most_a_character_and_a_carriage_return_are_held():
    controls = VisibleControls()
    assert controls.feed(b"a\r") == "a"
    assert controls.feed(b"\xe2") == ""
    assert controls.feed(b"\x82") == ""
    assert controls.feed(b"\xac") == "^M€"
    assert controls.close() == ""
