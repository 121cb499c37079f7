"""Items 1, 2 and 3 of the plan's checklist: no session goes to Clerk, a session goes in, signing out ends both."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from itertools import pairwise
from urllib.parse import quote, urlsplit

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from lab.clerk.control import Control
from tests.browser.people import SECONDS, Cast, Person, graphql

Somebody = Callable[..., Person]
pytestmark = pytest.mark.usefixtures("manager_at_rest")
PROTECTED = ["/", "/objects/people?viewId=7#row-3", "/settings/profile", "/settings/members", "/not/a/page"]
OWN_SIGN_IN = ["/welcome", "/welcome?email=a%40b.test", "/reset-password/abc", "/invite/abc", "/verify?loginToken=abc"]


@pytest.mark.parametrize("path", PROTECTED + OWN_SIGN_IN)
def test_without_a_session_every_page_ends_at_clerk_with_the_way_back(somebody: Somebody, public_url: str, path: str) -> None:
    visitor = somebody()
    visitor.open(path)
    assert visitor.at_clerk() == public_url + ("/" if path in OWN_SIGN_IN else path)
    assert visitor.seen == [], "something flashed up on the way"
    assert visitor.exchanges == [], "there was nothing to exchange"


@pytest.mark.parametrize(
    "path",
    [
        "/?redirect_url=https://evil.example/",
        "/?sign_in_force_redirect_url=https://evil.example/&after_sign_in_url=https://evil.example",
        "/#/?redirect_url=https://evil.example/",
        "//evil.example/",
    ],
)
def test_nobody_is_sent_to_a_strangers_address_after_sign_in(somebody: Somebody, cast: Cast, public_url: str, path: str) -> None:
    cast.tenant("Acme", Alice="admin")
    alice = somebody()
    alice.open(path)
    back = urlsplit(alice.at_clerk() or public_url)
    assert f"{back.scheme}://{back.netloc}" == public_url
    alice.sign_in("Alice")
    alice.inside()
    assert alice.page.url.startswith(f"{public_url}/")


def test_what_is_for_everybody_is_not_redirected(public_url: str) -> None:
    with httpx.Client(base_url=public_url, trust_env=False, timeout=15) as visitor:
        assert visitor.get("/healthz").json()["status"] == "ok"
        told = visitor.get("/client-config").json()
        assert told["clerk"]["publishableKey"].startswith("pk_")
        page = visitor.get("/objects/people")
        assert page.status_code == 200
        script = page.text.partition('<script type="module" crossorigin src="')[2].partition('"')[0]
        assert visitor.get(script).headers["content-type"].startswith(("application/javascript", "text/javascript"))
        for path, query in (("/graphql", "{ people { totalCount } }"), ("/metadata", "{ currentUser { id } }")):
            answer = graphql(public_url, None, query, path)
            assert answer["errors"], path
            assert not (answer.get("data") or {}).get("people")
        assert visitor.get("/rest/people").status_code in (401, 403)
        assert visitor.post("/clerk/session", json={}).status_code == 401


def test_the_served_key_is_the_one_that_was_set(request: pytest.FixtureRequest, public_url: str) -> None:
    if request.config.getoption("--clerk") != "lab":
        pytest.skip("the key that was set is known of the lab alone")
    told = httpx.get(f"{public_url}/client-config", trust_env=False).json()["clerk"]
    state = request.getfixturevalue("the_lab").state().clerk
    assert told["publishableKey"] == state.publishable_key


def test_sign_in_leads_to_the_place_and_the_form_is_never_seen(somebody: Somebody, cast: Cast, public_url: str) -> None:
    cast.tenant("Acme", Alice="admin")
    alice = somebody()
    alice.open("/settings/profile")
    alice.sign_in("Alice")
    expect(alice.page.get_by_text("Your name as it will be displayed")).to_be_visible(timeout=SECONDS)
    assert (alice.path(), alice.exchanges) == ("/settings/profile", [200])
    alice.picture("deep-link")
    alice.page.reload()
    expect(alice.page.get_by_text("Your name as it will be displayed")).to_be_visible(timeout=SECONDS)
    assert alice.exchanges == [200, 200], "one exchange a load"
    second = alice.tab()
    alice.open("/welcome", second)
    alice.inside(second)
    alice.open("/reset-password/abc", second)
    alice.inside(second)
    assert alice.exchanges == [200] * 4
    assert set(alice.seen) == {"crm"}, "Twenty's own sign-in showed up"
    for gone in ("Set Password", "Change Password", "Two Factor Authentication", "Delete account"):
        expect(alice.page.get_by_text(gone)).to_have_count(0)


def test_settings_have_no_invitations_and_the_source_is_offered(somebody: Somebody, cast: Cast, public_url: str) -> None:
    cast.tenant("Acme", Alice="admin")
    alice = somebody()
    alice.open("/settings/members")
    alice.sign_in("Alice")
    expect(alice.page.get_by_text("Members of this workspace are the members of your organization")).to_be_visible(
        timeout=SECONDS
    )
    for gone in ("Invite by link", "Invite by email"):
        expect(alice.page.get_by_text(gone)).to_have_count(0)
    alice.picture("members")
    source = httpx.get(f"{public_url}/client-config", trust_env=False).json()["sourceCodeUrl"]
    expect(alice.page.get_by_text("Source code")).to_have_count(1 if source else 0)


def test_signing_out_ends_both_sessions_in_every_tab(somebody: Somebody, cast: Cast, clerk: Control, public_url: str) -> None:
    cast.tenant("Acme", Alice="admin")
    cast.tenant("Globex", Bob="admin")
    alice = somebody()
    alice.open("/objects/people")
    alice.sign_in("Alice")
    alice.inside()
    other = alice.tab()
    alice.open("/settings/profile", other)
    alice.inside(other) if "/objects/" in other.url else expect(other.get_by_text("Your name as it")).to_be_visible(
        timeout=SECONDS
    )
    alice.menu("Acme", "Log out")
    assert alice.at_clerk() == f"{public_url}/"
    assert alice.at_clerk(other) == f"{public_url}/settings/profile", "the other tab keeps its place"
    assert alice.token_pair() is None
    alice.page.go_back()
    alice.at_clerk()
    alice.sign_in("Bob")  # the same browser, somebody else
    alice.inside()
    assert alice.me()["email"] == cast.email("Bob")


def test_a_session_that_clerk_revokes_ends_here_and_the_place_is_kept(
    somebody: Somebody, cast: Cast, clerk: Control, public_url: str
) -> None:
    cast.tenant("Acme", Alice="admin")
    alice = somebody()
    alice.open("/settings/profile")
    alice.sign_in("Alice")
    expect(alice.page.get_by_text("Your name as it will be displayed")).to_be_visible(timeout=SECONDS)
    assert len(clerk.revoke(user_id=cast.users["Alice"])) == 1
    alice.page.evaluate("window.dispatchEvent(new Event('focus'))")  # clerk-js asks at once when a person comes back
    assert alice.at_clerk() == f"{public_url}/settings/profile"
    assert alice.token_pair() is None
    alice.sign_in("Alice")
    expect(alice.page.get_by_text("Your name as it will be displayed")).to_be_visible(timeout=SECONDS)


def test_a_token_pair_in_the_cookie_is_no_session(somebody: Somebody, cast: Cast, public_url: str) -> None:
    cast.tenant("Acme", Alice="admin")
    alice = somebody()
    alice.open()
    alice.sign_in("Alice")
    alice.inside()
    pair = quote(json.dumps(alice.token_pair()))
    thief = somebody()
    thief.context.add_cookies([{"name": "tokenPair", "value": pair, "url": public_url}])
    asked: list[str] = []
    thief.context.on("request", lambda r: asked.append(r.headers.get("authorization", "")) if "/graphql" in r.url else None)
    thief.open("/objects/people")
    thief.at_clerk()
    assert thief.seen == []
    assert not any(asked), "the token was used"
    assert thief.token_pair() is None, "it is thrown away"


@pytest.mark.parametrize("part", ["script", "frontend"])
def test_clerk_out_of_reach_is_said_and_can_be_tried_again(somebody: Somebody, cast: Cast, clerk: Control, part: str) -> None:
    cast.tenant("Acme", Alice="admin")
    alice = somebody()
    clerk.fault("status", part, status=503)
    alice.open("/objects/people")
    alice.reads("The sign-in service cannot be reached")
    alice.picture("message")
    assert alice.seen == []
    alice.errors[:] = [error for error in alice.errors if "failed_to_load_clerk_js" not in error]  # what Clerk's loader throws
    clerk.heal()
    alice.page.get_by_role("button", name="Try again").click()
    alice.sign_in("Alice")
    alice.inside()


@pytest.mark.parametrize("key", ["", "pk_test_YOUR_KEY_HERE", "pk_test_bG9jYWxob3N0JA"])
def test_a_wrong_key_is_a_clear_page(somebody: Somebody, key: str) -> None:
    visitor = somebody()

    def wrong(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "clerk": {"publishableKey": key}})

    visitor.page.route("**/client-config", wrong)
    visitor.open()
    visitor.reads("Sign-in is not set up correctly")
    expect(visitor.page.get_by_text("NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY")).to_be_visible()
    assert visitor.seen == []


def _answer_first(page: Page, status: int, times: int, headers: dict[str, str] | None = None) -> list[float]:
    asked: list[float] = []

    def first(route: Route) -> None:
        if route.request.method != "POST":  # signing out
            route.continue_()
            return
        asked.append(time.monotonic())
        if len(asked) <= times:
            route.fulfill(status=status, headers=headers or {}, json={"error": "refused by the test"})
        else:
            route.continue_()

    page.route("**/clerk/session", first)
    return asked


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_when_it_says(somebody: Somebody, cast: Cast, status: int) -> None:
    cast.tenant("Acme", Alice="admin")
    alice = somebody()
    asked = _answer_first(alice.page, status, 2, {"Retry-After": "3"})
    alice.open()
    alice.sign_in("Alice")
    alice.inside()
    assert [after - before >= 3 for before, after in pairwise(asked)] == [True, True]


def test_a_refused_sign_in_is_tried_anew_once_and_then_said(somebody: Somebody, cast: Cast) -> None:
    cast.tenant("Acme", Alice="admin")
    alice = somebody()
    asked = _answer_first(alice.page, 401, 99)
    alice.open("/objects/people")
    alice.sign_in("Alice")
    alice.sign_in("Alice")  # signed out of Clerk, and asked anew
    alice.reads("Your sign-in was not accepted")
    alice.picture("refused")
    assert len(asked) == 4, "twice each, the second time with a fresh token"
    alice.page.wait_for_timeout(3_000)
    assert len(asked) == 4, "it stopped"
    alice.page.unroute("**/clerk/session")
    alice.page.get_by_role("button", name="Sign in again").click()
    alice.sign_in("Alice")
    alice.inside()


@pytest.mark.parametrize(
    ("status", "title", "again"),
    [("banned", "You cannot use this CRM", False), ("locked", "Your account is locked for a while", True)],
)
def test_a_person_whom_clerk_does_not_let_in_reads_why(
    somebody: Somebody, cast: Cast, status: str, title: str, again: bool
) -> None:
    cast.tenant("Acme", Alice="admin")
    alice = somebody()
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.method)
        if route.request.method == "POST":
            route.fulfill(json={"status": status})
        else:
            route.continue_()

    alice.page.route("**/clerk/session", refuse)
    alice.open("/objects/people")
    alice.sign_in("Alice")
    alice.reads(title)
    alice.picture(status)
    alice.page.wait_for_timeout(3_000)
    assert asked == ["POST"], "it is not asked again by itself"
    assert alice.token_pair() is None
    assert alice.page.get_by_role("button", name="Try again").count() == again
    alice.page.get_by_role("button", name="Sign out").click()
    alice.at_clerk()
    assert asked[-1] == "DELETE"


def test_signing_out_ends_the_tokens_on_the_server(somebody: Somebody, cast: Cast) -> None:
    cast.tenant("Acme", Alice="admin")
    alice = somebody()
    alice.open("/objects/people")
    alice.sign_in("Alice")
    alice.inside()
    token, origin = alice.token, alice.origin
    assert "errors" not in graphql(origin, token, "{ people(first: 1) { edges { node { id } } } }")
    alice.menu("Acme", "Log out")
    alice.at_clerk()
    assert "errors" in graphql(origin, token, "{ people(first: 1) { edges { node { id } } } }")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_are_readable_in_light_and_dark_and_by_keyboard(somebody: Somebody, cast: Cast, scheme: str) -> None:
    cast.organization("Acme", Alice="admin")  # no workspace yet
    alice = somebody(color_scheme=scheme)
    alice.open()
    alice.sign_in("Alice")
    alice.reads("Setting up your workspace")
    alice.picture("waiting")
    assert alice.page.evaluate("document.activeElement.tagName") == "H1", "what changed is read out"
    assert alice.page.get_by_role("status").count() == 1
    background = alice.page.evaluate("getComputedStyle(document.body).backgroundColor")
    red = float(re.findall(r"[ (](\d[\d.]*)", background)[0])  # grey: rgb(241, …), or color(display-p3 0.945 …)
    light = red > (0.5 if "color(" in background else 128)
    assert light == (scheme == "light"), background
    alice.page.keyboard.press("Tab")
    alice.page.keyboard.press("Enter")
    alice.reads("Choose an organization")
    alice.picture("organizations")
