"""A server whose pool is stuck: it is unhealthy, it ends itself after a minute, and it is started again; a Postgres that is away ends nobody.

``pytest tests/burst/test_stuck.py --twenty-url URL --internal-secret SECRET --clerk URL/_admin --twenty-database-url postgres://…
--server-pid-file FILE`` (a server that is started again when it ends). On a lab: test_lab.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import psycopg

from lab.command import wait_until
from tests.burst.conftest import House, report

AT_ONCE = 40
EXIT_WITHIN = 150.0


@contextmanager
def crowd(url: str, token: str) -> Iterator[None]:
    """So many questions at once, for as long as it lasts, each of which needs a connection of the pool."""
    ending = threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=30, trust_env=False) as client:
            while not ending.is_set():
                try:
                    client.post(
                        f"{url}/graphql",
                        json={"query": "{ people { totalCount } }"},
                        headers={"Authorization": f"Bearer {token}"},
                    )
                except httpx.HTTPError:
                    ending.wait(0.5)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ending.set()
        for thread in threads:
            thread.join(40)


def test_a_server_whose_pool_is_stuck_ends_itself_and_serves_again(
    house: House, database: str, process: Callable[[], int]
) -> None:
    url, token = str(house.server.http.base_url).rstrip("/"), house.tenant.api_token()
    before = process()
    with psycopg.connect(database) as holder:
        holder.execute("LOCK TABLE core.workspace IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        with crowd(url, token):
            wait_until(lambda: process() != before, EXIT_WITHIN, "the server goes on with a pool that answers nothing", every=1)
        took = time.monotonic() - began
    assert took >= 55, "it gave up before a minute had passed"

    def serves() -> bool:
        try:
            return (
                "data"
                in httpx.post(
                    f"{url}/graphql",
                    json={"query": "{ people { totalCount } }"},
                    headers={"Authorization": f"Bearer {token}"},
                    trust_env=False,
                ).json()
            )
        except (httpx.HTTPError, ValueError):
            return False

    wait_until(serves, 120, "it does not serve again", every=1)
    report("stuck-pool", ended_after_s=round(took), served_again_after_s=round(time.monotonic() - began))


def test_deadlines_free_a_pool_by_themselves(house: House, database: str, process: Callable[[], int]) -> None:
    """The same for 25 s only: no start is needed, whoever asked gets an answer, and the pool serves when the table is free."""
    url, token, before = str(house.server.http.base_url).rstrip("/"), house.tenant.api_token(), process()
    with house.watch() as watch:
        with psycopg.connect(database) as holder:
            holder.execute("LOCK TABLE core.workspace IN ACCESS EXCLUSIVE MODE")
            with crowd(url, token):
                time.sleep(25)  # the length of the lock is what is tested
        wait_until(lambda: watch.seen["graphql"].answers[-1][1] == "200", 30, lambda: f"{watch.seen['graphql']}")
    sign_in = watch.seen["sign_in"]
    report("held-table", graphql=str(watch.seen["graphql"]), sign_in=str(sign_in))
    assert set(sign_in.counts) <= {"200", "503 with Retry-After"}, sign_in
    assert max(sign_in.seconds) <= 6, sign_in
    assert process() == before
