"""Alembic's entry: one connection, one transaction, one runner at a time (advisory lock)."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

LOCK = 7_203_115_004
connection = context.config.attributes["connection"]
context.configure(connection=connection)
with context.begin_transaction():
    connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
    context.run_migrations()
