"""Passwords held against what a real Postgres stores for them."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.tenant_manager.postgres import Postgres, temporary
from twentyops import scram


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with temporary() as found:
        yield found


def stored(postgres: Postgres, password: str) -> str:
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS somebody")
        connection.execute(psycopg.sql.SQL("CREATE ROLE somebody PASSWORD {}").format(psycopg.sql.Literal(password)))
        row = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'somebody'").fetchone()
    assert row
    return str(row[0])


@pytest.mark.parametrize("password", ["a", "0123456789abcdef" * 4, "with blanks, $ and 'quotes'"])
def test_the_password_that_postgres_stored_matches_and_no_other(postgres: Postgres, password: str) -> None:
    verifier = stored(postgres, password)
    assert scram.matches(password, verifier)
    assert not scram.matches(password + "x", verifier)
    assert not scram.matches("", verifier)


@pytest.mark.parametrize("verifier", ["", "md5" + "0" * 32, "SCRAM-SHA-256$4096:salt", "SCRAM-SHA-256$0:AA==$AA==:AA=="])
def test_what_is_no_verifier_of_it_matches_nothing(verifier: str) -> None:
    assert not scram.matches("a", verifier)
