"""Small helps that deploy files share."""

from __future__ import annotations


def is_deploy_file(name: str) -> bool:
    """Whether a file was named on pyinfra's command line, as against imported; give it ``__name__``.

    pyinfra executes such a file without a module name, so Python falls back to that of builtins.
    """
    return name == "builtins"
