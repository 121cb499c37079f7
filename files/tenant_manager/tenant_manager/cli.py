"""``tenant-manager``: the service, and what a person asks of it."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import uvloop

from tenant_manager import logs, self_test
from tenant_manager.errors import ManagerError
from tenant_manager.service import Parts, parts, serve
from tenant_manager.settings import Settings, load

STOPPED = 3


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="tenant-manager", description=__doc__)
    commands = found.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="run the service")
    commands.add_parser("migrate", help="bring the database to this version")
    tenants = commands.add_parser("tenants", help="list|count|show|sync|suspend|resume|admit|credentials").add_subparsers(
        dest="verb", required=True
    )
    tenants.add_parser("list")
    tenants.add_parser("count", help="how many places there are and how many are taken, and who waits")
    for verb in ("show", "sync", "suspend", "resume", "admit"):
        tenants.add_parser(verb).add_argument("id", metavar="ORGANIZATION_ID")
    credentials = tenants.add_parser("credentials", help="API keys and webhooks in force, with their makers")
    credentials.add_argument("id", metavar="ORGANIZATION_ID", nargs="?", help="default: every tenant")
    credentials.add_argument("--without-maker", action="store_true", help="only those from before makers were recorded")
    events = commands.add_parser("events", help="list|show|retry|self-test").add_subparsers(dest="verb", required=True)
    listed = events.add_parser("list")
    listed.add_argument("--state", choices=["queued", "done", "ignored", "dead"])
    listed.add_argument("--limit", type=int, default=50)
    for verb in ("show", "retry"):
        events.add_parser(verb).add_argument("id", metavar="SVIX_ID")
    events.add_parser("self-test", help="print one signed delivery that nothing follows from")
    reconcile = commands.add_parser("reconcile", help="compare everything with Clerk, and repair")
    reconcile.add_argument("--dry-run", action="store_true", help="say what differs, change nothing")
    reconcile.add_argument("--removals", type=int, metavar="N", help="allow so many removals, instead of the threshold")
    return found


def main(argv: list[str] | None = None) -> int:
    """0 done, 1 failed (with words on standard error), 3 when a reconciliation stopped at its threshold."""
    args = parser().parse_args(argv)
    try:
        settings = load()
        serving = args.command == "serve"
        # an answer on standard output is JSON and nothing else
        logs.set_up(settings.log_level if serving else "WARNING", sys.stdout if serving else sys.stderr)
        if args.command == "migrate":
            migrate(settings.database_url.get_secret_value())
            return 0
        if args.command == "serve":
            uvloop.run(serve(settings))
            return 0
        if args.command == "events" and args.verb == "self-test":
            show(self_test.signed(settings))
            return 0
        return asyncio.run(administer(settings, args))
    except ManagerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def migrate(dsn: str) -> None:
    """All of it in one transaction; two at once wait for each other."""
    # only here: the service would carry 25 MB of them for nothing
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import NullPool, create_engine

    engine = create_engine(dsn.replace("postgresql://", "postgresql+psycopg://", 1), poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def show(found: Any) -> None:
    print(json.dumps(found, ensure_ascii=False, indent=2, default=str))


async def administer(settings: Settings, args: argparse.Namespace) -> int:
    async with parts(settings) as found:
        if args.command == "reconcile":
            report = await found.reconciler.run(dry=args.dry_run, removals=args.removals)
            show(report)
            return STOPPED if report["stopped"] else 1 if report["failed"] else 0
        if args.command == "tenants":
            return await tenants(found, args)
        return await events(found, args)


async def tenants(found: Parts, args: argparse.Namespace) -> int:
    match args.verb:
        case "list":
            show(await found.store.tenants())
            return 0
        case "count":
            show({"most": found.settings.max_tenants, **await found.store.occupancy()})
            return 0
        case "show":
            row = await found.store.tenant(args.id)
            if row is None:
                raise ManagerError(f"{args.id}: not known here; see `tenants list`, or `tenants sync {args.id}`")
            show(row | {"members": await found.store.members(args.id), "twenty": await found.twenty.tenant(args.id)})
            return 0
        case "credentials":
            wanted = (
                [args.id] if args.id else [row["organizationId"] for row in await found.twenty.tenants() if row["workspaceId"]]
            )
            listed = {org: await found.twenty.credentials(org) for org in wanted}
            show({org: [c for c in rows if not (args.without_maker and c["makers"])] for org, rows in listed.items()})
            return 0
        case "suspend" | "resume":
            if not await found.store.hold(args.id, args.verb == "suspend"):
                raise ManagerError(f"{args.id}: not known here; see `tenants list`")
        case "admit":
            if not await found.store.exempt(args.id):
                raise ManagerError(f"{args.id}: not known here; see `tenants list`")
    outcome = await found.converger.target(args.id, wait=60)
    show({"target": outcome.target, "done": outcome.done, "problems": outcome.problems})
    return 0


def event_row(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "body"}


async def events(found: Parts, args: argparse.Namespace) -> int:
    match args.verb:
        case "list":
            rows = await found.store.rows(
                "SELECT * FROM event WHERE %s::text IS NULL OR state = %s ORDER BY received_at DESC LIMIT %s",
                args.state, args.state, args.limit,
            )  # fmt: skip
            show([event_row(row) for row in rows])
        case "show":
            row = await found.store.event(args.id)
            if row is None:
                raise ManagerError(f"{args.id}: no such event; see `events list`")
            show(event_row(row) | {"body": json.loads(bytes(row["body"]))})
        case "retry":
            if not await found.store.requeue(args.id):
                raise ManagerError(f"{args.id}: no such event, or one that nothing follows from; see `events list`")
            show({"queued": args.id})
    return 0


if __name__ == "__main__":
    sys.exit(main())
