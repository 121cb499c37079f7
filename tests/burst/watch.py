"""People at work during a burst: what an existing tenant's pages and its sign-in see, asked all the time, each answer timed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx

PATIENCE = 30.0
"""Seconds after which a question counts as never answered."""


def percentile(values: list[float], share: float) -> float:
    """The smallest value that ``share`` (0 to 1) of all do not exceed; 0.0 of none."""
    found = sorted(values)
    return found[min(int(share * len(found)), len(found) - 1)] if found else 0.0


@dataclass
class Seen:
    """Every answer to one question: seconds and what came. ``what`` is a status, ``503 in time to try again``, or an error's name."""

    name: str
    answers: list[tuple[float, str]] = field(default_factory=list)

    @property
    def seconds(self) -> list[float]:
        return [seconds for seconds, _ in self.answers]

    @property
    def counts(self) -> Counter[str]:
        return Counter(what for _, what in self.answers)

    def __str__(self) -> str:
        taken = self.seconds
        return (
            f"{self.name}: {len(taken)} answers, p50 {percentile(taken, 0.5):.2f} s, p99 {percentile(taken, 0.99):.2f} s,"
            f" longest {max(taken, default=0):.2f} s; {dict(self.counts)}"
        )


def told(answer: httpx.Response) -> str:
    if answer.status_code == 503 and answer.headers.get("retry-after", "").isdecimal():
        return "503 with Retry-After"
    if answer.status_code == 200 and isinstance(found := answer.json(), dict) and found.get("errors"):
        return f"200 with {found['errors'][0].get('message', 'an error')[:60]}"
    return str(answer.status_code)


class Watch:
    """``with Watch(graphql=..., sign_in=...) as watch: ...``: asks each question ``every`` seconds in a thread of its own.

    A question is a function that sends one request; it gets a client with ``PATIENCE``.
    """

    def __init__(self, every: float = 0.25, **questions: Callable[[httpx.Client], httpx.Response]) -> None:
        self.every = every
        self.seen = {name: Seen(name) for name in questions}
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self._ask, args=item, daemon=True) for item in questions.items()]

    def _ask(self, name: str, question: Callable[[httpx.Client], httpx.Response]) -> None:
        with httpx.Client(timeout=PATIENCE, trust_env=False) as client:
            while not self.ending.is_set():
                began = time.monotonic()
                try:
                    answer = question(client)
                    seconds, what = answer.extensions.get("seconds", time.monotonic() - began), told(answer)
                except httpx.HTTPError as error:
                    seconds, what = time.monotonic() - began, type(error).__name__
                self.seen[name].answers.append((seconds, what))
                self.ending.wait(max(0.0, self.every - (time.monotonic() - began)))

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.ending.set()
        for thread in self.threads:
            thread.join(PATIENCE + 5)
        for seen in self.seen.values():
            print(seen)
