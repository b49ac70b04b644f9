"""The page in Chromium: turns, editing, models, the keyboard, and what a screen reader is given."""

from __future__ import annotations

import pytest

from llmstream.core.events import Finish
from llmstream.errors import Unavailable

from ..support.browser import answer, send, wait_for_end
from ..support.serving import END, Gate, ScriptedServer

pytestmark = [pytest.mark.slow, pytest.mark.browser]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def model(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def requests_of(server: ScriptedServer) -> list[tuple[str, list]]:
    """Returns the prompts that arrived, each with the conversation before it."""
    requests = [generation.request for generation in server.generations]
    return [(request.prompt, request.options.get("messages", [])) for request in requests]


def converse(page, *questions: str) -> None:
    """Asks questions one after the other."""
    for question in questions:
        send(page, question)
        wait_for_end(page)


def test_a_question_is_sent_with_the_turns_before_it(visit):
    scripts = [
        ["The *Rhine*.", END],
        [Unavailable("overloaded")],
        ["The Po", [Finish("length", "length")]],
        ["Yes.", END],
    ]
    with ScriptedServer(*scripts) as server:
        page = visit(server)
        converse(page, "A river?", "Lost", "Another?")
        assert page.locator(".turn").count() == 3
        assert page.locator(".question").all_inner_texts() == ["A river?", "Lost", "Another?"]
        assert page.locator(".turn:last-child .reason").inner_text() == "cut at the length limit"
        converse(page, "Sure?")
        first = [user("A river?"), model("The *Rhine*.")]
        # The question without an answer is left out, the answer that was cut is not.
        assert requests_of(server) == [
            ("A river?", []),
            ("Lost", first),
            ("Another?", first),
            ("Sure?", [*first, user("Another?"), model("The Po")]),
        ]


def test_a_question_is_edited_and_asked_again(visit):
    scripts = [["one", END], ["two", END], ["three", END], ["new", END], ["newer", END]]
    with ScriptedServer(*scripts) as server:
        page = visit(server)
        converse(page, "1", "2", "3")
        page.locator(".edit").nth(1).click()
        editor = page.locator(".editor textarea").nth(1)
        assert editor.input_value() == "2"
        editor.press("Escape")
        assert page.locator(".edit").nth(1).evaluate("button => button === document.activeElement")
        assert page.locator(".turn").count() == 3
        page.locator(".edit").nth(1).click()
        editor.fill("2nd")
        editor.press("Enter")
        page.locator(".turn:last-child .answer", has_text="new").wait_for()
        wait_for_end(page)
        assert page.locator(".question").all_inner_texts() == ["1", "2nd"]
        assert page.locator(".editor:visible").count() == 0
        page.click(".turn:last-child .again")
        page.locator(".turn:last-child .answer", has_text="newer").wait_for()
        before = [user("1"), model("one")]
        assert requests_of(server)[3:] == [("2nd", before), ("2nd", before)]


def test_asking_again_asks_the_model_that_is_chosen_now(visit):
    with ScriptedServer([Unavailable("overloaded")], ["ok", END], models=("fast",)) as server:
        page = visit(server)
        converse(page, "Hi")
        page.fill("#model", "fast")
        page.click(".turn:last-child .again")
        page.locator(".turn:last-child .answer", has_text="ok").wait_for()
        assert page.locator(".turn:last-child .model").inner_text() == "fast"
        assert page.locator(".turn:last-child .failure").is_hidden()
    assert server.generations[1].request.options["model"] == "fast"
    assert requests_of(server) == [("Hi", []), ("Hi", [])]


def test_asking_again_ends_the_answer_that_is_under_way(visit):
    never = Gate()
    with ScriptedServer(["one", END], ["two", never], ["three", END]) as server:
        page = visit(server)
        converse(page, "1")
        send(page, "2")
        page.locator(".turn:last-child .answer", has_text="two").wait_for()
        page.locator(".again").first.click()
        page.locator(".answer", has_text="three").wait_for()
        wait_for_end(page)
        assert server.generations[1].closed.is_set()
        assert page.locator(".answer").all_inner_texts() == ["three"]
    assert requests_of(server)[2] == ("1", [])


def test_a_new_conversation_forgets_the_turns(visit):
    never = Gate()
    with ScriptedServer(["one", END], ["two", never], ["three", END]) as server:
        page = visit(server)
        assert page.locator("#new").is_hidden()
        converse(page, "1")
        send(page, "2")
        page.locator(".turn:last-child .answer", has_text="two").wait_for()
        page.click("#new")
        assert page.locator(".turn").count() == 0
        assert page.locator("#hint").is_visible()
        converse(page, "3")
        assert answer(page) == "three"
        assert page.evaluate("[sessionStorage.length, localStorage.length]") == [0, 0]
    assert requests_of(server)[2] == ("3", [])


def test_the_models_of_the_server_are_offered(visit):
    with ScriptedServer(model="big", models=("fast", "default"), allow_models=("openai/x", "y/*")) as server:
        page = visit(server)
        page.wait_for_selector("#models option", state="attached")
        names = page.locator("#models option").evaluate_all("options => options.map(option => option.value)")
        assert names == ["big", "fast", "openai/x"]


def test_the_keyboard_is_enough(visit):
    with ScriptedServer(["one\n\n```py\nx\n```", END], ["two", END], ["three", END]) as server:
        page = visit(server, permissions=["clipboard-read", "clipboard-write"])
        page.keyboard.type("1")
        page.keyboard.press("Enter")
        wait_for_end(page)
        page.keyboard.type("2")
        page.keyboard.press("Enter")
        page.locator(".turn:last-child .answer", has_text="two").wait_for()
        wait_for_end(page)
        assert page.evaluate("document.activeElement.id") == "prompt"
        page.focus("#new")
        order = []
        for _ in range(11):
            page.keyboard.press("Tab")
            order.append(
                page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText")
            )
            assert (
                page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
                or order[-1] == "Prompt"
            )
        turn = ["Edit question", "Copy answer", "Ask again"]
        code = [turn[0], "Copy code", *turn[1:]]
        assert order == [*code, *turn, "System prompt", "Prompt", "Model", ""]
        page.focus("#new")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.keyboard.press("End")
        page.keyboard.type("st")
        page.keyboard.press("Enter")
        page.locator(".answer", has_text="three").wait_for()
        assert page.locator(".question").all_inner_texts() == ["1st"]
        assert page.evaluate("document.activeElement.id") == "prompt"


def test_what_a_screen_reader_is_given(visit):
    gate = Gate()
    with ScriptedServer(["# Rivers\n\nThe", gate, " Rhine\n", END]) as server:
        page = visit(server)
        send(page, "Name one")
        page.locator(".answer", has_text="The").wait_for()
        # The text that arrives is announced once it is complete: until then its region is busy.
        assert page.locator(".answer").get_attribute("aria-busy") == "true"
        assert page.locator("#live").inner_text() == "Answering."
        gate.open()
        wait_for_end(page)
        assert page.locator(".answer").get_attribute("aria-busy") == "false"
        tree = page.locator("body").aria_snapshot()
    for line in (
        '- heading "llmstream" [level=1]',
        '- button "New conversation"',
        '- log "Conversation":',
        '- group "Question":',
        '- button "Edit question"',
        '- article "Answer":',
        '- heading "Rivers" [level=2]',
        '- button "Copy answer"',
        '- button "Ask again"',
        '- textbox "Prompt"',
        '- combobox "Model"',
        '- switch "Stop at first code block"',
        '- button "Send" [disabled]',
        "- status: The answer is complete.",
    ):
        assert line in tree, tree
