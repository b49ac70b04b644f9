"""Fixtures that open the page in Chromium."""

from __future__ import annotations

import pytest

from ..support import browser as chromiums
from ..support.limits import WAIT_S
from ..support.serving import ScriptedServer


@pytest.fixture(scope="module")  # Playwright's event loop keeps running in this thread, and other modules run their own
def chromium():
    pytest.importorskip("playwright", reason="playwright is not installed: pip install '.[test]'")
    if not chromiums.CHROMIUM:
        pytest.skip("chromium is not installed: apt install chromium")
    with chromiums.chromium() as browser:
        yield browser


@pytest.fixture
def visit(chromium):
    """visit(server) opens the page; console errors, dialogs and requests to other servers fail the test.

    Messages that contain one of the `expected` texts pass.
    """
    contexts, problems = [], []

    def visit(server: ScriptedServer, expected: tuple[str, ...] = (), **options: object):
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_S * 1000)

        def report(text: str) -> None:
            if not any(part in text for part in expected):
                problems.append(text)

        page.on("console", lambda message: report(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: report(str(error)))
        page.on("dialog", lambda dialog: (report(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith((server.url, "data:")) else report(f"request to {request.url}")
            ),
        )
        page.goto(server.url)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture(scope="module")
def bare(chromium):
    """The page of a server without visitors, to call the functions of its script."""
    with ScriptedServer() as server:
        page = chromium.new_page()
        page.goto(server.url)
        yield page
        page.close()
