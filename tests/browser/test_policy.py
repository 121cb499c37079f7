"""The page's policy does what it says: a script that somebody gets into the page does not run."""

from __future__ import annotations

from playwright.sync_api import Browser

from tests.browser import policy

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
  const link = document.createElement('a');
  link.href = 'javascript:void(window.ran = "address")';
  document.body.append(link);
  link.click();
  const drawing = document.createElement('div');
  drawing.innerHTML = '<img src="/none" onerror="window.ran = \\'handler\\'">';
  document.body.append(drawing);
}"""


def test_an_injected_script_does_not_run(browser: Browser, public_url: str) -> None:
    context = browser.new_context()
    violations = policy.watch(context)
    page = context.new_page()
    page.goto(public_url, wait_until="domcontentloaded")
    page.wait_for_function("document.querySelector('#root').innerText.trim().length > 5", timeout=60_000)
    assert violations == []
    page.evaluate(INJECT)
    for word in ("script-src-elem refused inline", "scripts.invalid", "frames.invalid", "pictures.invalid", "script-src-attr"):
        page.wait_for_function("() => true")
        deadline = 50
        while not any(word in told for told in violations) and deadline:
            page.wait_for_timeout(100)
            deadline -= 1
        assert any(word in told for told in violations), f"{word} was not refused: {violations}"
    assert page.evaluate("window.ran") is None
    context.close()
