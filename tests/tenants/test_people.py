"""An API key is nobody: it does not change the rows that belong to people, of its own tenant or of another."""

from __future__ import annotations

import pytest

from tests.contract.api import Api
from tests.tenants.conftest import Tenant
from tests.tenants.test_credentials import new_key, token_of

MEMBERS = "{ workspaceMembers { edges { node { id locale } } } }"
CHANGE = "mutation ($id: UUID!, $locale: String!) { updateWorkspaceMember(id: $id, data: { locale: $locale }) { id locale } }"
OWN_LOCALE = "{ currentUser { currentUserWorkspace { locale } } }"


def member(api: Api) -> str:
    return str(api.records(MEMBERS).ok()["workspaceMembers"]["edges"][0]["node"]["id"])


@pytest.fixture
def key(attacker: Tenant, api: Api) -> Api:
    """An API key of an admin's."""
    return attacker.server.api(token_of(api, new_key(api)))


def test_a_person_changes_their_own_locale(api: Api) -> None:
    who = member(api)
    for locale in ("fr-FR", "en"):
        assert api.records(CHANGE, id=who, locale=locale).ok()["updateWorkspaceMember"]["locale"] == locale
        assert api.metadata(OWN_LOCALE).ok()["currentUser"]["currentUserWorkspace"]["locale"] == locale


def test_an_api_key_changes_nobodys(api: Api, key: Api) -> None:
    """Without the mend it is the membership that the database finds first, of whichever tenant: here it is not seen whose."""
    who = member(api)
    assert api.records(CHANGE, id=who, locale="en").ok()
    assert key.records(CHANGE, id=who, locale="de-DE").ok()["updateWorkspaceMember"]["locale"] == "de-DE"
    assert api.metadata(OWN_LOCALE).ok()["currentUser"]["currentUserWorkspace"]["locale"] == "en"
    key.records(CHANGE, id=who, locale="en").ok()


@pytest.mark.parametrize("locale", ["en-NOWHERE", "toString", "__proto__"])
def test_a_locale_that_is_unknown_is_refused(api: Api, key: Api, locale: str) -> None:
    """It would lock the person out: nothing is found to answer them with."""
    who = member(api)
    assert api.records(CHANGE, id=who, locale="en").ok()
    for asked in (key, api):
        answer = asked.records(CHANGE, id=who, locale=locale)
        assert answer.errors, answer.body
        assert "There is no such locale" in answer.errors[0]["message"], answer.body
    assert api.metadata(OWN_LOCALE).ok()["currentUser"]["currentUserWorkspace"]["locale"] == "en"
