"""The page with answers that are long, or made to be slow: it draws them in steps, up to a bound."""

from __future__ import annotations

import pytest

from ..support.limits import RUN_S
from ..support.serving import END, ScriptedServer

MAX_SHOWN = 1_000_000
MEGABYTE = 1_000_000
SHAPES = {
    "stars": "*a",
    "words": "word ",
    "one word": "w",
    "lines": "a line\n",
    "items": "- a\n",
    "brackets": "[a](",
    "links": "[a](https://a.example) ",
    "ticks": "`a",
    "quotes": "> > > a\n",
    "astral": "\U0001f600",
}


def shown(visit, text: str, piece: int = 100_000):
    """Returns the page after an answer; fails where it takes longer than RUN_S, as on a page that is stuck."""
    pieces = [text[at : at + piece] for at in range(0, len(text), piece)]
    with ScriptedServer([*pieces, END]) as server:
        page = visit(server)
        page.fill("#prompt", "Hi")
        page.press("#prompt", "Enter")
        page.wait_for_selector(".turn:last-child .reason[data-state=complete]", timeout=1000 * RUN_S)
        page.wait_for_selector("#send:not([hidden])", timeout=1000 * RUN_S)
        return page


@pytest.mark.parametrize("shape", SHAPES)
def test_an_answer_of_a_few_hundred_kilobytes_is_shown_whole(visit, shape):
    text = SHAPES[shape] * (260_000 // len(SHAPES[shape]))
    page = shown(visit, text)
    if shape in ("stars", "words", "one word", "ticks", "astral"):
        length = page.evaluate(
            "document.querySelector('.turn:last-child .answer').textContent.replaceAll(/\\s/g, '').length"
        )
        letters = len("".join(text.split()).encode("utf-16-le")) // 2
        assert letters - 40 * 3 <= length + text.count("*") + text.count("`") and length <= letters
        assert "\ufffd" not in page.inner_text(".turn:last-child .answer")


@pytest.mark.parametrize("beginning", ["", "```\n"])
def test_ten_megabytes_are_drawn_up_to_a_bound(visit, beginning):
    page = shown(visit, beginning + "some words and a line end\n" * (10 * MEGABYTE // 26), 200_000)
    assert "too long to be shown" in page.inner_text(".turn:last-child .note")
    assert page.evaluate("document.querySelector('.turn:last-child .answer').textContent.length") <= MAX_SHOWN + 100
    assert page.evaluate("turns.at(-1).text.length") > 9.9 * MEGABYTE


def test_long_code_is_copied_whole(bare):
    lines = "".join(f"line {number}\n" for number in range(20_000))
    text = bare.evaluate(
        """(lines) => {
            const root = make("div");
            const markdown = new Markdown(root);
            for (const text of ["```py\\n", ...lines.match(/[^]{1,9999}/g), "```"]) {
                markdown.feed(text);
                markdown.render();
            }
            markdown.close();
            if (root.querySelectorAll("figure").length < 10) throw new Error("one element");
            return codeOf(root.querySelector("figure"));
        }""",
        lines,
    )
    assert text == lines.removesuffix("\n")


def test_small_pieces_are_counted_by_their_size(bare):
    shown = bare.evaluate("""() => {
        const turn = new Turn("x");
        for (let n = 0; n < 100; n += 1) { turn.undrawn = "word "; turn.drawText(); }
        return [turn.shown, turn.isCut, turn.part("answer").textContent.trimEnd().length];
    }""")
    assert shown == [500, False, 499]
