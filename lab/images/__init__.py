"""Base images that a hub would supply, made from Debian, npm and PyPI packages without Docker.

``ensure(registry)`` is the whole interface; ``python -m lab.images`` is the same for a person.
"""

from lab.images.build import BuildError
from lab.images.host import HostError
from lab.images.push import PushError, Registry
from lab.images.store import ensure

__all__ = ["BuildError", "HostError", "PushError", "Registry", "ensure"]
