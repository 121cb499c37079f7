"""The database ``tenants``: events, tenants, what was told last. All SQL of the service but the queue's own is here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection, OperationalError
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from tenant_manager.errors import Busy, ManagerError
from tenant_manager.slugs import candidates

Json = dict[str, Any]
Connection = AsyncConnection[Json]
QUEUE, TASK = "clerk", "tenant_manager.work"
LONG = "provisioning"
"""The queue of organisations whose workspace is not made yet: seconds of work each, which keep no other target waiting."""
NO_ROOM, TOO_MANY = "no-room", "too-many-organizations"

# One statement: an event that is known already brings no job, and an event without a job is never committed. A target has one job
# that waits, for all of its events. That job is locked (not changed) until the commit, and the queue passes over locked ones: so
# it is never taken before the event is there to be seen. One that is just being taken is waited for, and a new one made.
ACCEPT = """
WITH given AS (
    SELECT * FROM unnest(%(ids)s::text[], %(types)s::text[], %(targets)s::text[], %(bodies)s::bytea[]) AS g(svix_id, type, target, body)
), stored AS (
    INSERT INTO event (svix_id, type, target, body, state, finished_at)
    SELECT DISTINCT ON (svix_id) svix_id, type, target, body, CASE WHEN target IS NULL THEN 'ignored' ELSE 'queued' END,
           CASE WHEN target IS NULL THEN clock_timestamp() END FROM given
    ON CONFLICT (svix_id) DO NOTHING
    RETURNING svix_id, target, state
), jobs AS (
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at)
    SELECT %(queue)s, %(task)s, 0, s.target, s.target, jsonb_build_object('target', s.target),
           CASE WHEN t.synced_at > clock_timestamp() - make_interval(secs => %(rest)s) THEN t.synced_at + make_interval(secs => %(rest)s) END
    FROM (SELECT DISTINCT target FROM stored WHERE state = 'queued') s LEFT JOIN tenant t ON t.organization_id = s.target
    ORDER BY s.target
    ON CONFLICT (queueing_lock) WHERE status = 'todo' DO UPDATE SET priority = 0 WHERE false
)
SELECT svix_id FROM stored
"""
# without a procrastinate lock, behind which later jobs of the target would wait; two at once are kept apart by Store.alone
DEFER = """
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, queueing_lock, args, scheduled_at)
VALUES (%(queue)s, %(task)s, 0, %(once)s, %(args)s::jsonb, clock_timestamp() + make_interval(secs => %(after)s))
ON CONFLICT (queueing_lock) WHERE status = 'todo'
DO UPDATE SET scheduled_at = least(procrastinate_jobs.scheduled_at, EXCLUDED.scheduled_at)
"""


@dataclass(frozen=True)
class Limits:
    """``tenants``: workspaces in use, on this machine. ``of_one_person``: ever made for organisations that one person created."""

    tenants: int
    of_one_person: int


@dataclass(frozen=True)
class Incoming:
    """An event whose signature was right. ``target`` None: a type that nothing follows from."""

    svix_id: str
    type: str
    target: str | None
    body: bytes


class Store:
    def __init__(self, dsn: str, size: int, rest: float) -> None:
        self.rest = rest
        given = {
            "row_factory": dict_row, "autocommit": True, "connect_timeout": 5, "application_name": "tenant-manager",
            # no statement here takes long, and none may wait for ever
            "options": "-c statement_timeout=30s -c idle_in_transaction_session_timeout=60s",
        }  # fmt: skip
        self.pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            dsn, min_size=1, max_size=size, open=False, timeout=5, check=AsyncConnectionPool.check_connection, kwargs=given
        )
        # events have a connection of their own: no worker keeps them waiting, and it is not asked each time whether it is alive
        self.intake: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            dsn, min_size=0, max_size=1, open=False, timeout=5, kwargs=given
        )

    async def open(self) -> None:
        await self.pool.open(wait=False)
        await self.intake.open(wait=False)

    async def close(self) -> None:
        await self.intake.close()
        await self.pool.close()

    async def rows(self, query: str, *values: Any, **named: Any) -> list[Json]:
        """All rows of one statement, which commits by itself."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(query, named or values)
            return await cursor.fetchall() if cursor.description else []

    async def row(self, query: str, *values: Any, **named: Any) -> Json | None:
        found = await self.rows(query, *values, **named)
        return found[0] if found else None

    # --- events -------------------------------------------------------------------------------------------------

    async def accept(self, events: list[Incoming]) -> set[str]:
        """Store events with their jobs in one transaction. Returns the ids that were new."""
        given = {
            "ids": [e.svix_id for e in events], "types": [e.type for e in events], "targets": [e.target for e in events],
            "bodies": [e.body for e in events], "queue": QUEUE, "task": TASK, "rest": self.rest,
        }  # fmt: skip
        for last in (False, True):
            try:
                async with self.intake.connection() as connection:
                    return {row["svix_id"] for row in await (await connection.execute(ACCEPT, given)).fetchall()}
            except OperationalError as error:
                if last or isinstance(error, PoolTimeout):
                    raise  # else: a connection that had broken since it was last used; what was stored is not stored twice
        raise AssertionError

    async def defer(self, target: str, after: float = 0, attempt: int = 0, *, events: bool = False, long: bool = False) -> None:
        """Queue work on a target: for its events, or (it is our own idea) whether it has some or not. ``long``: in that queue."""
        async with self.pool.connection() as connection:
            await self._defer(connection, target, after, attempt, events, long)

    async def _defer(
        self, connection: Connection, target: str, after: float, attempt: int, events: bool, long: bool = False
    ) -> None:
        args = json.dumps({"target": target, "events": events, "attempt": attempt})
        queue, once = LONG if long else QUEUE, f"{'long-' if long else ''}{'again' if events else 'own'}:{target}"
        await connection.execute(DEFER, {"queue": queue, "task": TASK, "once": once, "args": args, "after": after})

    async def waiting(self, target: str) -> list[Json]:
        """The target's events that are to be worked off, oldest first: {svix_id, attempts, due}; a retry that is not due yet is false."""
        return await self.rows(
            "SELECT svix_id, attempts, coalesce(next_attempt_at <= clock_timestamp(), true) AS due FROM event"
            " WHERE target = %s AND state = 'queued' ORDER BY received_at",
            target,
        )

    async def done(self, svix_ids: list[str]) -> None:
        await self.rows(
            "UPDATE event SET state = 'done', finished_at = clock_timestamp(), next_attempt_at = NULL, last_error = NULL"
            " WHERE svix_id = ANY(%s) AND state = 'queued'",
            svix_ids,
        )

    async def event(self, svix_id: str) -> Json | None:
        return await self.row("SELECT * FROM event WHERE svix_id = %s", svix_id)

    async def failed(self, after: dict[str, float], target: str, words: str, most: int) -> list[str]:
        """An attempt failed for the events ``after`` {id: seconds until its next}, which is queued in the same transaction.

        Returns the ids that are dead letters now, after ``most`` attempts.
        """
        async with self.pool.connection() as connection, connection.transaction():
            cursor = await connection.execute(
                "UPDATE event e SET attempts = attempts + 1, last_error = %(words)s,"
                " state = CASE WHEN attempts + 1 >= %(most)s THEN 'dead' ELSE state END,"
                " next_attempt_at = CASE WHEN attempts + 1 < %(most)s THEN clock_timestamp() + make_interval(secs => g.after) END"
                " FROM unnest(%(ids)s::text[], %(after)s::float[]) AS g(svix_id, after)"
                " WHERE e.svix_id = g.svix_id AND e.state = 'queued' RETURNING e.svix_id, e.state",
                {"words": words[:2000], "most": most, "ids": list(after), "after": list(after.values())},
            )
            found = await cursor.fetchall()
            if queued := [after[row["svix_id"]] for row in found if row["state"] == "queued"]:
                await self._defer(connection, target, min(queued), 0, True)
        return [row["svix_id"] for row in found if row["state"] == "dead"]

    async def requeue(self, svix_id: str) -> bool:
        """Try an event again from the start, whatever became of it; False when there is none or nothing follows from it."""
        async with self.pool.connection() as connection, connection.transaction():
            cursor = await connection.execute(
                "UPDATE event SET state = 'queued', attempts = 0, next_attempt_at = NULL, finished_at = NULL"
                " WHERE svix_id = %s AND target IS NOT NULL RETURNING target",
                (svix_id,),
            )
            found = await cursor.fetchone()
            if found is None:
                return False
            await self._defer(connection, found["target"], 0, 0, True)
            return True

    async def sweep(self, older_than: float) -> list[str]:
        """Queue again targets whose events wait without a job that is due (none should). Returns them."""
        found = await self.rows(
            "SELECT DISTINCT e.target FROM event e WHERE e.state = 'queued'"
            " AND e.received_at < clock_timestamp() - make_interval(secs => %s)"
            " AND coalesce(e.next_attempt_at, '-infinity') < clock_timestamp() - make_interval(secs => %s)"
            " AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs j WHERE j.args->>'target' = e.target"
            " AND (j.status = 'doing' OR (j.status = 'todo' AND coalesce(j.scheduled_at, '-infinity') <= clock_timestamp()))) LIMIT 500",
            older_than, older_than,
        )  # fmt: skip
        for row in found:
            await self.defer(row["target"], events=True)
        return [row["target"] for row in found]

    async def forget(self, days: int) -> None:
        """Drop events that are done or ignored for so many days; dead ones stay until a person has seen to them."""
        await self.rows(
            "DELETE FROM event WHERE state IN ('done', 'ignored') AND received_at < clock_timestamp() - make_interval(days => %s)",
            days,
        )

    # --- one at a time ------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def alone(self, name: str, wait: float = 0) -> AsyncIterator[None]:
        """Hold the lock of an organisation or person, over all replicas; raises Busy when another has it for ``wait`` seconds.

        The lock lives in a database session: it goes when this process or its connection goes.
        """
        deadline = asyncio.get_running_loop().time() + wait
        async with self.pool.connection() as connection:
            mine = True
            try:
                while True:
                    cursor = await connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0)) AS got", (name,))
                    found = await cursor.fetchone()
                    if found and found["got"]:
                        break
                    if asyncio.get_running_loop().time() >= deadline:
                        mine = False
                        raise Busy(f"{name}: somebody else is at it")
                    await asyncio.sleep(0.05)
                yield
            finally:
                # also after a cancelled request for it, which may have got it all the same
                if mine:
                    try:
                        await connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (name,))
                    except BaseException:
                        await connection.close()  # the lock goes with its session, never back into the pool with it
                        raise

    # --- tenants ------------------------------------------------------------------------------------------------

    async def tenant(self, organization_id: str) -> Json | None:
        return await self.row("SELECT * FROM tenant WHERE organization_id = %s", organization_id)

    async def tenants(self) -> list[Json]:
        return await self.rows("SELECT * FROM tenant ORDER BY first_seen_at, organization_id")

    async def ready(self, organization_id: str) -> bool:
        """Whether its workspace was finished once: what it needs now takes no longer than an event does."""
        query = "SELECT 1 FROM tenant WHERE organization_id = %s AND ready_at IS NOT NULL"
        return await self.row(query, organization_id) is not None

    async def claim(self, organization_id: str, name: str, slug: str | None) -> Json:
        """The organisation's row, made with a free slug when it is new; the slug stays for ever."""
        known = await self.tenant(organization_id)
        if known:
            return known
        for candidate in candidates(organization_id, name, slug):
            made = await self.row(
                "INSERT INTO tenant (organization_id, slug, name) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING RETURNING *",
                organization_id, candidate, name,
            )  # fmt: skip
            if made or (made := await self.tenant(organization_id)):
                return made
        raise ManagerError(f"{organization_id}: no free slug for {name!r}")

    async def note(self, organization_id: str, *, name: str, workspace_id: str | None, state: str, problems: list[str]) -> None:
        await self.rows(
            "UPDATE tenant SET name = %s, workspace_id = coalesce(%s, workspace_id), state = %s, problems = %s,"
            " synced_at = clock_timestamp(),"
            " ready_at = CASE WHEN %s = 'active' THEN coalesce(ready_at, clock_timestamp()) ELSE ready_at END"
            " WHERE organization_id = %s",
            name, workspace_id, state, Jsonb(problems), state, organization_id,
        )  # fmt: skip

    # --- admission ----------------------------------------------------------------------------------------------

    async def creators(self, creators: dict[str, str]) -> None:
        """Note who created organisations that were here before that was kept. ``creators``: {organisation: person}."""
        await self.rows(
            "UPDATE tenant t SET created_by = g.user_id FROM unnest(%s::text[], %s::text[]) AS g(organization_id, user_id)"
            " WHERE t.organization_id = g.organization_id AND t.created_by IS NULL",
            list(creators), list(creators.values()),
        )  # fmt: skip

    async def admit(self, organization_id: str, created_by: str, limits: Limits) -> str | None:
        """Give a known organisation its place, or put it into the line. Returns why it waits, or None. A place is kept.

        In one transaction at a time, over all replicas: two that come at once never get the last place both.
        """
        async with self.pool.connection() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('admission', 0))")
            cursor = await connection.execute(
                "UPDATE tenant SET created_by = coalesce(created_by, %s) WHERE organization_id = %s"
                " RETURNING admitted_at, exempt, created_by, waiting, coalesce(waiting_since, clock_timestamp()) AS since",
                (created_by, organization_id),
            )
            row = await cursor.fetchone()
            if row is None:
                raise ManagerError(f"{organization_id}: not known here, so it gets no place")
            if row["admitted_at"]:
                return None
            cursor = await connection.execute(
                "SELECT count(*) FILTER (WHERE admitted_at IS NOT NULL AND created_by = %(by)s) AS own,"
                " count(*) FILTER (WHERE admitted_at IS NOT NULL AND state <> 'suspended') AS used,"
                " count(*) FILTER (WHERE waiting = %(no_room)s AND organization_id <> %(id)s"
                " AND (waiting_since, organization_id) < (%(since)s, %(id)s)) AS earlier FROM tenant",
                {"by": row["created_by"], "no_room": NO_ROOM, "id": organization_id, "since": row["since"]},
            )
            count = await cursor.fetchone() or {}
            why = None
            if not row["exempt"]:
                if count["own"] >= limits.of_one_person:
                    why = TOO_MANY
                elif count["used"] + count["earlier"] >= limits.tenants:
                    why = NO_ROOM
            await connection.execute(
                "UPDATE tenant SET waiting = %(why)s::text, waiting_since = CASE WHEN %(why)s::text IS NOT NULL THEN %(since)s END,"
                " admitted_at = CASE WHEN %(why)s::text IS NULL THEN clock_timestamp() END WHERE organization_id = %(id)s",
                {"why": why, "since": row["since"], "id": organization_id},
            )
            return why

    async def leave_line(self, organization_id: str) -> None:
        """Give up a place that no workspace came of, or the wait for one."""
        await self.rows(
            "UPDATE tenant SET waiting = NULL, waiting_since = NULL, admitted_at = NULL"
            " WHERE organization_id = %s AND workspace_id IS NULL AND (waiting IS NOT NULL OR admitted_at IS NOT NULL)",
            organization_id,
        )

    async def exempt(self, organization_id: str) -> bool:
        """A person lets an organisation in, whatever the limits are. False: no such organisation here."""
        query = "UPDATE tenant SET exempt = true WHERE organization_id = %s RETURNING 1"
        return await self.row(query, organization_id) is not None

    async def admissible(self, limits: Limits) -> list[str]:
        """Those in the line for whom there is a place now, in its order."""
        found = await self.rows(
            "WITH free AS (SELECT greatest(0, %(tenants)s - count(*)) AS places FROM tenant"
            " WHERE admitted_at IS NOT NULL AND state <> 'suspended'),"
            " own AS (SELECT created_by, count(*) AS n FROM tenant WHERE admitted_at IS NOT NULL GROUP BY created_by),"
            " line AS (SELECT organization_id, waiting_since FROM tenant WHERE waiting = %(no_room)s AND NOT exempt"
            " ORDER BY waiting_since, organization_id LIMIT (SELECT places FROM free))"
            " SELECT organization_id, waiting_since FROM line"
            " UNION SELECT t.organization_id, t.waiting_since FROM tenant t LEFT JOIN own USING (created_by)"
            " WHERE t.waiting IS NOT NULL AND (t.exempt OR (t.waiting = %(too_many)s AND coalesce(own.n, 0) < %(of_one)s))"
            " ORDER BY waiting_since, organization_id",
            tenants=limits.tenants, of_one=limits.of_one_person, no_room=NO_ROOM, too_many=TOO_MANY,
        )  # fmt: skip
        return [row["organization_id"] for row in found]

    async def occupancy(self) -> Json:
        """``{"used": tenants in use, "suspended": n, "waiting": {reason: n}}``."""
        found = await self.rows(
            "SELECT CASE WHEN waiting IS NOT NULL THEN waiting WHEN state = 'suspended' THEN 'suspended' ELSE 'used' END AS what,"
            " count(*) AS n FROM tenant WHERE waiting IS NOT NULL OR admitted_at IS NOT NULL GROUP BY 1"
        )
        counts = {row["what"]: row["n"] for row in found}
        return {"used": counts.pop("used", 0), "suspended": counts.pop("suspended", 0), "waiting": counts}

    async def hold(self, organization_id: str, held: bool) -> bool:
        """A person suspends or resumes: kept against what Clerk says. False: no such tenant."""
        query = "UPDATE tenant SET held = %s WHERE organization_id = %s RETURNING 1"
        return await self.row(query, held, organization_id) is not None

    async def modelled(self, organization_id: str, revision: str) -> None:
        await self.rows("UPDATE tenant SET data_model = %s WHERE organization_id = %s", revision, organization_id)

    # --- what was told ------------------------------------------------------------------------------------------

    async def members(self, organization_id: str) -> dict[str, Json]:
        query = "SELECT user_id, role, told FROM member WHERE organization_id = %s"
        return {row["user_id"]: row for row in await self.rows(query, organization_id)}

    async def organizations_of(self, user_id: str) -> list[str]:
        query = "SELECT organization_id FROM member WHERE user_id = %s ORDER BY 1"
        return [row["organization_id"] for row in await self.rows(query, user_id)]

    async def told_member(self, organization_id: str, user_id: str, role: str, told: Json) -> None:
        await self.rows(
            "INSERT INTO member (organization_id, user_id, role, told) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (organization_id, user_id) DO UPDATE SET role = EXCLUDED.role, told = EXCLUDED.told",
            organization_id, user_id, role, Jsonb(told),
        )  # fmt: skip

    async def forgot_member(self, organization_id: str, user_ids: Iterable[str]) -> None:
        await self.rows("DELETE FROM member WHERE organization_id = %s AND user_id = ANY(%s)", organization_id, list(user_ids))

    async def person(self, user_id: str) -> Json | None:
        return await self.row("SELECT told, updated_at FROM person WHERE user_id = %s", user_id)

    async def people(self) -> dict[str, Json]:
        return {row["user_id"]: row["told"] for row in await self.rows("SELECT user_id, told FROM person")}

    async def told_person(self, user_id: str, told: Json, updated_at: int) -> None:
        await self.rows(
            "INSERT INTO person (user_id, told, updated_at) VALUES (%s, %s, %s)"
            " ON CONFLICT (user_id) DO UPDATE SET told = EXCLUDED.told, updated_at = EXCLUDED.updated_at",
            user_id, Jsonb(told), updated_at,
        )  # fmt: skip
