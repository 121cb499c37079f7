"""Records in every object of the data model, made and read over ``/graphql`` with every field selected."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twentyops import data_model
from twentyops.data_model import FieldModel

PLURAL = {"person": "people", "opportunity": "opportunities", "workflow": "workflows"}
Ask = Callable[..., dict[str, Any]]
"""``ask(query, **variables)``: the whole body of the answer of ``/graphql``."""


@dataclass(frozen=True)
class Thing:
    """One object with fields of ours: its names, our fields, what to select of it."""

    singular: str
    plural: str
    fields: list[FieldModel]

    @property
    def type(self) -> str:
        return self.singular[0].upper() + self.singular[1:]

    @property
    def selection(self) -> str:
        """Every field of ours and every relation of ours, from both of its sides."""
        relations = data_model.load().relations
        return " ".join(
            [
                "id createdAt",
                "name { firstName lastName }" if self.singular == "person" else "name",
                *(f.name for f in self.fields if not f.builtIn),
                *(f"{r.name}Id {r.name} {{ id }}" for r in relations if r.object == self.singular),
                *(f"{r.inverse.name} {{ edges {{ node {{ id }} }} }}" for r in relations if r.target == self.singular),
            ]
        )


def things() -> list[Thing]:
    """The objects of the model, and those of Twenty's own that it extends."""
    model = data_model.load()
    return [Thing(o.nameSingular, o.namePlural, o.fields) for o in model.objects] + [
        Thing(e.object, PLURAL[e.object], e.fields) for e in model.extends
    ]


def answered(ask: Ask, query: str, **variables: Any) -> dict[str, Any]:
    body = ask(query, **variables)
    assert not body.get("errors"), f"{query[:300]}: {json.dumps(body['errors'])[:800]}"
    return dict(body["data"])


def make_one_of_each(ask: Ask) -> dict[str, dict[str, Any]]:
    """One record an object, named, with the defaults that the model says and every relation set. Returns ``{object: record}``."""
    relations = data_model.load().relations
    made: dict[str, dict[str, Any]] = {}
    # a record that others point at comes first: people, then orders and carts, then what is about them
    waiting = things()
    while waiting:
        ready = [
            t for t in waiting if all(r.target in made or r.target == t.singular for r in relations if r.object == t.singular)
        ]
        assert ready, f"relations of {[t.singular for t in waiting]} go round in a circle"
        for thing in ready:
            waiting.remove(thing)
            name: Any = {"firstName": "Noura", "lastName": "Model"} if thing.singular == "person" else f"A {thing.singular}"
            data = {"name": name} | {
                f"{r.name}Id": made[r.target]["id"] for r in relations if r.object == thing.singular and r.target in made
            }
            create = f"mutation ($data: {thing.type}CreateInput!) {{ create{thing.type}(data: $data) {{ {thing.selection} }} }}"
            record = answered(ask, create, data=data)[f"create{thing.type}"]
            for f in thing.fields:
                if f.default is not None:
                    assert record[f.name] == f.default, f"{thing.singular}.{f.name}"
            made[thing.singular] = record
    return made


def read_all(ask: Ask, made: dict[str, dict[str, Any]]) -> None:
    """Every record is listed with every field, and each relation is there from both sides."""
    found: dict[str, dict[str, Any]] = {}
    for thing in things():
        listed = answered(ask, f"{{ {thing.plural} {{ edges {{ node {{ {thing.selection} }} }} }} }}")[thing.plural]["edges"]
        by_id = {edge["node"]["id"]: edge["node"] for edge in listed}
        found[thing.singular] = by_id[made[thing.singular]["id"]]
    for r in data_model.load().relations:
        here, there = found[r.object], found[r.target]
        assert here[f"{r.name}Id"] == there["id"], f"{r.object}.{r.name}"
        assert here[r.name] == {"id": there["id"]}, f"{r.object}.{r.name}"
        assert {"node": {"id": here["id"]}} in there[r.inverse.name]["edges"], f"{r.target}.{r.inverse.name}"


def use_without_our_fields(ask: Ask) -> None:
    """Ordinary use of Twenty's own objects: two of each, twice the same, without a word of ours."""
    for thing in things():
        if thing.singular not in PLURAL:
            continue
        for _ in range(2):
            answered(ask, f"mutation {{ create{thing.type}(data: {{}}) {{ id {' '.join(f.name for f in thing.fields)} }} }}")
