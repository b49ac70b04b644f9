"""Writes screenshots of the page into a folder: python -m tests.serve.screenshots DIR"""

from __future__ import annotations

import sys
from pathlib import Path

from llmstream.core.events import Finish, Reasoning, Source, Usage
from llmstream.errors import Unavailable

from ..support.browser import chromium
from ..support.serving import Gate, ScriptedServer

QUESTION = "How do I read a file line by line in Python, and when should I not?"
ANSWER = """\
Open it in a `with` block and iterate over it: the file is **its own iterator**, and holds one line at a time.

```python
with open("words.txt", encoding="utf-8") as file:
    for line in file:
        print(line.rstrip("\\n"))
```

## When not to

- The lines are *very* long, or there are none: read fixed blocks instead.
- You need the whole text anyway:
  1. `Path.read_text()` is shorter,
  2. and quicker.
- The file is binary; see [the documentation](https://docs.python.org/3/library/io.html).

> A line ends where the newline is, and the last one may have none.

| mode | yields | newline |
|---|---|---|
| `"r"` | `str` | translated |
| `"rb"` | `bytes` | as it is |
"""
SOURCES = [
    Source("https://docs.python.org/3/library/io.html", "io — Core tools for working with streams"),
    Source("https://docs.python.org/3/library/pathlib.html"),
]
END = [Usage(24, 212, cost_usd=0.0031), Finish("stop", "stop")]


def pieces(text: str) -> list[str | float]:
    """Splits a text into words with a short sleep after each, as a model streams it."""
    words = [word + " " for word in text.split(" ")[:-1]] + [text.rsplit(" ", 1)[-1]]
    return [0.15, *(step for word in words for step in (word, 0.01))]


def script_of(name: str) -> list:
    if name == "streaming":
        return [*pieces(ANSWER[: ANSWER.index("as it is") + 5]), Gate()]
    if name == "error":
        return [*pieces(ANSWER[: ANSWER.index("## When")]), Unavailable("the provider is overloaded: try again later")]
    if name == "cut":
        return [*pieces(ANSWER[: ANSWER.index("## When")]), [Usage(24, 80), Finish("length", "length")]]
    return [[Reasoning("The user wants an idiom and its limits.\n")], *pieces(ANSWER), SOURCES, END]


def show(page, name: str) -> None:
    """Brings the page into the state of a name."""
    page.fill("#prompt", QUESTION)
    page.press("#prompt", "Enter")
    if name == "streaming":
        page.locator("td", has_text="as it").wait_for()
        return
    page.wait_for_selector("#send:visible")
    if name == "answer":
        page.click(".reasoning summary")
    if name in ("conversation", "editor"):
        page.fill("#prompt", "And a line that is longer than the memory?")
        page.press("#prompt", "Enter")
        page.wait_for_selector(".turn:nth-child(2) .again:visible")
    if name == "editor":
        page.click(".turn:last-child .edit")


def take_screenshots(directory: Path) -> None:
    sizes = {"": (1100, 860), "-narrow": (320, 640)}
    second = [*pieces("Read blocks of a fixed size: `file.read(65536)`."), END]
    with chromium() as browser:
        for name in ("empty", "answer", "streaming", "error", "cut", "conversation", "editor"):
            for scheme in ("light", "dark"):
                for suffix, (width, height) in sizes.items():
                    with ScriptedServer(script_of(name), second, model="anthropic/claude-sonnet-5-5") as server:
                        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                        page.goto(server.url)
                        if name != "empty":
                            show(page, name)
                        page.wait_for_timeout(400)  # the figures are drawn four times a second
                        page.screenshot(path=directory / f"{name}-{scheme}{suffix}.png")
                        if name == "answer":
                            page.screenshot(path=directory / f"{name}-{scheme}{suffix}-full.png", full_page=True)
                        page.close()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    take_screenshots(target)
