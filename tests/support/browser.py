"""Chromium for the page's tests and pictures: Debian's, driven by Playwright."""

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
    """A browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


# What a visitor does.


def send(page, text: str = "Hi") -> None:
    page.locator("#prompt").press_sequentially(text)
    page.keyboard.press("Enter")


def answer(page) -> str:
    return page.locator("#answer").inner_text()


def ended(page) -> None:
    page.locator("#send").wait_for(state="visible")
