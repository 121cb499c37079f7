"""Upstream's subdomain mode: each workspace at an address of its own, and the active organisation leads there."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page

from tests.browser.people import Cast, Person

Somebody = Callable[..., Person]


@pytest.fixture(autouse=True)
def subdomains(public_url: str) -> None:
    if not httpx.get(f"{public_url}/client-config", trust_env=False, timeout=15).json()["isMultiWorkspaceEnabled"]:
        pytest.skip("looks at a deployment with IS_MULTIWORKSPACE_ENABLED=true")


def address(page: Page) -> str:
    parts = urlsplit(page.url)
    return f"{parts.scheme}://{parts.netloc}"


def test_whoever_signs_in_is_led_to_the_workspaces_own_address_and_a_switch_to_the_others(
    somebody: Somebody, cast: Cast, public_url: str
) -> None:
    acme, globex = f"Acme {cast.tag}", f"Globex {cast.tag}"
    scheme, _, host = public_url.partition("://")
    homes = {name: f"{scheme}://{name.lower().replace(' ', '-')}.{host}" for name in (acme, globex)}
    for name in homes:
        cast.tenant(name, Alice="admin")
    alice = somebody()
    alice.open("/objects/companies")
    alice.sign_in("Alice")
    alice.inside()
    first = next(name for name, home in homes.items() if home == address(alice.page))
    other = globex if first == acme else acme
    assert alice.path() == "/objects/companies", "the place is kept on the way"
    alice.page.get_by_text(first, exact=True).first.wait_for()
    alice.picture("first")
    names = {cookie["name"] for cookie in alice.context.cookies(public_url)}
    assert "tokenPair" not in names, "tokens are for the workspace's own address"
    assert "tokenPair" in {cookie["name"] for cookie in alice.context.cookies(homes[first])}

    alice.menu(first, "Switch organization")
    alice.reads("Choose an organization")
    alice.page.get_by_role("button", name=other).click()
    alice.until(lambda: address(alice.page) == homes[other], "the page does not go to the other workspace's address")
    alice.inside()
    alice.page.get_by_text(other, exact=True).first.wait_for()
    alice.picture("other")

    alice.page.goto(f"{homes[first]}/objects/people", wait_until="commit")
    alice.until(lambda: address(alice.page) == homes[other], "the address decides, not the active organisation")
    alice.inside()
    assert set(alice.seen) == {"crm"}
