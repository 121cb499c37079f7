"""The real clerk-react and the real clerk-js in headless Chromium, against the emulator, without the internet."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from lab import packages
from lab.clerk import settings
from lab.command import wait_until
from tests.browser.conftest import FLAGS
from tests.clerk import npm
from tests.clerk.conftest import ALICE, BOB, CAROL, World
from tests.clerk.verifier import verified

HOST = "crm.lab.test"  # a name, not loopback: plain http here is no secure context, as on a droplet without a domain
SECONDS = 15_000


@pytest.fixture(scope="session")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return npm.page(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if shutil.which("chromium") is None:
        packages.install(["chromium"], print)
    rules = f"--host-resolver-rules=MAP {HOST} 127.0.0.1,MAP * ~NOTFOUND,EXCLUDE 127.0.0.1"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*FLAGS, rules])
        yield found
        found.close()


class Site:
    """Serves the page at every path; ``/clerk`` is forwarded to the emulator as Caddy would."""

    def __init__(self, script: Path, world: World) -> None:
        self.script, self.world = script, world
        self.settings: dict[str, str] = {}
        routes = [
            Route("/page.js", self.code),
            Route("/clerk/{path:path}", self.forward, methods=["GET", "POST"]),
            Route("/{path:path}", self.page),
        ]
        config = uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=0, log_level="warning", lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        wait_until(lambda: self.server.started, 20, "the page's server does not start")
        self.origin = f"http://{HOST}:{self.server.servers[0].sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)

    async def code(self, _request: HttpRequest) -> Response:
        return FileResponse(self.script, media_type="application/javascript")

    async def page(self, _request: HttpRequest) -> Response:
        told = json.dumps({name: self.settings[name] for name in ("publishableKey", "proxyUrl", "clerkJSUrl")})
        icon = '<link rel="icon" href="data:,">'
        return HTMLResponse(
            f'<!doctype html>{icon}<title>CRM</title><div id="root"></div><script>window.settings = {told}</script><script src="/page.js"></script>'
        )

    async def forward(self, request: HttpRequest) -> Response:
        kept = {
            name: value
            for name, value in request.headers.items()
            if name not in ("connection", "content-length", "accept-encoding")
        }
        kept["clerk-proxy-url"] = f"{self.origin}/clerk"
        async with httpx.AsyncClient(trust_env=False) as client:
            path = f"{self.world.address}/{request.path_params['path']}"
            answer = await client.request(
                request.method, path, params=request.query_params, headers=kept, content=await request.body()
            )
        passed = {n: v for n, v in answer.headers.items() if n not in ("content-length", "connection", "content-encoding")}
        return Response(answer.content, answer.status_code, passed)


class Person:
    """One person at one browser."""

    def __init__(self, context: BrowserContext, site: Site, world: World) -> None:
        self.context, self.site, self.world = context, site, world
        self.page: Page = context.new_page()
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note(self, request: Request) -> None:
        if request.url.startswith("http"):
            self.asked.append(request.url)

    def open(self, path: str = "/") -> None:
        self.page.goto(f"{self.site.origin}{path}", wait_until="domcontentloaded")

    def at_clerk(self) -> None:
        expect(self.page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=SECONDS)

    def sign_in(self, email: str) -> None:
        self.at_clerk()
        self.page.get_by_label("Email address").fill(email)
        self.page.get_by_role("button", name="Continue").click()
        self.inside(email)

    def inside(self, email: str) -> None:
        expect(self.page.get_by_role("heading", name=email)).to_be_visible(timeout=SECONDS)

    def organization(self, text: str) -> None:
        expect(self.page.locator("#organization")).to_have_text(text, timeout=SECONDS)

    def token(self, **options: Any) -> str:
        return str(self.page.evaluate("options => window.tools.getToken(options)", options))

    def claims(self, **options: Any) -> dict[str, Any]:
        """Claims of the page's token, verified as a server would."""
        jwks = httpx.get(f"{self.world.address}/.well-known/jwks.json", trust_env=False).json()
        issuer = settings("tests", self.world.address)["issuer"]
        return verified(self.token(**options), jwks, issuer=issuer, parties=[self.site.origin])


@pytest.fixture(scope="session")
def profile(chromium: Browser) -> Iterator[BrowserContext]:
    """One profile for all tests: clerk-js comes out of its cache from the second test on. Each test's origin is its own."""
    found = chromium.new_context(viewport={"width": 1000, "height": 700})
    yield found
    found.close()


@pytest.fixture
def site(script: Path, world: World) -> Iterator[Site]:
    found = Site(script, world)
    found.settings = settings("tests", world.address)
    yield found
    found.stop()


@pytest.fixture
def person(profile: BrowserContext, site: Site, world: World) -> Iterator[Person]:
    found = Person(profile, site, world)
    yield found
    for page in profile.pages:
        page.close()
    profile.clear_cookies()
    assert found.errors == []
    own = {urlsplit(site.origin).netloc, urlsplit(world.address).netloc}
    assert {urlsplit(url).netloc for url in found.asked} <= own, "something left for the internet"


def test_sign_in_brings_back_to_the_place_and_the_token_verifies(person: Person, site: Site) -> None:
    alice = person
    alice.open("/objects/people?view=7#row-3")
    alice.at_clerk()
    back = parse_qs(urlsplit(alice.page.url).fragment.partition("?")[2])["redirect_url"][0]
    assert back == f"{site.origin}/objects/people?view=7#row-3"
    alice.sign_in(ALICE)
    assert alice.page.url == f"{site.origin}/objects/people?view=7#row-3"
    claims = alice.claims()
    assert (claims["sub"], claims["azp"], claims["v"], claims["sts"]) == (alice.world.user(ALICE), site.origin, 2, "active")
    assert claims["o"] == {"id": alice.world.ids["Acme"], "rol": "admin", "slg": "acme"}
    alice.page.reload()
    alice.inside(ALICE)
    second = alice.context.new_page()  # another tab: signed in without a word
    second.goto(site.origin)
    expect(second.get_by_role("heading", name=ALICE)).to_be_visible(timeout=SECONDS)


def test_switching_and_creating_an_organization(person: Person, world: World) -> None:
    alice = person
    alice.open("/with-components")
    alice.sign_in(ALICE)
    alice.organization("Acme (acme)")
    expect(alice.page.locator(".cl-organizationSwitcherTrigger")).to_be_visible(timeout=SECONDS)  # Clerk's own component
    alice.page.get_by_role("button", name="Globex", exact=True).click()
    alice.organization("Globex (globex)")
    expect(alice.page.locator("main")).to_have_attribute("data-role", "org:member")
    assert alice.claims()["o"] == {"id": world.ids["Globex"], "rol": "member", "slg": "globex"}
    alice.page.locator("#personal").click()
    alice.organization("personal")
    assert "o" not in alice.claims()
    made = alice.page.evaluate(
        """async () => {
          const made = await window.tools.createOrganization({ name: 'شركة النور' });
          await window.tools.setActive({ organization: made.id });
          return { id: made.id, slug: made.slug };
        }"""
    )
    alice.organization(f"شركة النور ({made['slug']})")
    assert alice.claims()["o"] == {"id": made["id"], "rol": "admin", "slg": made["slug"]}
    assert [m["event"] for m in world.control.messages()][-2:] == ["organization.created", "organizationMembership.created"]


def test_creating_an_organization_in_clerks_own_component(person: Person) -> None:
    carol = person
    carol.open("/create")
    carol.sign_in(CAROL)
    carol.organization("personal")
    carol.page.get_by_label("Name").fill("Initech")
    carol.page.get_by_role("button", name="Create organization").click()
    carol.organization("Initech (initech)")
    assert carol.claims()["o"]["rol"] == "admin"


def test_sign_out_ends_the_session_in_every_tab(person: Person, site: Site, world: World) -> None:
    alice = person
    alice.open()
    alice.sign_in(ALICE)
    other = alice.context.new_page()
    other.goto(site.origin)
    expect(other.get_by_role("heading", name=ALICE)).to_be_visible(timeout=SECONDS)
    alice.page.locator("#out").click()
    expect(alice.page.locator("#goodbye")).to_be_visible(timeout=SECONDS)
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible(timeout=SECONDS)
    assert [s["status"] for s in world.backend.get("/sessions").json()] == ["removed"]
    alice.open()
    alice.sign_in(BOB)  # the same browser, somebody else


@pytest.mark.parametrize("status", [401, 404])
def test_a_revoked_session_is_noticed_and_the_place_is_kept(person: Person, site: Site, world: World, status: int) -> None:
    world.control.settings(revoked_status=status)
    alice = person
    alice.open("/settings")
    alice.sign_in(ALICE)
    assert len(world.control.revoke(user_id=world.user(ALICE))) == 1
    alice.page.evaluate("window.dispatchEvent(new Event('focus'))")  # clerk-js asks at once when a person comes back
    alice.at_clerk()
    assert parse_qs(urlsplit(alice.page.url).fragment.partition("?")[2])["redirect_url"] == [f"{site.origin}/settings"]


def test_tokens_are_refreshed_and_keys_rotate(person: Person, world: World) -> None:
    world.control.settings(token_lifetime=19)  # clerk-js refreshes when 15 s are left
    alice = person
    alice.open()
    alice.sign_in(ALICE)
    first = alice.token()
    kid = world.control.rotate_keys(drop_old=True)
    wait_until(lambda: alice.token() != first, 20, "the token is not refreshed", every=0.5)
    assert alice.claims()["sub"] == world.user(ALICE)
    head = httpx.get(f"{world.address}/.well-known/jwks.json", trust_env=False).json()["keys"]
    assert [key["kid"] for key in head] == [kid]


def test_one_origin_through_the_pages_own_server(person: Person, site: Site, world: World) -> None:
    site.settings = settings("tests", world.address, path="/clerk")
    alice = person
    alice.open("/deep/link")
    alice.at_clerk()
    assert alice.page.url.startswith(f"{site.origin}/clerk/sign-in")
    alice.sign_in(ALICE)
    assert alice.page.url == f"{site.origin}/deep/link"
    assert alice.claims()["azp"] == site.origin
    assert {urlsplit(url).netloc for url in alice.asked} == {urlsplit(site.origin).netloc}


def test_an_emulator_that_lost_its_memory_is_no_dead_end(person: Person, world: World) -> None:
    alice = person
    alice.open()
    alice.sign_in(ALICE)
    world.control.forget_browsers()
    alice.open()
    alice.sign_in(ALICE)


def test_without_the_organization_that_is_required_nobody_gets_in(person: Person, world: World) -> None:
    world.control.settings(force_organization_selection=True)
    carol = person
    carol.open("/deep/link")
    carol.at_clerk()
    carol.page.get_by_label("Email address").fill(CAROL)
    carol.page.get_by_role("button", name="Continue").click()
    choose = carol.page.get_by_role("heading", name="Choose an organization")
    expect(choose).to_be_visible(timeout=SECONDS)
    assert [s["status"] for s in world.backend.get("/sessions").json()] == ["pending"]
    carol.open("/deep/link")  # a pending session is none: back to where one chooses
    expect(choose).to_be_visible(timeout=SECONDS)
    carol.page.get_by_label("Name").fill("Initech")
    carol.page.get_by_role("button", name="Create organization").click()
    carol.organization("Initech (initech)")
    assert carol.claims()["sts"] == "active"


def test_clerk_down_leaves_the_page_without_a_session_and_it_recovers(person: Person, world: World) -> None:
    alice = person
    alice.open()
    alice.sign_in(ALICE)
    world.control.fault("status", "frontend", status=503)
    alice.open("/while-down")
    wait_until(lambda: any(r["status"] == 503 and r["path"] == "/v1/client" for r in world.control.requests()), 15, "never asked")
    assert alice.page.locator("main").count() == 0
    world.control.heal()
    alice.open("/after")
    alice.inside(ALICE)
