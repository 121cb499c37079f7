"""The Backend API: what servers ask with the secret key, at ``/bapi/v1``."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lab.clerk import shapes, web
from lab.clerk.addresses import BACKEND
from lab.clerk.errors import ClerkError, invalid
from lab.clerk.instance import Instance
from lab.clerk.keys import KeyRing
from lab.clerk.model import Membership, Organization, Record, User, now_ms
from lab.clerk.tokens import Minter

Json = dict[str, Any]
Handler = Callable[[Request], Awaitable[JSONResponse]]
USER_FIELDS = (
    "first_name", "last_name", "username", "external_id", "locale", "public_metadata", "private_metadata", "unsafe_metadata",
    "create_organization_enabled", "create_organizations_limit", "delete_self_enabled",
)  # fmt: skip
PASSWORD_FIELDS = ("password", "password_digest", "password_hasher", "skip_password_checks", "skip_password_requirement")
IGNORED = ("skip_legal_checks", "legal_accepted_at", "notify_primary_email_address_changed", "sign_out_of_other_sessions")
ORGANIZATION_FIELDS = ("name", "slug", "max_allowed_memberships", "admin_delete_enabled", "public_metadata", "private_metadata")
METADATA = ("public_metadata", "private_metadata")


class RateLimit:
    """Requests in a sliding window; who comes too early is told how many seconds to wait."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.seen: deque[float] = deque()

    def count(self) -> None:
        settings, now = self.instance.settings, time.monotonic()
        while self.seen and self.seen[0] <= now - settings.rate_window:
            self.seen.popleft()
        if settings.rate_limit is not None and len(self.seen) >= settings.rate_limit:
            wait = max(1, round(self.seen[0] + settings.rate_window - now + 0.5))
            raise ClerkError(
                429, "too_many_requests", "Too many requests. Please try again in a bit.", headers={"Retry-After": str(wait)}
            )
        self.seen.append(now)


class Backend:
    """Handlers of the Backend API for who has the secret key."""

    def __init__(self, instance: Instance, keys: KeyRing, minter: Minter, secret_key: str) -> None:
        self.instance, self.keys, self.minter, self.secret_key = instance, keys, minter, secret_key
        self.rate = RateLimit(instance)

    def routes(self) -> list[Route]:
        user, organization, session = "/users/{user_id}", "/organizations/{organization_id}", "/sessions/{session_id}"
        member, invitation = f"{organization}/memberships/{{user_id}}", f"{organization}/invitations/{{invitation_id}}"
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/jwks", self.jwks),
            ("GET", "/users", self.users),
            ("POST", "/users", self.create_user),
            ("GET", "/users/count", self.count_users),
            ("GET", user, self.user),
            ("PATCH", user, self.update_user),
            ("DELETE", user, self.delete_user),
            ("PATCH", f"{user}/metadata", self.user_metadata),
            ("GET", f"{user}/organization_memberships", self.memberships_of_user),
            ("GET", f"{user}/organization_invitations", self.invitations_of_user),
            *[("POST", f"{user}/{verb}", self.switch_user) for verb in ("ban", "unban", "lock", "unlock")],
            ("POST", "/email_addresses", self.create_email),
            ("GET", "/email_addresses/{email_id}", self.email),
            ("PATCH", "/email_addresses/{email_id}", self.update_email),
            ("DELETE", "/email_addresses/{email_id}", self.delete_email),
            ("GET", "/organizations", self.organizations),
            ("POST", "/organizations", self.create_organization),
            ("GET", organization, self.organization),
            ("PATCH", organization, self.update_organization),
            ("DELETE", organization, self.delete_organization),
            ("PATCH", f"{organization}/metadata", self.organization_metadata),
            ("GET", f"{organization}/memberships", self.memberships),
            ("POST", f"{organization}/memberships", self.add_member),
            ("PATCH", member, self.update_member),
            ("DELETE", member, self.remove_member),
            ("PATCH", f"{member}/metadata", self.member_metadata),
            ("GET", "/organization_memberships", self.all_memberships),
            ("GET", f"{organization}/invitations", self.invitations),
            ("POST", f"{organization}/invitations", self.invite),
            ("GET", invitation, self.invitation),
            ("POST", f"{invitation}/revoke", self.revoke_invitation),
            ("GET", "/sessions", self.sessions),
            ("POST", "/sessions", self.create_session),
            ("GET", session, self.session),
            ("POST", f"{session}/revoke", self.revoke_session),
            ("POST", f"{session}/tokens", self.session_token),
            ("POST", "/sign_in_tokens", self.create_ticket),
            ("POST", "/sign_in_tokens/{ticket_id}/revoke", self.revoke_ticket),
        ]
        return [Route(f"{BACKEND}/v1{path}", self.guarded(call), methods=[method]) for method, path, call in table]

    def guarded(self, call: Handler) -> Handler:
        """The secret key first, then the rate limit: a wrong key costs nobody's allowance."""

        async def checked(request: Request) -> JSONResponse:
            scheme, _, key = request.headers.get("authorization", "").partition(" ")
            if scheme != "Bearer" or not key:
                raise ClerkError(
                    401, "authorization_header_format_invalid",
                    'Invalid Authorization header format. Must be "Bearer <YOUR_API_KEY>"',
                )  # fmt: skip
            if not secrets.compare_digest(key.encode(), self.secret_key.encode()):
                raise ClerkError(
                    401, "clerk_key_invalid",
                    "The provided Clerk Secret Key is invalid. Make sure that your Clerk Secret Key is correct.",
                )  # fmt: skip
            self.rate.count()
            return await call(request)

        return checked

    # --- lists --------------------------------------------------------------------------------------------------

    def listed(self, request: Request, rows: list[Json]) -> JSONResponse:
        limit, offset = web.window(request)
        return JSONResponse(shapes.paginated(rows[offset : offset + limit], len(rows)))

    def ordered(self, request: Request, rows: list[Any], keys: dict[str, Callable[[Any], Any]], default: str) -> list[Any]:
        """Rows in the order of ``order_by``: a name, with ``-`` in front for the last first. Clerk's default is the newest first."""
        wanted = request.query_params.get("order_by", default)
        name = wanted.lstrip("+- ")
        if name not in keys:
            raise invalid("order_by", f"one of {', '.join(keys)}")
        # equal ones in the order in which they were made, so that pages neither repeat nor lose one
        values = [(keys[name](row), number) for number, row in enumerate(rows)]
        ranks = sorted(((v is not None, v if v is not None else 0, n) for v, n in values), reverse=wanted.startswith("-"))
        return [rows[number] for *_, number in ranks]

    # --- users --------------------------------------------------------------------------------------------------

    async def jwks(self, _request: Request) -> JSONResponse:
        return JSONResponse(self.keys.jwks())

    def _chosen(self, request: Request) -> list[User]:
        found = list(self.instance.data.users.values())
        filters: dict[str, Callable[[User, list[str]], bool]] = {
            "user_id": lambda u, v: u.id in v,
            "email_address": lambda u, v: any(e.email_address in v for e in u.emails),
            "external_id": lambda u, v: u.external_id in v,
            "username": lambda u, v: u.username in v,
            "organization_id": lambda u, v: any(self.instance.member_of(u.id, o) for o in v),
        }
        for name, fits in filters.items():
            if values := [v.lower() if name == "email_address" else v for v in web.many(request, name)]:
                found = [u for u in found if fits(u, values)]
        if query := request.query_params.get("query", "").lower():
            found = [u for u in found if query in _searchable(u)]
        return found

    async def users(self, request: Request) -> JSONResponse:
        """A bare array: the only list of Clerk's without a count; ``/users/count`` has it."""
        limit, offset = web.window(request)
        keys: dict[str, Callable[[User], Any]] = {
            "created_at": lambda u: u.created_at,
            "updated_at": lambda u: u.updated_at,
            "email_address": lambda u: u.identifier,
            "first_name": lambda u: u.first_name,
            "last_name": lambda u: u.last_name,
            "username": lambda u: u.username,
            "last_active_at": lambda u: u.last_active_at,
            "last_sign_in_at": lambda u: u.last_sign_in_at,
        }
        found = self.ordered(request, self._chosen(request), keys, "-created_at")
        return JSONResponse([shapes.backend_user(u) for u in found[offset : offset + limit]])

    async def count_users(self, request: Request) -> JSONResponse:
        return JSONResponse({"object": "total_count", "total_count": len(self._chosen(request))})

    async def create_user(self, request: Request) -> JSONResponse:
        names = (
            *USER_FIELDS,
            *PASSWORD_FIELDS,
            *IGNORED,
            "email_address",
            "phone_number",
            "created_at",
            "totp_secret",
            "backup_codes",
        )
        found = web.known(await web.body(request), names)
        emails = found.get("email_address") or []
        if not isinstance(emails, list):
            raise invalid("email_address", "it must be a list of addresses")
        fields = _checked(User, {name: found[name] for name in USER_FIELDS if found.get(name) is not None})
        made = self.instance.create_user(
            emails, password_enabled=bool(found.get("password") or found.get("password_digest")), **fields
        )
        return JSONResponse(shapes.backend_user(made))

    async def user(self, request: Request) -> JSONResponse:
        return JSONResponse(shapes.backend_user(self.instance.user(request.path_params["user_id"])))

    async def update_user(self, request: Request) -> JSONResponse:
        names = (*USER_FIELDS, *PASSWORD_FIELDS, *IGNORED, "primary_email_address_id", "profile_image_id", "created_at")
        found = web.known(await web.body(request), names)
        fields = _checked(User, {n: v for n, v in found.items() if n in (*USER_FIELDS, "primary_email_address_id")})
        if found.get("password") or found.get("password_digest"):
            fields["password_enabled"] = True
        return JSONResponse(shapes.backend_user(self.instance.update_user(request.path_params["user_id"], **fields)))

    async def user_metadata(self, request: Request) -> JSONResponse:
        fields = _checked(User, web.known(await web.body(request), (*METADATA, "unsafe_metadata")))
        return JSONResponse(shapes.backend_user(self.instance.update_user(request.path_params["user_id"], **fields)))

    async def delete_user(self, request: Request) -> JSONResponse:
        return JSONResponse(self.instance.delete_user(request.path_params["user_id"]))

    async def switch_user(self, request: Request) -> JSONResponse:
        verb = request.url.path.rpartition("/")[2]
        changed = {"banned": verb == "ban"} if verb in ("ban", "unban") else {"locked": verb == "lock"}
        return JSONResponse(shapes.backend_user(self.instance.set_standing(request.path_params["user_id"], **changed)))

    async def memberships_of_user(self, request: Request) -> JSONResponse:
        user = self.instance.user(request.path_params["user_id"])
        return self.listed(
            request, [shapes.backend_membership(m, self.instance) for m in self.instance.memberships(user_id=user.id)]
        )

    async def invitations_of_user(self, request: Request) -> JSONResponse:
        user = self.instance.user(request.path_params["user_id"])
        return self.listed(request, [shapes.invitation(i, self.instance) for i in self.instance.invitations_for(user)])

    # --- e-mail addresses ---------------------------------------------------------------------------------------

    async def create_email(self, request: Request) -> JSONResponse:
        found = web.known(await web.body(request), ("user_id", "email_address", "verified", "primary"))
        made = self.instance.add_email(
            web.text(found, "user_id"), web.text(found, "email_address"),
            verified=bool(found.get("verified")), primary=bool(found.get("primary")),
        )  # fmt: skip
        return JSONResponse(shapes.email_address(made))

    async def email(self, request: Request) -> JSONResponse:
        return JSONResponse(shapes.email_address(self.instance.email(request.path_params["email_id"])[1]))

    async def update_email(self, request: Request) -> JSONResponse:
        found = web.known(await web.body(request), ("verified", "primary"))
        changed = self.instance.update_email(
            request.path_params["email_id"], verified=found.get("verified"), primary=found.get("primary")
        )
        return JSONResponse(shapes.email_address(changed))

    async def delete_email(self, request: Request) -> JSONResponse:
        return JSONResponse(self.instance.delete_email(request.path_params["email_id"]))

    # --- organisations ------------------------------------------------------------------------------------------

    async def organizations(self, request: Request) -> JSONResponse:
        found = list(self.instance.data.organizations.values())
        if wanted := web.many(request, "organization_id"):
            found = [o for o in found if o.id in wanted]
        if wanted := web.many(request, "user_id"):
            found = [o for o in found if any(self.instance.member_of(u, o.id) for u in wanted)]
        if query := request.query_params.get("query", "").lower():
            found = [o for o in found if query in f"{o.id} {o.name} {o.slug}".lower()]
        keys: dict[str, Callable[[Organization], Any]] = {
            "created_at": lambda o: o.created_at,
            "name": lambda o: o.name,
            "members_count": lambda o: len(self.instance.memberships(organization_id=o.id)),
        }
        counts = web.yes(request.query_params.get("include_members_count"))
        rows = self.ordered(request, found, keys, "-created_at")
        return self.listed(request, [shapes.backend_organization(o, self.instance, counts=counts) for o in rows])

    async def create_organization(self, request: Request) -> JSONResponse:
        found = web.known(await web.body(request), (*ORGANIZATION_FIELDS, "created_by", "created_at"))
        fields = _checked(Organization, {n: v for n, v in found.items() if n in ORGANIZATION_FIELDS[2:] and v is not None})
        made = self.instance.create_organization(
            web.text(found, "name"), slug=found.get("slug"), created_by=found.get("created_by"), **fields
        )
        return JSONResponse(shapes.backend_organization(made, self.instance, counts=True))

    async def organization(self, request: Request) -> JSONResponse:
        found = self.instance.organization(request.path_params["organization_id"])
        counts = web.yes(request.query_params.get("include_members_count"))
        return JSONResponse(shapes.backend_organization(found, self.instance, counts=counts))

    async def update_organization(self, request: Request) -> JSONResponse:
        fields = _checked(Organization, web.known(await web.body(request), ORGANIZATION_FIELDS))
        changed = self.instance.update_organization(request.path_params["organization_id"], **fields)
        return JSONResponse(shapes.backend_organization(changed, self.instance, counts=True))

    async def organization_metadata(self, request: Request) -> JSONResponse:
        fields = _checked(Organization, web.known(await web.body(request), METADATA))
        changed = self.instance.update_organization(request.path_params["organization_id"], **fields)
        return JSONResponse(shapes.backend_organization(changed, self.instance, counts=True))

    async def delete_organization(self, request: Request) -> JSONResponse:
        return JSONResponse(self.instance.delete_organization(request.path_params["organization_id"]))

    # --- memberships --------------------------------------------------------------------------------------------

    def _listed_memberships(self, request: Request, rows: list[Membership]) -> JSONResponse:
        if wanted := web.many(request, "user_id"):
            rows = [m for m in rows if m.user_id in wanted]
        if wanted := web.many(request, "email_address"):
            rows = [m for m in rows if self.instance.user(m.user_id).identifier in wanted]
        if wanted := web.many(request, "role"):
            rows = [m for m in rows if m.role in wanted]
        if query := request.query_params.get("query", "").lower():
            rows = [m for m in rows if query in _searchable(self.instance.user(m.user_id))]
        keys: dict[str, Callable[[Membership], Any]] = {
            "created_at": lambda m: m.created_at,
            "email_address": lambda m: self.instance.user(m.user_id).identifier,
            "first_name": lambda m: self.instance.user(m.user_id).first_name,
            "last_name": lambda m: self.instance.user(m.user_id).last_name,
        }
        rows = self.ordered(request, rows, keys, "-created_at")
        return self.listed(request, [shapes.backend_membership(m, self.instance) for m in rows])

    async def memberships(self, request: Request) -> JSONResponse:
        organization = self.instance.organization(request.path_params["organization_id"])
        return self._listed_memberships(request, self.instance.memberships(organization_id=organization.id))

    async def all_memberships(self, request: Request) -> JSONResponse:
        return self._listed_memberships(request, self.instance.memberships())

    async def add_member(self, request: Request) -> JSONResponse:
        found = web.known(await web.body(request), ("user_id", "role", *METADATA))
        made = self.instance.add_member(
            request.path_params["organization_id"], web.text(found, "user_id"), web.text(found, "role"),
            **_checked(Membership, {n: v for n, v in found.items() if n in METADATA}),
        )  # fmt: skip
        return JSONResponse(shapes.backend_membership(made, self.instance))

    async def update_member(self, request: Request) -> JSONResponse:
        role = web.text(web.known(await web.body(request), ("role",)), "role")
        path = request.path_params
        changed = self.instance.update_member(path["organization_id"], path["user_id"], role=role)
        return JSONResponse(shapes.backend_membership(changed, self.instance))

    async def member_metadata(self, request: Request) -> JSONResponse:
        fields = _checked(Membership, web.known(await web.body(request), METADATA))
        path = request.path_params
        changed = self.instance.update_member(path["organization_id"], path["user_id"], **fields)
        return JSONResponse(shapes.backend_membership(changed, self.instance))

    async def remove_member(self, request: Request) -> JSONResponse:
        path = request.path_params
        return JSONResponse(self.instance.remove_member(path["organization_id"], path["user_id"]))

    # --- invitations --------------------------------------------------------------------------------------------

    async def invitations(self, request: Request) -> JSONResponse:
        organization = self.instance.organization(request.path_params["organization_id"])
        wanted = web.many(request, "status")
        found = [i for i in self.instance.data.invitations.values() if i.organization_id == organization.id]
        return self.listed(request, [shapes.invitation(i, self.instance) for i in found if not wanted or i.status in wanted])

    async def invite(self, request: Request) -> JSONResponse:
        names = ("email_address", "role", "expires_in_days", "inviter_user_id", "redirect_url", *METADATA)
        found = web.known(await web.body(request), names)
        made = self.instance.invite(
            request.path_params["organization_id"], web.text(found, "email_address"), web.text(found, "role"),
            days=int(found.get("expires_in_days") or 30), **{n: v for n, v in found.items() if n in METADATA},
        )  # fmt: skip
        return JSONResponse(shapes.invitation(made, self.instance))

    async def invitation(self, request: Request) -> JSONResponse:
        path = request.path_params
        return JSONResponse(
            shapes.invitation(self.instance.invitation(path["invitation_id"], path["organization_id"]), self.instance)
        )

    async def revoke_invitation(self, request: Request) -> JSONResponse:
        path = request.path_params
        found = self.instance.invitation(path["invitation_id"], path["organization_id"])
        return JSONResponse(shapes.invitation(self.instance.revoke_invitation(found), self.instance))

    # --- sessions -----------------------------------------------------------------------------------------------

    async def sessions(self, request: Request) -> JSONResponse:
        found = list(self.instance.data.sessions.values())
        for name in ("client_id", "user_id", "status"):
            if wanted := request.query_params.get(name):
                found = [s for s in found if getattr(s, name) == wanted]
        rows = [shapes.backend_session(s) for s in found]
        if web.yes(request.query_params.get("paginated")):
            return self.listed(request, rows)
        limit, offset = web.window(request)
        return JSONResponse(rows[offset : offset + limit])

    async def create_session(self, request: Request) -> JSONResponse:
        """A session without a browser: Clerk offers this on development instances, for tests."""
        found = web.known(await web.body(request), ("user_id", "active_organization_id"))
        session = self.instance.sign_in(self.instance.new_browser(), web.text(found, "user_id"), None)
        if found.get("active_organization_id"):
            self.instance.set_organization(session, found["active_organization_id"])
        return JSONResponse(shapes.backend_session(session))

    async def session(self, request: Request) -> JSONResponse:
        return JSONResponse(shapes.backend_session(self.instance.session(request.path_params["session_id"])))

    async def revoke_session(self, request: Request) -> JSONResponse:
        session = self.instance.session(request.path_params["session_id"])
        self.instance.end_session(session, "revoked")
        return JSONResponse(shapes.backend_session(session))

    async def session_token(self, request: Request) -> JSONResponse:
        session = self.instance.session(request.path_params["session_id"])
        if not session.live:
            raise ClerkError(404, "resource_not_found", "Session not found")
        return JSONResponse({"object": "token", "jwt": self.minter.token(session)})

    async def create_ticket(self, request: Request) -> JSONResponse:
        found = web.known(await web.body(request), ("user_id", "expires_in_seconds"))
        made = self.instance.create_ticket(web.text(found, "user_id"), int(found.get("expires_in_seconds") or 30 * 86400))
        url = f"{web.public_base(request)}/v1/tickets/accept?ticket={made.token}"
        return JSONResponse(shapes.ticket(made, url))

    async def revoke_ticket(self, request: Request) -> JSONResponse:
        found = self.instance.data.tickets.get(request.path_params["ticket_id"])
        if not found:
            raise ClerkError(404, "resource_not_found", "Sign-in token not found")
        found.status, found.updated_at = "revoked", now_ms()
        return JSONResponse(shapes.ticket(found, ""))


def _searchable(user: User) -> str:
    return " ".join([user.id, user.first_name or "", user.last_name or "", *(e.email_address for e in user.emails)]).lower()


def _checked(kind: type[Record], fields: Json) -> Json:
    """Fields of the types that the record wants; Clerk's refusal otherwise."""
    for name, value in fields.items():
        annotation = kind.model_fields[name].annotation
        wanted = (
            dict
            if name.endswith("_metadata")
            else bool
            if annotation is bool
            else int
            if annotation in (int, int | None)
            else str
        )
        if value is not None and (not isinstance(value, wanted) or (wanted is int and isinstance(value, bool))):
            raise invalid(name, f"it must be a {wanted.__name__}")
    return fields
