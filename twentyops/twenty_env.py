"""``TWENTY_ENV_<NAME>``: variables of Twenty's that this project has no setting for, and which of them are refused.

Twenty's own list of names is read from the tree that is deployed. ``python -m twentyops.twenty_env`` prints the table of
docs/twenty-env.md; a test keeps the two equal.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ast_grep_py import SgNode, SgRoot
from pydantic import SecretStr

from twentyops import source, stack
from twentyops.errors import Problem
from twentyops.settings import NAMES, TWENTY_ENV, Settings, is_secret

LIST = "packages/twenty-server/src/engine/core-modules/twenty-config/config-variables.ts"
CLASS = "ConfigVariables"
DECORATOR = "ConfigVariablesMetadata"
OWN_PREFIXES = ("CLERK_", "NEXT_PUBLIC_CLERK_", "TWENTYOPS_")
"""Names that the overlay reads (a tree that is patched already has some of them in its list)."""

CODE = "a tenant's own code would run with the server's secrets or install packages inside the server"
SIGN_IN = "people sign in by Clerk alone"
ONE_ADDRESS = "the deploy sets up one address, proxy and certificate for all tenants"
PAGE_POLICY = "its scripts or frames come from another site, which the page's policy refuses (docs/page-csp.md)"
POOL = "locks, work slots and deadlines count on one shared pool of ten connections without TLS (docs/bursts.md)"
REMOVAL = "when a tenant's workspace ends is decided by the tenant manager; another term could delete data early"
MODELS = "every tenant could spend your credit, and agents of several tenants were not tried here"
REFUSED = {
    "SERVERLESS_*": CODE,
    "LOGIC_FUNCTION_*": CODE,
    "CODE_INTERPRETER_*": CODE,
    "IS_CONFIG_VARIABLES_IN_DB_ENABLED": "the database could override what the deploy sets, everything that is refused here included",
    "NODE_ENV": "another value than production opens impersonation without a second factor, debug answers and test files of settings",
    "HTTP_TOOL_SAFE_MODE_ENABLED": "tenants could reach addresses inside; one address is opened by TENANT_EGRESS_ALLOW",
    "OUTBOUND_HTTP_SAFE_MODE_ENABLED": "tenants could reach addresses inside; one address is opened by TENANT_EGRESS_ALLOW",
    "AUTH_PASSWORD_ENABLED": f"{SIGN_IN}; the server refuses passwords whatever this says",
    "AUTH_GOOGLE_ENABLED": SIGN_IN,
    "AUTH_GOOGLE_CALLBACK_URL": SIGN_IN,
    "AUTH_MICROSOFT_ENABLED": SIGN_IN,
    "AUTH_MICROSOFT_CALLBACK_URL": SIGN_IN,
    "SIGN_IN_PREFILLED": f"{SIGN_IN}; this fills in the account of a developer's seed",
    "IS_EMAIL_VERIFICATION_REQUIRED": f"{SIGN_IN}, which verifies addresses; Twenty's own step would ask again",
    "ENTERPRISE_KEY": f"{SIGN_IN}; this opens sign-in by a tenant's own SAML or OIDC provider",
    "CHROME_EXTENSION_ID": f"{SIGN_IN}; this lets a browser extension get authorisation codes",
    "ACCESS_TOKEN_SECRET": "a second key that opens API tokens of an old form; the droplet makes the only one, APP_SECRET",
    "IS_WORKSPACE_CREATION_LIMITED_TO_SERVER_ADMINS": "workspaces are made by the tenant manager alone, and there is no server admin",
    "IS_MULTIWORKSPACE_ENABLED": ONE_ADDRESS,
    "FRONTEND_URL": ONE_ADDRESS,
    "DEFAULT_SUBDOMAIN": ONE_ADDRESS,
    "PUBLIC_DOMAIN_URL": ONE_ADDRESS,
    "CLOUDFLARE_*": f"{ONE_ADDRESS}; this lets tenants register domains in your Cloudflare account",
    "SSL_*": "the proxy holds the certificates and speaks plain http to the server: give an https SERVER_URL",
    "STORAGE_LOCAL_PATH": "uploads outside of the volume are lost with the container",
    "PG_POOL_MAX_CONNECTIONS": POOL,
    "PG_ENABLE_POOL_SHARING": POOL,
    "PG_SSL_ALLOW_SELF_SIGNED": POOL,
    "WORKSPACE_INACTIVE_DAYS_BEFORE_*": REMOVAL,
    "MAX_NUMBER_OF_WORKSPACES_DELETED_PER_EXECUTION": REMOVAL,
    "IS_BILLING_ENABLED": "it adds migrations, and workspaces would wait for a subscription at Stripe",
    "BILLING_*": "billing is off (IS_BILLING_ENABLED)",
    "TELEMETRY_ENABLED": "it sends facts about people and workspaces to Twenty's maker",
    "ANALYTICS_ENABLED": "it writes what all tenants do into a database outside of the stack, which nothing here protects",
    "CLICKHOUSE_URL": "analytics are off (ANALYTICS_ENABLED)",
    "EXCEPTION_HANDLER_DRIVER": "Sentry gets requests, personal data and texts of all tenants",
    "SENTRY_*": "Sentry is off (EXCEPTION_HANDLER_DRIVER), and the page's policy refuses it",
    "SUPPORT_*": PAGE_POLICY,
    "CAPTCHA_*": f"{PAGE_POLICY}; Clerk has its own protection against bots",
    "CALENDAR_BOOKING_PAGE_ID": PAGE_POLICY,
    "OPENAI_*": MODELS,
    "ANTHROPIC_*": MODELS,
    "XAI_*": MODELS,
    "AWS_SES_*": "tenants could register sender domains in your AWS account",
    "APP_VERSION": "it comes from TWENTY_VERSION; migrations go by it",
}  # fmt: skip
"""Names, or patterns of names, that would open a hole or break a promise, and why. The first that fits tells the reason."""


@dataclass(frozen=True)
class Variable:
    """One variable of Twenty's, as its list declares it."""

    name: str
    sensitive: bool
    type: str
    """``BOOLEAN``, ``NUMBER``, ``STRING``, ``ENUM``, ``ARRAY``, or empty."""
    default: str
    """TypeScript's text, without quotes around it; empty: none."""


def parse(text: str) -> dict[str, Variable]:
    """``{name: variable}`` of a file in the form of ``LIST``; empty where it has no such class."""
    found: dict[str, Variable] = {}
    for owner in SgRoot(text, "typescript").root().find_all(kind="class_declaration"):
        body, title = owner.field("body"), owner.field("name")
        if body is None or title is None or title.text() != CLASS:
            continue
        before: list[SgNode] = []
        for node in body.children():
            if node.kind() == "decorator":  # some grammars put them beside the field
                before.append(node)
            elif node.kind() == "public_field_definition":
                variable = _variable(node, [*before, *(child for child in node.children() if child.kind() == "decorator")])
                if variable:
                    found[variable.name] = variable
                before = []
    return found


def _variable(field: SgNode, decorators: list[SgNode]) -> Variable | None:
    name, value = field.field("name"), field.field("value")
    told = next((d for d in decorators if re.match(rf"@\s*{DECORATOR}\s*\(", d.text())), None)
    if told is None or name is None:
        return None
    pairs: dict[str, str] = {}
    for pair in told.find_all(kind="pair"):
        key, content = pair.field("key"), pair.field("value")
        if key and content:
            pairs.setdefault(key.text(), content.text())
    return Variable(
        name=name.text().strip("'\""),
        sensitive=pairs.get("isSensitive") == "true",
        type=pairs.get("type", "").rpartition(".")[2],
        default=value.text().strip("'\"") if value else "",
    )


def read(found: source.Source) -> dict[str, Variable]:
    """Twenty's list at that commit; empty where the tree has none. Fetches the commit. ``SourceError`` where that fails."""
    return parse(source.read_file(found, LIST) or "")


def owned(settings: Settings) -> set[str]:
    """Names that the deploy itself gives server, worker or migrations, with whatever settings."""
    everything = {
        name.lower(): SecretStr("x") if is_secret(name) else "x"
        for name in NAMES
        if getattr(settings, name.lower()) in ("", None)
    }
    chosen = {"storage_type": "s3", "email_driver": "smtp", "egress_allow": "", "tenant_egress_allow": "10.0.0.5"}
    whole = settings.model_copy(update={**everything, **chosen, "twenty_env": {}})
    files = stack.env_files(whole, dict.fromkeys(stack.SECRETS, "x"))
    return {name for service in ("server", "worker", "migrate") for name in files[service]}


def problems(settings: Settings, known: Mapping[str, Variable] | None) -> list[Problem]:
    """What is wrong with the TWENTY_ENV settings. ``known`` is Twenty's list, ``None`` while the source is not known.

    No message shows a value.
    """
    if not settings.twenty_env:
        return []
    ours = owned(settings)
    found = []
    if known is not None and not known:
        lacks = f"the tree that is deployed has no list of variables ({LIST}), so no name can be checked: take these lines out"
        found.append(Problem(f"{TWENTY_ENV}...", lacks))
    for name, secret in sorted(settings.twenty_env.items()):
        remedy = refusal(name, ours) or (known and _unfit(name, secret.get_secret_value(), known))
        if remedy:
            found.append(Problem(TWENTY_ENV + name, remedy))
    return found or _shared(settings, known or {})


def refusal(name: str, ours: set[str]) -> str:
    """Why a name is refused whatever Twenty's list says; empty: it is not."""
    for pattern, why in REFUSED.items():
        if fnmatchcase(name, pattern):
            return f"refused: {why}; take it out"
    if name in NAMES:
        return f"set by this project: give {name}, without {TWENTY_ENV}"
    if name in ours or name.startswith(OWN_PREFIXES):
        return "set by this project, from other settings or from what the droplet makes for itself; take it out"
    return ""


def _unfit(name: str, value: str, known: Mapping[str, Variable]) -> str:
    variable = known.get(name)
    if variable is None:
        usable = [other for other in known if not refusal(other, set())]
        near = difflib.get_close_matches(name, usable, n=1)
        return "Twenty has no such variable at this commit; " + (
            f"did you mean {TWENTY_ENV}{near[0]}?" if near else f"its list is {LIST}"
        )
    if variable.type == "BOOLEAN" and value not in ("true", "false"):
        return "is true or false in Twenty"
    if variable.type == "NUMBER" and not re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return "is a number in Twenty: give digits alone"
    if name.endswith(("_EXPIRES_IN", "_COOL_DOWN")):
        return _too_long(value, variable.default)
    return ""


def _too_long(value: str, default: str) -> str:
    """A lifetime may be shorter than Twenty's own: docs/security.md says when access ends."""
    given, usual = seconds(value), seconds(default)
    if given is None:
        return "is a time: write 30s, 15m, 1h or 1d"
    if usual is not None and given > usual:
        return f"may be shortened only: Twenty's own {default} is the longest for which docs/security.md holds"
    return ""


def seconds(text: str) -> float | None:
    """Of ``15m``, ``1.5h``, ``1d``; ``None`` for another form."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(s|m|h|d|w)", text)
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}[match[2]] if match else None


def _shared(settings: Settings, known: Mapping[str, Variable]) -> list[Problem]:
    """Variables that Twenty calls sensitive and that have the value of another secret."""
    taken = {
        value.get_secret_value() for name in NAMES if isinstance(value := getattr(settings, name.lower()), SecretStr) and value
    }
    found = []
    for name, secret in sorted(settings.twenty_env.items()):
        if name in known and known[name].sensitive:
            if secret.get_secret_value() in taken:
                found.append(Problem(TWENTY_ENV + name, "has the value of another secret; each must be its own"))
            taken.add(secret.get_secret_value())
    return found


def table() -> str:
    """Markdown of the refused names, one row for each reason."""
    rows: dict[str, list[str]] = {}
    for pattern, why in REFUSED.items():
        rows.setdefault(why, []).append(f"`{pattern}`")
    return "\n".join(
        ["| name | why it is refused |", "| --- | --- |", *(f"| {', '.join(n)} | {why} |" for why, n in rows.items())]
    )


if __name__ == "__main__":
    print(table())
