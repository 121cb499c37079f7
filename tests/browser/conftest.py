"""A person's browser against a running deployment: ``pytest tests/browser --public-url=http://HOST --clerk=lab``.

Headless Chromium from Debian's package, driven by Playwright; pictures of what was seen go to ``artefacts/`` (not committed).
``test_sign_in*.py`` and ``test_data_model_pages.py`` need whoever signs people in (``--clerk``) and play the tenant manager; every test brings people and
organisations of its own, so that the same deployment can be looked at again and again.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from lab import Lab, packages
from lab.clerk.control import Control
from tests.browser import policy
from tests.browser.people import Cast, Person
from tests.browser.tenants import Direct, Tenants, ThroughSsh

ARTEFACTS = Path(__file__).parents[2] / "artefacts"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without an address there is nothing to look at: left out of ``make test``, where the rehearsal runs it; else an error."""
    browser = [item for item in items if "tests/browser/" in str(item.path)]
    if not browser:
        return
    if config.getoption("--public-url"):
        left_out = [] if config.getoption("--clerk") else [i for i in browser if i.path.name != "test_page.py"]
    elif any("browser" in str(argument) for argument in config.args):
        raise pytest.UsageError("tests/browser needs an address: pytest tests/browser --public-url=http://HOST [--clerk=lab]")
    else:
        left_out = browser
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def public_url(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--public-url")).rstrip("/")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if shutil.which("chromium") is None:
        packages.install(["chromium"], print)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """Keeps what a page shows, under the test's name and a word."""
    name = re.sub(r"[^\w.-]+", "-", request.node.name)

    def take(page: Page, word: str) -> None:
        ARTEFACTS.mkdir(exist_ok=True)
        page.screenshot(path=str(ARTEFACTS / f"{name}{'.' if word else ''}{word}.png"))

    return take


@pytest.fixture
def page(browser: Browser, picture: Callable[[Page, str], None]) -> Iterator[Page]:
    """A fresh browser profile; its last picture is kept under the test's name. The page may try nothing that its policy refuses."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    violations = policy.watch(context)
    opened = context.new_page()
    yield opened
    picture(opened, "")
    context.close()
    assert violations == []


@pytest.fixture(scope="session")
def the_lab(request: pytest.FixtureRequest) -> Lab:
    return Lab.open(request.config.getoption("--lab")) if request.config.getoption("--lab") else Lab.open()


@pytest.fixture(scope="session")
def clerk(request: pytest.FixtureRequest) -> Iterator[Control]:
    """The control of the Clerk that signs people in there; quick, healthy and as it should be before the first test."""
    place = str(request.config.getoption("--clerk"))
    if place == "lab":
        told = request.getfixturevalue("the_lab").state().clerk
        address, token = told.admin, told.admin_token
    else:
        address, token = place.rstrip("/"), os.environ["CLERK_ADMIN_TOKEN"]
    with Control(address, token) as control:
        yield control


@pytest.fixture(scope="session")
def tenants(request: pytest.FixtureRequest) -> Tenants:
    """Twenty's internal API, as the tenant manager has it."""
    url = str(request.config.getoption("--internal-url")).rstrip("/")
    if url:
        return Tenants(Direct(url, os.environ["TWENTYOPS_INTERNAL_SECRET"]))
    lab: Lab = request.getfixturevalue("the_lab")
    return Tenants(ThroughSsh(("ssh", "-F", str(lab.ssh_config), "-o", "BatchMode=yes", lab.droplet.name)))


@pytest.fixture(scope="module")
def manager_at_rest(request: pytest.FixtureRequest) -> Iterator[None]:
    """The deployed tenant manager does nothing while a module's tests play its part: it would make what they wait for."""
    if request.config.getoption("--internal-url"):
        yield
        return
    droplet = request.getfixturevalue("the_lab").droplet
    droplet.ssh("docker pause twenty-tenant-manager-1")
    yield
    droplet.ssh("docker unpause twenty-tenant-manager-1")


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """Clerk's Backend API of the lab, as an operator's own system would call it."""
    clerk = request.getfixturevalue("the_lab").clerk
    headers = {"Authorization": f"Bearer {clerk.secrets['secret_key']}"}
    with httpx.Client(base_url=f"{clerk.settings()['apiUrl']}/v1", headers=headers, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def cast(clerk: Control, tenants: Tenants) -> Iterator[Cast]:
    """People and organisations of this test's own."""
    yield Cast(clerk, tenants, secrets.token_hex(3))
    clerk.heal()
    clerk.calm()


@pytest.fixture
def somebody(
    browser: Browser, public_url: str, cast: Cast, picture: Callable[[Page, str], None]
) -> Iterator[Callable[..., Person]]:
    """A person at a browser of their own; at the end nothing may have failed in it or have been refused by the page's policy, and its
    last picture is kept."""
    people: list[Person] = []

    def sit_down(**options: object) -> Person:
        found = Person(browser, public_url, cast, picture, len(people), dict(options))
        people.append(found)
        return found

    yield sit_down
    for person in people:
        person.leave()
    for person in people:
        assert person.errors == []
        assert person.violations == []
