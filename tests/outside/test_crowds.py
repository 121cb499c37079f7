"""Five thousand connections of people who mean no good, from one address and from a hundred: everything stays up, and another visitor
is served. The sizes are the issue's (T12, T13 in the facts)."""

from __future__ import annotations

import json
import re
import time

import httpx
import pytest

from lab.clerk import signing
from tests.outside.conftest import Containers, Outside
from twentyops.settings import WEBHOOK_PATH

CONNECTIONS = 5000
SECONDS = 20.0
SERVED = 0.99
"""Share of the other visitor's requests that must be answered within 2 s."""


def stranger() -> str:
    """A webhook's headers as somebody without the secret can write them, in JSON."""
    return json.dumps(signing.headers([signing.new_secret()], "msg_stranger", int(time.time()), b""))


def largest(outside: Outside) -> str:
    """Path of the largest of the scripts and styles that the page names."""
    with httpx.Client(base_url=f"http://{outside.droplet.address}", timeout=30, trust_env=False) as public:
        named: list[str] = re.findall(r'(?:src|href)="(/[^"]+\.(?:js|css))"', public.get("/").text)
        sizes: dict[str, int] = {path: len(public.get(path).content) for path in named}
    return max(sizes, key=lambda path: sizes[path])


CROWDS = {
    "slow headers": ("--mode", "headers"),
    "slow bodies": ("--mode", "bodies", "--length", "1500000", "--first", "1000"),
    "slow small bodies": ("--mode", "bodies", "--path", "/clerk/session", "--length", "9000", "--first", "100"),
    "large bodies that stop": ("--mode", "bodies", "--length", "900000", "--first", "60000"),
    "uploads that stop": ("--mode", "bodies", "--path", "/metadata", "--length", "1500000", "--first", "60000", "--headers", "MULTIPART"),
    "unsigned webhooks": ("--mode", "whole", "--path", WEBHOOK_PATH, "--length", "250000", "--headers", "STRANGER"),
    "unsigned webhooks that stop": ("--mode", "bodies", "--path", WEBHOOK_PATH, "--length", "250000", "--first", "60000", "--headers", "STRANGER"),
    "readers that stop": ("--mode", "readers", "--path", "LARGEST"),
    "idle": ("--mode", "idle"),
    "silent": ("--mode", "silent"),
}  # fmt: skip


@pytest.mark.parametrize("addresses", [1, 100])
@pytest.mark.parametrize("kind", CROWDS)
def test_a_crowd_takes_nobody_down_and_shuts_nobody_out(
    outside: Outside, all_stay_up: Containers, kind: str, addresses: int
) -> None:
    given = {
        "STRANGER": stranger(),
        "MULTIPART": '{"Content-Type": "multipart/form-data; boundary=x"}',
        "LARGEST": largest(outside),
    }
    options = [given.get(option, option) for option in CROWDS[kind]]
    crowd = outside.start(
        "crowd", outside.crowd[:addresses], SECONDS + 2, "--number", str(CONNECTIONS), "--within", "2", "--again", *options
    )
    visitor = outside.start("visitor", [outside.visitor], SECONDS, "--every", "0.2")
    seen, held = visitor.end(), crowd.end()
    print(f"{kind}, {addresses} addresses: visitor {seen}; crowd {held}; memory {all_stay_up.megabytes()}")
    assert held["ever_open"] >= min(addresses * 8, 90), "the crowd was not there"
    assert seen["visits"] >= SECONDS / 0.2 * 0.8, seen
    assert seen["served_within_2s"] >= seen["visits"] * SERVED, seen


def test_an_office_with_ninety_connections_is_served(outside: Outside) -> None:
    """Fifteen browsers behind one address, each with six connections."""
    office = outside.start("steady", [outside.visitor], 10, "--number", "90", "--every", "1", "--path", "/graphql")
    told = office.end()
    print(told)
    assert set(told["told"]) <= {"200", "400", "401"}
    assert told["slowest"] < 10
