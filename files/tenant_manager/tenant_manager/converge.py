"""Making Twenty as Clerk is. An event only says where to look: what is done follows from what Clerk says now.

Everything can be repeated, and ends the same after any interruption. One worker at a time has an organisation's lock; what is
told of a person is told under that person's lock, and never older than what was told before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

from tenant_manager.clerk import Clerk, Member, Organization, Person
from tenant_manager.errors import Later, ManagerError, TooManyRemovals
from tenant_manager.store import NO_ROOM, Limits, Store
from tenant_manager.twenty import Twenty

LOG = logging.getLogger(__name__)
Json = dict[str, Any]
PERSON_WAIT = 30.0


@dataclass
class Budget:
    """How many removals (members, tenants) a reconciliation may still make. None: what Clerk says is done."""

    left: int | None = None

    def take(self, wanted: int) -> None:
        if self.left is None or not wanted:
            return
        if wanted > self.left:
            raise TooManyRemovals(f"{wanted} more removals are due, {self.left} are allowed")
        self.left -= wanted


@dataclass
class Outcome:
    """What one convergence did, in words for a log line and a report."""

    target: str
    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Converger:
    """``provisioning``: so many calls that make a workspace or give it the data model go to the server at once."""

    def __init__(
        self, store: Store, clerk: Clerk, twenty: Twenty, data_model: str, limits: Limits, provisioning: int = 1
    ) -> None:
        self.store, self.clerk, self.twenty, self.data_model, self.limits = store, clerk, twenty, data_model, limits
        self.provisioning = asyncio.Semaphore(provisioning)

    async def target(self, target: str, budget: Budget | None = None, wait: float = 0) -> Outcome:
        """Converge ``org_...``, ``user_...`` or ``sess_...``. Raises Busy, Later, Refused; what could be done was done then."""
        async with self.store.alone(f"work:{target}", wait):
            return await self.held(target, budget)

    async def held(self, target: str, budget: Budget | None = None) -> Outcome:
        """The same for a caller that has the lock ``work:TARGET``."""
        outcome = Outcome(target)
        if target.startswith("org_"):
            await self._organization(target, budget or Budget(), outcome)
        elif target.startswith("sess_"):
            await self._session(target, outcome)
        else:
            await self._user(target, outcome)
        if outcome.done or outcome.problems:
            LOG.info("converged", extra={"target": target, "done": outcome.done, "problems": outcome.problems})
        return outcome

    # --- people -------------------------------------------------------------------------------------------------

    async def _session(self, session_id: str, outcome: Outcome) -> None:
        """A session that is over at Clerk is over in Twenty. None comes back: what Clerk holds for good is left as it is."""
        found = await self.clerk.session(session_id)
        if found is None or not found.live:
            await self.twenty.end_session(session_id, found.user_id if found else "")
            outcome.done.append("session ended")

    async def _user(self, user_id: str, outcome: Outcome) -> None:
        """A person's standing, name and address; and, when they are gone, the organisations that they were in."""
        async with self.store.alone(f"person:{user_id}", PERSON_WAIT):
            found = await self.clerk.user(user_id)
            # first of all: whoever is banned must not stay in because something else fails
            standing = found.standing if found else "deleted"
            await self.twenty.set_standing(user_id, standing)
            if standing != "good":
                outcome.done.append(standing)
            if found is not None and found.email:
                known = await self.store.person(user_id)
                if known is not None and known["updated_at"] <= found.updated_at and known["told"] != found.told():
                    if await self.twenty.update_user(found.told()):
                        outcome.done.append("person updated")
                    await self.store.told_person(user_id, found.told(), found.updated_at)
                elif known is None and await self.twenty.update_user(found.told()):
                    await self.store.told_person(user_id, found.told(), found.updated_at)
                    outcome.done.append("person updated")
        if found is None:
            for organization_id in await self.store.organizations_of(user_id):
                await self.store.defer(organization_id)
                outcome.done.append(f"{organization_id} to be looked at")

    async def _put(self, organization_id: str, person: Person, role: str) -> Json:
        """Tell Twenty of a member; returns what was told of the person."""
        async with self.store.alone(f"person:{person.user_id}", PERSON_WAIT):
            known = await self.store.person(person.user_id)
            newer = known is not None and known["updated_at"] > person.updated_at
            told: Json = known["told"] if known is not None and newer else person.told()
            await self.twenty.put_member(organization_id, told, role)
            if not newer:
                await self.store.told_person(person.user_id, told, person.updated_at)
        await self.store.told_member(organization_id, person.user_id, role, told)
        return told

    # --- organisations ------------------------------------------------------------------------------------------

    async def _organization(self, organization_id: str, budget: Budget, outcome: Outcome) -> None:
        organization = await self.clerk.organization(organization_id)
        members = await self.clerk.members(organization_id) if organization else None
        tenant = await self.twenty.tenant(organization_id)
        if organization is None or members is None:
            await self._gone(organization_id, tenant, budget, outcome)
            return
        people = await self.clerk.people(m.user_id for m in members)
        for user_id in sorted({m.user_id for m in members} - people.keys()):
            outcome.problems.append(f"{user_id}: a member whom Clerk does not know as a user")
        row = await self.store.claim(organization_id, organization.name, organization.slug)
        if tenant is None or tenant["status"] == "provisioning":
            owner = owner_of(organization, members, people)
            if owner is None:
                outcome.problems.append("no member with an e-mail address: the workspace waits for one")
                await self._leave_line(organization_id)
                await self.store.note(
                    organization_id, name=organization.name, workspace_id=None, state="new", problems=outcome.problems
                )
                return
            if not await self._admitted(organization, organization.created_by or owner, outcome):
                return
            await self._create(organization, row["slug"], people[owner], outcome)
            tenant = await self.twenty.tenant(organization_id)
            if tenant is None:
                raise Later(f"Twenty: made the workspace of {organization_id}, and does not know it")
        failed = await self._step(tenant, organization, members, people, row, budget, outcome)
        await self.store.note(
            organization_id, name=organization.name, workspace_id=tenant["workspaceId"],
            state="suspended" if row["held"] else "active", problems=[*outcome.problems, *map(str, failed)],
        )  # fmt: skip
        if failed:
            # one that may work later decides about the next attempt
            raise next((error for error in failed if isinstance(error, Later)), failed[0])

    async def _admitted(self, organization: Organization, created_by: str, outcome: Outcome) -> bool:
        """Whether there is a place for one more; if not, it is in the line, and whoever opens its page is told."""
        why = await self.store.admit(organization.organization_id, created_by, self.limits)
        if why is None:
            return True  # the server forgets by itself that it was told to wait
        await self.twenty.waiting(organization.organization_id, why)
        most = f"{self.limits.tenants} tenants are in use, MAX_TENANTS of them may be"
        if why != NO_ROOM:
            most = f"{created_by} has {self.limits.of_one_person} workspaces already, MAX_ORGANIZATIONS_PER_PERSON"
        outcome.problems.append(f"waits for a workspace ({why}): {most}")
        await self.store.note(
            organization.organization_id, name=organization.name, workspace_id=None, state="new", problems=outcome.problems
        )
        return False

    async def _leave_line(self, organization_id: str) -> None:
        row = await self.store.tenant(organization_id)
        if row is not None and row["waiting"]:
            await self.twenty.waiting(organization_id, None)
        await self.store.leave_line(organization_id)

    async def _create(self, organization: Organization, slug: str, owner: Person, outcome: Outcome) -> None:
        async with self.store.alone(f"person:{owner.user_id}", PERSON_WAIT):
            known = await self.store.person(owner.user_id)
            newer = known is not None and known["updated_at"] > owner.updated_at
            told: Json = known["told"] if known is not None and newer else owner.told()
            async with self.provisioning:
                made = await self.twenty.ensure(
                    organization.organization_id, organization.name, slug, told, data_model=bool(self.data_model)
                )
            if not newer:
                await self.store.told_person(owner.user_id, told, owner.updated_at)
        outcome.done.append(f"workspace {made['workspaceId']} made" if made.get("created") else "workspace found")

    async def _step(
        self, tenant: Json, organization: Organization, members: list[Member], people: dict[str, Person], row: Json,
        budget: Budget, outcome: Outcome,
    ) -> list[ManagerError]:  # fmt: skip
        """Everything that an existing workspace needs. One thing that fails keeps nothing else from being done: returns failures."""
        failed: list[ManagerError] = []
        organization_id = organization.organization_id

        async def attempt(what: str, doing: Awaitable[object]) -> None:
            try:
                await doing
                outcome.done.append(what)
            except ManagerError as error:
                failed.append(error)

        here = {m["clerkUserId"]: m for m in tenant["members"] if m.get("clerkUserId")}
        wanted = {m.user_id: m for m in members}
        # who is not Clerk's goes first: nothing below may keep them in
        leaving = sorted(here.keys() - wanted.keys())
        budget.take(len(leaving))
        for user_id in leaving:
            await attempt(f"{user_id} removed", self.twenty.remove_member(organization_id, user_id))
        if not failed:
            await self.store.forgot_member(organization_id, set(await self.store.members(organization_id)) - wanted.keys())
        if row["held"] and tenant["status"] == "active":
            await attempt("suspended (held)", self.twenty.suspend(organization_id))
        elif not row["held"] and tenant["status"] == "suspended":
            await attempt("resumed", self.twenty.resume(organization_id))
        if tenant["name"] != organization.name:
            await attempt("renamed", self.twenty.rename(organization_id, organization.name))
        if self.data_model and row["data_model"] != self.data_model:
            await attempt("data model applied", self._model(organization_id))
        told = await self.store.members(organization_id)
        for user_id, member in sorted(wanted.items(), key=lambda item: (item[1].since, item[0])):
            person = people.get(user_id)
            if person is None:
                continue
            if not person.email:
                outcome.problems.append(f"{user_id}: no e-mail address, Twenty cannot take them")
                continue
            if same(here.get(user_id), told.get(user_id), member, person):
                continue
            await attempt(f"{user_id} is {member.role}", self._put(organization_id, person, member.role))
        return failed

    async def _model(self, organization_id: str) -> None:
        async with self.provisioning:
            report = await self.twenty.apply_data_model(organization_id)
        if report.get("status") != "matched":
            found = [*report.get("conflicts", []), *report.get("toDo", [])]
            raise ManagerError(f"data model of {organization_id}: {report.get('status')}: {'; '.join(map(str, found))[:500]}")
        await self.store.modelled(organization_id, self.data_model)

    async def _gone(self, organization_id: str, tenant: Json | None, budget: Budget, outcome: Outcome) -> None:
        """Clerk has no such organisation: the door is locked, and nothing is deleted."""
        await self._leave_line(organization_id)
        if tenant is None:
            return
        if tenant["status"] == "active":
            budget.take(1)
            await self.twenty.suspend(organization_id)
            outcome.done.append("suspended: the organisation is gone")
        row = await self.store.claim(organization_id, tenant["name"] or organization_id, None)
        await self.store.note(
            organization_id, name=row["name"], workspace_id=tenant["workspaceId"], state="suspended", problems=outcome.problems
        )


def owner_of(organization: Organization, members: list[Member], people: dict[str, Person]) -> str | None:
    """Who owns a new workspace: the creator while they administer it, else the first administrator, else the first member."""
    able = [m for m in members if m.user_id in people and people[m.user_id].email]
    if not able:
        return None
    return min(able, key=lambda m: (m.role != "admin", m.user_id != organization.created_by, m.since, m.user_id)).user_id


def same(here: Json | None, told: Json | None, member: Member, person: Person) -> bool:
    """Whether Twenty has a member as Clerk has them. Names are not in its list: what was told last stands for them."""
    if here is None or told is None:
        return False
    return bool(
        here["role"] == member.role
        and here["email"] == person.email
        and told["role"] == member.role
        and told["told"] == person.told()
    )
