"""Webhooks: signed as Svix's own library wants it, retried on its schedule, and disturbed on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import pytest
from svix.webhooks import Webhook, WebhookVerificationError

from lab.clerk.webhooks import DELAYS, FLAWS
from lab.command import wait_until
from lab.identity import LabError
from tests.clerk.conftest import ALICE, BOB, CAROL, World


@dataclass
class Delivery:
    """One request as it came: the bytes, not what they mean."""

    body: bytes
    headers: dict[str, str]
    at: float = field(default_factory=time.monotonic)

    @property
    def id(self) -> str:
        return self.headers["svix-id"]

    @property
    def event(self) -> str:
        return str(json.loads(self.body)["type"])


class Receiver:
    """Takes webhooks; ``answer`` decides each one's status and may take its time."""

    def __init__(self) -> None:
        self.got: list[Delivery] = []
        self.answer: Callable[[Delivery], int] = lambda _delivery: 204
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                delivery = Delivery(body, {name.lower(): value for name, value in self.headers.items()})
                receiver.got.append(delivery)
                status = receiver.answer(delivery)
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("location", "/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: what came is in ``got``."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/webhooks/clerk"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def wait(self, count: int, seconds: float = 10) -> list[Delivery]:
        wait_until(lambda: len(self.got) >= count, seconds, lambda: f"{len(self.got)} of {count}", every=0.01)
        return self.got

    @property
    def events(self) -> list[str]:
        return [delivery.event for delivery in self.got]


@pytest.fixture
def receiver(world: World) -> Iterator[Receiver]:
    found = Receiver()
    world.control.endpoint(url=found.url, speed=100_000)
    yield found
    found.server.shutdown()
    found.server.server_close()


def verified(world: World, delivery: Delivery, secret: str | None = None) -> Any:
    """What a delivery says, once Svix's own library has taken it."""
    Webhook(secret or world.emulator.secrets.webhook_secret).verify(delivery.body, delivery.headers)
    return json.loads(delivery.body)


def test_what_happens_is_told_signed_and_in_full(world: World, receiver: Receiver) -> None:
    organization = world.backend.post("/organizations", json={"name": "Łódź · شركة", "created_by": world.user(CAROL)}).json()
    receiver.wait(2)
    world.control.wait_until_delivered()
    payloads = {d.event: verified(world, d) for d in receiver.got}
    assert set(payloads) == {"organization.created", "organizationMembership.created"}
    assert payloads["organization.created"]["data"]["name"] == "Łódź · شركة"
    assert payloads["organization.created"]["data"]["created_by"] == world.user(CAROL)
    member = payloads["organizationMembership.created"]["data"]
    assert (member["organization"]["id"], member["role"]) == (organization["id"], "org:admin")
    assert member["public_user_data"]["identifier"] == CAROL
    for payload in payloads.values():
        assert payload["object"] == "event"
        assert payload["instance_id"].startswith("ins_")
        assert abs(payload["timestamp"] - time.time() * 1000) < 60_000


def test_every_event_of_a_tenants_life(world: World, receiver: Receiver) -> None:
    user = world.backend.post("/users", json={"email_address": ["dave@lab.test"]}).json()["id"]
    world.backend.patch(f"/users/{user}", json={"first_name": "Dave"})
    organization = world.backend.post("/organizations", json={"name": "Initech"}).json()["id"]
    world.backend.patch(f"/organizations/{organization}", json={"name": "Initrode"})
    member = f"/organizations/{organization}/memberships"
    world.backend.post(member, json={"user_id": user, "role": "org:admin"})
    world.backend.patch(f"{member}/{user}", json={"role": "org:admin"})
    world.backend.delete(f"{member}/{user}")
    world.backend.delete(f"/organizations/{organization}")
    world.backend.delete(f"/users/{user}")
    receiver.wait(9)
    world.control.wait_until_delivered()
    kinds = ("user", "organization", "organizationMembership")
    assert sorted(receiver.events) == sorted(f"{kind}.{what}" for kind in kinds for what in ("created", "updated", "deleted"))
    gone = {d.event: verified(world, d)["data"] for d in receiver.got if d.event.endswith(".deleted")}
    assert gone["user.deleted"] == {"object": "user", "id": user, "deleted": True}
    assert gone["organization.deleted"] == {"object": "organization", "id": organization, "slug": "initech", "deleted": True}
    assert gone["organizationMembership.deleted"]["public_user_data"]["user_id"] == user


@pytest.mark.parametrize("cascade", [True, False])
def test_a_deleted_organization_may_or_may_not_tell_of_its_members(world: World, receiver: Receiver, cascade: bool) -> None:
    world.control.settings(cascade_events=cascade)
    world.backend.delete(f"/organizations/{world.ids['Acme']}")
    receiver.wait(3 if cascade else 1)
    world.control.wait_until_delivered()
    assert receiver.events.count("organizationMembership.deleted") == (2 if cascade else 0)


def test_only_what_was_ticked_is_sent(world: World, receiver: Receiver) -> None:
    page = world.page()
    page.sign_in(ALICE)  # session.created: nobody asked for it
    assert [m["state"] for m in world.control.messages("session.created")] == ["skipped"]
    world.control.endpoint(events=["session.*"])
    page.ask("DELETE", "/v1/client/sessions")
    assert verified(world, receiver.wait(1)[0])["type"] == "session.removed"


@pytest.mark.parametrize("style", ["compact", "spaced", "escaped"])
def test_it_is_the_bytes_that_are_signed(world: World, receiver: Receiver, style: str) -> None:
    world.control.endpoint(json_style=style)
    world.backend.patch(f"/users/{world.user(BOB)}", json={"first_name": "Bøb é"})
    (delivery,) = receiver.wait(1)
    assert verified(world, delivery)["data"]["first_name"] == "Bøb é"
    other = json.dumps(json.loads(delivery.body), separators=(", ", ": ")).encode()
    with pytest.raises(WebhookVerificationError):
        verified(world, Delivery(other, delivery.headers))


def test_retries_keep_svixs_schedule(world: World, receiver: Receiver) -> None:
    speed = 60_000.0
    world.control.endpoint(speed=speed)
    receiver.answer = lambda _delivery: 500
    world.backend.patch(f"/users/{world.user(BOB)}", json={"first_name": "Bobby"})
    receiver.wait(len(DELAYS))
    world.control.wait_until_delivered()
    (message,) = world.control.messages("user.updated")
    assert message["state"] == "failed"
    assert [a["number"] for a in message["attempts"]] == list(range(1, 9))
    assert {a["status"] for a in message["attempts"]} == {500}
    waited = [after.at - before.at for before, after in pairwise(receiver.got)]
    assert DELAYS == (0, 5, 300, 1800, 7200, 18000, 36000, 36000)
    for took, delay in zip(waited, DELAYS[1:], strict=True):
        assert delay / speed - 0.01 <= took <= delay / speed + 0.5
    assert len({d.id for d in receiver.got}) == 1  # the receiver's key for once-only
    assert all(verified(world, d) for d in receiver.got)


def test_a_retry_that_is_taken_ends_it(world: World, receiver: Receiver) -> None:
    receiver.answer = lambda _delivery: 503 if len(receiver.got) < 3 else 200
    world.backend.patch(f"/users/{world.user(BOB)}", json={"first_name": "Bobby"})
    receiver.wait(3)
    world.control.wait_until_delivered()
    (message,) = world.control.messages("user.updated")
    assert (message["state"], [a["status"] for a in message["attempts"]]) == ("delivered", [503, 503, 200])


def test_redirects_silence_and_closed_doors_are_failures(world: World, receiver: Receiver) -> None:
    def slow(_delivery: Delivery) -> int:
        time.sleep(0.4)  # longer than the time-out below
        return 200

    answers: list[Callable[[Delivery], int]] = [lambda _d: 301, slow]
    receiver.answer = lambda delivery: answers.pop(0)(delivery) if answers else 200
    world.control.endpoint(timeout=0.2)
    world.backend.patch(f"/users/{world.user(BOB)}", json={"first_name": "Bobby"})
    receiver.wait(3)
    world.control.wait_until_delivered()
    attempts = world.control.messages("user.updated")[0]["attempts"]
    assert [a["status"] for a in attempts] == [301, None, 200]
    assert attempts[1]["error"] == "no answer in 0.2 s"
    receiver.server.shutdown()
    receiver.server.server_close()
    sent = world.control.send_webhook("user.updated", {"id": "user_x"})
    assert sent["status"] is None
    assert "Connect" in sent["error"]


def test_an_endpoint_that_fails_for_five_days_is_switched_off_and_recovers(world: World, receiver: Receiver) -> None:
    world.control.endpoint(speed=5_000_000)  # five days in less than a tenth of a second
    receiver.answer = lambda _delivery: 500
    user = f"/users/{world.user(BOB)}"

    def off() -> bool:
        world.backend.patch(user, json={"first_name": "Bobby"})
        return bool(world.control.overview()["endpoint"]["disabled"])

    world.control.settings(rate_limit=None)
    wait_until(off, 10, "it is never switched off", every=0.1)
    world.backend.patch(user, json={"last_name": "Lost"})
    assert world.control.messages()[-1]["state"] == "skipped"
    receiver.answer = lambda _delivery: 200
    lost = {m["id"] for m in world.control.messages() if m["state"] == "failed"}
    assert lost
    assert set(world.control.recover()) >= lost
    world.control.wait_until_delivered()
    assert {m["state"] for m in world.control.messages() if m["id"] in lost} == {"delivered"}


def test_delay(world: World, receiver: Receiver) -> None:
    world.control.disturb("delay", events=["organization.*"], seconds=0.5, count=1)
    began = time.monotonic()
    world.backend.patch(f"/organizations/{world.ids['Acme']}", json={"name": "Acme One"})
    world.backend.patch(f"/users/{world.user(BOB)}", json={"first_name": "Bobby"})
    receiver.wait(2)
    assert receiver.events == ["user.updated", "organization.updated"]
    assert receiver.got[1].at - began >= 0.5
    world.backend.patch(f"/organizations/{world.ids['Acme']}", json={"name": "Acme Two"})
    receiver.wait(3)
    assert receiver.got[2].at - receiver.got[1].at < 0.5
    assert all(verified(world, d) for d in receiver.got)  # late, and yet signed at the time of sending


def test_drop_and_recover(world: World, receiver: Receiver) -> None:
    world.control.disturb("drop", events=["organizationMembership.created"], count=1)
    path = f"/organizations/{world.ids['Acme']}/memberships"
    world.backend.post(path, json={"user_id": world.user(CAROL), "role": "org:member"})
    world.backend.patch(f"/users/{world.user(BOB)}", json={"first_name": "Bobby"})
    receiver.wait(1)
    world.control.wait_until_delivered()
    assert receiver.events == ["user.updated"]
    (lost,) = world.control.messages("organizationMembership.created")
    assert lost["state"] == "dropped"
    assert world.control.recover() == [lost["id"]]
    assert receiver.wait(2)[1].id == lost["id"]


def test_repeat(world: World, receiver: Receiver) -> None:
    world.control.disturb("repeat", times=3)
    world.backend.patch(f"/users/{world.user(BOB)}", json={"first_name": "Bobby"})
    receiver.wait(4)
    world.control.wait_until_delivered()
    assert len(receiver.got) == 4
    assert len({(d.id, d.body) for d in receiver.got}) == 1
    message = world.control.messages("user.updated")[0]
    assert world.control.resend(message["id"])["status"] == 204
    assert receiver.wait(5)[4].id == message["id"]


def test_reorder(world: World, receiver: Receiver) -> None:
    world.control.disturb("reorder", count=3, seconds=20)
    user = world.backend.post("/users", json={"email_address": ["dave@lab.test"]}).json()["id"]
    organization = world.backend.post("/organizations", json={"name": "Initech"}).json()["id"]
    assert receiver.got == []
    world.backend.post(f"/organizations/{organization}/memberships", json={"user_id": user, "role": "org:admin"})
    receiver.wait(3)
    assert receiver.events == ["organizationMembership.created", "organization.created", "user.created"]
    world.backend.patch(f"/users/{user}", json={"first_name": "Dave"})
    receiver.wait(4)  # over: what comes next is not held
    world.control.disturb("reorder", count=9, seconds=0.3)
    world.backend.patch(f"/users/{user}", json={"first_name": "David"})
    receiver.wait(5)  # a window that does not fill is opened by the clock


def test_calm_sends_what_was_held(world: World, receiver: Receiver) -> None:
    world.control.disturb("reorder", count=9, seconds=60)
    world.backend.patch(f"/users/{world.user(BOB)}", json={"first_name": "Bobby"})
    world.control.calm()
    receiver.wait(1)
    assert world.control.overview()["disturbances"] == []


def test_a_secret_is_rotated_without_losing_a_message(world: World, receiver: Receiver) -> None:
    world.control.endpoint(speed=80_000)  # a day in a second
    old = world.emulator.secrets.webhook_secret
    new = world.control.rotate_webhook_secret()
    world.backend.patch(f"/users/{world.user(BOB)}", json={"first_name": "Bobby"})
    (both,) = receiver.wait(1)
    assert len(both.headers["svix-signature"].split()) == 2
    assert verified(world, both, old) == verified(world, both, new)
    wait_until(lambda: len(world.emulator.hooks.live_secrets()) == 1, 5, "the old secret lives on")
    world.backend.patch(f"/users/{world.user(BOB)}", json={"first_name": "Rob"})
    after = receiver.wait(2)[1]
    assert verified(world, after, new)
    with pytest.raises(WebhookVerificationError):
        verified(world, after, old)


@pytest.mark.parametrize("flaw", FLAWS)
def test_flawed_deliveries_are_refused(world: World, receiver: Receiver, flaw: str) -> None:
    world.control.send_webhook("user.created", {"id": "user_x"}, flaw=flaw)
    with pytest.raises(WebhookVerificationError):
        verified(world, receiver.wait(1)[0])
    sent = world.control.send_webhook("user.created", {"id": "user_x"}, message_id="msg_mine")
    assert sent["status"] == 204
    assert receiver.wait(2)[1].id == "msg_mine"
    assert verified(world, receiver.got[1])


def test_quiet_seeds_tell_nobody_and_loud_ones_do(world: World, receiver: Receiver) -> None:
    world.control.seed([{"email": "quiet@lab.test"}], quiet=True)
    world.control.seed([{"email": "loud@lab.test"}])
    receiver.wait(1)
    world.control.wait_until_delivered()
    assert [verified(world, d)["data"]["email_addresses"][0]["email_address"] for d in receiver.got] == ["loud@lab.test"]


def test_the_control_interface_refuses_strangers_and_nonsense(world: World) -> None:
    assert world.browser.get("/_admin/state").status_code == 401
    assert world.browser.get("/_admin/state", headers={"authorization": "Bearer x"}).status_code == 401
    with pytest.raises(LabError, match="kind"):
        world.control.disturb("explode")
    with pytest.raises(LabError, match="url"):
        world.control.endpoint(url="mailto:x")
    with pytest.raises(LabError, match="no endpoint"):
        world.control.send_webhook("user.created", {})
    with pytest.raises(LabError, match="hat"):
        world.control.settings(hat=1)
