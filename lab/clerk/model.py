"""What a Clerk instance holds: records, as they are kept on the disk. Times are in milliseconds since 1970."""

from __future__ import annotations

import secrets
import string
import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
ROLES = {"org:admin": "Admin", "org:member": "Member"}
PERMISSIONS = {
    "org:admin": [
        "org:sys_profile:manage", "org:sys_profile:delete", "org:sys_memberships:read", "org:sys_memberships:manage",
        "org:sys_domains:read", "org:sys_domains:manage", "org:sys_billing:read", "org:sys_billing:manage",
    ],
    "org:member": ["org:sys_memberships:read", "org:sys_billing:read"],
}  # fmt: skip
DAY = 86_400_000
SessionStatus = Literal["active", "pending", "ended", "removed", "replaced", "revoked", "expired", "abandoned"]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def new_id(prefix: str) -> str:
    """An id of Clerk's shape: a prefix and 27 letters or digits."""
    return f"{prefix}_2" + "".join(secrets.choice(ALPHABET) for _ in range(26))


class Record(BaseModel):
    """Anything with an id and two times."""

    model_config = ConfigDict(extra="forbid")

    id: str
    created_at: int = Field(default_factory=now_ms)
    updated_at: int = Field(default_factory=now_ms)

    def touched(self) -> None:
        self.updated_at = max(now_ms(), self.updated_at + 1)  # never equal: who compares times sees the change


class EmailAddress(Record):
    email_address: str
    verified: bool = True


class User(Record):
    """A person of the instance; the e-mail addresses are theirs, verified or not."""

    first_name: str | None = None
    last_name: str | None = None
    username: str | None = None
    external_id: str | None = None
    locale: str | None = None
    emails: list[EmailAddress] = Field(default_factory=list)
    primary_email_address_id: str | None = None
    password_enabled: bool = False
    banned: bool = False
    locked: bool = False
    create_organization_enabled: bool = True
    create_organizations_limit: int | None = None
    delete_self_enabled: bool = True
    public_metadata: dict[str, Any] = Field(default_factory=dict)
    private_metadata: dict[str, Any] = Field(default_factory=dict)
    unsafe_metadata: dict[str, Any] = Field(default_factory=dict)
    last_sign_in_at: int | None = None
    last_active_at: int | None = None
    last_organization_id: str | None = None

    @property
    def primary_email(self) -> EmailAddress | None:
        return next((e for e in self.emails if e.id == self.primary_email_address_id), None)

    @property
    def identifier(self) -> str:
        """What Clerk shows of a person in lists: primary e-mail address, else user name."""
        email = self.primary_email
        return email.email_address if email else self.username or ""


class Organization(Record):
    name: str
    slug: str
    created_by: str | None = None
    max_allowed_memberships: int = 0
    admin_delete_enabled: bool = True
    public_metadata: dict[str, Any] = Field(default_factory=dict)
    private_metadata: dict[str, Any] = Field(default_factory=dict)


class Membership(Record):
    organization_id: str
    user_id: str
    role: str
    public_metadata: dict[str, Any] = Field(default_factory=dict)
    private_metadata: dict[str, Any] = Field(default_factory=dict)


class Invitation(Record):
    """An invitation into an organisation."""

    organization_id: str
    email_address: str
    role: str
    status: Literal["pending", "accepted", "revoked", "expired"] = "pending"
    expires_at: int
    public_metadata: dict[str, Any] = Field(default_factory=dict)
    private_metadata: dict[str, Any] = Field(default_factory=dict)


class Client(Record):
    """One browser's sign-ins."""


class Session(Record):
    """A sign-in. ``origin`` is the page's, and ends up as ``azp`` in tokens."""

    client_id: str
    user_id: str
    status: SessionStatus = "active"
    organization_id: str | None = None
    origin: str | None = None
    last_active_at: int = Field(default_factory=now_ms)
    expire_at: int = Field(default_factory=lambda: now_ms() + 7 * DAY)
    abandon_at: int = Field(default_factory=lambda: now_ms() + 30 * DAY)

    @property
    def live(self) -> bool:
        return self.status in ("active", "pending") and now_ms() < self.expire_at


class SignInToken(Record):
    """A ticket from the Backend API that signs a person in without the hosted page."""

    user_id: str
    token: str
    status: Literal["pending", "accepted", "revoked"] = "pending"
    expires_at: int


class Settings(BaseModel):
    """How the instance behaves; every one of them can be changed while it runs."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    token_lifetime: float = Field(default=60, gt=0, description="Seconds that a session token is valid.")
    clock_skew: float = Field(default=0, description="Seconds that the instance's clock is ahead, in the tokens that it signs.")
    token_flaw: str | None = Field(default=None, description="Every token for browsers gets this flaw (lab.clerk.tokens.FLAWS).")
    revoked_status: Literal[401, 404] = Field(default=401, description="How a session that ended is refused.")
    rate_limit: int | None = Field(default=100, ge=1, description="Backend API requests per window; null: no limit.")
    rate_window: float = Field(default=10, gt=0, description="Seconds of that window.")
    user_quota: int | None = Field(
        default=100, ge=0, description="How many users a development instance may have; null: no limit."
    )
    force_organization_selection: bool = Field(default=False, description="Sessions without an organisation are pending.")
    activate_organization: Literal["last", "none"] = Field(
        default="last", description="Organisation of a new session: the last active one, else the first; or none."
    )
    cascade_events: bool = Field(
        default=True, description="Deleting a user or organisation also tells of the memberships that went."
    )
    test_mode: bool = Field(
        default=False,
        description="What the instance says of its test mode (a real development instance: true); the emulator has none.",
    )
    home_url: str = Field(default="", description="Where the hosted page sends people who came without a return address.")


class Data(BaseModel):
    """Everything that survives a restart of the emulator."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(default_factory=lambda: new_id("ins"))
    users: dict[str, User] = Field(default_factory=dict)
    organizations: dict[str, Organization] = Field(default_factory=dict)
    memberships: dict[str, Membership] = Field(default_factory=dict)
    invitations: dict[str, Invitation] = Field(default_factory=dict)
    clients: dict[str, Client] = Field(default_factory=dict)
    sessions: dict[str, Session] = Field(default_factory=dict)
    browsers: dict[str, str | None] = Field(default_factory=dict, description="Token of a development browser -> client id.")
    tickets: dict[str, SignInToken] = Field(default_factory=dict)
    settings: Settings = Field(default_factory=Settings)
