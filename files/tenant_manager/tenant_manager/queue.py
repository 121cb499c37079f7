"""Working off: a durable queue in Postgres (procrastinate), retries, dead letters, and the return of what a killed worker held."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import Any

import psycopg
from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.worker import Worker
from psycopg_pool import PoolTimeout

from tenant_manager import SELF_TEST, metrics
from tenant_manager.converge import Converger
from tenant_manager.errors import Busy, Later, ManagerError
from tenant_manager.settings import Settings
from tenant_manager.store import LONG, QUEUE, TASK, Store

LOG = logging.getLogger(__name__)
Json = dict[str, Any]
POLL = 0.3  # seconds; a notice that comes while the job is still locked by its commit finds nothing
NO_DATABASE = (psycopg.Error, PoolTimeout, OSError)


def backoff(settings: Settings, attempt: int, after: float | None = None) -> float:
    """Seconds until the next attempt (1 is the first that failed): doubled each time, a half by chance, never before ``after``.

    Those that were sent away together with the same ``after`` do not come back together.
    """
    most = min(settings.backoff_most, settings.backoff_base * 2.0 ** min(attempt - 1, 30))
    return max((after or 0.0) * random.uniform(1.0, 1.3), most * random.uniform(0.5, 1.0))  # noqa: S311 - spread, not secrecy


def _words(error: BaseException) -> str:
    """An error's type and text; of a group those of its parts."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(map(_words, error.exceptions))
    return f"{type(error).__name__}: {error}"


class Work:
    """The queue's side of the service. ``run`` works until ``stop``; a database that goes away is waited for."""

    def __init__(self, settings: Settings, store: Store, converger: Converger) -> None:
        self.settings, self.store, self.converger = settings, store, converger
        self.app = App(
            connector=PsycopgConnector(
                conninfo=settings.database_url.get_secret_value(), min_size=1, max_size=settings.workers + settings.provisioning + 6, timeout=5,
                kwargs={"connect_timeout": 5, "application_name": "tenant-manager queue"},
            )
        )  # fmt: skip
        self.app.task(name=TASK, queue=QUEUE, pass_context=True)(self.work)
        self.stopping = asyncio.Event()
        self.workers: list[Worker] = []
        self.seen = 0.0
        self.running: set[int | None] = set()
        self.idle: set[int | None] = set()

    # --- one job ------------------------------------------------------------------------------------------------

    async def work(self, context: JobContext, target: str, events: bool = True, attempt: int = 0) -> None:
        self.running.add(context.job.id)
        try:
            await self.converge(target, events, attempt, context.job.queue == LONG)
        finally:
            self.running.discard(context.job.id)

    async def converge(self, target: str, events: bool, attempt: int, long: bool) -> None:
        """One job: converge the target, and with it all of its events that are here by now. Without ``events`` also when there are none.

        An organisation without a workspace goes to the queue for ``long`` work first: as many are made at once as the server has
        slots for, in their order, and the events of others are worked off meanwhile.
        """
        began = time.monotonic()
        if not long and target.startswith("org_") and not await self.store.ready(target):
            await self.store.defer(target, 0, attempt, events=events, long=True)
            return
        try:
            async with self.store.alone(f"work:{target}"):
                waiting = await self.store.waiting(target)
                if events and not any(event["due"] for event in waiting):
                    return  # another job of the same target has seen to them, or will when they are due
                try:
                    if target != SELF_TEST:
                        await self.converger.held(target)
                    await self.store.done([event["svix_id"] for event in waiting])
                except (Busy, *NO_DATABASE):
                    raise
                except Exception as error:
                    # still under the lock: another job of the target sees that these events are not due any more
                    metrics.FAILURES.labels(kind=type(error).__name__).inc()
                    await self._again(target, [event for event in waiting if event["due"]], attempt, error)
                    return
        except Busy:
            # not a failure, and not counted: whoever has the lock may have read Clerk before these events
            await self.store.defer(target, random.uniform(0.3, 1.0), attempt, events=events, long=long)  # noqa: S311
            return
        # of NO_DATABASE nothing can be written down; the job goes back when the database is there again
        metrics.CONVERGED.inc()
        metrics.CONVERGENCE.observe(time.monotonic() - began)

    async def _again(self, target: str, due: list[Json], attempt: int, error: Exception) -> None:
        """Write the failure down: for each event that was due, or, when it was our own idea, for the job."""
        outage = isinstance(error, Later)
        most = self.settings.attempts_outage if outage else self.settings.attempts_refused
        said = error.after if isinstance(error, Later) else None
        words = str(error) if isinstance(error, ManagerError) else f"{type(error).__name__}: {error}"
        dead: list[str] = []
        # each by its own count: a new event is no reason to try an old one sooner
        afters = {event["svix_id"]: backoff(self.settings, event["attempts"] + 1, said) for event in due}
        if due:
            dead = await self.store.failed(afters, target, words, most)
        elif attempt + 1 < most:
            await self.store.defer(target, backoff(self.settings, attempt + 1, said), attempt + 1)
        LOG.log(
            logging.ERROR if dead else logging.WARNING,
            "given up: see `tenant-manager events show`" if dead else "failed, tried again later",
            extra={"target": target, "events": [event["svix_id"] for event in due][:20], "error": words, "dead": dead[:20]},
            exc_info=None if isinstance(error, ManagerError) else error,
        )

    # --- the worker ---------------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether the workers' connection to the queue has been seen working lately."""
        return bool(self.workers) and time.monotonic() - self.seen < 3 * self.settings.heartbeat + 5

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._work())
            group.create_task(self._rescue())

    def stop(self) -> None:
        self.stopping.set()
        for worker in self.workers:
            worker.stop()  # type: ignore[no-untyped-call]

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            return

    async def _work(self) -> None:
        """Keep a worker for each queue running; they are replaced when one lost the database."""
        while not self.stopping.is_set():
            try:
                async with self.app.open_async():
                    self.workers = [
                        Worker(
                            self.app, queues=[queue], concurrency=concurrency, install_signal_handlers=False,
                            delete_jobs="successful", fetch_job_polling_interval=POLL, update_heartbeat_interval=self.settings.heartbeat,
                            stalled_worker_timeout=self.settings.stalled_after, shutdown_graceful_timeout=self.settings.stop_within,
                        )
                        for queue, concurrency in ((QUEUE, self.settings.workers), (LONG, self.settings.provisioning))
                    ]  # fmt: skip
                    async with asyncio.TaskGroup() as group:
                        for worker in self.workers:
                            group.create_task(worker.run())  # type: ignore[no-untyped-call]
            except Exception as error:
                LOG.warning("the workers ended", extra={"error": _words(error)})
            self.workers = []
            if not self.stopping.is_set():
                await self._pause(1)

    async def _rescue(self) -> None:
        """Jobs of workers without a heartbeat go back; events without a job get one."""
        swept = time.monotonic()
        while not self.stopping.is_set():
            try:
                if workers := self.workers:
                    await self._orphans([worker.worker_id for worker in workers if worker.worker_id is not None])
                    self.seen = time.monotonic()
                if time.monotonic() - swept > self.settings.sweep_every:
                    swept = time.monotonic()
                    for target in await self.store.sweep(self.settings.sweep_every * 2):
                        LOG.warning("events without a job got one", extra={"target": target})
                    for target in await self.store.admissible(self.converger.limits):
                        LOG.info("there is a place for one that waited", extra={"target": target})
                        await self.store.defer(target, long=True)
                    await self.store.forget(self.settings.keep_events_days)
            except Exception as error:
                LOG.warning("looking after the queue failed", extra={"error": f"{type(error).__name__}: {error}"})
            await self._pause(self.settings.heartbeat / 2)

    async def _orphans(self, workers: list[int]) -> None:
        """Jobs that nobody works on go back: of a worker without a heartbeat, broken off, or ended here without the queue's knowing.

        They go back without their place as the target's only one, which a newer job may have by now. Nothing fails for good here.
        """
        held = await self.store.rows("SELECT id FROM procrastinate_jobs WHERE status = 'doing' AND worker_id = ANY(%s)", workers)
        idle = {row["id"] for row in held} - self.running
        # seen twice: one that has just ended is about to be taken off the queue
        stranded, self.idle = idle & self.idle, idle
        found: list[Json] = await self.store.rows(
            "UPDATE procrastinate_jobs j SET status = 'todo', worker_id = NULL, attempts = attempts + 1, abort_requested = false,"
            " lock = NULL, queueing_lock = NULL, scheduled_at = clock_timestamp() + make_interval(secs => power(2, least(attempts, 9)) - 1)"
            " WHERE status IN ('failed', 'aborted') OR (status = 'doing' AND (id = ANY(%s) OR NOT EXISTS (SELECT 1 FROM procrastinate_workers w"
            " WHERE w.id = j.worker_id AND w.last_heartbeat > clock_timestamp() - make_interval(secs => %s)))) RETURNING id",
            list(stranded), self.settings.stalled_after,
        )  # fmt: skip
        for row in found:
            LOG.warning("a job that broke off went back to the queue", extra={"job": row["id"]})
