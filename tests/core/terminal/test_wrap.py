"""Word wrap: no word is cut at the edge that fits on a line, and the words are the same, however the text is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.terminal.wrap import HOLD, MAX_HELD, WordWrap, width

from ...support import needs
from ...support.chunks import cut, same


def wrap(text: str | list[str], columns: int = 40) -> str:
    wrapper = WordWrap(lambda: columns)
    pieces = [text] if isinstance(text, str) else text
    return "".join([wrapper.feed(piece) for piece in pieces]) + wrapper.close()


def rows(text: str, columns: int) -> list[str]:
    """Returns the rows that a terminal makes of text without tabs."""
    lines, room = [""], columns
    for character in text:
        if character == "\n":
            lines.append("")
            room = columns
            continue
        if room < width(character):
            lines.append("")
            room = columns
        lines[-1] += character
        room -= width(character)
    return lines


CASES = {
    "prose": (
        "The Rhine rises in the Alps and ends in the North Sea.\nNext.",
        "The Rhine rises in the Alps and ends in\nthe North Sea.\nNext.",
    ),
    "a word that ends at the edge": (f"{'a' * 20} {'b' * 19} c", f"{'a' * 20} {'b' * 19}\nc"),
    "a newline behind the last column": (f"{'a' * 20} {'b' * 19}\nc", f"{'a' * 20} {'b' * 19}\nc"),
    "blanks at the edge": (f"{'a' * 20} {'b' * 18}    c", f"{'a' * 20} {'b' * 18}\nc"),
    "blanks at the end of a line": (f"{'a' * 39}   \nb  \n", f"{'a' * 39}\nb  \n"),
    "two blanks": ("a.  b", "a.  b"),
    "empty lines": ("\n\na\n\n", "\n\na\n\n"),
    "a long word at the start of a line": ("x" * 100 + " y", "x" * 100 + " y"),
    "a long word after others": (f"see {'x' * 100} y", f"see {'x' * 100} y"),
    "a long word near the edge": (f"{'a' * 30} {'x' * 50} y", f"{'a' * 30}\n{'x' * 50} y"),
    "code in a fence": (
        f"Run this:\n```sh\necho {'a' * 20} {'b' * 20} c\n```\n{'a' * 20} {'b' * 20}",
        f"Run this:\n```sh\necho {'a' * 20} {'b' * 20} c\n```\n{'a' * 20}\n{'b' * 20}",
    ),
    "code in a list": (
        f"1. So:\n\n   ~~~\n   {'a' * 20} {'b' * 20}\n   ~~~\n2. {'a' * 20} {'b' * 20}",
        f"1. So:\n\n   ~~~\n   {'a' * 20} {'b' * 20}\n   ~~~\n2. {'a' * 20}\n{'b' * 20}",
    ),
    "indented code": (f"    {'a' * 20} {'b' * 20}\n\t{'a' * 20} {'b' * 20}", None),
    "a nested item": (f"    - {'a' * 20} {'b' * 20}", f"    - {'a' * 20}\n{'b' * 20}"),
    "a table": (f"| {'a' * 20} | {'b' * 20} |", None),
    "Chinese": ("世界" * 30, None),
    "Chinese between words": (f"{'a' * 30} 世界世界世界世界", f"{'a' * 30} 世界世界世界世界"),
    "a wide character at the edge": (f"{'a' * 38} 世界", f"{'a' * 38}\n世界"),
    "combining characters": (
        "e\u0301" * 20 + " " + "e\u0301" * 19 + " x",
        "e\u0301" * 20 + " " + "e\u0301" * 19 + "\nx",
    ),
    "tabs": (f"a\tb\t{'c' * 24}d", f"a\tb\n{'c' * 24}d"),
    "a tab at the edge": (f"{'a' * 38}\t\tb", f"{'a' * 38}\t\tb"),
    "a word of combining characters": (f"{'a' * 20} b{chr(0x301) * 3000}", None),
    "no-break spaces": (f"{'a' * 30} bbbb\u00a0bbbbbbb", f"{'a' * 30}\nbbbb\u00a0bbbbbbb"),
}  # by what they show; None: nothing is wrapped


@pytest.mark.parametrize("text, wrapped", CASES.values(), ids=CASES)
def test_cases_at_every_cut(text, wrapped):
    assert same(wrap, text) == (text if wrapped is None else wrapped)


ANY = st.text(st.sampled_from("aaaaaabc      \n\t世é`|-1\u0301"), max_size=300)


@given(ANY, st.integers(1, 90), st.lists(st.integers(min_value=0)))
def test_any_text(text, columns, places):
    wrapped = wrap(text, columns)
    assert wrap(cut(text, places), columns) == wrapped
    assert wrapped.split() == text.split()


@given(st.text("aaaaaaaa bé世\n", max_size=300), st.integers(20, 90))
def test_no_word_that_fits_is_cut(text, columns):
    words = {word for word in text.split() if len(word) <= min(columns, HOLD) and "世" not in word}
    seen = {word for row in rows(wrap(text, columns), columns) for word in row.split()}
    if not text.startswith("    ") and "\n    " not in text:
        assert words <= seen


@given(ANY, st.integers(20, 90))
def test_no_more_than_a_word_is_held_back(text, columns):
    wrapper = WordWrap(lambda: columns)
    written = ""
    for end, character in enumerate(text, 1):
        written += wrapper.feed(character)
        held = len("".join(text[:end].split())) - len("".join(written.split()))
        assert held <= HOLD + text.count("\u0301")
        assert held == 0 or character not in " \t\n"


def test_pieces_of_a_word_are_written_at_once_far_from_the_edge():
    wrapper = WordWrap(lambda: 80)
    assert [wrapper.feed(piece) for piece in ("un", "break", "able", " ", "wo", "rd")] == [
        "un", "break", "able", "", " wo", "rd",
    ]  # fmt: skip


def test_a_flood_of_characters_without_a_width_is_not_held():
    wrapper = WordWrap(lambda: 40)
    out = wrapper.feed("a" * 30 + " ") + wrapper.feed("b" + "\u0301" * (MAX_HELD - 2))
    assert out == "a" * 30
    assert len(wrapper.feed("\u0301")) == MAX_HELD + 1
    assert len(wrapper.feed(" " * 5000)) > 5000 - MAX_HELD


def test_the_width_is_read_for_each_line():
    widths = iter([40, 30, 50, 20])
    wrapper = WordWrap(lambda: next(widths))
    text = "aaaa bbbb cccc dddd eeee ffff gggg hhhh iiii jjjj kkkk llll mmmm nnnn oooo pppp"
    assert (wrapper.feed(text) + wrapper.close()).split("\n") == [
        "aaaa bbbb cccc dddd eeee ffff gggg hhhh",
        "iiii jjjj kkkk llll mmmm nnnn",
        "oooo pppp",
    ]


@pytest.mark.parametrize("columns", [0, 1, 19])
def test_nothing_is_wrapped_where_the_width_is_unknown_or_small(columns):
    text = "some words that do not fit " * 5
    assert wrap(text, columns) == text


def test_flush_writes_the_word_and_begins_a_line():
    wrapper = WordWrap(lambda: 40)
    assert wrapper.feed("a" * 36 + " bc") == "a" * 36
    assert wrapper.flush() == " bc"
    assert wrapper.feed("de " + "f" * 30) == "de " + "f" * 30
    assert wrapper.close() == ""


def test_widths():
    assert [width(character) for character in "aé\u0301世あ한\uff57😀\u200d\ufe0f"] == [1, 1, 0, 2, 2, 2, 2, 2, 0, 0]


@needs.package("rich", "pretty")
@pytest.mark.parametrize(
    "text", ["Zürich", "e\u0301", "世界", "\u1112\u1161\u11ab", "ไทย", "עִבְרִית", "👩\u200d🚀", "─│→…"]
)
def test_text_has_the_width_that_drawn_markdown_has(text):
    from rich.cells import get_character_cell_size

    assert [width(character) for character in text] == [get_character_cell_size(character) for character in text]
