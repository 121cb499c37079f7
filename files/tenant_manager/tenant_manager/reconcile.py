"""Comparing everything with Clerk, and repairing what differs: for events that never came."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from psycopg.types.json import Jsonb

from tenant_manager import metrics
from tenant_manager.clerk import Clerk, Member, Person
from tenant_manager.converge import Budget, Converger, same
from tenant_manager.errors import Busy, ManagerError, TooManyRemovals
from tenant_manager.settings import Settings
from tenant_manager.store import Store
from tenant_manager.twenty import Twenty

LOG = logging.getLogger(__name__)
Json = dict[str, Any]
LOCK = "reconciliation"
BUSY_WAIT = 10.0


class Reconciler:
    def __init__(self, settings: Settings, store: Store, clerk: Clerk, twenty: Twenty, converger: Converger) -> None:
        self.settings, self.store, self.clerk, self.twenty, self.converger = settings, store, clerk, twenty, converger

    async def run(self, *, dry: bool = False, removals: int | None = None) -> Json:
        """Compare and repair. ``removals``: how many are allowed, instead of the settings' threshold.

        Returns a report {tenants, members, differing, standings, removals, allowed, stopped, repaired, failed}; Busy when one is running.
        Above the threshold nothing at all is changed.
        """
        async with self.store.alone(LOCK):
            made = await self.store.row("INSERT INTO reconciliation DEFAULT VALUES RETURNING id")
            report = await self._run(dry, removals)
            await self.store.rows(
                "UPDATE reconciliation SET finished_at = clock_timestamp(), report = %s WHERE id = %s",
                Jsonb(report), (made or {})["id"],
            )  # fmt: skip
        metrics.STOPPED.set(1 if report["stopped"] else 0)
        LOG.log(logging.ERROR if report["stopped"] or report["failed"] else logging.INFO, "reconciled", extra={"report": report})
        return report

    async def _run(self, dry: bool, removals: int | None) -> Json:
        # Twenty first: what is made meanwhile is then missing here and in doubt looked at, never taken for a stranger
        tenants = {t["organizationId"]: t for t in await self.twenty.tenants()}
        organizations = {o.organization_id: o for o in await self.clerk.all_organizations()}
        members: dict[str, dict[str, Member]] = {}
        for member in await self.clerk.all_members():
            members.setdefault(member.organization_id, {})[member.user_id] = member
        people = await self._people(members)
        rows = {r["organization_id"]: r for r in await self.store.tenants()}
        told: dict[str, dict[str, Json]] = {}
        for one in await self.store.rows("SELECT organization_id, user_id, role, told FROM member"):
            told.setdefault(one["organization_id"], {})[one["user_id"]] = one

        refused = await self.twenty.refused()
        standings = {u: p.standing for u, p in people.items() if p.standing != refused.get(u, "good")}
        await self.store.creators({o.organization_id: o.created_by for o in organizations.values() if o.created_by})
        differing: dict[str, list[str]] = {}
        due = total = 0
        for organization_id in sorted({*organizations, *tenants}):
            tenant, row = tenants.get(organization_id), rows.get(organization_id)
            wanted = members.get(organization_id, {})
            here = {m["clerkUserId"]: m for m in (tenant or {"members": []})["members"] if m.get("clerkUserId")}
            total += (1 if tenant and tenant["status"] == "active" else 0) + len(here)
            why, removed = self._differs(
                organizations.get(organization_id), tenant, row, wanted, here, people, told.get(organization_id, {})
            )
            if why:
                differing[organization_id] = why
            due += removed
        allowed = max(self.settings.removals_least, int(total * self.settings.removals_share)) if removals is None else removals
        report: Json = {
            "organizations": len(organizations), "tenants": len(tenants), "members": sum(map(len, members.values())),
            "differing": differing, "standings": standings,
            "waiting": {r["organization_id"]: r["waiting"] for r in rows.values() if r["waiting"]},
            "removals": due, "allowed": allowed, "stopped": False, "repaired": [], "failed": {}, "dry": dry,
        }  # fmt: skip
        if due > allowed:
            report["stopped"] = True
            report["remedy"] = (
                f"{due} removals are due and {allowed} allowed: nothing was changed. If Clerk is right, run"
                f" `tenant-manager reconcile --removals {due}`; if not, see whether CLERK_SECRET_KEY is of the right instance"
            )
            return report
        if not dry:
            await self._repair([*standings, *differing], Budget(allowed), report)
        return report

    async def _people(self, members: dict[str, dict[str, Member]]) -> dict[str, Person]:
        return await self.clerk.people(user_id for found in members.values() for user_id in found)

    def _differs(
        self, organization: Any, tenant: Json | None, row: Json | None, wanted: dict[str, Member], here: dict[str, Json],
        people: dict[str, Person], told: dict[str, Json],
    ) -> tuple[list[str], int]:  # fmt: skip
        """(what differs, in words; how many removals would follow)."""
        if organization is None:
            gone = tenant is not None and tenant["status"] == "active"
            return (["the organisation is gone"], 1) if gone else ([], 0)
        if row is not None and row["waiting"]:
            return [], 0  # it has its turn when there is a place
        able = {u: m for u, m in wanted.items() if u in people and people[u].email}
        if tenant is None or tenant["status"] == "provisioning":
            return (["no workspace"], 0) if able else ([], 0)
        why: list[str] = []
        if tenant["name"] != organization.name:
            why.append("name")
        if row is None or row["workspace_id"] != tenant["workspaceId"]:
            why.append("not known here")
        elif row["held"] != (tenant["status"] == "suspended"):
            why.append("suspended" if tenant["status"] == "suspended" else "not suspended")
        if self.converger.data_model and (row is None or row["data_model"] != self.converger.data_model):
            why.append("data model")
        leaving = sorted(here.keys() - wanted.keys())
        why += [f"{u} is no member" for u in leaving]
        why += [f"{u}" for u, m in sorted(able.items()) if not same(here.get(u), told.get(u), m, people[u])]
        return why, len(leaving)

    async def _repair(self, targets: list[str], budget: Budget, report: Json) -> None:
        """Each organisation or person is read from Clerk again under its lock: what was compared may be old by now."""
        waiting = iter(targets)

        async def worker() -> None:
            for target in waiting:
                try:
                    await self.converger.target(target, budget, BUSY_WAIT)
                    report["repaired"].append(target)
                except TooManyRemovals as error:
                    report["stopped"] = True
                    report["failed"][target] = str(error)
                except Busy:
                    await self.store.defer(target)  # whoever is at it may have read Clerk before
                    report["repaired"].append(target)
                except ManagerError as error:
                    report["failed"][target] = str(error)
                except Exception as error:  # of one organisation: it must not end the run for the others
                    LOG.exception("not reconciled", extra={"target": target})
                    report["failed"][target] = f"{type(error).__name__}: {error}"

        async with asyncio.TaskGroup() as group:
            for _ in range(self.settings.workers):
                group.create_task(worker())
