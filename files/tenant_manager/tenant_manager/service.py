"""The running service: two listeners, the queue's worker and the reconciler's clock in one process, and a graceful end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from tenant_manager import web
from tenant_manager.clerk import Clerk
from tenant_manager.converge import Converger
from tenant_manager.errors import Busy
from tenant_manager.queue import Work
from tenant_manager.reconcile import Reconciler
from tenant_manager.remote import Remote
from tenant_manager.settings import Settings
from tenant_manager.store import Limits, Store
from tenant_manager.twenty import Twenty

LOG = logging.getLogger(__name__)
CLERK_PATIENCE = 15.0  # its limits count in windows of 10 s
RECEIVE_BUFFER = 16 * 1024  # bytes; the kernel takes twice as much


@dataclass
class Parts:
    """Everything that talks to somebody."""

    settings: Settings
    store: Store
    clerk: Clerk
    twenty: Twenty
    converger: Converger
    reconciler: Reconciler


@asynccontextmanager
async def parts(settings: Settings) -> AsyncIterator[Parts]:
    store = Store(settings.database_url.get_secret_value(), settings.workers * 6 + 6, settings.rest)
    clerk = Remote(
        "Clerk", str(settings.clerk_api_url), settings.clerk_secret_key.get_secret_value(), settings.http_timeout, CLERK_PATIENCE
    )
    twenty = Remote(
        "Twenty", str(settings.twenty_internal_url), settings.twentyops_internal_secret.get_secret_value(), settings.http_timeout
    )
    await store.open()
    try:
        one, other = Clerk(clerk), Twenty(twenty, settings.data_model_timeout)
        limits = Limits(settings.max_tenants, settings.max_organizations_per_person)
        converger = Converger(store, one, other, settings.data_model_revision, limits, settings.provisioning)
        yield Parts(settings, store, one, other, converger, Reconciler(settings, store, one, other, converger))
    finally:
        await clerk.close()
        await twenty.close()
        await store.close()


class Listener(uvicorn.Server):
    """Uvicorn without its own signal handlers: this process has more to end than listeners. What the kernel and uvicorn hold of a body
    that nobody has asked for yet is small: with the default 700 senders of 250 KB took 100 MB that no limit of ours counts."""

    async def listen(self) -> None:
        """Serve until ``should_exit``."""
        listening = self.config.bind_socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        await self.serve([listening])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listener(app: FastAPI, address: str) -> Listener:
    host, _, port = address.rpartition(":")
    return Listener(
        uvicorn.Config(
            app, host=host.strip("[]"), port=int(port), log_config=None, access_log=False, lifespan="off", server_header=False,
            # longer than the 30 s for which the proxy keeps a connection: it must not send on one that is closed here
            timeout_keep_alive=75, timeout_graceful_shutdown=10, backlog=2048, ws="none",
        )
    )  # fmt: skip


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; then stop listening, finish what is at work or give it back, and return."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    async with parts(settings) as found:
        committer = web.Committer(found.store)
        work = Work(settings, found.store, found.converger)
        listeners = [
            listener(web.public(settings, committer), settings.listen),
            listener(web.internal(found.store, work, found.twenty), settings.internal_listen),
        ]
        committing = asyncio.create_task(committer.run())
        working = asyncio.create_task(work.run())
        listening = [asyncio.create_task(one.listen()) for one in listeners]
        reconciling = asyncio.create_task(_reconcile(found))
        # what is here by now stays: collections pass over it, and hold no request up (80 ms each, else)
        gc.collect()
        gc.freeze()
        LOG.info("started", extra={"listen": settings.listen, "internal": settings.internal_listen})
        waiting = asyncio.create_task(ending.wait())
        await asyncio.wait({waiting, committing, working, *listening}, return_when=asyncio.FIRST_COMPLETED)
        LOG.info("stopping")
        reconciling.cancel()
        work.stop()
        for one in listeners:
            one.should_exit = True
        await asyncio.gather(*listening, return_exceptions=True)
        _, late = await asyncio.wait({working}, timeout=settings.stop_within + 5)
        for task in (*late, committing, waiting):
            task.cancel()
        await asyncio.gather(working, committing, reconciling, waiting, return_exceptions=True)
        if not ending.is_set():
            raise SystemExit("a part of the service ended by itself; see the log")
    LOG.info("stopped")


async def _reconcile(found: Parts) -> None:
    """On the clock, a little spread so that replicas do not ask at once."""
    every = found.settings.reconcile_every
    while every:
        await asyncio.sleep(every * random.uniform(0.9, 1.1))  # noqa: S311 - spread, not secrecy
        try:
            await found.reconciler.run()
        except Busy:
            LOG.info("another replica reconciles")
        except Exception as error:
            LOG.exception("reconciling failed; tried again later", extra={"error": str(error)})
