"""What all tests share: no run of a test may ever reach the production address."""

from __future__ import annotations

import os

import pytest

os.environ["TWENTYOPS_LAB"] = "1"  # settings without an address of the lab are refused from here on


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--release-directory", default="/opt/twenty/current", help="smoke: directory of the release to check")
    parser.addoption("--public-url", default="", help="browser: address of a running deployment")
    parser.addoption("--twenty-url", default="", help="contract: address of a running Twenty; empty: the stand-in is started")
    parser.addoption(
        "--lab", default="", help="rehearsal: name of a lab that is up, used as it is and left up; empty: one of its own"
    )
