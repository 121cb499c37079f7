"""Who may have a workspace: a place among the machine's tenants, and the line of those who wait for one."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

CHANGES = """
ALTER TABLE tenant
    ADD COLUMN created_by text,
    ADD COLUMN admitted_at timestamptz,
    ADD COLUMN waiting text CHECK (waiting IN ('no-room', 'too-many-organizations')),
    ADD COLUMN waiting_since timestamptz,
    ADD COLUMN exempt boolean NOT NULL DEFAULT false;
UPDATE tenant SET admitted_at = first_seen_at WHERE workspace_id IS NOT NULL;
CREATE INDEX tenant_waiting ON tenant (waiting_since, organization_id) WHERE waiting IS NOT NULL;
CREATE INDEX tenant_created_by ON tenant (created_by) WHERE admitted_at IS NOT NULL;
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(CHANGES)
