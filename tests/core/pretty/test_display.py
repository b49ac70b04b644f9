"""What a terminal shows of Markdown that streams: the same for any chunks, each line once, no foreign sequences."""

from __future__ import annotations

import re
from pathlib import Path

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmstream.core.markdown.leaves import HELD
from llmstream.core.pretty import layout, tables
from llmstream.core.pretty.display import Document, PrettyDisplay
from llmstream.core.pretty.highlight import Highlighter
from llmstream.core.pretty.rows import Rows

from ...support.chunks import cut, same

SAMPLE = Path(__file__).with_name("sample.md").read_bytes()
OURS = re.compile(r"\x1b\[(?:[0-9;]*m|J|K|[0-9]+[AB]|\?25[lh]|\?7[lh]|\?2026[lh])")


class Terminal:
    """A terminal in memory; `rows` are those of the screen, and those that have scrolled away."""

    def __init__(self, columns: int, lines: int) -> None:
        self.size = columns, lines
        self.screen = pyte.HistoryScreen(columns, lines, history=100_000)
        self._stream = pyte.ByteStream(self.screen)
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data
        self._stream.feed(data)

    def rows(self) -> list[str]:
        past = ["".join(line[x].data for x in range(self.size[0])) for line in self.screen.history.top]
        rows = [row.rstrip() for row in [*past, *self.screen.display]]
        while rows and not rows[-1]:
            rows.pop()
        return rows


def drawn(chunks: list[bytes], columns: int = 40, lines: int = 12) -> list[str]:
    terminal = Terminal(columns, lines)
    display = PrettyDisplay(lambda: (columns, lines), True)
    for chunk in chunks:
        terminal.write(display.feed(chunk))
    terminal.write(display.close())
    assert not terminal.screen.cursor.hidden
    assert terminal.screen.cursor.x == 0
    assert terminal.written[-1:] in (b"", b"\n", b"\r")
    return terminal.rows()


@pytest.mark.parametrize(("columns", "lines"), [(40, 12), (40, 4), (12, 3), (80, 24), (40, 2)])
def test_a_terminal_shows_the_same_for_any_chunks(columns, lines):
    rows = same(lambda chunks: drawn(chunks, columns, lines), SAMPLE, 10)
    assert rows == drawn([SAMPLE], columns, 200)


def test_the_sample_as_it_is_drawn():
    assert drawn([SAMPLE], 40, 100) == Path(__file__).with_name("sample.txt").read_text().splitlines()


def test_the_open_block_is_shown_as_it_came_and_then_drawn():
    terminal, display = Terminal(30, 8), PrettyDisplay(lambda: (30, 8), True)
    terminal.write(display.feed(b"Some **bold"))
    assert terminal.rows() == ["Some **bold"]
    terminal.write(display.feed(b"** words"))
    assert terminal.rows() == ["Some **bold** words"]
    terminal.write(display.feed(b"\n\n- it"))
    assert terminal.rows() == ["Some bold words", "", "- it"]
    terminal.write(display.feed(b"em\n- n"))
    assert terminal.rows() == ["Some bold words", "", "• item", "- n"]
    terminal.write(display.close())
    assert terminal.rows() == ["Some bold words", "", "• item", "• n"]


def test_a_block_that_is_higher_than_the_screen_shows_its_end_and_scrolls_away_once():
    words = [f"word{number:03}" for number in range(60)]
    terminal, display = Terminal(20, 6), PrettyDisplay(lambda: (20, 6), True)
    for word in words:
        terminal.write(display.feed(f"{word} ".encode()))
    assert not terminal.screen.history.top
    assert words[-1] in "".join(terminal.rows())
    terminal.write(display.close())
    assert " ".join(terminal.rows()).split() == words


def test_code_is_finished_line_by_line():
    terminal, display = Terminal(30, 5), PrettyDisplay(lambda: (30, 5), True)
    lines = [f"x{number} = {number}" for number in range(20)]
    terminal.write(display.feed(b"```python\n"))
    for line in lines:
        terminal.write(display.feed(f"{line}\n".encode()))
        assert terminal.rows()[-1] == line
    assert terminal.rows()[1:] == lines


def test_a_note_takes_the_place_of_the_draft_which_is_drawn_below_it():
    terminal, display = Terminal(30, 8), PrettyDisplay(lambda: (30, 8), True)
    terminal.write(display.feed(b"One\n\nand *two"))
    terminal.write(display.flush() + b"llmstream gen: a note\r\n")
    assert terminal.rows() == ["One", "llmstream gen: a note"]
    terminal.write(display.feed(b"*"))
    terminal.write(display.close())
    assert terminal.rows() == ["One", "llmstream gen: a note", "", "and two"]


def test_a_note_of_another_process_does_no_harm():
    terminal, display = Terminal(30, 8), PrettyDisplay(lambda: (30, 8), True)
    terminal.write(display.feed(b"One\n\n" + b"word " * 20))
    terminal.write(b" " * 29 + b"\r" + b"llmstream gen: a note\r\n")  # as it begins a line that may not be empty
    terminal.write(display.close())
    assert [row for row in terminal.rows() if row] == [
        "One",
        "llmstream gen: a note",
        *["word " * 5 + "word"] * 3,
        "word word",
    ]


def test_a_new_width_holds_from_then_on():
    size = [30, 8]
    terminal, display = Terminal(60, 8), PrettyDisplay(lambda: (size[0], size[1]), True)
    terminal.write(display.feed(b"word " * 10))
    size[0] = 60
    terminal.write(display.feed(b"word " * 2))
    terminal.write(display.close())
    assert terminal.rows() == [("word " * 12).strip()]


ATTACKS = (
    *(
        "\x1b]52;c;cm0=\x07",
        "\x1b[2J",
        "\x9b31m",
        "\x1bP",
        "&#27;[2J",
        "&#x9b;2J",
        "<http://a/%1b[2J>",
        "\r",
        "\b",
        "\u202e",
    ),
    *(
        "[x](http://a/%1b]8;;b)",
        "![\x1b](\x1b[2J)",
        "`\x1b[2J`",
        "``` \x1b[2J\n",
        "# ",
        "|a|\x1bb|\n|-|-|\n",
        "\n",
        "- ",
        "> ",
    ),
    *("é", "中", "**", "~~", "\t", "x ", "\x7f", "```js\n", "&nbsp;", "\\\x1b", "\ud83d", "[^1]: "),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(ATTACKS), max_size=20), st.lists(st.integers(0, 300), max_size=6))
def test_no_sequence_of_the_text_reaches_the_terminal(parts, places):
    data = "".join(parts).encode("utf-8", "surrogatepass")
    display = PrettyDisplay(lambda: (40, 10), True)
    out = b"".join(display.feed(chunk) for chunk in cut(data, places)) + display.close()
    text = OURS.sub("", out.decode())
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text), text


def test_without_colours_there_are_none():
    document = Document(40, False)
    text = "\n".join([*document.feed(SAMPLE), *document.close()])
    used = set(re.findall(r"\x1b\[([0-9;]*)m", text))
    assert used
    assert not [code for codes in used for code in codes.split(";") if code and int(code) >= 30]


@pytest.mark.parametrize(
    "piece",
    [
        "words of **text** ",
        "x",
        "- a\n",
        "  - a\n",
        "1|2\n",
        "x = 1\n",
        "\n",
        "[",
        "*a ",
        "> ",
        "- ",
        "`",
        "/* ",
        "<a ",
    ],
)
@pytest.mark.parametrize("begin", ["", "```js\n", "a|b\n-|-\n"])
def test_the_output_of_an_endless_text_is_bounded(begin, piece):
    display = PrettyDisplay(lambda: (80, 24), True)
    display.feed(begin.encode())
    data = (piece * (40_000 // len(piece))).encode()
    out = display.feed(data) + display.close()
    assert len(out) < 12 * len(data) + 20_000


@pytest.mark.parametrize(("begin", "piece"), [("", "some words "), ("a|b\n-|-\n", "1|*2*\n"), ("```\n", "x = 1\n")])
def test_each_character_is_laid_out_a_few_times_however_long_its_block_is(monkeypatch, begin, piece):
    sizes = []

    def counted(function):
        def call(*args):
            sizes.append(sum(len(arg) for arg in args if isinstance(arg, str)))
            return function(*args)

        return call

    monkeypatch.setattr(Rows, "feed", counted(Rows.feed))
    monkeypatch.setattr(tables, "inline", counted(tables.inline))
    monkeypatch.setattr(layout, "inline", counted(layout.inline))
    monkeypatch.setattr(Highlighter, "feed", counted(Highlighter.feed))
    display = PrettyDisplay(lambda: (80, 24), True)
    display.feed(begin.encode())
    laid_out = []
    for _ in range(3):
        sizes.clear()
        for _ in range(2 * HELD // len(piece) // 10):
            display.feed((piece * 10).encode())
        laid_out.append(sum(sizes) / (2 * HELD))
    assert 0 < laid_out[0] < 5
    assert laid_out[1] < 5
    assert laid_out[2] < 1.1 * laid_out[1] + 0.1
