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
class Incoming:
    """An event whose signature was right. ``target`` None: a type that nothing follows from."""

    svix_id: str
    type: str
    target: str | None
    body: bytes


class Store:
    def __init__(self, dsn: str, size: int, rest: float) -> None:
        self.rest = rest
        given = {"row_factory": dict_row, "autocommit": True, "connect_timeout": 5, "application_name": "tenant-manager"}
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

    async def defer(self, target: str, after: float = 0, attempt: int = 0, *, events: bool = False) -> None:
        """Queue work on a target: for its events, or (it is our own idea) whether it has some or not."""
        async with self.pool.connection() as connection:
            await self._defer(connection, target, after, attempt, events)

    async def _defer(self, connection: Connection, target: str, after: float, attempt: int, events: bool) -> None:
        args = json.dumps({"target": target, "events": events, "attempt": attempt})
        once = f"{'again' if events else 'own'}:{target}"
        await connection.execute(DEFER, {"queue": QUEUE, "task": TASK, "once": once, "args": args, "after": after})

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
