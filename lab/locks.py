"""Locks between processes of one person: what lies in the cache or belongs to the whole machine is made by one at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lab.identity import cache_dir


@contextmanager
def only_one(name: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """One process at a time does what ``name`` stands for; another calls ``waiting`` and waits.

    The lock ends with the process that has it, however it ends.
    """
    directory = cache_dir() / "locks"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
