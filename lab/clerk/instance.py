"""One Clerk instance: what may be done to users, organisations, memberships and sessions, and the events that follow.

Everything runs in one event loop and nothing here waits, so each call is a whole: it changes all or raises ClerkError.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lab.clerk import shapes
from lab.clerk.errors import ClerkError, invalid, missing, not_found, taken
from lab.clerk.model import (
    DAY,
    ROLES,
    Client,
    Data,
    EmailAddress,
    Invitation,
    Membership,
    Organization,
    Session,
    SessionStatus,
    Settings,
    SignInToken,
    User,
    new_id,
    now_ms,
)

Listener = Callable[[str, dict[str, Any]], object]
EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)*")
SLUG = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")


class Instance:
    """The state and its rules. ``listeners`` hear of every event as ``(type, data)``, in the order in which things happened."""

    def __init__(self, data: Data | None = None) -> None:
        self.data = data or Data()
        self.listeners: list[Listener] = []

    @property
    def settings(self) -> Settings:
        return self.data.settings

    def tell(self, event: str, data: dict[str, Any]) -> None:
        for listener in self.listeners:
            listener(event, data)

    # --- users --------------------------------------------------------------------------------------------------

    def user(self, user_id: str) -> User:
        if user_id not in self.data.users:
            raise not_found("User")
        return self.data.users[user_id]

    def owner_of(self, email: str) -> User | None:
        """Who has an e-mail address; letters' case does not count."""
        wanted = email.lower()
        return next((u for u in self.data.users.values() if any(e.email_address == wanted for e in u.emails)), None)

    def _free_email(self, address: str, param: str = "email_address") -> str:
        if not EMAIL.fullmatch(address):
            raise invalid(param, "it must be a valid email address")
        if self.owner_of(address):
            raise taken(param, "email address")
        return address.lower()

    def create_user(
        self, emails: Iterable[str] = (), *, verified: bool = True, user_id: str | None = None, **fields: Any
    ) -> User:
        """A new person; the first address becomes the primary one. ``fields`` are those of User."""
        quota = self.settings.user_quota
        if quota is not None and len(self.data.users) >= quota:
            raise ClerkError(
                403, "user_quota_exceeded", f"You have reached your limit of {quota} users on a development instance."
            )
        if user_id in self.data.users:
            raise taken("id", "id")
        found = [self._free_email(address) for address in emails]
        if len(set(found)) < len(found):
            raise taken("email_address", "email address")
        if not found and not fields.get("username"):
            raise missing("email_address")
        self._unique_fields(None, fields)
        user = User(id=user_id or new_id("user"), **fields)
        user.emails = [EmailAddress(id=new_id("idn"), email_address=address, verified=verified) for address in found]
        user.primary_email_address_id = user.emails[0].id if user.emails else None
        self.data.users[user.id] = user
        self.tell("user.created", shapes.backend_user(user))
        return user

    def _unique_fields(self, user: User | None, fields: dict[str, Any]) -> None:
        for name in ("username", "external_id"):
            value = fields.get(name)
            others = (u for u in self.data.users.values() if u is not user)
            if value and any(getattr(other, name) == value for other in others):
                raise taken(name, name.replace("_", " "))

    def update_user(self, user_id: str, **fields: Any) -> User:
        """Change a person's fields; metadata is merged, and a key set to null goes."""
        user = self.user(user_id)
        self._unique_fields(user, fields)
        primary = fields.get("primary_email_address_id")
        if primary is not None and not any(e.id == primary and e.verified for e in user.emails):
            raise invalid("primary_email_address_id", "it must be a verified address of this user")
        for name, value in fields.items():
            setattr(user, name, merged(getattr(user, name), value) if name.endswith("_metadata") else value)
        return self._changed(user)

    def _changed(self, user: User) -> User:
        user.touched()
        self.tell("user.updated", shapes.backend_user(user))
        return user

    def set_standing(self, user_id: str, *, banned: bool | None = None, locked: bool | None = None) -> User:
        """Ban or lock a person, or take it back. A ban revokes their sessions; with a lock they go on."""
        user = self.user(user_id)
        if banned:
            for session in list(self.data.sessions.values()):
                if session.user_id == user_id:
                    self.end_session(session, "revoked")
        changed = {name: value for name, value in (("banned", banned), ("locked", locked)) if value is not None}
        return self.update_user(user.id, **changed)

    def delete_user(self, user_id: str) -> dict[str, Any]:
        """Remove a person with their memberships and sessions. Returns what Clerk answers."""
        user = self.user(user_id)
        for membership in self.memberships(user_id=user_id):
            self._drop_membership(membership, tell=self.settings.cascade_events)
        for session in list(self.data.sessions.values()):
            if session.user_id == user_id:
                self.end_session(session, "revoked")
        del self.data.users[user_id]
        gone = shapes.deleted("user", user.id) | ({"external_id": user.external_id} if user.external_id else {})
        self.tell("user.deleted", gone)
        return shapes.deleted("user", user.id)

    # --- e-mail addresses ---------------------------------------------------------------------------------------

    def email(self, email_id: str) -> tuple[User, EmailAddress]:
        for user in self.data.users.values():
            for email in user.emails:
                if email.id == email_id:
                    return user, email
        raise not_found("Email address")

    def add_email(self, user_id: str, address: str, *, verified: bool = False, primary: bool = False) -> EmailAddress:
        user = self.user(user_id)
        email = EmailAddress(id=new_id("idn"), email_address=self._free_email(address), verified=verified)
        user.emails.append(email)
        if primary or not user.primary_email_address_id:
            user.primary_email_address_id = email.id
        self._changed(user)
        return email

    def update_email(self, email_id: str, *, verified: bool | None = None, primary: bool | None = None) -> EmailAddress:
        user, email = self.email(email_id)
        if verified is not None:
            email.verified = verified
        if primary:
            user.primary_email_address_id = email.id
        email.touched()
        self._changed(user)
        return email

    def delete_email(self, email_id: str) -> dict[str, Any]:
        user, email = self.email(email_id)
        user.emails.remove(email)
        if user.primary_email_address_id == email.id:
            user.primary_email_address_id = next((e.id for e in user.emails if e.verified), None)
        self._changed(user)
        return shapes.deleted("email_address", email.id)

    # --- organisations ------------------------------------------------------------------------------------------

    def organization(self, id_or_slug: str) -> Organization:
        found = self.data.organizations.get(id_or_slug)
        found = found or next((o for o in self.data.organizations.values() if o.slug == id_or_slug), None)
        if not found:
            raise not_found("Organization")
        return found

    def _slug(self, wanted: str | None, name: str, own: Organization | None = None) -> str:
        used = {o.slug for o in self.data.organizations.values() if o is not own}
        if wanted is not None:
            if not SLUG.fullmatch(wanted):
                raise invalid("slug", "it can only contain lowercase alphanumeric characters and dashes")
            if wanted in used:
                raise taken("slug", "slug")
            return wanted
        # a name without a Latin letter leaves nothing: Clerk's slugs carry a number then, as they do for equal names
        base = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        return base if base and base not in used else f"{base or 'org'}-{secrets.randbelow(9 * 10**9) + 10**9}"

    def create_organization(
        self,
        name: str,
        *,
        slug: str | None = None,
        created_by: str | None = None,
        organization_id: str | None = None,
        **fields: Any,
    ) -> Organization:
        """A new organisation; who made it becomes its first admin. ``fields`` are those of Organization."""
        if not name.strip():
            raise missing("name")
        if created_by is not None:
            self.user(created_by)
        if organization_id in self.data.organizations:
            raise taken("id", "id")
        organization = Organization(
            id=organization_id or new_id("org"), name=name, slug=self._slug(slug, name), created_by=created_by, **fields
        )
        self.data.organizations[organization.id] = organization
        self.tell("organization.created", shapes.backend_organization(organization, self))
        if created_by is not None:
            self.add_member(organization.id, created_by, "org:admin")
        return organization

    def update_organization(self, organization_id: str, **fields: Any) -> Organization:
        organization = self.organization(organization_id)
        if fields.get("slug") is None:
            fields.pop("slug", None)
        else:
            fields["slug"] = self._slug(fields["slug"], organization.name, organization)
        if "name" in fields and not str(fields["name"]).strip():
            raise missing("name")
        for name, value in fields.items():
            setattr(organization, name, merged(getattr(organization, name), value) if name.endswith("_metadata") else value)
        organization.touched()
        self.tell("organization.updated", shapes.backend_organization(organization, self))
        return organization

    def delete_organization(self, organization_id: str) -> dict[str, Any]:
        organization = self.organization(organization_id)
        for membership in self.memberships(organization_id=organization.id):
            self._drop_membership(membership, tell=self.settings.cascade_events)
        invitations = self.data.invitations
        self.data.invitations = {k: v for k, v in invitations.items() if v.organization_id != organization.id}
        del self.data.organizations[organization.id]
        gone = shapes.deleted("organization", organization.id) | {"slug": organization.slug}
        self.tell("organization.deleted", gone)
        return gone

    # --- memberships --------------------------------------------------------------------------------------------

    def memberships(self, *, user_id: str | None = None, organization_id: str | None = None) -> list[Membership]:
        """Memberships of a person, of an organisation, or of both; oldest first."""
        return [
            m
            for m in self.data.memberships.values()
            if (user_id is None or m.user_id == user_id) and (organization_id is None or m.organization_id == organization_id)
        ]

    def membership(self, organization_id: str, user_id: str) -> Membership:
        found = self.memberships(user_id=user_id, organization_id=organization_id)
        if not found:
            raise not_found("Organization membership")
        return found[0]

    def member_of(self, user_id: str, organization_id: str) -> bool:
        return bool(self.memberships(user_id=user_id, organization_id=organization_id))

    def add_member(self, organization_id: str, user_id: str, role: str, **fields: Any) -> Membership:
        organization, user = self.organization(organization_id), self.user(user_id)
        if self.member_of(user.id, organization.id):
            raise ClerkError(
                400, "already_a_member_in_organization", f"user {user.identifier} is already a member of the organization"
            )
        members = len(self.memberships(organization_id=organization.id))
        if 0 < organization.max_allowed_memberships <= members:
            raise ClerkError(
                403, "organization_membership_quota_exceeded",
                f"You have reached your limit of {organization.max_allowed_memberships} organization memberships.",
            )  # fmt: skip
        membership = Membership(
            id=new_id("orgmem"), organization_id=organization.id, user_id=user.id, role=known_role(role), **fields
        )
        self.data.memberships[membership.id] = membership
        self.tell("organizationMembership.created", shapes.backend_membership(membership, self))
        return membership

    def update_member(self, organization_id: str, user_id: str, *, role: str | None = None, **fields: Any) -> Membership:
        membership = self.membership(self.organization(organization_id).id, user_id)
        if role is not None:
            if known_role(role) != "org:admin":
                self._keep_an_admin(membership)
            membership.role = role
        for name, value in fields.items():
            setattr(membership, name, merged(getattr(membership, name), value))
        membership.touched()
        self.tell("organizationMembership.updated", shapes.backend_membership(membership, self))
        return membership

    def remove_member(self, organization_id: str, user_id: str) -> dict[str, Any]:
        """Take a person out of an organisation. Returns the membership as it was: Clerk answers and tells that."""
        membership = self.membership(self.organization(organization_id).id, user_id)
        self._keep_an_admin(membership)
        return self._drop_membership(membership)

    def _keep_an_admin(self, membership: Membership) -> None:
        others = [m for m in self.memberships(organization_id=membership.organization_id) if m is not membership]
        if membership.role == "org:admin" and others and not any(m.role == "org:admin" for m in others):
            raise ClerkError(
                400, "organization_minimum_permissions_needed",
                "There has to be at least one organization member with the minimum required permissions",
            )  # fmt: skip

    def _drop_membership(self, membership: Membership, *, tell: bool = True) -> dict[str, Any]:
        del self.data.memberships[membership.id]
        was = shapes.backend_membership(membership, self)
        for session in self.data.sessions.values():
            if session.user_id == membership.user_id and session.organization_id == membership.organization_id:
                self._activate(session, None)
        if tell:
            self.tell("organizationMembership.deleted", was)
        return was

    # --- invitations --------------------------------------------------------------------------------------------

    def invite(self, organization_id: str, email: str, role: str, *, days: int = 30, **fields: Any) -> Invitation:
        organization = self.organization(organization_id)
        if not EMAIL.fullmatch(email):
            raise invalid("email_address", "it must be a valid email address")
        owner = self.owner_of(email)
        if owner and self.member_of(owner.id, organization.id):
            raise ClerkError(400, "already_a_member_in_organization", f"user {email} is already a member of the organization")
        pending = (i for i in self.data.invitations.values() if i.status == "pending" and i.organization_id == organization.id)
        if any(i.email_address == email.lower() for i in pending):
            raise ClerkError(400, "duplicate_record", "there are already pending invitations for the specified address")
        invitation = Invitation(
            id=new_id("orginv"), organization_id=organization.id, email_address=email.lower(), role=known_role(role),
            expires_at=now_ms() + days * DAY, **fields,
        )  # fmt: skip
        self.data.invitations[invitation.id] = invitation
        self.tell("organizationInvitation.created", shapes.invitation(invitation, self))
        return invitation

    def invitation(self, invitation_id: str, organization_id: str | None = None) -> Invitation:
        found = self.data.invitations.get(invitation_id)
        if not found or (organization_id is not None and found.organization_id != organization_id):
            raise not_found("Organization invitation")
        return found

    def revoke_invitation(self, invitation: Invitation) -> Invitation:
        self._close_invitation(invitation, "revoked")
        self.tell("organizationInvitation.revoked", shapes.invitation(invitation, self))
        return invitation

    def accept_invitation(self, invitation: Invitation, user_id: str) -> Invitation:
        user = self.user(user_id)
        if not any(e.email_address == invitation.email_address and e.verified for e in user.emails):
            raise not_found("Organization invitation")
        self._close_invitation(invitation, "accepted")
        self.add_member(invitation.organization_id, user.id, invitation.role)
        self.tell("organizationInvitation.accepted", shapes.invitation(invitation, self) | {"user_id": user.id})
        return invitation

    def _close_invitation(self, invitation: Invitation, status: str) -> None:
        if invitation.status != "pending":
            raise ClerkError(400, "organization_invitation_not_pending", f"the invitation is {invitation.status} already")
        invitation.status = "accepted" if status == "accepted" else "revoked"
        invitation.touched()

    def invitations_for(self, user: User) -> list[Invitation]:
        """Pending invitations to any verified address of a person."""
        own = {e.email_address for e in user.emails if e.verified}
        return [i for i in self.data.invitations.values() if i.status == "pending" and i.email_address in own]

    # --- browsers and sessions ----------------------------------------------------------------------------------

    def new_browser(self) -> str:
        token = "dvb_" + new_id("b")[2:]
        self.data.browsers[token] = None
        return token

    def client(self, browser: str) -> Client | None:
        return self.data.clients.get(self.data.browsers.get(browser) or "")

    def sessions(self, client: Client | None) -> Iterator[Session]:
        """Sessions of a browser that are alive, oldest first."""
        return (s for s in self.data.sessions.values() if client and s.client_id == client.id and s.live)

    def sign_in(self, browser: str, user_id: str, origin: str | None) -> Session:
        """A new session in a browser; the one before is replaced (single-session instance)."""
        user = self.user(user_id)
        if user.banned:
            raise ClerkError(403, "user_banned", "User is banned")
        if user.locked:
            raise ClerkError(403, "user_locked", "Your account is locked.")
        client = self.client(browser)
        if client is None:
            client = Client(id=new_id("client"))
            self.data.clients[client.id] = client
            self.data.browsers[browser] = client.id
        for session in list(self.sessions(client)):
            self.end_session(session, "replaced")
        session = Session(id=new_id("sess"), client_id=client.id, user_id=user.id, origin=origin)
        self._activate(session, self._first_organization(user))
        self.data.sessions[session.id] = session
        user.last_sign_in_at = user.last_active_at = session.created_at
        client.touched()
        self.tell("session.created", shapes.backend_session(session) | {"user": shapes.backend_user(user)})
        return session

    def _first_organization(self, user: User) -> str | None:
        if self.settings.activate_organization == "none":
            return None
        mine = [m.organization_id for m in self.memberships(user_id=user.id)]
        return user.last_organization_id if user.last_organization_id in mine else next(iter(mine), None)

    def _activate(self, session: Session, organization_id: str | None) -> None:
        session.organization_id = organization_id
        if session.status in ("active", "pending"):
            pending = organization_id is None and self.settings.force_organization_selection
            session.status = "pending" if pending else "active"

    def set_organization(self, session: Session, organization_id: str | None) -> None:
        """Make an organisation the active one of a session; None is the personal account."""
        if organization_id is not None:
            organization_id = self.organization(organization_id).id
            if not self.member_of(session.user_id, organization_id):
                raise not_found("Organization")
            self.user(session.user_id).last_organization_id = organization_id
        self._activate(session, organization_id)
        self.touch(session)

    def touch(self, session: Session) -> None:
        session.touched()
        session.last_active_at = session.updated_at
        self.data.clients[session.client_id].touched()
        if user := self.data.users.get(session.user_id):
            user.last_active_at = session.updated_at

    def session(self, session_id: str) -> Session:
        if session_id not in self.data.sessions:
            raise not_found("Session")
        return self.data.sessions[session_id]

    def end_session(self, session: Session, status: SessionStatus) -> None:
        """End a session; one that ended before stays as it is."""
        if session.status not in ("active", "pending"):
            return
        session.status = status
        session.touched()
        self.data.clients[session.client_id].touched()
        if status in ("ended", "removed", "revoked"):
            user = self.data.users.get(session.user_id)
            body = shapes.backend_session(session) | {"user": shapes.backend_user(user) if user else None}
            self.tell(f"session.{status}", body)

    def sign_out(self, browser: str) -> None:
        """End every session of a browser; the browser stays known."""
        for session in list(self.sessions(self.client(browser))):
            self.end_session(session, "removed")

    def forget_browsers(self) -> None:
        """As if the instance had never seen a browser: what a reset of a development instance does."""
        self.data.browsers.clear()
        self.data.clients.clear()
        self.data.sessions.clear()

    # --- tickets ------------------------------------------------------------------------------------------------

    def create_ticket(self, user_id: str, seconds: int) -> SignInToken:
        ticket = SignInToken(
            id=new_id("sit"), user_id=self.user(user_id).id, token=secrets.token_urlsafe(48), expires_at=now_ms() + seconds * 1000
        )
        self.data.tickets[ticket.id] = ticket
        return ticket

    def take_ticket(self, token: str) -> User:
        """Who a ticket signs in; it works once."""
        found = next((t for t in self.data.tickets.values() if secrets.compare_digest(t.token, token)), None)
        if not found or found.status != "pending" or found.expires_at < now_ms():
            raise ClerkError(400, "ticket_invalid_code", "Ticket is invalid", param="ticket")
        found.status = "accepted"
        found.touched()
        return self.user(found.user_id)


def known_role(role: str) -> str:
    if role not in ROLES:
        raise ClerkError(404, "resource_not_found", f"Organization role {role} not found", param="role")
    return role


def merged(old: dict[str, Any], new: dict[str, Any] | None) -> dict[str, Any]:
    """Clerk's merge of metadata: deep, and null removes a key."""
    found = dict(old)
    for key, value in (new or {}).items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict):
            kept = found.get(key)
            found[key] = merged(kept if isinstance(kept, dict) else {}, value)
        else:
            found[key] = value
    return found
