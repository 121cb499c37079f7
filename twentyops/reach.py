"""A run that would reach nobody is refused: pyinfra alone says so in passing and exits 0."""

from __future__ import annotations

from typing import Any

from pyinfra.api import Host, Inventory
from pyinfra.context import ctx_state


def refuse_nobody() -> None:
    """End the run with a message where the inventory, or what --limit and --exclude leave of it, is empty.

    Called by config.py, which pyinfra loads before the inventory: a mistyped inventory file never runs code of ours.
    """
    state: Any = ctx_state.get()  # type: ignore[no-untyped-call]
    init = state.init

    def init_or_refuse(inventory: Inventory, config: Any, initial_limit: list[Host] | None = None) -> None:
        if not len(inventory):
            raise SystemExit(
                "The inventory is empty: there is no host to work on. Nothing was changed.\n"
                "Next: pyinfra inventory.py deploy.py, from the project's directory"
            )
        if initial_limit is not None and not initial_limit:
            names = ", ".join(sorted({*(str(host.name) for host in inventory), "droplet", "builder"}))
            raise SystemExit(f"--limit or --exclude leave no host. Nothing was changed.\nNext: name one of {names}")
        init(inventory, config, initial_limit=initial_limit)

    state.init = init_or_refuse
