"""What all tests share: no run of a test may ever reach the production address."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

os.environ["TWENTYOPS_LAB"] = "1"  # settings without an address of the lab are refused from here on


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--release-directory", default="/opt/twenty/current", help="smoke: directory of the release to check")
    parser.addoption("--public-url", default="", help="browser: address of a running deployment")
    parser.addoption(
        "--clerk",
        default="",
        help="browser: who signs people in there: 'lab', or the address of an emulator's control (…/_admin; its token in CLERK_ADMIN_TOKEN)",
    )
    parser.addoption(
        "--internal-url",
        default="",
        help="browser, tenants: address of the server's own port, for the internal API; empty: through the lab's SSH, or --twenty-url",
    )
    parser.addoption("--twenty-url", default="", help="contract: address of a running Twenty; empty: the stand-in is started")
    parser.addoption("--twenty-app-secret", default="", help="contract, tenants: its APP_SECRET, for the tests that sign tokens")
    parser.addoption(
        "--clerk-admin",
        help="contract, tenants: the control (…/_admin) of the emulator that it signs people in by; its token in CLERK_ADMIN_TOKEN",
    )
    parser.addoption("--twenty-redis-url", help="contract: its Redis, for the tests that hand the worker a job")
    parser.addoption("--internal-secret", default="", help="tenants: its TWENTYOPS_INTERNAL_SECRET")
    parser.addoption(
        "--egress-allowed",
        default="",
        help="tenants: an address of this machine that the server's TWENTYOPS_TENANTS_MAY_REACH opens (natively 127.0.0.2), for redirects",
    )
    parser.addoption(
        "--lab", default="", help="rehearsal: name of a lab that is up, used as it is and left up; empty: one of its own"
    )


SECOND_LAB = ("test_debian_12.py", "test_killed.py", "test_refusals.py")
"""Files of the rehearsal that share no machine with the others: they run beside them, in another lab."""


def group_of(file: Path) -> str:
    """Which tests share the fixtures of a session, and so run one after another in one of the processes of ``make test``."""
    directory = file.relative_to(Path(__file__).parent).parts[0]
    return "rehearsal-2" if directory == "rehearsal" and file.name in SECOND_LAB else directory


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one of several processes: the rehearsals take longest, so they begin first
        items.sort(key=lambda item: not group_of(item.path).startswith("rehearsal"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each process gets whole groups. xdist's own ``loadgroup`` finds none with this pytest: it writes them into the test's node id."""
    from xdist.scheduler import LoadScopeScheduling  # not needed by a smoke suite

    class ByGroup(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return group_of(config.rootpath / nodeid.partition("::")[0])

    return ByGroup(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None]:
    """The last lines of a long run name each failed test in a line of its own: CI keeps only the end of its log."""
    yield  # pytest's own summary, with messages of many lines
    failed = [report for outcome in ("failed", "error") for report in terminalreporter.getreports(outcome)]
    if not failed:
        return
    terminalreporter.section("failed, each in one line", sep="-")
    for report in failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        reason = (crash.message if crash else str(report.longrepr)).strip().splitlines() or [""]
        terminalreporter.write_line(f"{report.nodeid} ({report.when}, {getattr(report, 'duration', 0):.0f} s): {reason[0][:200]}")
