"""What the patchset refuses, in words: where it was, what was wrong, what to do next."""

from __future__ import annotations


class PatchsetError(Exception):
    """Base of everything that this package raises on purpose."""


class UsageError(PatchsetError):
    """The call itself makes no sense: a missing directory, an output inside the source. Exit code 2."""


class HostileInput(PatchsetError):
    """Input that is not read or copied on purpose: links out of the tree, devices, binary text. Exit code 2."""


class RulesError(PatchsetError):
    """The rules or the overlay of this project are wrong. Names file, rule and key, all problems at once."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(["Patchset refused, nothing was read from the source:", *(f"  {p}" for p in problems)]))


class Conflict(PatchsetError):
    """An edit would contradict what is there: a key with another value, a name imported from elsewhere."""


class NoPlace(PatchsetError):
    """What was found is not the shape that the action needs (an array, an object, a lock entry)."""
