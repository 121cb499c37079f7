"""Control of the emulator for tests and people, at ``/_admin``, with the admin token: what Clerk's dashboard does, and what
nobody wants to happen. ``lab.clerk.control.Control`` speaks to it."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lab.clerk import web
from lab.clerk.addresses import ADMIN
from lab.clerk.errors import ClerkError, invalid, not_found
from lab.clerk.faults import Fault, Faults
from lab.clerk.instance import Instance
from lab.clerk.keys import KeyRing
from lab.clerk.model import Data, Session, Settings, User
from lab.clerk.tokens import Minter, version_one
from lab.clerk.webhooks import Disturbance, Endpoint, Webhooks

Json = dict[str, Any]
Handler = Callable[[Request], Awaitable[JSONResponse]]


class Person(BaseModel):
    """A user to make; ``id`` only where a test wants to know it before."""

    model_config = ConfigDict(extra="forbid")

    email: str
    first_name: str | None = None
    last_name: str | None = None
    verified: bool = True
    id: str | None = None


class Group(BaseModel):
    """An organisation to make: ``members`` are e-mail address -> role (``admin`` or ``member``); the first admin made it."""

    model_config = ConfigDict(extra="forbid")

    name: str
    slug: str | None = None
    members: dict[str, str] = Field(default_factory=dict)
    id: str | None = None


class Seed(BaseModel):
    """People and organisations at once. ``quiet``: no webhook tells of them."""

    model_config = ConfigDict(extra="forbid")

    users: list[Person] = Field(default_factory=list)
    organizations: list[Group] = Field(default_factory=list)
    quiet: bool = False


class Mint(BaseModel):
    """A token to sign: of a session, or of a new one for a user. ``claims`` and ``header`` replace, null takes away."""

    model_config = ConfigDict(extra="forbid")

    user_id: str | None = None
    session_id: str | None = None
    organization_id: str | None = None
    origin: str | None = None
    flaw: str | None = None
    version: int = Field(default=2, ge=1, le=2)
    lifetime: float | None = None
    claims: Json = Field(default_factory=dict)
    header: Json = Field(default_factory=dict)


class Revoke(BaseModel):
    """Sessions to revoke: one, a person's, or all."""

    model_config = ConfigDict(extra="forbid")

    session_id: str | None = None
    user_id: str | None = None


class Change(BaseModel):
    """What becomes of a person: banned, locked (or no more), deleted, or out of an organisation."""

    model_config = ConfigDict(extra="forbid")

    banned: bool | None = None
    locked: bool | None = None
    deleted: bool = False
    left: str | None = None


class SendEvent(BaseModel):
    """A webhook made by hand."""

    model_config = ConfigDict(extra="forbid")

    event: str
    data: Json
    flaw: str | None = None
    message_id: str | None = None


class Admin:
    """Handlers of the control interface."""

    def __init__(
        self, instance: Instance, keys: KeyRing, minter: Minter, hooks: Webhooks, faults: Faults, log: deque[Json], token: str
    ) -> None:
        self.instance, self.keys, self.minter, self.hooks, self.faults = instance, keys, minter, hooks, faults
        self.log, self.token = log, token

    def routes(self) -> list[Route]:
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/state", self.overview),
            ("PATCH", "/settings", self.settings),
            ("POST", "/seed", self.seed),
            ("POST", "/reset", self.reset),
            ("POST", "/keys", self.rotate),
            ("POST", "/tokens", self.mint),
            ("POST", "/sessions/revoke", self.revoke),
            ("PATCH", "/users/{user_id}", self.change),
            ("DELETE", "/browsers", self.forget),
            ("POST", "/faults", self.fault),
            ("DELETE", "/faults", self.heal),
            ("GET", "/requests", self.requests),
            ("DELETE", "/requests", self.drop_requests),
            ("PATCH", "/webhooks/endpoint", self.endpoint),
            ("POST", "/webhooks/disturbances", self.disturb),
            ("DELETE", "/webhooks/disturbances", self.calm),
            ("GET", "/webhooks/messages", self.messages),
            ("POST", "/webhooks/messages", self.send),
            ("POST", "/webhooks/messages/{message_id}/resend", self.resend),
            ("POST", "/webhooks/recover", self.recover),
            ("POST", "/webhooks/secret", self.rotate_secret),
        ]
        return [Route(f"{ADMIN}{path}", self.guarded(call), methods=[method]) for method, path, call in table]

    def guarded(self, call: Handler) -> Handler:
        async def checked(request: Request) -> JSONResponse:
            given = request.headers.get("authorization", "").removeprefix("Bearer ")
            if not secrets.compare_digest(given.encode(), self.token.encode()):
                raise ClerkError(
                    401, "admin_token_invalid", "The admin token is wrong: it is clerk.admin_token in the lab's state.json"
                )
            try:
                return await call(request)
            except ValidationError as error:
                first = error.errors()[0]
                raise invalid(".".join(str(part) for part in first["loc"]), first["msg"]) from error

        return checked

    # --- instance -----------------------------------------------------------------------------------------------

    async def overview(self, _request: Request) -> JSONResponse:
        data = self.instance.data
        counts = {name: len(getattr(data, name)) for name in ("users", "organizations", "memberships", "sessions", "browsers")}
        return JSONResponse(
            {
                "instance_id": data.id,
                "counts": counts,
                "settings": data.settings.model_dump(),
                "endpoint": self.hooks.endpoint.model_dump(),
                "faults": [fault.model_dump() for fault in self.faults.active],
                "disturbances": [found.model_dump() for found in self.hooks.disturbances],
                "webhooks_idle": self.hooks.idle(),
                "key": self.keys.current,
                "public_key": self.keys.pem(),
            }
        )

    async def settings(self, request: Request) -> JSONResponse:
        changed = await web.body(request)
        self.instance.data.settings = Settings.model_validate(self.instance.settings.model_dump() | changed)
        return JSONResponse(self.instance.settings.model_dump())

    async def seed(self, request: Request) -> JSONResponse:
        """Make people and organisations, those that are there already left alone. Answers ids by e-mail address and by name."""
        seed = Seed.model_validate(await web.body(request))
        listeners, quota = list(self.instance.listeners), self.instance.settings.user_quota
        if seed.quiet:
            self.instance.listeners.clear()
        self.instance.settings.user_quota = None
        try:
            users = {person.email: self._person(person).id for person in seed.users}
            organizations = {group.name: self._group(group) for group in seed.organizations}
        finally:
            self.instance.listeners[:] = listeners
            self.instance.settings.user_quota = quota
        return JSONResponse({"users": users, "organizations": organizations})

    def _person(self, person: Person) -> User:
        found = self.instance.owner_of(person.email)
        return found or self.instance.create_user(
            [person.email], verified=person.verified, user_id=person.id, first_name=person.first_name, last_name=person.last_name
        )

    def _group(self, group: Group) -> str:
        found = next((o for o in self.instance.data.organizations.values() if group.slug and o.slug == group.slug), None)
        members = {self._member(email): f"org:{role.removeprefix('org:')}" for email, role in group.members.items()}
        if found is None:
            maker = next((user_id for user_id, role in members.items() if role == "org:admin"), None)
            found = self.instance.create_organization(group.name, slug=group.slug, created_by=maker, organization_id=group.id)
        for user_id, role in members.items():
            if not self.instance.member_of(user_id, found.id):
                self.instance.add_member(found.id, user_id, role)
        return found.id

    def _member(self, email: str) -> str:
        found = self.instance.owner_of(email)
        if not found:
            raise not_found(f"User {email}")
        return found.id

    async def reset(self, _request: Request) -> JSONResponse:
        """Everything as in a new instance; keys, webhook secret and endpoint stay."""
        self.instance.data = Data(id=self.instance.data.id, settings=Settings(home_url=self.instance.settings.home_url))
        self.faults.clear()
        self.hooks.clear()
        self.hooks.messages.clear()
        self.log.clear()
        return JSONResponse({})

    # --- keys, tokens, sessions ---------------------------------------------------------------------------------

    async def rotate(self, request: Request) -> JSONResponse:
        return JSONResponse({"kid": self.keys.rotate(drop_old=bool((await web.body(request)).get("drop_old")))})

    async def mint(self, request: Request) -> JSONResponse:
        wanted = Mint.model_validate(await web.body(request))
        session = self._session(wanted)
        claims = self.minter.claims(session, session.organization_id, wanted.origin)
        if wanted.lifetime is not None:
            claims["exp"] = int(claims["iat"] + wanted.lifetime)
        if wanted.version == 1:
            claims = version_one(claims)
        claims = {name: value for name, value in (claims | wanted.claims).items() if value is not None}
        return JSONResponse(
            {"jwt": self.minter.flawed(wanted.flaw, claims, wanted.header), "claims": claims, "session_id": session.id}
        )

    def _session(self, wanted: Mint) -> Session:
        if wanted.session_id:
            session = self.instance.session(wanted.session_id)
        elif wanted.user_id:
            session = self.instance.sign_in(self.instance.new_browser(), wanted.user_id, wanted.origin)
        else:
            raise invalid("user_id", "give a user_id or a session_id")
        if "organization_id" in wanted.model_fields_set:
            self.instance.set_organization(session, wanted.organization_id)
        return session

    async def revoke(self, request: Request) -> JSONResponse:
        wanted = Revoke.model_validate(await web.body(request))
        hit = [
            s for s in self.instance.data.sessions.values()
            if s.live and wanted.session_id in (None, s.id) and wanted.user_id in (None, s.user_id)
        ]  # fmt: skip
        for session in hit:
            self.instance.end_session(session, "revoked")
        return JSONResponse({"revoked": [session.id for session in hit]})

    async def change(self, request: Request) -> JSONResponse:
        wanted, user_id = Change.model_validate(await web.body(request)), request.path_params["user_id"]
        if wanted.left:
            self.instance.remove_member(wanted.left, user_id)
        if wanted.banned is not None or wanted.locked is not None:
            self.instance.set_standing(user_id, banned=wanted.banned, locked=wanted.locked)
        if wanted.deleted:
            self.instance.delete_user(user_id)
        return JSONResponse({})

    async def forget(self, _request: Request) -> JSONResponse:
        self.instance.forget_browsers()
        return JSONResponse({})

    # --- failures -----------------------------------------------------------------------------------------------

    async def fault(self, request: Request) -> JSONResponse:
        self.faults.add(Fault.model_validate(await web.body(request)))
        return JSONResponse([fault.model_dump() for fault in self.faults.active])

    async def heal(self, _request: Request) -> JSONResponse:
        self.faults.clear()
        return JSONResponse([])

    async def requests(self, _request: Request) -> JSONResponse:
        return JSONResponse(list(self.log))

    async def drop_requests(self, _request: Request) -> JSONResponse:
        self.log.clear()
        return JSONResponse([])

    # --- webhooks -----------------------------------------------------------------------------------------------

    async def endpoint(self, request: Request) -> JSONResponse:
        changed = await web.body(request)
        self.hooks.endpoint = Endpoint.model_validate(self.hooks.endpoint.model_dump() | changed)
        return JSONResponse(self.hooks.endpoint.model_dump())

    async def disturb(self, request: Request) -> JSONResponse:
        self.hooks.disturbances.append(Disturbance.model_validate(await web.body(request)))
        return JSONResponse([found.model_dump() for found in self.hooks.disturbances])

    async def calm(self, _request: Request) -> JSONResponse:
        self.hooks.clear()
        return JSONResponse([])

    async def messages(self, request: Request) -> JSONResponse:
        wanted = request.query_params.get("event")
        return JSONResponse([m.model_dump() for m in self.hooks.messages.values() if wanted in (None, m.event)])

    async def send(self, request: Request) -> JSONResponse:
        wanted = SendEvent.model_validate(await web.body(request))
        message_id, attempt = await self.hooks.send(wanted.event, wanted.data, wanted.flaw, wanted.message_id)
        return JSONResponse({"id": message_id, **attempt.model_dump()})

    async def resend(self, request: Request) -> JSONResponse:
        message = self.hooks.message(request.path_params["message_id"])
        return JSONResponse((await self.hooks.resend(message)).model_dump())

    async def recover(self, _request: Request) -> JSONResponse:
        return JSONResponse({"messages": self.hooks.recover()})

    async def rotate_secret(self, request: Request) -> JSONResponse:
        return JSONResponse({"secret": self.hooks.rotate_secret((await web.body(request)).get("secret"))})
