"""Who plays in the browser tests: people of Clerk's with organisations, and what one of them does at a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from lab.clerk.control import Control
from lab.command import wait_until
from tests.browser import policy
from tests.browser.tenants import Tenants

SECONDS = 60_000

# Tells of every appearance, however short, of what must not appear: asked at each change of the page.
WATCH = """(() => {
  const told = new Set();
  const look = () => {
    const seen = [];
    if (document.querySelector('input[type=password]')) seen.push('password form');
    if (document.querySelector('input[placeholder="Email"], input[name="email"]')) seen.push('sign-in form');
    if (document.querySelector('a[href^="/objects/"], a[href^="/settings/"]')) seen.push('crm');
    for (const what of seen) if (!told.has(what)) { told.add(what); window.tellSeen(what); }
  };
  new MutationObserver(look).observe(document, { childList: true, subtree: true, attributes: true });
  look();
})()"""


@dataclass
class Cast:
    """People and organisations of one test; ``tag`` keeps them apart from those of every other run."""

    clerk: Control
    tenants: Tenants
    tag: str
    users: dict[str, str] = field(default_factory=dict)

    def email(self, name: str) -> str:
        return f"{name.lower()}-{self.tag}@lab.test"

    def person(self, name: str) -> str:
        """Somebody new at Clerk. Returns the Clerk id."""
        user = {"email": self.email(name), "first_name": name, "last_name": "Tester"}
        self.users[name] = self.clerk.seed([user], quiet=True)["users"][self.email(name)]
        return self.users[name]

    def organization(self, name: str, **members: str) -> str:
        """An organisation at Clerk with people of this cast: ``Alice="admin"``. Returns its id; no webhook tells of it."""
        return self._organization(name, members, quiet=True)

    def told_organization(self, name: str, **members: str) -> str:
        """The same, and Clerk's webhooks tell of it."""
        return self._organization(name, members, quiet=False)

    def _organization(self, name: str, members: dict[str, str], *, quiet: bool) -> str:
        for person in members:
            if person not in self.users:
                self.person(person)
        slug = f"{re.sub('[^a-z]', '', name.lower()) or 'organization'}-{self.tag}-{len(self.users)}"
        wanted = {"name": name, "slug": slug, "members": {self.email(p): role for p, role in members.items()}}
        return str(self.clerk.seed([], [wanted], quiet=quiet)["organizations"][name])

    def told(self, name: str) -> dict[str, Any]:
        """A person as the tenant manager tells Twenty of them."""
        return {
            "clerkUserId": self.users[name],
            "email": self.email(name),
            "emailVerified": True,
            "firstName": name,
            "lastName": "Tester",
        }

    def workspace(self, organization: str, name: str, owner: str) -> dict[str, Any]:
        return self.tenants.put(organization, name, self.told(owner))

    def tenant(self, name: str, **members: str) -> str:
        """An organisation and its workspace; the first member owns it, the others are told after. Returns the organisation's id."""
        organization = self.organization(name, **members)
        owner, *others = members
        self.workspace(organization, name, owner)
        for other in others:
            self.tenants.add(organization, self.told(other), members[other])
        return organization


class Person:
    """One person at one browser: a fresh profile, one tab to begin with."""

    def __init__(
        self,
        browser: Browser,
        origin: str,
        cast: Cast,
        picture: Callable[[Page, str], None],
        number: int,
        options: dict[str, Any],
    ) -> None:
        self.origin, self.cast, self.number, self._picture = origin, cast, number, picture
        self.exchanges: list[int] = []
        self.errors: list[str] = []
        self.seen: list[str] = []
        self.context: BrowserContext = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        self.violations = policy.watch(self.context)
        self.context.expose_function("tellSeen", lambda what: self.seen.append(str(what)))
        self.context.add_init_script(WATCH)
        self.context.on("response", self._answered)
        self.page = self.tab()

    def _answered(self, response: Response) -> None:
        if urlsplit(response.url).path == "/clerk/session" and response.request.method == "POST":
            self.exchanges.append(response.status)

    def tab(self) -> Page:
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        return page

    def picture(self, word: str, page: Page | None = None) -> None:
        self._picture(page or self.page, word)

    def leave(self) -> None:
        pages = [page for page in self.context.pages if page.url.startswith("http")]
        if pages:
            self._picture(pages[0], f"last-{self.number}")
        self.context.close()

    # --- doing ---

    def open(self, path: str = "/", page: Page | None = None) -> None:
        (page or self.page).goto(f"{self.origin}{path}", wait_until="commit")

    def sign_in(self, name: str, page: Page | None = None) -> None:
        """At Clerk's page: says who one is, and is sent back."""
        page = page or self.page
        self.at_clerk(page)
        page.get_by_label("Email address").fill(self.cast.email(name))
        page.get_by_role("button", name="Continue").click()

    def menu(self, workspace: str, entry: str) -> None:
        """An entry of the menu that opens at the workspace's name."""
        self.page.get_by_text(workspace, exact=True).first.click()
        self.page.get_by_text(entry, exact=True).click()

    def go_on(self) -> None:
        """The next thing a person does in the CRM. A request of the page's own may have been refused before; then there is no link."""
        with suppress(PlaywrightTimeout):
            self.page.locator("a[href^='/objects/companies']").first.click(timeout=5_000)

    # --- seeing ---

    def at_clerk(self, page: Page | None = None) -> str:
        """Waits for Clerk's sign-in page. Returns the address that it was given to return to; empty: the application's home."""
        page = page or self.page
        expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible(timeout=SECONDS)
        address = urlsplit(page.url)
        given = parse_qs(address.fragment.partition("?")[2]) | parse_qs(address.query)
        return given.get("redirect_url", [""])[0]

    def reads(self, title: str, page: Page | None = None) -> None:
        """Waits for a page of the sign-in with this heading."""
        expect((page or self.page).get_by_role("heading", name=title)).to_be_visible(timeout=SECONDS)

    def inside(self, page: Page | None = None) -> None:
        """Waits for the CRM; a new person leaves out the mailbox, as anybody can."""
        page = page or self.page
        skip = page.get_by_text("Continue without sync")
        link = page.locator("a[href^='/objects/']").first

        def open_at_last() -> bool:
            if skip.is_visible():
                skip.click()
            return link.is_visible() and not re.search("^/(welcome|sync|create|invite)", urlsplit(page.url).path)

        wait_until(lambda: self._beat(page) and open_at_last(), SECONDS / 1000, f"the CRM does not open: {page.url}", every=0.2)

    @staticmethod
    def _beat(page: Page) -> bool:
        page.wait_for_timeout(50)  # the browser's events are heard while Playwright waits, and only then
        return True

    def until(self, ready: Callable[[], bool], what: str, seconds: float = 45) -> None:
        wait_until(lambda: self._beat(self.page) and ready(), seconds, what, every=0.1)

    def path(self, page: Page | None = None) -> str:
        return urlsplit((page or self.page).url).path

    def token_pair(self) -> dict[str, Any] | None:
        found = [cookie["value"] for cookie in self.context.cookies(self.origin) if cookie["name"] == "tokenPair"]
        return dict(json.loads(unquote(found[0]))) if found else None

    @property
    def token(self) -> str:
        pair = self.token_pair()
        assert pair is not None, "nobody is signed in"
        return str(pair["accessOrWorkspaceAgnosticToken"]["token"])

    def graphql(self, query: str, path: str = "/graphql", **variables: Any) -> dict[str, Any]:
        """One request in this person's name, with the token pair that the browser holds."""
        return graphql(self.origin, self.token, query, path, **variables)

    def me(self) -> dict[str, Any]:
        found = self.graphql("{ currentUser { id email currentWorkspace { id displayName } } }", "/metadata")
        return dict(found["data"]["currentUser"])


def graphql(origin: str, token: str | None, query: str, path: str = "/graphql", **variables: Any) -> dict[str, Any]:
    """One GraphQL request: the whole body of the answer, errors included."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = {"query": query, "variables": variables}
    answer = httpx.post(f"{origin}{path}", json=body, headers=headers, timeout=30, trust_env=False)
    return dict(answer.json())
