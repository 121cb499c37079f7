"""What a page and a server need to be told to use the emulator, and the guard around it.

clerk-js believes a development key only when its host ends in Clerk's own name space. So a lab's key names a host that
belongs to Clerk: with the proxy address missing, a browser would talk to Clerk itself. Hence: no address, no settings.
"""

from __future__ import annotations

import base64
import ipaddress
from urllib.parse import urlsplit

from lab.identity import LabError

# `is_private` would take 0.0.0.0, which is every address of this machine
LOCAL = [ipaddress.ip_network(n) for n in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fd00::/8")]
SPACE = "clerk.accounts.dev"
SCRIPT = "/npm/@clerk/clerk-js@5/dist/clerk.browser.js"
BACKEND = "/bapi"
ADMIN = "/_admin"


def domain(lab_name: str) -> str:
    """Frontend API host of a lab: in Clerk's name space, and a name of the lab's own."""
    return f"{lab_name}-1.{SPACE}"


def publishable_key(host: str) -> str:
    """Clerk's publishable key of a development instance: ``pk_test_`` and the frontend's host with a ``$``, in base64."""
    return "pk_test_" + base64.b64encode(f"{host}$".encode()).decode().rstrip("=")


def local(url: str) -> bool:
    """Whether an address can only be this machine or a lab: loopback, a private network, or a name under ``.test``."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith((".localhost", ".test")):
        return True
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(number in network for network in LOCAL)


def checked(address: str | None, what: str) -> str:
    """An address of the lab without a slash at its end; LabError when it is missing, unusable, or somebody else's."""
    if not address:
        raise LabError(
            f"{what} is not set: the lab's publishable key lies in Clerk's own name space ({SPACE}), so without the emulator's "
            "address a browser would talk to Clerk itself\n  start the lab (python -m lab up) and take the address from "
            "`clerk.frontend` in its state.json"
        )
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise LabError(f"{what} {address!r} is no address: give http://HOST:PORT of the emulator")
    if not local(address):
        raise LabError(
            f"{what} {address!r} is outside of the lab: only loopback, private addresses and names under .test are used"
        )
    return address.rstrip("/")


def settings(lab_name: str, address: str | None, *, path: str = "") -> dict[str, str]:
    """Values for ClerkProvider and for a server's verifier in a lab, under Clerk's own names of them.

    ``address`` is the emulator's frontend, ``http://HOST:PORT``. With ``path`` (``/clerk``) the page's own server forwards
    that path to it, and the browser sees one origin. LabError without a usable address of the lab.
    """
    frontend = checked(address, "the emulator's address")
    if path and (not path.startswith("/") or path.endswith("/")):
        raise LabError(f"the emulator's path {path!r} has to start with / and end without one")
    host = domain(lab_name)
    return {
        "publishableKey": publishable_key(host),
        "proxyUrl": path or frontend,
        "clerkJSUrl": f"{path or frontend}{SCRIPT}",
        "apiUrl": f"{frontend}{BACKEND}",
        "jwksUrl": f"{frontend}/.well-known/jwks.json",
        "issuer": f"https://{host}",
        "signInUrl": f"{path or frontend}/sign-in",
        "signUpUrl": f"{path or frontend}/sign-up",
    }
