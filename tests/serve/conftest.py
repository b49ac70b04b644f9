"""Chromium, for the tests of the page."""

from __future__ import annotations

import pytest

from ..support import browser as chromiums
from ..support.limits import WAIT_S
from ..support.serving import Scripted


@pytest.fixture(scope="module")  # its loop runs on in this thread, where the next module may want one of its own
def chromium():
    pytest.importorskip("playwright", reason="playwright is not installed")
    if not chromiums.CHROMIUM:
        pytest.skip("chromium is not installed")
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
        page.set_default_timeout(WAIT_S * 1000)

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


@pytest.fixture(scope="module")
def bare(chromium):
    """The page alone, for its parts."""
    with Scripted() as server:
        page = chromium.new_page()
        page.goto(server.url)
        yield page
        page.close()
