"""The data model in a person's browser: home, list and record page of each of its ten objects, with nothing refused behind them.

Asking the API for ids would not show what harm a field does: the pages ask for every field of an object, through the client's own
cache. A field called ``edges`` was accepted by the server and broke each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests import model_records
from tests.browser.people import SECONDS, Cast, Person
from tests.browser.tenants import Tenants
from tests.model_records import Thing
from twentyops import data_model

Somebody = Callable[..., Person]
pytestmark = pytest.mark.usefixtures("manager_at_rest")

# Hears every answer to the page's own questions, and every message of an error, however short it stays.
LISTEN = """(() => {
  window.asked = 0; window.answered = 0;
  // what a page asks when it is left is broken off by the browser; that is no refusal
  let leaving = false;
  addEventListener('beforeunload', () => { leaving = true; });
  const original = window.fetch;
  window.fetch = async (input, init) => {
    const path = new URL(input.url ?? input, location.href).pathname;
    // a subscription is open as long as the page is
    const isStream = (new Headers(init && init.headers).get('accept') || '').startsWith('text/event-stream');
    if (!['/graphql', '/metadata'].includes(path) || isStream) return original(input, init);
    let operation = '';
    try { operation = JSON.parse(init.body).operationName; } catch { operation = '?'; }
    window.asked += 1;
    try {
      const answer = await original(input, init);
      const body = await answer.clone().json();
      window.tellAnswer(operation, answer.status, body.errors ? JSON.stringify(body.errors).slice(0, 600) : '');
      return answer;
    } catch (error) {
      if (error.name !== 'AbortError' && !leaving) window.tellAnswer(operation, 0, String(error));
      throw error;
    } finally {
      window.answered += 1;
    }
  };
  const told = new Set();
  const say = (text) => { if (!told.has(text)) { told.add(text); window.tellMessage(text); } };
  const look = () => {
    for (const message of document.querySelectorAll('[role=alert], [aria-live=assertive], [aria-live=polite][data-globally-prevent-click-outside]'))
      if (message.innerText.trim()) say(message.innerText.trim().slice(0, 300));
    const text = document.body ? document.body.innerText : '';
    for (const wrong of ['something went wrong', 'Off the beaten path', 'Page not found', 'Please refresh the page'])
      if (text.includes(wrong)) say(wrong);
  };
  new MutationObserver(look).observe(document, { childList: true, subtree: true });
})()"""


class Listener:
    """What was answered to the pages of one person, and what they were told that is wrong."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.answers = 0
        self.refused: list[str] = []
        self.messages: list[str] = []
        person.context.expose_function("tellAnswer", self._answered)
        person.context.expose_function("tellMessage", lambda text: self.messages.append(str(text)))
        person.context.add_init_script(LISTEN)

    def _answered(self, operation: str, status: int, errors: str) -> None:
        self.answers += 1
        if errors or status != 200:
            self.refused.append(f"{operation}: {status} {errors}")

    def quiet(self) -> None:
        """Waits until the page has asked something and had an answer to all of it, for a second."""
        page = self.person.page
        counts: list[Any] = [None]

        def settled() -> bool:
            seen = page.evaluate("[window.asked, window.answered]")
            before, counts[0] = counts[0], seen
            if seen == before and seen[0] == seen[1] > 0:
                return True
            page.wait_for_timeout(1_000)
            return False

        self.person.until(settled, "the page does not come to rest", 90)

    def check(self, where: str) -> None:
        assert self.refused == [], where
        assert self.messages == [], where


@pytest.fixture
def alice(somebody: Somebody, cast: Cast, tenants: Tenants) -> Person:
    """The owner of a workspace with the data model, inside."""
    organization = cast.tenant("Model", Alice="admin")
    report = tenants.data_model(organization, "apply")
    assert report["status"] == "matched", report
    assert report["present"] == {"objects": 7, "objectFields": 112, "extendedFields": 25, "relations": 6}
    person = somebody(viewport={"width": 1600, "height": 1200})
    person.open()
    person.sign_in("Alice")
    person.inside()
    return person


def _shown(thing: Thing, record: dict[str, Any]) -> str:
    name = record["name"]
    return f"{name['firstName']} {name['lastName']}" if isinstance(name, dict) else str(name)


def _shows_any(person: Person, labels: list[str]) -> None:
    def shown() -> bool:
        return any(person.page.get_by_text(label, exact=True).first.is_visible() for label in labels)

    person.until(shown, f"none of {labels} is shown")


def _first_columns(singular: str) -> list[str]:
    """Labels of the first columns of our own that the list of an object shows."""
    model = data_model.load()
    group = dict(data_model.groups(model))[singular]
    labels = {f.name: f.label for f in group.fields} | {r.name: r.label for r in model.relations if r.object == singular}
    assert group.firstView is not None
    return [labels[column] for column in group.firstView.columns if column in labels][:3]


def test_a_new_tenant_lands_on_the_home_of_the_model_and_a_board_shows_every_status(alice: Person) -> None:
    model = data_model.load()
    assert model.home == "person"
    alice.open("/")
    alice.until(lambda: alice.path() == "/objects/people", f"landed on {alice.path()}")
    alice.picture("home")
    alice.open("/objects/sallaOrders")
    alice.page.get_by_text("All Salla Orders").first.click()
    alice.page.get_by_text("By Order Status").first.click()
    status = next(f for o in model.objects if o.nameSingular == "sallaOrder" for f in o.fields if f.name == "status")
    for option in status.options or []:
        expect(alice.page.get_by_text(option.label, exact=True).first).to_be_visible(timeout=SECONDS)
    alice.picture("board-sallaOrder")


def test_list_and_record_page_of_every_object_open_without_an_error(alice: Person) -> None:
    made = model_records.make_one_of_each(alice.graphql)
    assert len(made) == 10
    model_records.read_all(alice.graphql, made)
    listener = Listener(alice)
    page: Page = alice.page
    for thing in model_records.things():
        record = made[thing.singular]
        alice.open(f"/objects/{thing.plural}")
        link = page.locator(f"a[href^='/object/{thing.singular}/{record['id']}']").first
        expect(link).to_be_visible(timeout=SECONDS)
        expect(link).to_contain_text(_shown(thing, record))
        for label in _first_columns(thing.singular):
            expect(page.get_by_text(label, exact=True).first).to_be_visible(timeout=SECONDS)
        listener.quiet()
        alice.picture(f"list-{thing.singular}")
        assert alice.path() == f"/objects/{thing.plural}"
        listener.check(f"list of {thing.plural}")

        alice.open(f"/object/{thing.singular}/{record['id']}")
        expect(page.get_by_text(_shown(thing, record), exact=True).first).to_be_visible(timeout=SECONDS)
        if thing.singular != "workflow":  # its page shows the flow, not the fields
            _shows_any(alice, [f.label for f in thing.fields if not f.builtIn])
        listener.quiet()
        alice.picture(f"record-{thing.singular}")
        assert alice.path() == f"/object/{thing.singular}/{record['id']}"
        listener.check(f"record of {thing.singular}")
    assert listener.answers >= 40, "the pages asked for nothing, or were not heard"

    # ordinary use goes on: Twenty's own objects without a word of ours, twice
    model_records.use_without_our_fields(alice.graphql)
    for singular, plural in model_records.PLURAL.items():
        alice.open(f"/objects/{plural}")
        expect(page.locator(f"a[href^='/object/{singular}/']").first).to_be_visible(timeout=SECONDS)
        listener.quiet()
        listener.check(f"list of {plural} with records that have nothing of ours")
