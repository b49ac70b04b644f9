"""The page, in Chromium: typing, an answer that grows, stopping, failures, and text that wants to be more than text."""

from __future__ import annotations

import re

import pytest

from llmstream.core.events import Finish, Reasoning, Text
from llmstream.errors import Incomplete, Unavailable
from llmstream.serve import page as served

from . import browser as chromiums
from .serving import END, WAIT, Client, Scripted, Word, get

pytest.importorskip("playwright", reason="playwright is not installed")
if not chromiums.CHROMIUM:
    pytest.skip("chromium is not installed", allow_module_level=True)

ATTACKS = [
    "<script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title = 'owned'\">",
    "[click](javascript:document.title='owned')",
    "[click](JaVaScRiPt:alert(1))",
    "[click](data:text/html,<script>alert(1)</script>)",
    "[click](java\tscript:alert(1))",
    "[click](\x01javascript:alert(1))",
    "![x](http://evil.example/pixel.png)",
    "<iframe srcdoc='<script>top.document.title=1</script>'></iframe>",
    "```\"><img src=x onerror=alert(1)>\ncode</code></pre><script>alert(1)</script>\n```",
    "# <svg onload=alert(1)>",
    "- <a href='javascript:alert(1)'>x</a>",
    "> <style>*{display:none}</style>",
    "| <b>x</b> |\n|---|\n| <script>alert(1)</script> |",
    "**<object data=x>** `<embed>` &lt;script&gt;",
    "[x](https://ok.example/\"onmouseover=alert(1))",
]


@pytest.fixture(scope="module")
def chromium():
    with chromiums.chromium() as browser:
        yield browser


@pytest.fixture
def visit(chromium):
    """visit(server): the page, opened; what it complains about, or asks of others, fails the test."""
    contexts, complaints = [], []

    def visit(server: Scripted, expected: tuple[str, ...] = (), **options: object):
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT * 1000)

        def complain(text: str) -> None:
            if not any(word in text for word in expected):
                complaints.append(text)

        page.on("console", lambda message: complain(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complain(str(error)))
        page.on("dialog", lambda dialog: (complain(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on(
            "request",
            lambda request: None if request.url.startswith((server.url, "data:")) else complain(f"asks {request.url}"),
        )
        page.goto(server.url)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


def send(page, text: str = "Hi") -> None:
    page.locator("#prompt").press_sequentially(text)
    page.keyboard.press("Enter")


def answer(page) -> str:
    return page.locator("#answer").inner_text()


def ended(page) -> None:
    page.locator("#send").wait_for(state="visible")


def test_an_answer_is_seen_to_grow(visit):
    words = [Word(), Word()]
    with Scripted([words[0], "The Rhine", words[1], ", the Rhône\n", END], model="local") as server:
        page = visit(server)
        assert page.evaluate("document.activeElement.id") == "prompt"
        assert page.locator("#model").get_attribute("placeholder") == "local"
        send(page, "Name rivers")
        page.locator("#reason", has_text="waiting").wait_for()
        assert page.locator("#question").inner_text() == "Name rivers"
        words[0].give()
        page.locator("#answer", has_text="The Rhine").wait_for()
        assert page.locator("#stop").is_visible()
        assert page.locator("#first").inner_text().startswith("first token ")
        assert not server.generations[0].closed.is_set()
        words[1].give()
        ended(page)
        assert answer(page) == "The Rhine, the Rhône"
        assert page.locator("#reason").inner_text() == "complete"
        assert page.locator("#count").inner_text() == "3 tokens in, 2 out"
        assert page.locator("#live").inner_text() == "The answer is complete."
        assert page.evaluate("document.activeElement.id") == "prompt"
    asked = server.generations[0].asked
    assert (asked.prompt, asked.system, asked.model, asked.until) == ("Name rivers", None, "local", None)


def test_what_is_asked(visit):
    with Scripted() as server:
        page = visit(server)
        page.locator("summary", has_text="System prompt").click()
        page.fill("#system", "Be brief.")
        page.fill("#model", "openai/x")
        page.get_by_role("switch").check()
        page.locator("#prompt").press_sequentially("One")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("Two")
        page.click("#send")
        ended(page)
    asked = server.generations[0].asked
    assert (asked.prompt, asked.system, asked.model) == ("One\nTwo", "Be brief.", "openai/x")
    assert asked.until["until_code_block"] is True


@pytest.mark.parametrize("how", ["button", "escape", "left"])
def test_stopping_ends_the_generation_on_the_server(visit, how):
    never = Word()
    with Scripted(["so far", never]) as server:
        page = visit(server)
        send(page)
        page.locator("#answer", has_text="so far").wait_for()
        if how == "button":
            page.click("#stop")
        elif how == "escape":
            page.keyboard.press("Escape")
        else:
            page.goto("about:blank")
        assert server.generations[0].closed.wait(WAIT)
        server.settle()
        assert not server.generations[0].whole
        if how != "left":
            ended(page)
            assert answer(page) == "so far"
            assert page.locator("#reason").inner_text() == "stopped by you"
            assert page.locator("#failure").is_hidden()
            assert page.evaluate("document.activeElement.id") == "prompt"


def test_stopping_before_the_first_token(visit):
    never = Word()
    with Scripted([never], ["x", END]) as server:
        page = visit(server)
        send(page)
        assert never.awaited.wait(WAIT)
        page.keyboard.press("Escape")
        assert server.generations[0].closed.wait(WAIT)
        ended(page)
        send(page)
        page.locator("#reason", has_text="complete").wait_for()
        assert answer(page) == "x"


def test_a_failure_is_told_and_what_came_is_kept(visit):
    with Scripted(["so **far**", Unavailable("overloaded")], ["better", END]) as server:
        page = visit(server)
        send(page)
        ended(page)
        assert answer(page) == "so far"
        assert page.locator("#failure p").inner_text() == "Not available now: overloaded"
        assert page.locator("#reason").inner_text() == "failed"
        page.click("#again")
        page.locator("#reason", has_text="complete").wait_for()
        assert answer(page) == "better"
        assert page.locator("#failure").is_hidden()


def test_a_wrong_request_is_told(visit):
    with Scripted() as server:
        page = visit(server, expected=("400",))
        page.fill("#model", "replay:x")
        send(page)
        page.locator("#failure", has_text="a model that is a file cannot be asked for").wait_for()


def test_a_broken_connection_is_told(visit):
    word = Word()
    with Scripted(["so far", word]) as server:
        page = visit(server, expected=("ERR_", "Failed"))
        send(page)
        page.locator("#answer", has_text="so far").wait_for()
        server.on_loop(lambda: [one.transport.abort() for one in list(server.server.server_state.connections)])
        page.locator("#failure", has_text="server cannot be reached").wait_for()
        assert answer(page) == "so far"


def test_an_answer_that_ends_early_says_why(visit):
    for events, word in [
        ([Finish("length", "length")], "ended at its limit"),
        ([Finish("cancelled", "")], "stop condition met"),
        ([Finish("refusal", "refusal")], "refused by the model"),
    ]:
        with Scripted(["x", events]) as server:
            page = visit(server)
            send(page)
            page.locator("#reason", has_text=word).wait_for()


def test_a_token_is_asked_for_and_kept_for_the_session(visit):
    with Scripted(token="sësame", model="m") as server:
        page = visit(server, expected=("401",))
        page.locator("#token-form").wait_for(state="visible")
        page.fill("#token", "wrong")
        page.keyboard.press("Enter")
        page.locator("#token-form").wait_for(state="visible")
        send(page)
        page.locator("#failure", has_text="token").wait_for()
        page.fill("#token", "s\u00ebsame")
        page.keyboard.press("Enter")
        page.locator("#token-form").wait_for(state="hidden")
        page.click("#again")
        page.locator("#reason", has_text="complete").wait_for()
        assert page.locator("#model").get_attribute("placeholder") == "m"
        assert page.evaluate("[Object.keys(sessionStorage), localStorage.length, document.cookie]") == [["token"], 0, ""]


def test_reasoning_is_folded_away(visit):
    with Scripted([[Reasoning("hm <b>")], "x", END]) as server:
        page = visit(server)
        send(page)
        ended(page)
        assert page.locator("#thoughts div").is_hidden()
        page.locator("#thoughts summary").click()
        assert page.locator("#thoughts div").inner_text() == "hm <b>"


def test_copying(visit):
    text = "A\n\n```py\nx = 1\n\ty\n```\n\n*b*"
    with Scripted([text, END]) as server:
        page = visit(server, permissions=["clipboard-read", "clipboard-write"])
        send(page)
        ended(page)
        page.click("figcaption button")
        page.locator("figcaption button", has_text="Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == "x = 1\n\ty"
        page.click("#copy")
        page.locator("#copy", has_text="Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == text


# Markdown.

MARKDOWN = [
    ("plain", "<p>plain</p>"),
    ("a *b* **c** ***d*** _e_ __f__ ~~g~~", "<p>a <em>b</em> <strong>c</strong> <strong><em>d</em></strong> <em>e</em> "
     "<strong>f</strong> <s>g</s></p>"),
    ("snake_case_name, 2 * 3 * 4, **open, *also", "<p>snake_case_name, 2 * 3 * 4, **open, *also</p>"),
    ("`a*b*` ``x`y`` `open", "<p><code>a*b*</code> <code>x`y</code> `open</p>"),
    (r"\*no\* \`x", "<p>*no* `x</p>"),
    ("one\ntwo\n\nthree", "<p>one\ntwo</p><p>three</p>"),
    ("# T *x* #\nafter", "<h2>T <em>x</em></h2><p>after</p>"),
    ("####### no\n#no", "<p>####### no\n#no</p>"),
    ("- a\n- b\n  - c\n\n- d\n\nend", "<ul><li><p>a</p></li><li><p>b</p><ul><li><p>c</p></li></ul></li><li><p>d</p></li>"
     "</ul><p>end</p>"),
    ("3. a\n4. b\n- c", '<ol start="3"><li><p>a</p></li><li><p>b</p></li></ol><ul><li><p>c</p></li></ul>'),
    ("- a\n\n  ```\n  x\n    y\n  ```\n- b", "<ul><li><p>a</p>FENCE[text|x\n  y]</li><li><p>b</p></li></ul>"),
    ("> a\n> - b\n> c\n\nd", "<blockquote><p>a</p><ul><li><p>b\nc</p></li></ul></blockquote><p>d</p>"),
    ("a\n\n---\n\nb", "<p>a</p><hr><p>b</p>"),
    ("```py\nx = 1\n\n  y\n```\nafter", "FENCE[py|x = 1\n\n  y]<p>after</p>"),
    ("````\n```\nx\n```\n````", "FENCE[text|```\nx\n```]"),
    ("~~~ sh -x\n```\n~~~", "FENCE[sh|```]"),
    ("```py\nopen", "FENCE[py|open]"),
    ("```not a fence```", "<p><code>not a fence</code></p>"),
    ("[a *b*](https://x.example/y?z=1&w) (https://y.example/a_b).", '<p>A[https://x.example/y?z=1&amp;w|a <em>b</em>] ('
     "A[https://y.example/a_b|https://y.example/a_b]).</p>"),
    ("[a](ftp://x) [b](/c) [c] d", "<p>[a](ftp://x) [b](/c) [c] d</p>"),
    ("![alt](https://x.example/i.png)", "<p>A[https://x.example/i.png|alt]</p>"),
    ("|a|b|\n|-|-|\n|`1`|2|", '<p><span class="table"><table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>'
     "<code>1</code></td><td>2</td></tr></tbody></table></span></p>"),
    ("1986 was\n10% more\n+ - *\n-", "<p>1986 was\n10% more</p>?"),
]  # fmt: skip

SHAPE = """([text, cuts]) => {
  const root = document.createElement("div");
  const markdown = new Markdown(root);
  let from = 0;
  for (const cut of [...cuts, text.length]) { markdown.feed(text.slice(from, cut)); from = cut; }
  markdown.close();
  for (const figure of root.querySelectorAll("figure")) {
    const told = `FENCE[${figure.querySelector("figcaption span").textContent}|${figure.querySelector("code").textContent}]`;
    if (!figure.querySelector("button")) throw new Error("no copy button");
    figure.replaceWith(told);
  }
  for (const open of root.querySelectorAll(".open")) throw new Error(`open: ${open.outerHTML}`);
  for (const one of root.querySelectorAll("[class='']")) one.removeAttribute("class");
  for (const one of root.querySelectorAll("a")) {
    if (one.rel !== "noopener noreferrer nofollow" || one.target !== "_blank") throw new Error(one.outerHTML);
  }
  const ends = (html) => html.replace(/<a href="([^"]*)"[^>]*>(.*?)<\\/a>/g, "A[$1|$2]");
  return ends(root.innerHTML);
}"""


@pytest.fixture(scope="module")
def bare(chromium):
    """The page alone, for its parts."""
    with Scripted() as server:
        page = chromium.new_page()
        page.goto(server.url)
        yield page
        page.close()


@pytest.mark.parametrize(("text", "html"), MARKDOWN)
def test_markdown_whole_and_at_every_cut(bare, text, html):
    whole = bare.evaluate(SHAPE, [text, []])
    if html.endswith("?"):
        assert whole.startswith(html[:-1])
    else:
        assert whole == html
    assert bare.evaluate(SHAPE, [text, list(range(len(text)))]) == whole
    for cut in range(len(text)):
        assert bare.evaluate(SHAPE, [text, [cut]]) == whole


LINEAR = """(text) => {
  const took = (n) => {
    const input = text.repeat(n);
    const root = document.createElement("div");
    const markdown = new Markdown(root);
    const begun = performance.now();
    for (let at = 0; at < input.length; at += 50) markdown.feed(input.slice(at, at + 50));
    markdown.close();
    return performance.now() - begun;
  };
  took(100);
  return took(20000);
}"""


@pytest.mark.parametrize(
    "text", ["[", "*a", "**a ", "`", "``a`", "> ", "- ", "  - a\n", "![a](", "[a](b", "_a ", "|", "```\n", "a\n", "\\", "# a\n"]
)
def test_markdown_ends_for_what_would_take_a_careless_parser_for_ever(bare, text):
    assert bare.evaluate(LINEAR, text) < WAIT * 1000


@pytest.mark.parametrize("text", ATTACKS)
def test_what_a_model_writes_is_text(visit, text):
    with Scripted([*text, END], [[Reasoning(text)], Incomplete(text)], model=text) as server:
        page = visit(server)
        for _ in range(2):
            send(page, "Hi")
            ended(page)
        assert page.title() == "llmstream"
        send(page, "x")
        ended(page)
        for selector in ("script", "img", "iframe", "style", "object", "embed", "svg", "[onerror]", "[onmouseover]"):
            assert page.locator(f"main {selector}").count() == 0
        links = page.evaluate("[...document.querySelectorAll('main a')].map((a) => a.protocol)")
        assert not set(links) - {"https:", "http:"}


# The reader of Server-Sent Events.

FRAMES = """([bytes, cuts]) => {
  const found = [];
  const frames = new Frames((event, data) => found.push([event, data]));
  const all = new Uint8Array(bytes);
  let from = 0;
  for (const cut of [...cuts, all.length]) { frames.feed(all.slice(from, cut)); from = cut; }
  return found;
}"""


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_frames_at_every_cut(bare, newline):
    text = ': keep-alive\n\ndata: {"content": "hé🎉"}\n\nevent: x\ndata:a\ndata:  b\nid: 1\n\n\n\ndata\n\nevent: y\n\ndata: z\n\n'
    data = list(text.replace("\n", newline).encode())
    whole = bare.evaluate(FRAMES, [data, []])
    assert whole == [["message", '{"content": "hé🎉"}'], ["x", "a\n b"], ["message", ""], ["message", "z"]]
    assert bare.evaluate(FRAMES, [data, list(range(len(data)))]) == whole
    for cut in range(len(data)):
        assert bare.evaluate(FRAMES, [data, [cut]]) == whole


# What the browser is told.


def test_the_policy_allows_the_page_and_nothing_else():
    with Scripted() as server:
        status, headers, body = get(server, "/")
        assert (status, body) == (200, served.read()[0])
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert "unsafe" not in policy
        with Client(server) as client:
            assert client.send("HEAD", "/").until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    text = body.decode()
    assert not [word for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(") if word in text]
    assert re.findall(r"https?://|src=|@import|url\(", text) == []


def test_scripts_from_elsewhere_do_not_run(visit):
    with Scripted() as server:
        page = visit(server, expected=("Content Security Policy", "violates"))
        page.evaluate("""() => {
          const script = document.createElement("script");
          script.textContent = "document.title = 'owned'";
          document.body.append(script);
        }""")
        assert page.title() == "llmstream"


@pytest.mark.parametrize("width", [320, 400, 1200])
def test_nothing_is_wider_than_the_screen(visit, width):
    text = "x" * 300 + "\n\n```\n" + "y" * 300 + "\n```\n\n|a|b|\n|-|-|\n|" + "z" * 200 + "|q|\n"
    with Scripted([text, END]) as server:
        page = visit(server, viewport={"width": width, "height": 600})
        send(page, "w" * 200)
        ended(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_who_scrolls_back_is_left_there(visit):
    word = Word()
    with Scripted(["line\n\n" * 100, word, "line\n\n" * 100, END]) as server:
        page = visit(server, viewport={"width": 600, "height": 500})
        send(page)
        page.wait_for_selector("#answer p:nth-child(100)")
        at_end = "innerHeight + scrollY >= document.documentElement.scrollHeight - 48"
        page.wait_for_selector("#answer p:nth-child(99)")
        assert page.evaluate(f"new Promise((told) => requestAnimationFrame(() => told({at_end})))")
        page.evaluate("scrollTo(0, 100)")
        word.give()
        ended(page)
        assert page.evaluate("scrollY") == 100


def test_typing_while_it_answers(visit):
    word = Word()
    with Scripted(["x", word, END]) as server:
        page = visit(server)
        send(page)
        page.locator("#answer", has_text="x").wait_for()
        page.keyboard.type("next")
        page.keyboard.press("Enter")  # which does not send
        assert page.locator("#prompt").input_value() == "next"
        word.give()
        ended(page)
        assert len(server.generations) == 1
        page.keyboard.press("Enter")
        page.locator("#question", has_text="next").wait_for()


def test_motion_is_left_out_for_those_who_want_none(visit):
    never = Word()
    with Scripted([[Text("x")], never]) as server:
        page = visit(server, reduced_motion="reduce")
        send(page)
        page.locator("#answer .open").wait_for()
        assert page.evaluate("getComputedStyle(document.querySelector('.open'), '::after').animationName") == "none"
