"""What one tenant writes does not fill the queue that all of them share: large changes are cut there, and webhooks are counted."""

from __future__ import annotations

import time
import uuid

import pytest

from tests.contract.api import Api
from tests.tenants.conftest import Json, Server, Tenant

CREATE_WEBHOOK = "mutation ($input: CreateWebhookInput!) { createWebhook(input: $input) { id } }"
DELETE_WEBHOOK = "mutation ($id: UUID!) { deleteWebhook(input: { id: $id }) }"
NOTE = "mutation ($title: String!, $text: String!) { createNote(data: { title: $title, bodyV2: { markdown: $text } }) { id } }"
TIMELINE = "query ($note: UUID!) { timelineActivities(filter: { noteId: { eq: $note } }) { edges { node { name properties } } } }"


def test_webhooks_of_a_workspace_are_counted(server: Server) -> None:
    """Each is sent every change."""
    api = server.tenant("Many webhooks").api
    target = {"targetUrl": "https://hooks.test/", "operations": ["nothing.created"], "secret": "s"}
    made = [api.metadata(CREATE_WEBHOOK, input=target).ok()["createWebhook"]["id"] for _ in range(50)]
    answer = api.metadata(CREATE_WEBHOOK, input=target)
    assert answer.errors, answer.body
    assert "at most 50 webhooks" in str(answer.body)
    api.metadata(DELETE_WEBHOOK, id=made[0]).ok()
    assert api.metadata(CREATE_WEBHOOK, input=target).ok(), "the place of one that was deleted is free"


def timeline(api: Api, note: str, seconds: float = 30) -> list[Json]:
    end = time.monotonic() + seconds
    while not (found := api.records(TIMELINE, note=note).ok()["timelineActivities"]["edges"]):
        assert time.monotonic() < end, "nothing was written (the worker must run)"
        time.sleep(0.5)
    return list(found)


@pytest.mark.parametrize("letter", ["x", "😀"], ids=["plain", "astral"])
def test_a_large_note_is_kept_whole_and_its_event_is_cut(one: Tenant, letter: str) -> None:
    """The timeline is made of what was queued: its line comes, and is small."""
    text = letter * (4_000_000 // len(letter.encode()))
    made = one.api.records(NOTE, title=f"large {uuid.uuid4()}", text=text).ok()["createNote"]["id"]
    lines = timeline(one.api, made)
    assert len(str(lines)) < 1_500_000
    found = one.api.records("query ($n: UUID!) { note(filter: { id: { eq: $n } }) { bodyV2 { markdown } } }", n=made).ok()
    assert len(found["note"]["bodyV2"]["markdown"]) >= len(text)
