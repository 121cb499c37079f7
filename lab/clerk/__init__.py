"""An emulator of one Clerk development instance, offline: enough for the real clerk-react and clerk-js, for @clerk/backend and
for receivers of webhooks. ``python -m lab.clerk`` runs it; ``settings`` says what a page and a server need to use it."""

from __future__ import annotations

from lab.clerk.addresses import domain, publishable_key, settings

__all__ = ["domain", "publishable_key", "settings"]
