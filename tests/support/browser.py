"""Chromium of the distribution, driven by Playwright, for the tests and screenshots of the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]


@contextmanager
def chromium() -> Iterator[Any]:
    """Starts Chromium; yields Playwright's browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


# A visitor's actions.


def send(page, text: str = "Hi") -> None:
    """Types a prompt and sends it."""
    page.locator("#prompt").press_sequentially(text)
    page.keyboard.press("Enter")


def answer(page) -> str:
    """Returns the answer's text."""
    return page.locator(".turn:last-child .answer").inner_text()


def wait_for_end(page) -> None:
    """Waits for the end of the answer."""
    page.locator("#send").wait_for(state="visible")
