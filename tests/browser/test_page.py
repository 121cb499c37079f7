"""The page is more than an answer of 200: it runs in a browser and shows something."""

from __future__ import annotations

import re

from playwright.sync_api import ConsoleMessage, Page, expect

# wait_for_function would be refused by the page's policy: it asks by eval, again and again
SOMETHING = re.compile(r"\S\s*\S\s*\S\s*\S\s*\S\s*\S")


def test_page_renders(page: Page, public_url: str) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def told(message: ConsoleMessage) -> None:
        # icons and avatars from outside cannot be had in a lab without internet; the product's own files must load
        if message.type == "error" and public_url in str(message.location.get("url", "")):
            errors.append(message.text)

    page.on("console", told)
    page.goto(public_url, wait_until="domcontentloaded")
    expect(page.locator("#root")).not_to_be_empty(timeout=60_000)
    expect(page.locator("#root")).to_have_text(SOMETHING, timeout=60_000)
    assert page.title()
    assert errors == []
