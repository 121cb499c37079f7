"""Whatever is done to an instance in whatever order, it stays consistent, and who replays its events arrives at the same state."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from lab.clerk.errors import ClerkError
from lab.clerk.instance import Instance, merged
from lab.clerk.model import Data

NAMES = st.text("aAé ش1-", max_size=6)
EMAILS = st.sampled_from([f"{name}@lab.test" for name in ("a", "B", "c", "d", "A")] + ["nonsense", "a@b@c", ""])
ROLES = st.sampled_from(["org:admin", "org:member", "org:king"])


class Replay:
    """What a receiver of webhooks knows: three sets, kept by id."""

    def __init__(self, instance: Instance) -> None:
        self.known: dict[str, dict[str, Any]] = {"user": {}, "organization": {}, "organizationMembership": {}}
        instance.listeners.append(self.hear)

    def hear(self, event: str, data: dict[str, Any]) -> None:
        kind, _, what = event.partition(".")
        if kind not in self.known:
            return
        if what == "deleted":
            del self.known[kind][data["id"]]
        else:
            assert (what == "created") == (data["id"] not in self.known[kind])
            self.known[kind][data["id"]] = data


class Life(RuleBasedStateMachine):
    """Users, organisations, members and sessions come and go; refusals change nothing."""

    users, organizations, browsers = Bundle("users"), Bundle("organizations"), Bundle("browsers")

    def __init__(self) -> None:
        super().__init__()
        self.instance = Instance()
        self.replay = Replay(self.instance)

    def attempt(self, call: Any, *args: Any, **fields: Any) -> Any:
        before = self.instance.data.model_dump()
        try:
            return call(*args, **fields)
        except ClerkError:
            assert self.instance.data.model_dump() == before
            return None

    @rule(target=users, emails=st.lists(EMAILS, max_size=2))
    def make_user(self, emails: list[str]) -> Any:
        made = self.attempt(self.instance.create_user, emails)
        return made.id if made else multiple()

    @rule(target=organizations, name=NAMES, slug=st.none() | NAMES, user=st.none() | users)
    def make_organization(self, name: str, slug: str | None, user: str | None) -> Any:
        made = self.attempt(self.instance.create_organization, name, slug=slug, created_by=user)
        return made.id if made else multiple()

    @rule(target=browsers)
    def make_browser(self) -> str:
        return self.instance.new_browser()

    @rule(user=users, organization=organizations, role=ROLES)
    def add(self, user: str, organization: str, role: str) -> None:
        self.attempt(self.instance.add_member, organization, user, role)

    @rule(user=users, organization=organizations, role=ROLES)
    def change(self, user: str, organization: str, role: str) -> None:
        self.attempt(self.instance.update_member, organization, user, role=role)

    @rule(user=users, organization=organizations)
    def remove(self, user: str, organization: str) -> None:
        self.attempt(self.instance.remove_member, organization, user)

    @rule(organization=organizations, name=NAMES, slug=NAMES)
    def rename(self, organization: str, name: str, slug: str) -> None:
        self.attempt(self.instance.update_organization, organization, name=name, slug=slug)

    @rule(user=users, email=EMAILS, verified=st.booleans(), primary=st.booleans())
    def add_email(self, user: str, email: str, verified: bool, primary: bool) -> None:
        self.attempt(self.instance.add_email, user, email, verified=verified, primary=primary)

    @rule(browser=browsers, user=users)
    def sign_in(self, browser: str, user: str) -> None:
        self.attempt(self.instance.sign_in, browser, user, None)

    @rule(browser=browsers, organization=st.none() | organizations)
    def switch(self, browser: str, organization: str | None) -> None:
        for session in list(self.instance.sessions(self.instance.client(browser))):
            self.attempt(self.instance.set_organization, session, organization)

    @rule(browser=browsers)
    def sign_out(self, browser: str) -> None:
        self.instance.sign_out(browser)

    @rule(user=consumes(users))
    def delete_user(self, user: str) -> None:
        self.attempt(self.instance.delete_user, user)

    @rule(organization=consumes(organizations))
    def delete_organization(self, organization: str) -> None:
        self.attempt(self.instance.delete_organization, organization)

    @invariant()
    def consistent(self) -> None:
        data = self.instance.data
        pairs = [(m.user_id, m.organization_id) for m in data.memberships.values()]
        assert len(pairs) == len(set(pairs))
        assert {user for user, _ in pairs} <= set(data.users)
        assert {organization for _, organization in pairs} <= set(data.organizations)
        emails = [e.email_address for u in data.users.values() for e in u.emails]
        assert len(emails) == len(set(emails))
        slugs = [o.slug for o in data.organizations.values()]
        assert len(slugs) == len(set(slugs))
        for session in data.sessions.values():
            if session.live:
                assert session.organization_id is None or (session.user_id, session.organization_id) in pairs
        for client in data.clients.values():
            assert len(list(self.instance.sessions(client))) <= 1

    @invariant()
    def told_in_full(self) -> None:
        data = self.instance.data
        assert set(self.replay.known["user"]) == set(data.users)
        assert {o: d["name"] for o, d in self.replay.known["organization"].items()} == {
            o.id: o.name for o in data.organizations.values()
        }
        assert {m: d["role"] for m, d in self.replay.known["organizationMembership"].items()} == {
            m.id: m.role for m in data.memberships.values()
        }

    @invariant()
    def survives_the_disk(self) -> None:
        assert Data.model_validate_json(self.instance.data.model_dump_json()) == self.instance.data


TestLife = Life.TestCase
TestLife.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)

JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # of a busy machine
@given(OBJECTS, OBJECTS)
def test_merging_metadata_twice_is_merging_it_once(old: dict[str, Any], new: dict[str, Any]) -> None:
    once = merged(old, new)
    assert merged(once, new) == once
    for key, value in new.items():
        if value is None:
            assert key not in once
        elif not isinstance(value, dict):
            assert once[key] == value
    assert {key: once[key] for key in old.keys() - new.keys()} == {key: old[key] for key in old.keys() - new.keys()}


@pytest.mark.parametrize("seed", range(3))
def test_slugs_of_many_equal_names_are_distinct(seed: int) -> None:
    instance = Instance()
    names = ["Acme", "شركة", "ACME", "acme!", "—", "会社"] * 10
    random.Random(seed).shuffle(names)  # noqa: S311 - an order, not a secret
    slugs = [instance.create_organization(name).slug for name in names]
    assert len(set(slugs)) == len(slugs)
