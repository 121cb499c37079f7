"""Requests that must not get in: refused, nothing stored, nothing done; and settings that stop the start."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import httpx
import pytest

from lab.clerk import signing
from lab.clerk.control import NO_TLS
from lab.clerk.webhooks import FLAWS
from lab.command import wait_until
from tests.tenant_manager.conftest import World

GOOD = {"id": "org_hostile123"}
Request = tuple[dict[str, str], bytes]


def headers(world: World, body: bytes, **changes: str) -> dict[str, str]:
    return world.signed(body, "msg_h") | {name.replace("_", "-"): value for name, value in changes.items()}


def hostile(world: World) -> dict[str, tuple[Callable[[], Request], set[int]]]:
    """What is sent, and which statuses are right. Those of the second kind carry a right signature of wrong content."""
    body = world.event("organization.created", GOOD)

    def changed(**changes: str) -> Callable[[], Request]:
        return lambda: (headers(world, body, **changes), body)

    def without(name: str) -> Callable[[], Request]:
        return lambda: ({n: v for n, v in headers(world, body).items() if n != name}, body)

    def signed(content: bytes, **changes: str) -> Callable[[], Request]:
        return lambda: (headers(world, content, **changes), content)

    def other_id() -> Request:
        return headers(world, body) | {"svix-id": "msg_other"}, body

    def data(value: object, kind: object = "organization.created") -> bytes:
        return json.dumps({"type": kind, "data": value, "object": "event"}).encode()

    good = signing.headers([world.secret], "msg_h", int(time.time()), body)["svix-signature"]
    refused, content = {400}, {422}
    return {
        "no id": (without("svix-id"), refused),
        "no timestamp": (without("svix-timestamp"), refused),
        "no signature": (without("svix-signature"), refused),
        "empty signature": (changed(svix_signature=""), refused),
        "signature of nothing": (changed(svix_signature="v1,"), refused),
        "signature without a comma": (changed(svix_signature="v1"), refused),
        "no base64": (changed(svix_signature="v1,***"), refused),
        "short signature": (changed(svix_signature="v1,AAAA"), refused),
        "asymmetric version": (changed(svix_signature=good.replace("v1,", "v1a,")), refused),
        "old version": (changed(svix_signature=good.replace("v1,", "v0,")), refused),
        "endless signatures": (changed(svix_signature="v1," + "A" * 8000), {400, 431}),
        "another message's signature": (other_id, refused),
        "timestamp of letters": (changed(svix_timestamp="now"), refused),
        "timestamp nan": (changed(svix_timestamp="nan"), refused),
        "negative timestamp": (changed(svix_timestamp="-1"), refused),
        "timestamp with a fraction": (changed(svix_timestamp=f"{int(time.time())}.0"), refused),
        "endless timestamp": (changed(svix_timestamp="9" * 40), refused),
        "id with a path": (changed(svix_id="../../etc/passwd"), refused),
        "endless id": (changed(svix_id="m" * 2000), refused),
        "form": (changed(content_type="application/x-www-form-urlencoded"), {415}),
        "text": (changed(content_type="text/plain"), {415}),
        "no content type": (without("content-type"), {415}),
        "compressed": (changed(content_encoding="gzip"), {415}),
        "too big": (signed(body + b" " * 300_000), {413}),
        "tampered": (lambda: (headers(world, body), body.replace(b"hostile", b"Hostile")), refused),
        "empty body": (signed(b""), content),
        "no JSON": (signed(b"{"), content),
        "a list": (signed(b"[]"), content),
        "not UTF-8": (signed(b'{"type":"\xff"}'), {400, 422}),
        "deep": (signed(b"[" * 100_000), content),
        "no data": (signed(b'{"type":"organization.created"}'), content),
        "data is a list": (signed(data([])), content),
        "type is a number": (signed(data(GOOD, 7)), content),
        "type with a line break": (signed(data(GOOD, "organization.created\nx")), content),
        "no id in it": (signed(data({})), content),
        "id of another kind": (signed(data({"id": "user_abc12345"})), content),
        "id as an address": (signed(data({"id": "org_abc/../../x"})), content),
        "membership of nothing": (signed(data({"organization": "org_abc12345"}, "organizationMembership.created")), content),
    }


def test_hostile_requests_are_refused_and_leave_nothing(world: World) -> None:
    manager = world.start()
    asked = len(world.twenty.asked)
    cases = hostile(world)
    assert len(cases) >= 30
    wrong = {}
    with httpx.Client(verify=NO_TLS, trust_env=False, timeout=30) as client:
        for name, (make, allowed) in cases.items():
            found, body = make()
            answer = client.post(manager.url, content=body, headers=found)
            if answer.status_code not in allowed or answer.text:
                wrong[name] = (answer.status_code, answer.text)
        for flaw in FLAWS:
            status = world.clerk.send_webhook("organization.created", GOOD, flaw=flaw)["status"]
            if status != 400:
                wrong[flaw] = (status, "")
        base = manager.url.removesuffix("/webhooks/clerk")
        for path in ("/", "/docs", "/openapi.json", "/metrics", "/healthz", "/readyz", "/webhooks/clerk/", "/webhooks", "/admin"):
            if (status := client.post(base + path).status_code) not in (404, 307, 405):
                wrong[path] = (status, "")
        assert client.get(manager.url).status_code == 405
    assert wrong == {}
    assert world.rows("SELECT * FROM event") == []
    assert set(world.twenty.asked[asked:]) <= {"GET /internal/tenants"}
    assert manager.process.poll() is None
    assert world.secret not in manager.log.read_text()


@pytest.mark.parametrize("skew", [-240, 240])
def test_a_clock_that_is_four_minutes_off_is_taken(world: World, skew: int) -> None:
    manager = world.start()
    body = world.event("session.created", {"id": "sess_1"})
    answer = httpx.post(manager.url, content=body, headers=world.signed(body, at=time.time() + skew), verify=NO_TLS)
    assert answer.status_code == 202


def test_a_sender_that_stops_in_the_middle_blocks_nobody(world: World) -> None:
    manager = world.start()
    body = world.event("session.created", {"id": "sess_1"})

    def half() -> object:
        yield body[:10]
        raise ConnectionError

    with pytest.raises((ConnectionError, httpx.HTTPError)):
        httpx.post(manager.url, content=half(), headers=world.signed(body), verify=NO_TLS)  # type: ignore[arg-type]
    assert httpx.post(manager.url, content=body, headers=world.signed(body), verify=NO_TLS).status_code == 202
    wait_until(lambda: len(world.rows("SELECT 1 FROM event")) == 1, 10, "not one event")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLERK_WEBHOOK_SECRET", ""),
        ("CLERK_WEBHOOK_SECRET", "whsec_"),
        ("CLERK_WEBHOOK_SECRET", "whsec_$(openssl rand)"),
        ("CLERK_WEBHOOK_SECRET", "c2VjcmV0LXdpdGhvdXQtcHJlZml4"),
        ("CLERK_SECRET_KEY", "pk_test_wrong"),
        ("TWENTYOPS_INTERNAL_SECRET", "short"),
        ("TWENTY_INTERNAL_URL", "server:3000x"),
        ("LISTEN", "8080"),
    ],
)
def test_wrong_settings_stop_the_start_by_name_and_never_by_value(world: World, name: str, value: str) -> None:
    done = world.command("serve", **{name: value})
    assert done.returncode == 1
    assert f"{name}: " in done.stderr
    assert not value or value not in done.stderr.replace("whsec_ and base64", "")
    assert "Traceback" not in done.stderr
