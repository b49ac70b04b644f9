"""The page in Chromium: typing, a growing answer, stopping, errors, and what the browser forbids."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from llmstream.core.events import REASONS, Finish, Reasoning, Source, Text, Usage
from llmstream.errors import Unavailable
from llmstream.serve import page as page_module
from llmstream.serve.request import Note

from ..support.browser import answer, send, wait_for_end
from ..support.limits import WAIT_S
from ..support.serving import END, Client, Gate, ScriptedServer, get

pytestmark = pytest.mark.slow


def test_an_answer_grows_on_the_page(visit):
    gates = [Gate(), Gate()]
    with ScriptedServer([gates[0], "The Rhine", gates[1], ", the Rhône\n", END], model="local") as server:
        page = visit(server)
        assert page.evaluate("document.activeElement.id") == "prompt"
        assert page.locator("#model").get_attribute("placeholder") == "local"
        send(page, "Name rivers")
        page.locator(".turn:last-child .reason", has_text="waiting").wait_for()
        assert page.locator(".turn:last-child .question").inner_text() == "Name rivers"
        gates[0].open()
        page.locator(".turn:last-child .answer", has_text="The Rhine").wait_for()
        assert page.locator("#stop").is_visible()
        assert page.locator(".turn:last-child .first").inner_text().startswith("first token ")
        assert not server.generations[0].closed.is_set()
        gates[1].open()
        wait_for_end(page)
        assert answer(page) == "The Rhine, the Rhône"
        assert page.locator(".turn:last-child .reason").inner_text() == "complete"
        assert page.locator(".turn:last-child .count").inner_text() == "3 tokens in, 2 out"
        assert page.locator("#live").inner_text() == "The answer is complete."
        assert page.evaluate("document.activeElement.id") == "prompt"
    request = server.generations[0].request
    assert request[:2] == ("Name rivers", {"model": "local", "reasoning": True})


def test_the_sources_are_listed_below_the_answer(visit):
    script = [
        "Snow melts.",
        [
            Source("https://a.example/x?y=1", "The <b>Alps</b>", 0, 4),
            Source("https://b.example/"),
            Source("https://a.example/x?y=1", "The <b>Alps</b>", 5, 10),
            Source("javascript:document.title='owned'", "click"),
            Source("data:text/html,x"),
            Source("", "A report"),
        ],
        [Usage(3, 2, cost_usd=0.0125), Finish("stop", "stop")],
    ]
    with ScriptedServer(script, ["No source.", END]) as server:
        page = visit(server)
        send(page)
        wait_for_end(page)
        items = page.locator(".turn:last-child .sources li")
        assert items.all_inner_texts() == [
            "The <b>Alps</b>a.example",
            "https://b.example/",
            "click - javascript:document.title='owned'",
            "data:text/html,x",
            "A report",
        ]
        links = page.locator(".turn:last-child .sources a").evaluate_all(
            "links => links.map(link => [link.href, link.rel, link.target])"
        )
        rest = ["noopener noreferrer nofollow", "_blank"]
        assert links == [["https://a.example/x?y=1", *rest], ["https://b.example/", *rest]]
        assert page.locator(".turn:last-child .count").inner_text() == "3 tokens in, 2 out, $0.0125"
        assert page.locator(".turn:last-child .sources").get_by_role("heading").inner_text() == "Sources"
        send(page, "Again")
        page.locator(".turn:last-child .answer", has_text="No source.").wait_for()
        wait_for_end(page)
        assert not page.locator(".turn:last-child .sources").is_visible()
        assert items.count() == 0


def test_notes_and_the_provider_s_explanation_are_shown(visit):
    script = ["x", [Note("an image is left out"), Finish("refusal", "refusal", "Ask for <i>less</i>.")]]
    with ScriptedServer(script, ["x", [Finish("unknown", "new")]]) as server:
        page = visit(server)
        send(page)
        wait_for_end(page)
        assert page.locator(".turn:last-child .note").inner_text() == "an image is left out\nAsk for <i>less</i>."
        assert page.locator(".turn:last-child .reason").inner_text() == "refused by the model"
        send(page, "Again")
        page.locator(".turn:last-child .failure", has_text="may be incomplete (finish reason new)").wait_for()
        assert not page.locator(".turn:last-child .note").is_visible()


def test_every_finish_reason_has_words():
    words = re.search(r"REASONS = \{(.*?)\}", page_module.read()[0].decode(), re.S)[1]
    assert set(re.findall(r"(\w+): \"", words)) == set(REASONS)


def test_the_form_s_fields_reach_the_server(visit):
    with ScriptedServer() as server:
        page = visit(server)
        page.locator("summary", has_text="System prompt").click()
        page.fill("#system", "Be brief.")
        page.fill("#model", "openai/x")
        page.get_by_role("switch").check()
        page.locator("#prompt").press_sequentially("One")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("Two")
        page.click("#send")
        wait_for_end(page)
    request = server.generations[0].request
    options = {"system": "Be brief.", "model": "openai/x", "until": {"code_block": True}, "reasoning": True}
    assert request[:2] == ("One\nTwo", options)


@pytest.mark.parametrize("how", ["button", "escape", "navigation"])
def test_stopping_ends_the_generation_on_the_server(visit, how):
    never = Gate()
    with ScriptedServer(["so far", never]) as server:
        page = visit(server)
        send(page)
        page.locator(".turn:last-child .answer", has_text="so far").wait_for()
        if how == "button":
            page.click("#stop")
        elif how == "escape":
            page.keyboard.press("Escape")
        else:
            page.goto("about:blank")
        assert server.generations[0].closed.wait(WAIT_S)
        server.settle()
        assert not server.generations[0].complete
        if how != "navigation":
            wait_for_end(page)
            assert answer(page) == "so far"
            assert page.locator(".turn:last-child .reason").inner_text() == "stopped by you"
            assert page.locator(".turn:last-child .failure").is_hidden()
            assert page.evaluate("document.activeElement.id") == "prompt"


def test_stopping_before_the_first_token(visit):
    never = Gate()
    with ScriptedServer([never], ["x", END]) as server:
        page = visit(server)
        send(page)
        assert never.reached.wait(WAIT_S)
        page.keyboard.press("Escape")
        assert server.generations[0].closed.wait(WAIT_S)
        wait_for_end(page)
        send(page)
        page.locator(".turn:last-child .reason", has_text="complete").wait_for()
        assert answer(page) == "x"


def test_an_error_is_shown_below_the_partial_answer(visit):
    with ScriptedServer(["so **far**", Unavailable("overloaded")], ["better", END]) as server:
        page = visit(server)
        send(page)
        wait_for_end(page)
        assert answer(page) == "so far"
        assert page.locator(".turn:last-child .failure p").inner_text() == "Not available now: overloaded"
        assert page.locator(".turn:last-child .reason").inner_text() == "failed"
        page.click(".turn:last-child .again")
        page.locator(".turn:last-child .reason", has_text="complete").wait_for()
        assert answer(page) == "better"
        assert page.locator(".turn:last-child .failure").is_hidden()


def test_a_wrong_request_is_shown(visit):
    with ScriptedServer() as server:
        page = visit(server, expected=("400",))
        page.fill("#model", "replay:x")
        send(page)
        page.locator(".turn:last-child .failure", has_text="a request cannot name a model that is a file").wait_for()


def test_a_broken_connection_is_shown(visit):
    gate = Gate()
    with ScriptedServer(["so far", gate]) as server:
        page = visit(server, expected=("ERR_", "Failed"))
        send(page)
        page.locator(".turn:last-child .answer", has_text="so far").wait_for()
        server.on_loop(lambda: [one.transport.abort() for one in list(server.connections)])
        page.locator(".turn:last-child .failure", has_text="Cannot reach the server").wait_for()
        assert answer(page) == "so far"


def test_the_reason_of_an_early_end_is_shown(visit):
    for events, reason in [
        ([Finish("length", "length")], "cut at the length limit"),
        ([Finish("until", "")], "stop condition met"),
        ([Finish("refusal", "refusal")], "refused by the model"),
    ]:
        with ScriptedServer(["x", events]) as server:
            page = visit(server)
            send(page)
            page.locator(".turn:last-child .reason", has_text=reason).wait_for()


def test_the_page_asks_for_a_token_and_keeps_it_for_the_session(visit):
    with ScriptedServer(token="sësame", model="m") as server:
        page = visit(server, expected=("401",))
        page.locator("#token-form").wait_for(state="visible")
        page.fill("#token", "wrong")
        page.keyboard.press("Enter")
        page.locator("#token-form").wait_for(state="visible")
        send(page)
        page.locator(".turn:last-child .failure", has_text="token").wait_for()
        page.fill("#token", "s\u00ebsame")
        page.keyboard.press("Enter")
        page.locator("#token-form").wait_for(state="hidden")
        page.click(".turn:last-child .again")
        page.locator(".turn:last-child .reason", has_text="complete").wait_for()
        assert page.locator("#model").get_attribute("placeholder") == "m"
        assert page.evaluate("[Object.keys(sessionStorage), localStorage.length, document.cookie]") == [
            ["token"],
            0,
            "",
        ]


def test_reasoning_is_collapsed(visit):
    with ScriptedServer([[Reasoning("hm <b>")], "x", END]) as server:
        page = visit(server)
        send(page)
        wait_for_end(page)
        assert page.locator(".turn:last-child .reasoning div").is_hidden()
        page.locator(".turn:last-child .reasoning summary").click()
        assert page.locator(".turn:last-child .reasoning div").inner_text() == "hm <b>"


def test_copying(visit):
    text = "A\n\n```py\nx = 1\n\ty\n```\n\n*b*"
    with ScriptedServer([text, END]) as server:
        page = visit(server, permissions=["clipboard-read", "clipboard-write"])
        send(page)
        wait_for_end(page)
        page.click("figcaption button")
        page.locator("figcaption button", has_text="Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == "x = 1\n\ty"
        page.click(".turn:last-child .copy")
        page.locator(".turn:last-child .copy", has_text="Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == text


# What the browser forbids.


def test_the_policy_allows_the_page_and_nothing_else():
    with ScriptedServer() as server:
        status, headers, body = get(server, "/")
        assert (status, body) == (200, page_module.read()[0])
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert "unsafe" not in policy
        with Client(server) as client:
            assert client.send("HEAD", "/").until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    text = body.decode()
    assert not [
        sink for sink in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(") if sink in text
    ]
    library = (Path(page_module.ASSETS) / "markdown-it.umd.min.js").read_text()
    assert library in text
    assert re.findall(r"https?://|src=|@import|url\(", text.replace(library, "")) == []
    assert "<script" not in library  # which would need another end tag, HTML 13.2.5.18
    assert text.count("<script>") == text.count("</script>") == policy.partition("style-src")[0].count("'sha256-")


def test_the_page_is_sent_once_until_it_changes():
    with ScriptedServer() as server:
        _, headers, _ = get(server, "/")
        assert headers["cache-control"] == "no-cache"
        for etags, status in ((headers["etag"], b"304"), (f'"x", W/{headers["etag"]}', b"304"), ('"x"', b"200")):
            with Client(server) as client:
                head = client.send("GET", "/", if_none_match=etags).until(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 " + status)
                assert headers["etag"].encode() in head and b"content-security-policy" in head


def test_the_library_is_the_version_that_its_licence_names():
    licence = (Path(page_module.ASSETS) / "markdown-it.LICENSE.txt").read_text()
    library = (Path(page_module.ASSETS) / "markdown-it.umd.min.js").read_bytes()
    assert f"SHA-256: {hashlib.sha256(library).hexdigest()}\n" in licence


def test_scripts_from_elsewhere_do_not_run(visit):
    with ScriptedServer() as server:
        page = visit(server, expected=("Content Security Policy", "violates", "Trusted"))
        page.evaluate("""() => {
          const script = document.createElement("script");
          script.append("document.title = 'owned'");
          document.body.append(script);
        }""")
        for element, sink in (("script", "textContent"), ("script", "src"), ("div", "innerHTML"), ("iframe", "srcdoc")):
            error = page.evaluate(
                """([element, sink]) => {
                  const node = document.createElement(element);
                  try { node[sink] = "document.title = 'owned'"; } catch (error) { return error.name; }
                }""",
                [element, sink],
            )
            assert error == "TypeError", sink  # Trusted Types
        assert page.title() == "llmstream"


@pytest.mark.parametrize("width", [320, 400, 1200])
def test_nothing_is_wider_than_the_viewport(visit, width):
    text = "x" * 300 + "\n\n```\n" + "y" * 300 + "\n```\n\n|a|b|\n|-|-|\n|" + "z" * 200 + "|q|\n"
    with ScriptedServer([text, END]) as server:
        page = visit(server, viewport={"width": width, "height": 600})
        send(page, "w" * 200)
        wait_for_end(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_page_scrolled_back_stays_there(visit):
    gate = Gate()
    with ScriptedServer(["line\n\n" * 100, gate, "line\n\n" * 100, END]) as server:
        page = visit(server, viewport={"width": 600, "height": 500})
        send(page)
        page.wait_for_selector(".turn:last-child .answer p:nth-child(100)")
        at_end = "innerHeight + scrollY >= document.documentElement.scrollHeight - 48"
        page.wait_for_selector(".turn:last-child .answer p:nth-child(99)")
        assert page.evaluate(f"new Promise((resolve) => requestAnimationFrame(() => resolve({at_end})))")
        page.evaluate("scrollTo(0, 100)")
        gate.open()
        wait_for_end(page)
        assert page.evaluate("scrollY") == 100


def test_typing_during_an_answer(visit):
    gate = Gate()
    with ScriptedServer(["x", gate, END]) as server:
        page = visit(server)
        send(page)
        page.locator(".turn:last-child .answer", has_text="x").wait_for()
        page.keyboard.type("next")
        page.keyboard.press("Enter")  # which does not send
        assert page.locator("#prompt").input_value() == "next"
        gate.open()
        wait_for_end(page)
        assert len(server.generations) == 1
        page.keyboard.press("Enter")
        page.locator(".turn:last-child .question", has_text="next").wait_for()


def test_reduced_motion_switches_animations_off(visit):
    never = Gate()
    with ScriptedServer([[Text("x")], never]) as server:
        page = visit(server, reduced_motion="reduce")
        send(page)
        page.locator(".turn:last-child .answer .open").wait_for()
        assert page.evaluate("getComputedStyle(document.querySelector('.open'), '::after').animationName") == "none"
