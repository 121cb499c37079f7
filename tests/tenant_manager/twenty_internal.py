"""A stand-in of Twenty's internal API: the real one's addresses, statuses and words, with everything in memory.

It stands for what the tenant manager sees, not for Twenty: no roles, tokens or databases are behind it. ``test_contract.py`` asks
it the same questions as a real server. What it keeps for tests: effects (what changed), overlaps (two at once in one organisation).
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

Json = dict[str, Any]
EMAIL = re.compile(r'[^\s@<>"]{1,64}@[^\s@<>"]{1,190}')
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Answer(Exception):
    def __init__(self, status: int, body: Json, headers: dict[str, str] | None = None) -> None:
        self.response = JSONResponse(body, status, headers=headers)


@dataclass
class Fault:
    """The next ``count`` requests whose path matches are answered so; None: all of them."""

    status: int
    path: str = ".*"
    count: int | None = 1
    headers: dict[str, str] = field(default_factory=dict)


def invalid(*details: str) -> Answer:
    return Answer(400, {"error": "invalid", "details": list(details)})


def text(value: object) -> bool:
    return isinstance(value, str) and len(value.encode("utf-16-le")) <= 2 * 255 and not CONTROL.search(value)


def checked(person: object, user_id: str | None = None) -> Json:
    if not isinstance(person, dict):
        raise invalid("person: an object is needed")
    found = person | {"clerkUserId": person.get("clerkUserId") or user_id}
    if user_id is not None and found["clerkUserId"] != user_id:
        raise invalid("person.clerkUserId: another one than in the address")
    if not re.fullmatch(r"user_[A-Za-z0-9]{4,64}", str(found["clerkUserId"])):
        raise invalid("person.clerkUserId")
    if not isinstance(found.get("email"), str) or not EMAIL.fullmatch(found["email"]):
        raise invalid("person.email: not an e-mail address")
    if not isinstance(found.get("emailVerified"), bool):
        raise invalid("person.emailVerified")
    if not all(text(found.get(name) or "") for name in ("firstName", "lastName")):
        raise invalid("person.firstName, lastName")
    return found


class Twenty:
    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.tenants: dict[str, Json] = {}
        self.users: dict[str, Json] = {}
        self.refused: dict[str, str] = {}
        self.ended: list[str] = []
        self.credentials: dict[str, list[Json]] = {}
        self.faults: list[Fault] = []
        self.effects: list[str] = []
        self.asked: list[str] = []
        self.overlaps: list[str] = []
        self.slow = 0.0
        self.nonsense: set[str] = set()
        self.waiting: dict[str, str] = {}
        self.making = self.most_making = 0
        self._at_work: Counter[str] = Counter()
        tenant, member = "/internal/tenants/{org}", "/internal/tenants/{org}/members/{user}"
        table: list[tuple[str, str, Callable[[Request], Awaitable[JSONResponse]]]] = [
            ("PUT", tenant, self.ensure),
            ("GET", "/internal/tenants", self.listed),
            ("GET", tenant, self.one),
            ("PUT", f"{tenant}/waiting", self.wait),
            ("PATCH", tenant, self.rename),
            ("POST", f"{tenant}/suspend", self.suspend),
            ("POST", f"{tenant}/resume", self.resume),
            ("PUT", member, self.put_member),
            ("DELETE", member, self.remove_member),
            ("PATCH", "/internal/users/{user}", self.update_user),
            ("POST", f"{tenant}/data-model", self.data_model),
            ("GET", f"{tenant}/credentials", self.listed_credentials),
            ("GET", "/internal/users/refused", self.listed_refused),
            ("PUT", "/internal/users/{user}/standing", self.set_standing),
            ("POST", "/internal/sessions/{session}/end", self.end_session),
        ]
        self.app = Starlette(routes=[Route(path, self.guarded(call), methods=[method]) for method, path, call in table])

    def guarded(self, call: Callable[[Request], Awaitable[JSONResponse]]) -> Callable[[Request], Awaitable[JSONResponse]]:
        async def answer(request: Request) -> JSONResponse:
            if request.headers.get("authorization") != f"Bearer {self.secret}":
                return JSONResponse({"error": "unauthorized"}, 401)
            what = f"{request.method} {request.url.path}"
            self.asked.append(what)
            org: str = request.path_params.get("org", "")
            changes = request.method != "GET" and org != ""
            long = changes and re.fullmatch(r"PUT /internal/tenants/[^/]+|POST .*/data-model", what) is not None
            if changes:
                if self._at_work[org]:
                    self.overlaps.append(what)
                self._at_work[org] += 1
            self.making += long
            self.most_making = max(self.most_making, self.making)
            try:
                for fault in self.faults:
                    if re.fullmatch(fault.path, what) and fault.count != 0:
                        if fault.count is not None:
                            fault.count -= 1
                        return JSONResponse({"error": "internal"}, fault.status, headers=fault.headers)
                if changes and self.slow:
                    await asyncio.sleep(self.slow)
                return await call(request)
            except Answer as found:
                return found.response
            finally:
                self.making -= long
                if changes:
                    self._at_work[org] -= 1

        return answer

    def known(self, request: Request) -> Json:
        found = self.tenants.get(request.path_params["org"])
        if found is None:
            raise Answer(404, {"error": "tenant-not-found", "message": "no workspace"})
        return found

    def shown(self, tenant: Json, members: bool = True) -> Json:
        found = {name: tenant[name] for name in ("organizationId", "workspaceId", "name", "status")}
        if not members:
            return found
        people = [
            {"clerkUserId": u, "userId": self.users[u]["userId"], "email": self.users[u]["email"], "role": role}
            for u, role in tenant["members"].items()
        ]
        return found | {"members": people}

    def ensure_user(self, person: Json) -> Json:
        user = self.users.setdefault(person["clerkUserId"], {"userId": str(uuid.uuid4())})
        user |= {name: person.get(name) or "" for name in ("email", "firstName", "lastName")}
        return user

    async def ensure(self, request: Request) -> JSONResponse:
        org, body = request.path_params["org"], await request.json()
        if not re.fullmatch(r"org_[A-Za-z0-9]{4,64}", org) or not text(body.get("name")) or not body["name"].strip():
            raise invalid("organizationId or name")
        owner = checked(body.get("owner"))
        created = org not in self.tenants
        self.waiting.pop(org, None)
        if created:
            self.ensure_user(owner)
            self.tenants[org] = {
                "organizationId": org, "workspaceId": str(uuid.uuid4()), "name": body["name"].strip(), "slug": body.get("slug"),
                "status": "active", "members": {owner["clerkUserId"]: "admin"}, "model": False,
            }  # fmt: skip
            self.effects.append(f"created {org}")
        return JSONResponse(self.shown(self.tenants[org], False) | {"created": created}, 201 if created else 200)

    async def wait(self, request: Request) -> JSONResponse:
        org, body = request.path_params["org"], await request.json()
        if body.get("reason") not in (None, "no-room", "too-many-organizations"):
            raise invalid("reason: null or one of no-room, too-many-organizations is needed")
        self.waiting.pop(org, None)
        if body["reason"]:
            self.waiting[org] = body["reason"]
        return JSONResponse({"organizationId": org, "reason": body["reason"]})

    async def listed(self, request: Request) -> JSONResponse:
        limit, offset = (int(request.query_params.get(n, d)) for n, d in (("limit", "100"), ("offset", "0")))
        if not 1 <= limit <= 500 or offset < 0:
            raise invalid("limit: a whole number from 1 to 500 is needed")
        rows = list(self.tenants.values())
        return JSONResponse({"data": [self.shown(t) for t in rows[offset : offset + limit]], "total": len(rows)})

    async def one(self, request: Request) -> JSONResponse:
        if request.path_params["org"] in self.nonsense:
            return JSONResponse({"organizationId": request.path_params["org"], "status": "active"})
        return JSONResponse(self.shown(self.known(request)))

    async def rename(self, request: Request) -> JSONResponse:
        tenant, body = self.known(request), await request.json()
        if not text(body.get("name")) or not body["name"].strip():
            raise invalid("name")
        tenant["name"] = body["name"].strip()
        self.effects.append(f"renamed {tenant['organizationId']}")
        return JSONResponse(self.shown(tenant, False))

    async def suspend(self, request: Request) -> JSONResponse:
        return self._switch(request, "suspended")

    async def resume(self, request: Request) -> JSONResponse:
        return self._switch(request, "active")

    def _switch(self, request: Request, status: str) -> JSONResponse:
        tenant = self.known(request)
        if tenant["status"] != status:
            self.effects.append(f"{status} {tenant['organizationId']}")
        tenant["status"] = status
        return JSONResponse(self.shown(tenant, False))

    async def put_member(self, request: Request) -> JSONResponse:
        user_id, body = request.path_params["user"], await request.json()
        person = checked(body.get("person"), user_id)
        if body.get("role") not in ("admin", "member"):
            raise invalid("role: admin or member is needed")
        tenant = self.known(request)
        user = self.ensure_user(person)
        created = user_id not in tenant["members"]
        if tenant["members"].get(user_id) != body["role"]:
            self.effects.append(f"{body['role']} {user_id} {tenant['organizationId']}")
        tenant["members"][user_id] = body["role"]
        found = {"clerkUserId": user_id, "userId": user["userId"], "role": body["role"], "created": created}
        return JSONResponse(found, 201 if created else 200)

    async def remove_member(self, request: Request) -> JSONResponse:
        tenant, user_id = self.known(request), request.path_params["user"]
        removed = tenant["members"].pop(user_id, None) is not None
        if removed:
            self.effects.append(f"removed {user_id} {tenant['organizationId']}")
        left = sum(role == "admin" for role in tenant["members"].values())
        return JSONResponse({"removed": removed, "adminsLeft": left})

    async def update_user(self, request: Request) -> JSONResponse:
        user_id = request.path_params["user"]
        person = checked(await request.json(), user_id)
        if user_id not in self.users:
            raise Answer(404, {"error": "user-not-found", "message": "nobody"})
        user = self.ensure_user(person)
        return JSONResponse({"clerkUserId": user_id, "userId": user["userId"], "updated": True})

    async def data_model(self, request: Request) -> JSONResponse:
        tenant, body = self.known(request), await request.json()
        if body.get("mode") not in ("plan", "apply", "verify"):
            raise invalid("mode: one of plan, apply, verify")
        if body["mode"] == "apply" and not tenant["model"]:
            tenant["model"] = True
            self.effects.append(f"modelled {tenant['organizationId']}")
        status = "matched" if tenant["model"] else "differs"
        return JSONResponse({"workspaceId": tenant["workspaceId"], "status": status, "conflicts": [], "toDo": []})

    async def listed_credentials(self, request: Request) -> JSONResponse:
        return JSONResponse({"data": self.credentials.get(self.known(request)["organizationId"], [])})

    async def listed_refused(self, _request: Request) -> JSONResponse:
        return JSONResponse({"data": [{"clerkUserId": u, "standing": s} for u, s in self.refused.items()]})

    async def set_standing(self, request: Request) -> JSONResponse:
        user_id, standing = request.path_params["user"], (await request.json()).get("standing")
        if standing not in ("good", "banned", "locked", "deleted"):
            raise invalid("standing: one of good, banned, locked, deleted")
        if standing == "good":
            self.refused.pop(user_id, None)
        elif self.refused.get(user_id) != standing:
            self.refused[user_id] = standing
            self.effects.append(f"{standing} {user_id}")
        withdrawn = {"apiKeys": 0, "webhooks": 0}
        return JSONResponse({"clerkUserId": user_id, "standing": standing, "withdrawn": withdrawn})

    async def end_session(self, request: Request) -> JSONResponse:
        session_id = request.path_params["session"]
        if not re.fullmatch(r"sess_[A-Za-z0-9]{4,64}", session_id):
            raise invalid("sessionId: not a Clerk session id (sess_...)")
        self.ended.append(session_id)
        return JSONResponse({"sessionId": session_id})
