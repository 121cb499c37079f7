"""Events, tenants, what was told of people and members, reconciliations; and the queue's own schema."""

from __future__ import annotations

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE event (
    svix_id text PRIMARY KEY,
    type text NOT NULL,
    target text,
    body bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'done', 'ignored', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    last_error text,
    finished_at timestamptz
);
CREATE INDEX event_queued ON event (target, received_at) WHERE state = 'queued';
CREATE INDEX event_dead ON event (received_at) WHERE state = 'dead';
CREATE INDEX event_received ON event (received_at);

CREATE TABLE tenant (
    organization_id text PRIMARY KEY,
    slug text NOT NULL UNIQUE,
    name text NOT NULL,
    workspace_id text,
    held boolean NOT NULL DEFAULT false,
    state text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'active', 'suspended')),
    data_model text,
    problems jsonb NOT NULL DEFAULT '[]',
    first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ready_at timestamptz,
    synced_at timestamptz
);

CREATE TABLE person (
    user_id text PRIMARY KEY,
    told jsonb NOT NULL,
    updated_at bigint NOT NULL
);

CREATE TABLE member (
    organization_id text NOT NULL,
    user_id text NOT NULL,
    role text NOT NULL,
    told jsonb NOT NULL,
    PRIMARY KEY (organization_id, user_id)
);
CREATE INDEX member_user ON member (user_id);

CREATE TABLE reconciliation (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    report jsonb
);
"""


def upgrade() -> None:
    # procrastinate's statements hold % and :, which SQLAlchemy would take for parameters
    cursor = op.get_bind().connection.cursor()
    cursor.execute(TABLES)
    cursor.execute(SchemaManager.get_schema())
