"""Twenty's internal API: workspaces, members, people, the data model. Everything in it may be repeated."""

from __future__ import annotations

from typing import Any

from tenant_manager.errors import Refused
from tenant_manager.remote import NotThere, Remote

Json = dict[str, Any]
PAGE = 500


class Twenty:
    def __init__(self, remote: Remote, data_model_timeout: float) -> None:
        self.remote = remote
        self.data_model_timeout = data_model_timeout

    async def tenant(self, organization_id: str) -> Json | None:
        """None when Twenty says itself that it does not know the organisation."""
        try:
            found: Json = await self.remote.ask("GET", f"/internal/tenants/{organization_id}")
        except NotThere as error:
            if error.code == "tenant-not-found":
                return None
            raise
        return found

    async def tenants(self) -> list[Json]:
        found: dict[str, Json] = {}
        offset = 0
        while True:
            page = await self.remote.ask("GET", "/internal/tenants", query={"limit": PAGE, "offset": offset})
            found |= {row["organizationId"]: row for row in page["data"]}
            offset += len(page["data"])
            if not page["data"] or offset >= page["total"]:
                return list(found.values())

    async def ensure(self, organization_id: str, name: str, slug: str, owner: Json, *, data_model: bool) -> Json:
        """``data_model``: it follows, and nobody is let in before it is there."""
        body = {"name": name, "slug": slug, "owner": owner, "dataModel": data_model}
        found: Json = await self.remote.ask(
            "PUT", f"/internal/tenants/{organization_id}", body=body, timeout=self.data_model_timeout
        )
        return found

    async def waiting(self, organization_id: str, reason: str | None) -> None:
        """What the page says to people whose workspace is not made yet."""
        await self.remote.ask("PUT", f"/internal/tenants/{organization_id}/waiting", body={"reason": reason})

    async def rename(self, organization_id: str, name: str) -> None:
        await self.remote.ask("PATCH", f"/internal/tenants/{organization_id}", body={"name": name})

    async def suspend(self, organization_id: str) -> None:
        await self.remote.ask("POST", f"/internal/tenants/{organization_id}/suspend", body={})

    async def resume(self, organization_id: str) -> None:
        await self.remote.ask("POST", f"/internal/tenants/{organization_id}/resume", body={})

    async def put_member(self, organization_id: str, person: Json, role: str) -> None:
        path = f"/internal/tenants/{organization_id}/members/{person['clerkUserId']}"
        await self.remote.ask("PUT", path, body={"person": person, "role": role})

    async def remove_member(self, organization_id: str, user_id: str) -> Json:
        found: Json = await self.remote.ask("DELETE", f"/internal/tenants/{organization_id}/members/{user_id}")
        return found

    async def update_user(self, person: Json) -> bool:
        """False when Twenty has nobody of this id."""
        body = {name: value for name, value in person.items() if name != "clerkUserId"}
        try:
            await self.remote.ask("PATCH", f"/internal/users/{person['clerkUserId']}", body=body)
        except NotThere as error:
            if error.code == "user-not-found":
                return False
            raise
        return True

    async def set_standing(self, user_id: str, standing: str) -> Json:
        """good, banned, locked or deleted: whether a person is let in. A ban and a deletion withdraw their keys."""
        found: Json = await self.remote.ask("PUT", f"/internal/users/{user_id}/standing", body={"standing": standing})
        return found

    async def refused(self) -> dict[str, str]:
        """Who is not let in anywhere: {person: standing}."""
        found = await self.remote.ask("GET", "/internal/users/refused")
        return {row["clerkUserId"]: row["standing"] for row in found["data"]}

    async def end_session(self, session_id: str, user_id: str) -> None:
        """``user_id`` "" where Clerk does not know any more whose it was."""
        await self.remote.ask("POST", f"/internal/sessions/{session_id}/end", body={"clerkUserId": user_id} if user_id else {})

    async def credentials(self, organization_id: str) -> list[Json]:
        """API keys and webhooks in force: {kind, id, name, createdAt, makers}; no makers: made before they were recorded."""
        found = await self.remote.ask("GET", f"/internal/tenants/{organization_id}/credentials")
        rows: list[Json] = found["data"]
        return rows

    async def apply_data_model(self, organization_id: str) -> Json:
        path = f"/internal/tenants/{organization_id}/data-model"
        found: Json = await self.remote.ask("POST", path, body={"mode": "apply"}, timeout=self.data_model_timeout)
        if not isinstance(found, dict):
            raise Refused(f"Twenty: POST {path}: no report")
        return found

    async def reachable(self) -> bool:
        """Whether the internal API answers with our secret."""
        found = await self.remote.ask("GET", "/internal/tenants", query={"limit": 1, "offset": 0}, timeout=5)
        return "total" in found
