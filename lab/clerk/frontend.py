"""The frontend API: what clerk-js in the browser asks, at ``/v1``. A development instance: who a browser is follows from
the ``__clerk_db_jwt`` query parameter alone, cookies count for nothing."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lab.clerk import shapes, web
from lab.clerk.environment import environment
from lab.clerk.errors import ClerkError, invalid, not_found
from lab.clerk.instance import Instance
from lab.clerk.model import Client, Session, User, new_id, now_ms
from lab.clerk.tokens import ACTIVE, Minter

Json = dict[str, Any]


class Frontend:
    """Handlers of the frontend API. Verbs come tunnelled (``?_method=``); the server unpacks them before the routes."""

    def __init__(self, instance: Instance, minter: Minter) -> None:
        self.instance, self.minter = instance, minter

    def routes(self) -> list[Route]:
        def route(method: str, path: str, call: Any) -> Route:
            return Route(f"/v1{path}", call, methods=[method])

        session, organization = "/client/sessions/{session_id}", "/organizations/{organization_id}"
        return [
            route("POST", "/dev_browser", self.dev_browser),
            Route("/v1/environment", self.environment, methods=["GET", "PATCH"]),
            route("GET", "/proxy-health", self.health),
            Route("/v1/client", self.client, methods=["GET", "PUT", "POST"]),
            route("DELETE", "/client", self.end_client),
            route("DELETE", "/client/sessions", self.end_sessions),
            route("POST", "/client/sign_ins", self.sign_in),
            route("GET", session, self.session),
            route("POST", f"{session}/tokens", self.token),
            route("POST", f"{session}/tokens/{{template}}", self.template),
            route("POST", f"{session}/touch", self.touch),
            route("POST", f"{session}/end", self.end),
            route("POST", f"{session}/remove", self.end),
            route("GET", "/me", self.me),
            route("PATCH", "/me", self.update_me),
            route("DELETE", "/me", self.delete_me),
            route("GET", "/me/organization_memberships", self.my_memberships),
            route("DELETE", "/me/organization_memberships/{organization_id}", self.leave),
            route("GET", "/me/organization_invitations", self.my_invitations),
            route("POST", "/me/organization_invitations/{invitation_id}/accept", self.accept),
            route("GET", "/me/organization_suggestions", self.nothing),
            route("GET", "/me/sessions/active", self.my_sessions),
            route("POST", "/organizations", self.create_organization),
            route("GET", organization, self.organization),
            route("PATCH", organization, self.update_organization),
            route("DELETE", organization, self.delete_organization),
            route("GET", f"{organization}/memberships", self.members),
            route("POST", f"{organization}/memberships", self.add_member),
            route("PATCH", f"{organization}/memberships/{{user_id}}", self.update_member),
            route("DELETE", f"{organization}/memberships/{{user_id}}", self.remove_member),
            route("GET", f"{organization}/invitations", self.invitations),
            route("POST", f"{organization}/invitations", self.invite),
            route("POST", f"{organization}/invitations/{{invitation_id}}/revoke", self.revoke_invitation),
            route("GET", f"{organization}/roles", self.roles),
            route("GET", f"{organization}/membership_requests", self.nothing),
            route("GET", f"{organization}/domains", self.nothing),
        ]

    # --- who asks -----------------------------------------------------------------------------------------------

    def browser(self, request: Request) -> str:
        """The development browser; an unknown one is told so, and clerk-js makes itself a new one."""
        token = request.query_params.get("__clerk_db_jwt", "")
        if token not in self.instance.data.browsers:
            message = "Unable to authenticate this browser for your development instance. Check your Clerk cookies and try again."
            raise ClerkError(401, "dev_browser_unauthenticated", message)
        return token

    def asked_session(self, request: Request) -> tuple[Session, Client]:
        """The session in the path when it is alive and this browser's."""
        client = self.instance.client(self.browser(request))
        found = self.instance.data.sessions.get(request.path_params["session_id"])
        if client is None or found is None or found.client_id != client.id or not found.live:
            raise self.refused()
        return found, client

    def refused(self) -> ClerkError:
        if self.instance.settings.revoked_status == 404:
            return ClerkError(404, "resource_not_found", "Session not found")
        return ClerkError(401, "authentication_invalid", "Invalid authentication")

    def signed_in(self, request: Request) -> tuple[Session, User]:
        """Session and person of a request about the person; ``_clerk_session_id`` picks one of several."""
        live = list(self.instance.sessions(self.instance.client(self.browser(request))))
        wanted = request.query_params.get("_clerk_session_id")
        found = next((s for s in live if wanted in (None, s.id)), None)
        if found is None:
            raise ClerkError(401, "signed_out", "You are signed out")
        return found, self.instance.user(found.user_id)

    def member(self, request: Request, *, admin: bool = False) -> tuple[Session, str]:
        """Session and id of the organisation in the path, of which the person is a member, or an admin."""
        session, user = self.signed_in(request)
        wanted = request.path_params["organization_id"]
        mine = [m for m in self.instance.memberships(user_id=user.id) if m.organization_id == wanted]
        if not mine:
            raise not_found("Organization")
        if admin and mine[0].role != "org:admin":
            raise ClerkError(403, "missing_organization_permission", "Current user is missing an organization permission")
        return session, mine[0].organization_id

    # --- answers ------------------------------------------------------------------------------------------------

    def client_json(self, request: Request, client: Client | None) -> Json | None:
        if client is None:
            return None
        sessions = list(self.instance.sessions(client))
        return {
            "id": client.id,
            "object": "client",
            "sessions": [self.session_json(request, session) for session in sessions],
            "sign_in": None,
            "sign_up": None,
            "last_active_session_id": sessions[-1].id if sessions else None,
            "last_authentication_strategy": None,
            "captcha_bypass": False,
            "cookie_expires_at": None,
            "created_at": client.created_at,
            "updated_at": client.updated_at,
        }

    def session_json(self, request: Request, session: Session) -> Json:
        jwt = self.minter.token(session, request.headers.get("origin")) if session.live else None
        return shapes.frontend_session(session, self.instance, jwt)

    def enveloped(self, request: Request, answer: Any) -> JSONResponse:
        """Clerk's envelope of a change: the answer, and the browser's whole state as it is now."""
        client = self.instance.client(self.browser(request))
        return JSONResponse({"response": answer, "client": self.client_json(request, client)})

    def page(self, request: Request, rows: list[Json]) -> JSONResponse:
        limit, offset = web.window(request)
        return JSONResponse({"response": shapes.paginated(rows[offset : offset + limit], len(rows)), "client": None})

    # --- browser and instance -----------------------------------------------------------------------------------

    async def dev_browser(self, _request: Request) -> JSONResponse:
        token, now = self.instance.new_browser(), now_ms()
        found = {"object": "dev_browser", "id": token, "token": token, "instance_id": self.instance.data.id}
        return JSONResponse(found | {"home_origin": None, "created_at": now, "updated_at": now})

    async def environment(self, request: Request) -> JSONResponse:
        return JSONResponse(environment(web.public_base(request), self.instance.settings))

    async def health(self, _request: Request) -> JSONResponse:
        return JSONResponse({"status": "healthy"})

    async def client(self, request: Request) -> JSONResponse:
        client = self.instance.client(self.browser(request))
        return JSONResponse({"response": self.client_json(request, client), "client": None})

    async def end_client(self, request: Request) -> JSONResponse:
        browser = self.browser(request)
        self.instance.sign_out(browser)
        self.instance.data.browsers[browser] = None
        return JSONResponse({"response": None, "client": None})

    async def end_sessions(self, request: Request) -> JSONResponse:
        browser = self.browser(request)
        self.instance.sign_out(browser)
        return JSONResponse({"response": self.client_json(request, self.instance.client(browser)), "client": None})

    async def sign_in(self, request: Request) -> JSONResponse:
        browser, fields = self.browser(request), await web.form(request)
        if fields.get("strategy") != "ticket":
            raise ClerkError(
                422, "strategy_for_user_invalid", "The emulator signs in by ticket or on its hosted page", param="strategy"
            )
        user = self.instance.take_ticket(web.text(fields, "ticket"))
        session = self.instance.sign_in(browser, user.id, request.headers.get("origin"))
        return self.enveloped(request, shapes.complete_sign_in(user, session, new_id("sia")))

    # --- sessions -----------------------------------------------------------------------------------------------

    async def session(self, request: Request) -> JSONResponse:
        session, _ = self.asked_session(request)
        return self.enveloped(request, self.session_json(request, session))

    async def token(self, request: Request) -> JSONResponse:
        session, _ = self.asked_session(request)
        wanted: str | None = (await web.form(request)).get("organization_id", ACTIVE)
        jwt = self.minter.token(session, request.headers.get("origin"), wanted or None)
        return JSONResponse({"object": "token", "jwt": jwt})

    async def template(self, request: Request) -> JSONResponse:
        """A token of a template: no session claims, as Clerk's are; the emulator's templates add none of their own."""
        session, _ = self.asked_session(request)
        claims = self.minter.claims(session, None, request.headers.get("origin"))
        kept: Json = {name: claims[name] for name in ("azp", "exp", "iat", "iss", "jti", "nbf", "sub") if name in claims}
        return JSONResponse({"object": "token", "jwt": self.minter.flawed(self.instance.settings.token_flaw, kept)})

    async def touch(self, request: Request) -> JSONResponse:
        session, _ = self.asked_session(request)
        fields = await web.form(request)
        if "active_organization_id" in fields:
            self.instance.set_organization(session, fields["active_organization_id"] or None)
        else:
            self.instance.touch(session)
        return self.enveloped(request, self.session_json(request, session))

    async def end(self, request: Request) -> JSONResponse:
        session, _ = self.asked_session(request)
        self.instance.end_session(session, "ended" if request.url.path.endswith("/end") else "removed")
        return self.enveloped(request, self.session_json(request, session))

    # --- the person ---------------------------------------------------------------------------------------------

    async def me(self, request: Request) -> JSONResponse:
        _, user = self.signed_in(request)
        return self.enveloped(request, shapes.frontend_user(user, self.instance))

    async def update_me(self, request: Request) -> JSONResponse:
        _, user = self.signed_in(request)
        names = ("first_name", "last_name", "username", "primary_email_address_id", "unsafe_metadata")
        fields: Json = {name: value for name, value in (await web.form(request)).items() if name in names}
        if "unsafe_metadata" in fields:
            fields["unsafe_metadata"] = _object("unsafe_metadata", fields["unsafe_metadata"])
        self.instance.update_user(user.id, **fields)
        return self.enveloped(request, shapes.frontend_user(user, self.instance))

    async def delete_me(self, request: Request) -> JSONResponse:
        _, user = self.signed_in(request)
        if not user.delete_self_enabled:
            raise ClerkError(403, "user_delete_self_disabled", "Deleting your account is disabled.")
        return self.enveloped(request, self.instance.delete_user(user.id))

    async def my_memberships(self, request: Request) -> JSONResponse:
        _, user = self.signed_in(request)
        return self.page(
            request, [shapes.frontend_membership(m, self.instance) for m in self.instance.memberships(user_id=user.id)]
        )

    async def leave(self, request: Request) -> JSONResponse:
        session, organization_id = self.member(request)
        self.instance.remove_member(organization_id, session.user_id)
        return self.enveloped(request, shapes.deleted("organization_membership", organization_id))

    async def my_invitations(self, request: Request) -> JSONResponse:
        _, user = self.signed_in(request)
        return self.page(request, [shapes.frontend_invitation(i, self.instance) for i in self.instance.invitations_for(user)])

    async def accept(self, request: Request) -> JSONResponse:
        _, user = self.signed_in(request)
        invitation = self.instance.invitation(request.path_params["invitation_id"])
        self.instance.accept_invitation(invitation, user.id)
        return self.enveloped(request, shapes.frontend_invitation(invitation, self.instance))

    async def my_sessions(self, request: Request) -> JSONResponse:
        session, _ = self.signed_in(request)
        activity = {"object": "session_activity", "id": new_id("sess_activity"), "is_mobile": False}
        mine = (s for s in self.instance.data.sessions.values() if s.user_id == session.user_id and s.live)
        return JSONResponse(
            [shapes.frontend_session(s, self.instance, None) | {"user": None, "latest_activity": activity} for s in mine]
        )

    async def nothing(self, request: Request) -> JSONResponse:
        """A list that is always empty here: suggestions, membership requests, verified domains."""
        self.signed_in(request)
        return self.page(request, [])

    # --- organisations ------------------------------------------------------------------------------------------

    def organization_json(self, organization_id: str) -> Json:
        return shapes.frontend_organization(self.instance.organization(organization_id), self.instance)

    async def create_organization(self, request: Request) -> JSONResponse:
        _, user = self.signed_in(request)
        if not user.create_organization_enabled:
            raise ClerkError(403, "organization_creation_not_allowed", "You are not allowed to create an organization.")
        fields = await web.form(request)
        made = self.instance.create_organization(web.text(fields, "name"), slug=fields.get("slug") or None, created_by=user.id)
        return self.enveloped(request, self.organization_json(made.id))

    async def organization(self, request: Request) -> JSONResponse:
        _, organization_id = self.member(request)
        return self.enveloped(request, self.organization_json(organization_id))

    async def update_organization(self, request: Request) -> JSONResponse:
        _, organization_id = self.member(request, admin=True)
        fields = {name: value for name, value in (await web.form(request)).items() if name in ("name", "slug")}
        self.instance.update_organization(organization_id, **fields)
        return self.enveloped(request, self.organization_json(organization_id))

    async def delete_organization(self, request: Request) -> JSONResponse:
        _, organization_id = self.member(request, admin=True)
        return self.enveloped(request, self.instance.delete_organization(organization_id))

    async def members(self, request: Request) -> JSONResponse:
        _, organization_id = self.member(request)
        found = self.instance.memberships(organization_id=organization_id)
        if roles := web.many(request, "role"):
            found = [m for m in found if m.role in roles]
        return self.page(request, [shapes.frontend_membership(m, self.instance) for m in found])

    async def add_member(self, request: Request) -> JSONResponse:
        _, organization_id = self.member(request, admin=True)
        fields = await web.form(request)
        made = self.instance.add_member(organization_id, web.text(fields, "user_id"), web.text(fields, "role"))
        return self.enveloped(request, shapes.frontend_membership(made, self.instance))

    async def update_member(self, request: Request) -> JSONResponse:
        _, organization_id = self.member(request, admin=True)
        role = web.text(await web.form(request), "role")
        made = self.instance.update_member(organization_id, request.path_params["user_id"], role=role)
        return self.enveloped(request, shapes.frontend_membership(made, self.instance))

    async def remove_member(self, request: Request) -> JSONResponse:
        _, organization_id = self.member(request, admin=True)
        was = self.instance.membership(organization_id, request.path_params["user_id"])
        answer = shapes.frontend_membership(was, self.instance)
        self.instance.remove_member(organization_id, was.user_id)
        return self.enveloped(request, answer)

    async def invitations(self, request: Request) -> JSONResponse:
        _, organization_id = self.member(request, admin=True)
        wanted = web.many(request, "status")
        found = [i for i in self.instance.data.invitations.values() if i.organization_id == organization_id]
        return self.page(request, [shapes.sent_invitation(i) for i in found if not wanted or i.status in wanted])

    async def invite(self, request: Request) -> JSONResponse:
        _, organization_id = self.member(request, admin=True)
        fields = await web.form(request)
        made = self.instance.invite(organization_id, web.text(fields, "email_address"), web.text(fields, "role"))
        return self.enveloped(request, shapes.sent_invitation(made))

    async def revoke_invitation(self, request: Request) -> JSONResponse:
        _, organization_id = self.member(request, admin=True)
        found = self.instance.invitation(request.path_params["invitation_id"], organization_id)
        return self.enveloped(request, shapes.sent_invitation(self.instance.revoke_invitation(found)))

    async def roles(self, request: Request) -> JSONResponse:
        self.member(request)
        return self.page(request, shapes.roles())


def _object(name: str, value: str) -> Json:
    try:
        found = json.loads(value)
    except ValueError as error:
        raise invalid(name, "it must be JSON") from error
    if not isinstance(found, dict):
        raise invalid(name, "it must be an object")
    return found
