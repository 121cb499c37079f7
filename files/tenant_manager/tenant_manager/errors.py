"""What can go wrong with the outside, by what has to happen next."""

from __future__ import annotations


class ManagerError(Exception):
    """Anything that a person has to be told in words."""


class Later(ManagerError):
    """It may work later: no answer, overload, an outage. ``after`` in seconds when the other side said so (Retry-After)."""

    def __init__(self, words: str, after: float | None = None) -> None:
        super().__init__(words)
        self.after = after


class Refused(ManagerError):
    """The other side says no, and will say no again: wrong key, data that it does not take."""


class Busy(ManagerError):
    """Somebody else works on the same organisation or person just now; not a failure."""


class TooManyRemovals(ManagerError):
    """What Clerk says would take away more than a single run may; nothing of it was done."""
