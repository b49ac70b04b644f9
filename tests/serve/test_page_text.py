"""How the page renders an answer: parsing of frames, Markdown, and HTML that a model writes."""

from __future__ import annotations

import pytest

from llmstream.core.events import Reasoning
from llmstream.errors import Incomplete

from ..support.browser import send
from ..support.limits import WAIT_S
from ..support.serving import END, ScriptedServer

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
    '```"><img src=x onerror=alert(1)>\ncode</code></pre><script>alert(1)</script>\n```',
    "# <svg onload=alert(1)>",
    "- <a href='javascript:alert(1)'>x</a>",
    "> <style>*{display:none}</style>",
    "| <b>x</b> |\n|---|\n| <script>alert(1)</script> |",
    "**<object data=x>** `<embed>` &lt;script&gt;",
    '[x](https://ok.example/"onmouseover=alert(1))',
    "<https://ok.example/'onclick=alert(1)> <javascript:alert(1)>",
    "[x](vbscript:alert(1)) [y](file:///etc/passwd) [z](//evil.example/)",
    "[x](&#106;avascript:alert(1)) [y](javascript&colon;alert(1))",
    "[x]: javascript:alert(1)\n\n[x]",
    "~~~<img src=x onerror=alert(1)>\n~~~",
    "| a |\n|:-:|\n| <img src=x onerror=alert(1)> `</td><script>alert(1)</script>` |",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "&lt;img src=x onerror=alert(1)&gt; &#60;script&#62;alert(1)&#60;/script&#62;",
    "[a](https://ok.example/ \"' onmouseover='alert(1)\")",
]

# Markdown.

TABLE = '<div class="table"><table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table></div>'

MARKDOWN = [
    ("plain", "<p>plain</p>"),
    (
        "a *b* **c** ***d*** _e_ __f__ ~~g~~",
        "<p>a <em>b</em> <strong>c</strong> <em><strong>d</strong></em> <em>e</em> <strong>f</strong> <s>g</s></p>",
    ),
    ("snake_case_name, 2 * 3 * 4, **open, *also", "<p>snake_case_name, 2 * 3 * 4, **open, *also</p>"),
    ("`a*b*` ``x`y`` `open", "<p><code>a*b*</code> <code>x`y</code> `open</p>"),
    ("\\*no\\* \\`x", "<p>*no* `x</p>"),
    ("one\ntwo\n\nthree", "<p>one\ntwo</p><p>three</p>"),
    ("# T *x* #\nafter", "<h2>T <em>x</em></h2><p>after</p>"),
    ("####### no\n#no", "<p>####### no\n#no</p>"),
    (
        "- a\n- b\n  - c\n\n- d\n\nend",
        "<ul><li><p>a</p></li><li><p>b</p><ul><li><p>c</p></li></ul></li><li><p>d</p></li></ul><p>end</p>",
    ),
    ("3. a\n4. b\n- c", '<ol start="3"><li><p>a</p></li><li><p>b</p></li></ol><ul><li><p>c</p></li></ul>'),
    ("- a\n\n  ```\n  x\n    y\n  ```\n- b", "<ul><li><p>a</p>FENCE[text|x\n  y]</li><li><p>b</p></li></ul>"),
    ("> a\n> - b\n> c\n\nd", "<blockquote><p>a</p><ul><li><p>b\nc</p></li></ul></blockquote><p>d</p>"),
    ("a\n\n---\n\nb", "<p>a</p><hr><p>b</p>"),
    ("```py\nx = 1\n\n  y\n```\nafter", "FENCE[py|x = 1\n\n  y]<p>after</p>"),
    ("````\n```\nx\n```\n````", "FENCE[text|```\nx\n```]"),
    ("~~~ sh -x\n```\n~~~", "FENCE[sh|```]"),
    ("```py\nopen", "FENCE[py|open]"),
    ("```not a fence```", "<p><code>not a fence</code></p>"),
    (
        "[a *b*](https://x.example/y?z=1&w) (https://y.example/a_b).",
        "<p>A[https://x.example/y?z=1&amp;w|a <em>b</em>] (A[https://y.example/a_b|https://y.example/a_b]).</p>",
    ),
    ("[a](ftp://x) [b](/c) [c] d", "<p>[a](ftp://x) [b](/c) [c] d</p>"),
    ("![alt](https://x.example/i.png)", "<p>A[https://x.example/i.png|alt]</p>"),
    (
        "|a|\n|-|\n|1|",
        TABLE,
    ),
    ("1986 was\n10% more\n+ - *\n-", "<p>1986 was\n10% more</p>?"),
]

SHAPE = """([text, cuts]) => {
  const root = document.createElement("div");
  const markdown = new Markdown(root);
  let from = 0;
  for (const cut of [...cuts, text.length]) { markdown.feed(text.slice(from, cut)); markdown.render(); from = cut; }
  markdown.close();
  for (const figure of root.querySelectorAll("figure")) {
    const [info, code] = ["figcaption span", "code"].map((part) => figure.querySelector(part).textContent);
    if (!figure.querySelector("button")) throw new Error("no copy button");
    figure.replaceWith(`FENCE[${info}|${code}]`);
  }
  for (const open of root.querySelectorAll(".open")) throw new Error(`open: ${open.outerHTML}`);
  for (const one of root.querySelectorAll("[class='']")) one.removeAttribute("class");
  for (const one of root.querySelectorAll("a")) {
    if (one.rel !== "noopener noreferrer nofollow" || one.target !== "_blank") throw new Error(one.outerHTML);
  }
  const ends = (html) => html.replace(/<a href="([^"]*)"[^>]*>(.*?)<\\/a>/g, "A[$1|$2]");
  return ends(root.innerHTML);
}"""


@pytest.mark.slow
@pytest.mark.parametrize(("text", "html"), MARKDOWN)
def test_markdown_at_once_and_at_every_cut(bare, text, html):
    expected = bare.evaluate(SHAPE, [text, []])
    if html.endswith("?"):
        assert expected.startswith(html[:-1])
    else:
        assert expected == html
    assert bare.evaluate(SHAPE, [text, list(range(len(text)))]) == expected
    for cut in range(len(text)):
        assert bare.evaluate(SHAPE, [text, [cut]]) == expected


STABLE = """([text, raw]) => {
  const root = document.createElement("div");
  const markdown = new Markdown(root);
  const observer = new MutationObserver(() => {});
  observer.observe(root, { childList: true, subtree: true });
  const problems = [];
  let before = "";
  for (const character of text) {
    markdown.feed(character);
    markdown.render();
    const html = root.innerHTML;
    for (const { removedNodes } of observer.takeRecords()) {
      for (const node of removedNodes) {
        if (node.nodeType === 1 && !html.includes(node.outerHTML)) problems.push(`removed ${node.outerHTML}`);
      }
    }
    const words = root.textContent.replaceAll(/[*_`[\\]]/g, "");
    if (!words.startsWith(before)) problems.push(`${before} became ${words}`);
    before = words;
    if (raw && root.textContent.includes(raw)) problems.push(`shown raw: ${root.textContent}`);
  }
  const html = () => root.innerHTML.replaceAll(/ class="(?:open)?"/g, "");
  const last = html();
  markdown.close();
  return [problems, last, html()];
}"""


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("| a | b `c` |\n|---|:--|\n| `x` | **y** z |\n| 1 | 2 |\n\nEnd.\n", "|"),
        ("One:\n\n| a |\n|-|\n| b |\n", "|"),
        ("- a\n- b `c` d\n\n  | a | b |\n  |---|---|\n  | x | y |\n\n- e\n  1. f\n", "|"),
        (
            "Use `a` and ``b ` c`` or *d* and **e *f* g**, see [h `i`](https://x.example/) and https://y.example/a_b.\n",
            "",
        ),
        ("# A `b`\ntext\n---\n> quote `c`\n> - d\n\n```py\n# e\n- f\n| g |\n---\n```\nend\n", "```"),
        ("1. **a**: b\n   ```sh\n   c\n   ```\n2. d\n\n   e\n", "```"),
        ("2 * 3, a_b_c, *x and _y, [1] and [x] (y)\n", ""),
    ],
)
def test_what_is_shown_does_not_change_while_more_arrives(bare, text, raw):
    """Text only grows, but for its marks, and elements stay, if in another one that has closed around them."""
    problems, last, closed = bare.evaluate(STABLE, [text, raw])
    assert problems == []
    assert last == closed


@pytest.mark.browser
def test_finished_blocks_are_never_touched(bare):
    records = bare.evaluate("""() => {
      const root = document.createElement("div");
      const markdown = new Markdown(root);
      markdown.feed("One `a`.\\n\\n- b\\n- c\\n\\n```\\nd\\n```\\n\\nLast");
      markdown.render();
      const finished = [...root.children].slice(0, -1);
      const observer = new MutationObserver(() => {});
      for (const block of finished) {
        observer.observe(block, { childList: true, subtree: true, characterData: true, attributes: true });
      }
      for (let n = 0; n < 2000; n += 1) { markdown.feed(n % 7 ? " word" : "\\n\\nNext"); markdown.render(); }
      return [finished.length, observer.takeRecords().length, markdown.source.length < 100];
    }""")
    assert records == [3, 0, True]


@pytest.mark.browser
@pytest.mark.parametrize(
    "text", ["> " * 500 + "a", "\n".join(" " * 2 * n + "- a" for n in range(70)), "- " * 3000 + "a"]
)
def test_deep_nesting_is_shown_as_text(bare, text):
    shown, depth = bare.evaluate(
        """(text) => {
          const root = document.createElement("div");
          const markdown = new Markdown(root);
          markdown.feed(text + "\\n\\nend");
          markdown.close();
          let depth = 0;
          for (let node = root; node; node = node.firstElementChild) depth += 1;
          return [root.textContent, depth];
        }""",
        text,
    )
    assert depth < 50
    assert "".join(shown.split()) == "".join(text.split()) + "end"


LINEAR = """(text) => {
  const duration = (n) => {
    const input = text.repeat(n);
    const root = document.createElement("div");
    const markdown = new Markdown(root);
    const start = performance.now();
    for (let at = 0; at < input.length; at += 50) {
      markdown.feed(input.slice(at, at + 50));
      if (at % 2000 === 0) markdown.render();
    }
    markdown.close();
    return performance.now() - start;
  };
  duration(100);
  return duration(20000);
}"""


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "*a",
        "**a ",
        "`",
        "``a`",
        "> ",
        "- ",
        "  - a\n",
        "![a](",
        "[a](b",
        "_a ",
        "|",
        "```\n",
        "a\n",
        "\\",
        "# a\n",
    ],
)
def test_markdown_takes_linear_time(bare, text):
    assert bare.evaluate(LINEAR, text) < WAIT_S * 1000


FORBIDDEN = ("script", "img", "iframe", "style", "object", "embed", "svg", "[onerror]", "[onmouseover]", "[onload]")


@pytest.mark.slow
@pytest.mark.parametrize("text", ATTACKS, ids=range(len(ATTACKS)))
def test_html_of_a_model_is_shown_as_text(visit, text):
    """In an answer, in pieces and at once, in its reasoning, in its error, and in a model's name."""
    scripts = [[*text, END], [[Reasoning(text)], text, Incomplete(text)]]
    with ScriptedServer(*scripts, model=text, models=tuple(ATTACKS)) as server:
        page = visit(server)
        for number, _ in enumerate(scripts):
            send(page)
            page.locator(".turn:last-child .answer[aria-busy=false]").wait_for()
            assert len(server.generations) == number + 1
            assert page.title() == "llmstream"
            for selector in FORBIDDEN:
                assert page.locator(f"main {selector}").count() == 0
            links = page.evaluate("[...document.querySelectorAll('main a')].map((a) => a.protocol)")
            assert not set(links) - {"https:", "http:"}


# The parser of Server-Sent Events.

PARSE = """([bytes, cuts]) => {
  const events = [];
  const parser = new SseParser((event, data) => events.push([event, data]));
  const all = new Uint8Array(bytes);
  let from = 0;
  for (const cut of [...cuts, all.length]) { parser.feed(all.slice(from, cut)); from = cut; }
  return events;
}"""


@pytest.mark.slow
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_frames_at_every_cut(bare, newline):
    text = ': keep-alive\n\ndata: {"content": "hé🎉"}\n\nevent: x\ndata:a\ndata:  b\nid: 1\n\n\n\n'
    text += "data\n\nevent: y\n\ndata: z\n\n"
    data = list(text.replace("\n", newline).encode())
    expected = bare.evaluate(PARSE, [data, []])
    assert expected == [["message", '{"content": "hé🎉"}'], ["x", "a\n b"], ["message", ""], ["message", "z"]]
    assert bare.evaluate(PARSE, [data, list(range(len(data)))]) == expected
    for cut in range(len(data)):
        assert bare.evaluate(PARSE, [data, [cut]]) == expected
