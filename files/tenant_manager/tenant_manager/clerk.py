"""Clerk's truth, read from the Backend API: organisations, who belongs to them, and who these people are."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from tenant_manager.errors import Later
from tenant_manager.remote import NotThere, Remote

PAGE = 500
PEOPLE_PAGE = 100  # ids of people in one address
READINGS = 5
ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
T = TypeVar("T")
Json = dict[str, Any]


@dataclass(frozen=True)
class Person:
    """A user of Clerk's. ``email`` "" when there is none; ``updated_at`` in milliseconds, Clerk's clock.

    ``standing`` is good, banned, or locked (for a while, after too many wrong codes).
    """

    user_id: str
    email: str
    verified: bool
    first_name: str
    last_name: str
    image_url: str
    updated_at: int
    standing: str = "good"

    def told(self) -> Json:
        """As Twenty's internal API takes it."""
        found = {
            "clerkUserId": self.user_id,
            "email": self.email,
            "emailVerified": self.verified,
            "firstName": self.first_name,
            "lastName": self.last_name,
        }
        return found | ({"imageUrl": self.image_url} if self.image_url.startswith("https://") else {})


@dataclass(frozen=True)
class Session:
    """A sign-in. ``live``: Clerk still gives tokens for it."""

    user_id: str
    live: bool


@dataclass(frozen=True)
class Organization:
    organization_id: str
    name: str
    slug: str | None
    created_by: str | None


@dataclass(frozen=True)
class Member:
    """``role`` as Twenty names it; ``since`` in milliseconds."""

    organization_id: str
    user_id: str
    role: str
    since: int


def plain(text: object, limit: int = 255) -> str:
    """Text without control characters, which no name has and Twenty refuses, and not longer than it takes (in UTF-16 units)."""
    found = "".join(c for c in str(text or "") if c >= " " and c != "\x7f" and not "\ud800" <= c <= "\udfff").strip()
    return found.encode("utf-16-le")[: 2 * limit].decode("utf-16-le", "ignore").strip()


def address(text: object) -> tuple[str, bool]:
    """An e-mail address as it is compared, and whether it may stand for a person.

    Only ASCII is folded. Where the whole of Unicode folds otherwise (U+212A, the Kelvin sign, becomes a plain k), the address
    could pass for somebody else's, and counts as not verified.
    """
    found = str(text or "").strip()
    folded = found.translate(ASCII_LOWER)
    return folded, folded == found.lower()


def person(found: Json) -> Person:
    primary = found.get("primary_email_address_id")
    emails = [e for e in found.get("email_addresses") or [] if e.get("id") == primary]
    verified = bool(emails) and (emails[0].get("verification") or {}).get("status") == "verified"
    email, sound = address(emails[0]["email_address"] if emails else "")
    return Person(
        user_id=str(found["id"]),
        email=email,
        verified=verified and sound,
        first_name=plain(found.get("first_name")),
        last_name=plain(found.get("last_name")),
        image_url=str(found.get("image_url") or ""),
        updated_at=int(found.get("updated_at") or 0),
        standing="banned" if found.get("banned") else "locked" if found.get("locked") else "good",
    )


def organization(found: Json) -> Organization:
    named = plain(found.get("name")) or str(found["id"])
    return Organization(str(found["id"]), named, found.get("slug"), found.get("created_by"))


def member(found: Json) -> Member | None:
    user_id = (found.get("public_user_data") or {}).get("user_id")
    if not user_id:
        return None
    # custom roles exist in Clerk: only its admin administers here
    role = "admin" if str(found.get("role", "")).removeprefix("org:") == "admin" else "member"
    return Member(str(found["organization"]["id"]), str(user_id), role, int(found.get("created_at") or 0))


class Clerk:
    def __init__(self, remote: Remote) -> None:
        self.remote = remote

    async def _one(self, path: str) -> Json | None:
        """None only when Clerk itself says that there is no such thing: a 404 of anything else must not take away a tenant."""
        try:
            found: Json = await self.remote.ask("GET", path)
        except NotThere as error:
            if error.code == "resource_not_found":
                return None
            raise Later(f"{error}: not Clerk's words for something that is gone; is CLERK_API_URL right?") from error
        return found

    async def organization(self, organization_id: str) -> Organization | None:
        found = await self._one(f"/v1/organizations/{organization_id}")
        return organization(found) if found else None

    async def user(self, user_id: str) -> Person | None:
        found = await self._one(f"/v1/users/{user_id}")
        return person(found) if found else None

    async def session(self, session_id: str) -> Session | None:
        found = await self._one(f"/v1/sessions/{session_id}")
        return Session(str(found["user_id"]), found.get("status") in ("active", "pending")) if found else None

    async def members(self, organization_id: str) -> list[Member] | None:
        """All members; None when the organisation went meanwhile."""
        try:
            return await self._all(f"/v1/organizations/{organization_id}/memberships", member, lambda m: m.user_id)
        except NotThere as error:
            if error.code == "resource_not_found":
                return None
            raise Later(str(error)) from error

    async def all_organizations(self) -> list[Organization]:
        return await self._all("/v1/organizations", organization, lambda o: o.organization_id)

    async def all_members(self) -> list[Member]:
        return await self._all("/v1/organization_memberships", member, lambda m: (m.organization_id, m.user_id))

    async def people(self, user_ids: Iterable[str]) -> dict[str, Person]:
        """Those of the ids that exist."""
        wanted = sorted(set(user_ids))
        found: dict[str, Person] = {}
        for start in range(0, len(wanted), PEOPLE_PAGE):
            part = wanted[start : start + PEOPLE_PAGE]
            rows = await self.remote.ask("GET", "/v1/users", query=[("limit", PAGE), *[("user_id", u) for u in part]])
            found |= {p.user_id: p for p in map(person, rows)}
        return found

    async def _all(self, path: str, read: Callable[[Json], T | None], key: Callable[[T], object]) -> list[T]:
        """Every row of a list. Pages shift while rows go: a reading in which counts differ is done again, never believed."""
        for _ in range(READINGS):
            found: dict[object, T] = {}
            rows, totals = 0, set()
            while True:
                page = await self.remote.ask("GET", path, query={"limit": PAGE, "offset": rows, "order_by": "+created_at"})
                totals.add(int(page["total_count"]))
                rows += len(page["data"])
                found |= {key(row): row for row in map(read, page["data"]) if row is not None}
                if not page["data"] or rows >= int(page["total_count"]):
                    break
            if totals == {rows}:
                return list(found.values())
        raise Later(f"Clerk: {path} changes faster than it can be read", 5)
