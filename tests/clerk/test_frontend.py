"""The frontend API by itself, asked as clerk-js asks; and the hosted pages without a browser."""

from __future__ import annotations

import httpx
import pytest

from tests.clerk.conftest import ALICE, BOB, CAROL, World
from tests.clerk.test_tokens import check


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"]


def test_an_unknown_browser_is_told_so_and_errors_carry_cors(world: World) -> None:
    answer = world.browser.get("/v1/client", params={"__clerk_db_jwt": "dvb_other"}, headers={"origin": "http://crm.test"})
    assert code(answer) == (401, "dev_browser_unauthenticated")
    assert answer.headers["access-control-allow-origin"] == "http://crm.test"
    assert answer.headers["access-control-allow-credentials"] == "true"
    lost = world.browser.get("/v1/nothing", headers={"origin": "http://crm.test"})
    assert code(lost) == (404, "resource_not_found")
    assert lost.headers["access-control-allow-origin"] == "http://crm.test"


def test_cookies_count_for_nothing(world: World) -> None:
    page = world.page()
    page.sign_in(ALICE)
    assert code(world.browser.get("/v1/client", headers={"cookie": f"__clerk_db_jwt={page.token}"}))[0] == 401


def test_the_environment_says_development_and_leads_to_the_hosted_pages(world: World) -> None:
    for answer in (world.browser.get("/v1/environment"), world.browser.post("/v1/environment?_method=PATCH")):
        display = answer.json()["display_config"]
        assert display["instance_environment_type"] == "development"
        assert display["sign_in_url"] == f"{world.address}/sign-in"
    behind = world.browser.get("/v1/environment", headers={"clerk-proxy-url": "http://crm.test/clerk"}).json()
    assert behind["display_config"]["sign_up_url"] == "http://crm.test/clerk/sign-up"
    headers = {"x-forwarded-host": "crm.test", "x-forwarded-proto": "https", "x-forwarded-prefix": "/clerk"}
    behind = world.browser.get("/v1/environment", headers=headers).json()
    assert behind["display_config"]["sign_in_url"] == "https://crm.test/clerk/sign-in"


def test_a_browser_signs_in_and_out(world: World) -> None:
    page = world.page("http://crm.test")
    assert page.get("/v1/client") == {"response": None, "client": None}
    session = page.sign_in(ALICE)
    client = page.get("/v1/client")["response"]
    assert client["sessions"][0]["user"]["organization_memberships"][0]["role"] == "org:admin"
    assert client["sessions"][0]["last_active_organization_id"] == world.ids["Acme"]
    answer = page.ask("DELETE", "/v1/client/sessions").json()
    assert answer["response"]["sessions"] == []
    assert code(page.ask("POST", f"/v1/client/sessions/{session}/tokens")) == (401, "authentication_invalid")
    assert page.get("/v1/client")["response"]["last_active_session_id"] is None


@pytest.mark.parametrize("verb", ["end", "remove"])
def test_one_session_is_ended(world: World, verb: str) -> None:
    page = world.page()
    session = page.sign_in(BOB)
    answer = page.post(f"/v1/client/sessions/{session}/{verb}")
    assert answer["response"]["status"] == {"end": "ended", "remove": "removed"}[verb]
    assert answer["response"]["last_active_token"] is None
    assert answer["client"]["sessions"] == []


def test_nobody_gets_tokens_of_another_browsers_session(world: World) -> None:
    mine, other = world.page(), world.page()
    session = mine.sign_in(ALICE)
    other.sign_in(BOB)
    assert code(other.ask("POST", f"/v1/client/sessions/{session}/tokens")) == (401, "authentication_invalid")


def test_tokens_of_each_organization_and_of_none(world: World) -> None:
    page = world.page()
    path = f"/v1/client/sessions/{page.sign_in(ALICE)}/tokens"
    assert check(world, page.post(path)["jwt"])["o"]["slg"] == "acme"
    assert check(world, page.post(path, organization_id=world.ids["Globex"])["jwt"])["o"]["rol"] == "member"
    assert "o" not in check(world, page.post(path, organization_id="")["jwt"])
    bob = world.page()
    refused = bob.ask("POST", f"/v1/client/sessions/{bob.sign_in(BOB)}/tokens", organization_id=world.ids["Globex"])
    assert code(refused) == (403, "not_a_member_in_organization")


def test_azp_is_the_pages_origin(world: World) -> None:
    page = world.page("http://10.77.7.10")
    session = page.sign_in(ALICE)
    minted = page.post(f"/v1/client/sessions/{session}/tokens")["jwt"]
    assert world.emulator.instance.session(session).origin == "http://10.77.7.10"
    with_template = page.post(f"/v1/client/sessions/{session}/tokens/hasura")["jwt"]
    import base64
    import json

    for token in (minted, with_template):
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        assert claims["azp"] == "http://10.77.7.10"
    assert "sid" not in claims  # a template's token is no session token


def test_switching_answers_with_a_token_of_the_new_organization(world: World) -> None:
    page = world.page()
    session = page.sign_in(ALICE)
    answer = page.post(f"/v1/client/sessions/{session}/touch", active_organization_id=world.ids["Globex"], intent="select_org")
    assert answer["response"]["last_active_organization_id"] == world.ids["Globex"]
    assert check(world, answer["client"]["sessions"][0]["last_active_token"]["jwt"])["o"]["id"] == world.ids["Globex"]
    page.post(f"/v1/client/sessions/{session}/touch", active_organization_id="")
    assert page.get(f"/v1/client/sessions/{session}")["response"]["last_active_organization_id"] is None
    page.post(f"/v1/client/sessions/{session}/touch", active_organization_id=world.ids["Globex"])
    page.ask("DELETE", "/v1/client/sessions")
    page.sign_in(ALICE)  # comes back to the organisation that was active last
    assert page.get("/v1/client")["response"]["sessions"][0]["last_active_organization_id"] == world.ids["Globex"]


def test_a_stranger_cannot_make_an_organization_active_or_look_into_it(world: World) -> None:
    page = world.page()
    session = page.sign_in(BOB)
    refused = page.ask("POST", f"/v1/client/sessions/{session}/touch", active_organization_id=world.ids["Globex"])
    assert code(refused) == (404, "resource_not_found")
    assert code(page.ask("GET", f"/v1/organizations/{world.ids['Globex']}/memberships")) == (404, "resource_not_found")


def test_an_organization_from_the_browser(world: World) -> None:
    page = world.page()
    page.sign_in(BOB)
    made = page.post("/v1/organizations", name="Bob & Söhne")
    assert made["response"]["slug"] == "bob-s-hne"
    mine = made["client"]["sessions"][0]["user"]["organization_memberships"]
    assert [m["organization"]["name"] for m in mine] == ["Acme", "Bob & Söhne"]
    assert mine[-1]["role"] == "org:admin"
    assert code(page.ask("POST", "/v1/organizations", name="Other", slug="acme")) == (422, "form_identifier_exists")
    assert code(page.ask("POST", "/v1/organizations", name="")) == (422, "form_param_missing")
    path = f"/v1/organizations/{made['response']['id']}"
    assert page.ask("PATCH", path, name="Bob").json()["response"]["name"] == "Bob"
    assert page.ask("DELETE", path).json()["response"]["deleted"] is True
    acme = f"/v1/organizations/{world.ids['Acme']}"
    assert code(page.ask("PATCH", acme, name="Mine")) == (403, "missing_organization_permission")


def test_equal_and_foreign_names_get_slugs_of_their_own(world: World) -> None:
    page = world.page()
    page.sign_in(CAROL)
    slugs = {page.post("/v1/organizations", name=name)["response"]["slug"] for name in ("Acme", "Acme", "شركة", "شركة", "会社")}
    assert len(slugs) == 5


def test_members_are_managed_from_the_browser(world: World) -> None:
    page = world.page()
    page.sign_in(ALICE)
    path = f"/v1/organizations/{world.ids['Acme']}"
    added = page.post(f"{path}/memberships", user_id=world.user(CAROL), role="org:member")["response"]
    assert added["public_user_data"]["identifier"] == CAROL
    carol = f"{path}/memberships/{world.user(CAROL)}"
    assert page.ask("PATCH", carol, role="org:admin").json()["response"]["role"] == "org:admin"
    assert page.get(f"{path}/memberships", limit="2", offset="0")["response"]["total_count"] == 3
    assert len(page.get(f"{path}/memberships", limit="2", offset="2")["response"]["data"]) == 1
    assert page.get(f"{path}/roles")["response"]["total_count"] == 2
    assert page.ask("DELETE", carol).status_code == 200
    alone = page.ask("DELETE", f"/v1/me/organization_memberships/{world.ids['Acme']}")
    assert code(alone) == (400, "organization_minimum_permissions_needed")


def test_an_invitation_is_accepted(world: World) -> None:
    alice, carol = world.page(), world.page()
    alice.sign_in(ALICE)
    carol.sign_in(CAROL)
    path = f"/v1/organizations/{world.ids['Acme']}/invitations"
    alice.post(path, email_address=CAROL, role="org:member")
    assert code(alice.ask("POST", path, email_address=CAROL, role="org:member")) == (400, "duplicate_record")
    assert code(alice.ask("POST", path, email_address=BOB, role="org:member")) == (400, "already_a_member_in_organization")
    (waiting,) = carol.get("/v1/me/organization_invitations")["response"]["data"]
    assert waiting["public_organization_data"]["name"] == "Acme"
    carol.post(f"/v1/me/organization_invitations/{waiting['id']}/accept")
    assert carol.get("/v1/me/organization_memberships")["response"]["total_count"] == 1
    assert code(carol.ask("POST", f"/v1/me/organization_invitations/{waiting['id']}/accept"))[0] == 400
    dave = alice.post(path, email_address="dave@lab.test", role="org:member")["response"]
    assert alice.post(f"{path}/{dave['id']}/revoke")["response"]["status"] == "revoked"


def test_a_ticket_signs_in_once(world: World) -> None:
    ticket = world.backend.post("/sign_in_tokens", json={"user_id": world.user(BOB)}).json()
    page = world.page()
    answer = page.post("/v1/client/sign_ins", strategy="ticket", ticket=ticket["token"])
    assert answer["response"]["status"] == "complete"
    assert answer["client"]["last_active_session_id"] == answer["response"]["created_session_id"]
    assert code(page.ask("POST", "/v1/client/sign_ins", strategy="ticket", ticket=ticket["token"])) == (
        400,
        "ticket_invalid_code",
    )
    assert code(page.ask("POST", "/v1/client/sign_ins", strategy="password"))[0] == 422


def test_a_person_leaves_for_good(world: World) -> None:
    page = world.page()
    page.sign_in(CAROL)
    answer = page.ask("DELETE", "/v1/me").json()
    assert answer["response"]["deleted"] is True
    assert answer["client"]["sessions"] == []
    assert world.backend.get(f"/users/{world.user(CAROL)}").status_code == 404


# --- hosted pages ---------------------------------------------------------------------------------------------------


def post(world: World, path: str, **fields: str) -> httpx.Response:
    return world.browser.post(path, data=fields)


def test_the_hosted_page_refuses_what_a_browser_would_run(world: World) -> None:
    for address in ("javascript:alert(1)", "data:text/html,x", "file:///etc/passwd"):
        assert post(world, "/sign-in", identifier=ALICE, redirect_url=address).status_code == 422
    assert world.backend.get("/sessions").json() == []


def test_the_way_back_keeps_query_and_fragment(world: World) -> None:
    answer = post(world, "/sign-in", identifier=ALICE, redirect_url="http://crm.test:81/a?b=c&__clerk_db_jwt=old#d/e?f=g")
    token = answer.headers["location"].partition("__clerk_db_jwt=")[2].partition("#")[0]
    assert answer.headers["location"] == f"http://crm.test:81/a?b=c&__clerk_db_jwt={token}#d/e?f=g"
    assert token.startswith("dvb_")


def test_an_unknown_address_stays_on_the_page_with_a_message(world: World) -> None:
    answer = post(world, "/sign-in", identifier='"><script>', redirect_url="http://crm.test/")
    assert answer.status_code == 422
    assert "Couldn&#x27;t find your account." in answer.text
    assert 'value="http://crm.test/"' in answer.text
    assert '"><script>' not in answer.text


def test_sign_up_makes_a_verified_person(world: World) -> None:
    back = "http://crm.test/"
    assert post(world, "/sign-up", email_address="Dave@Lab.test", first_name="Dave", redirect_url=back).status_code == 303
    (dave,) = world.backend.get("/users", params={"email_address": "dave@lab.test"}).json()
    assert dave["email_addresses"][0]["verification"]["status"] == "verified"
    assert post(world, "/sign-up", email_address="dave@lab.test", redirect_url=back).status_code == 422
    assert post(world, "/sign-up", email_address="nonsense", redirect_url=back).status_code == 422


def test_who_is_signed_in_is_sent_straight_back(world: World) -> None:
    page = world.page()
    session = page.sign_in(ALICE)
    shown = world.browser.get("/sign-in", params={"__clerk_db_jwt": page.token}).text
    assert "if (true) form.submit()" in shown
    assert post(world, "/sign-in", db_jwt=page.token, redirect_url="http://crm.test/").status_code == 303
    assert page.get("/v1/client")["response"]["last_active_session_id"] == session  # the same session, no new one
    assert "if (false) form.submit()" in world.browser.get("/sign-in").text


def test_an_organization_is_made_on_the_hosted_page(world: World) -> None:
    page = world.page()
    page.sign_in(CAROL)
    answer = post(world, "/create-organization", db_jwt=page.token, name="Initech", redirect_url="http://crm.test/")
    assert answer.status_code == 303
    session = page.get("/v1/client")["response"]["sessions"][0]
    assert session["user"]["organization_memberships"][0]["organization"]["name"] == "Initech"
    assert session["last_active_organization_id"] == session["user"]["organization_memberships"][0]["organization"]["id"]
    assert post(world, "/create-organization", db_jwt="", name="Other", redirect_url="http://crm.test/").status_code == 401


def test_without_a_return_address_one_comes_home(world: World) -> None:
    world.control.settings(home_url="http://crm.test/home")
    assert post(world, "/sign-in", identifier=ALICE).headers["location"].startswith("http://crm.test/home?__clerk_db_jwt=")
    assert world.browser.get("/default-redirect").headers["location"] == "http://crm.test/home"
