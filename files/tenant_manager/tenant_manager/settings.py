"""Settings: environment variables of the same names in capitals. Wrong ones stop the start, each with its name and remedy."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from pydantic import AnyHttpUrl, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tenant_manager.errors import ManagerError

LEAST_SECRET = 16


class Settings(BaseSettings):
    """All that the service reads. Times are in seconds."""

    model_config = SettingsConfigDict(extra="ignore", hide_input_in_errors=True)

    database_url: SecretStr
    clerk_webhook_secret: Annotated[list[SecretStr], NoDecode]
    clerk_secret_key: SecretStr
    clerk_api_url: AnyHttpUrl = AnyHttpUrl("https://api.clerk.com")
    twenty_internal_url: AnyHttpUrl = AnyHttpUrl("http://server:3000")
    twentyops_internal_secret: SecretStr

    listen: str = "0.0.0.0:8080"
    internal_listen: str = "127.0.0.1:9100"
    log_level: str = "INFO"
    data_model_revision: str = Field(default="1", description="Another value applies the data model again; empty: never.")

    workers: int = Field(default=4, ge=1, le=64)
    provisioning: int = Field(
        default=1, ge=1, le=16, description="Workspaces that are made at once: no more than the server has slots for."
    )
    max_tenants: int = Field(default=20, ge=1, description="Workspaces that may be in use; more organisations wait for a place.")
    max_organizations_per_person: int = Field(default=5, ge=1, description="Workspaces that one person's organisations may get.")
    rest: float = Field(
        default=2, ge=0, description="Events look at an organisation again no sooner; their number costs nothing."
    )
    body_limit: int = Field(default=256 * 1024, ge=1024)
    body_timeout: float = Field(default=10, gt=0, description="A webhook's body is there by then.")
    bodies_limit: int = Field(default=32 * 1024 * 1024, ge=1024 * 1024, description="Bytes of bodies that are held at a time.")
    http_timeout: float = Field(default=30, gt=0)
    data_model_timeout: float = Field(default=180, gt=0)
    backoff_base: float = Field(default=2, gt=0)
    backoff_most: float = Field(default=600, gt=0)
    attempts_outage: int = Field(default=40, ge=1, description="Tries before a dead letter while others do not answer.")
    attempts_refused: int = Field(default=5, ge=1, description="Tries before a dead letter when others say no, or on a bug.")
    heartbeat: float = Field(default=5, gt=0)
    stalled_after: float = Field(default=20, gt=0)
    sweep_every: float = Field(default=10, gt=0)
    stop_within: float = Field(default=20, gt=0)
    reconcile_every: float = Field(default=900, ge=0, description="0: only by command.")
    removals_least: int = Field(default=3, ge=0, description="So many removals are always allowed in one reconciliation.")
    removals_share: float = Field(default=0.1, ge=0, le=1, description="More are allowed up to this share of what is there.")
    keep_events_days: int = Field(default=90, ge=1)

    @field_validator("clerk_webhook_secret", mode="before")
    @classmethod
    def _secrets(cls, value: object) -> object:
        """One, or several with commas between while one replaces another."""
        if not isinstance(value, str):
            return value
        found = [part.strip() for part in value.split(",") if part.strip()]
        if not found:
            raise ValueError("it is empty; take it from Clerk's dashboard: Webhooks, the endpoint, Signing Secret")
        for secret in found:
            try:
                key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
            except (binascii.Error, ValueError):
                key = b""
            if not secret.startswith("whsec_") or len(key) < LEAST_SECRET:
                raise ValueError("it has to be whsec_ and base64 of at least 16 bytes; copy it again from Clerk's dashboard")
        return found

    @field_validator("clerk_secret_key")
    @classmethod
    def _key(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("sk_test_", "sk_live_")):
            raise ValueError("it has to begin with sk_test_ or sk_live_; take it from Clerk's dashboard: API keys")
        return value

    @field_validator("twentyops_internal_secret")
    @classmethod
    def _internal(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value().encode()) < 32:
            raise ValueError("at least 32 bytes are needed, the same as in the server's environment")
        return value

    @field_validator("listen", "internal_listen")
    @classmethod
    def _address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError("give ADDRESS:PORT")
        return value


def load() -> Settings:
    """Settings from the environment; raises ManagerError with one line for each wrong variable, and never a value."""
    try:
        return Settings.model_validate({})
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()]
        raise ManagerError("settings are wrong:\n  " + "\n  ".join(lines)) from None
