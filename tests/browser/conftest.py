"""A person's browser against a running deployment: ``pytest tests/browser --public-url=http://HOST``.

Headless Chromium from Debian's package, driven by Playwright; pictures of what was seen go to ``artefacts/`` (not committed).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from lab import host

ARTEFACTS = Path(__file__).parents[2] / "artefacts"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without an address there is nothing to look at: left out of ``make test``, where the rehearsal runs it; else an error."""
    browser = [item for item in items if "tests/browser/" in str(item.path)]
    if config.getoption("--public-url") or not browser:
        return
    if any("browser" in str(argument) for argument in config.args):
        raise pytest.UsageError("tests/browser needs an address: pytest tests/browser --public-url=http://HOST")
    items[:] = [item for item in items if item not in browser]
    config.hook.pytest_deselected(items=browser)


@pytest.fixture(scope="session")
def public_url(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--public-url")).rstrip("/")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if shutil.which("chromium") is None:
        host.install(["chromium"], print)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A fresh browser profile; its last picture is kept under the test's name."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    yield opened
    ARTEFACTS.mkdir(exist_ok=True)
    opened.screenshot(path=str(ARTEFACTS / f"{request.node.name}.png"))
    context.close()
