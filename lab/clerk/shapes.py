"""JSON as Clerk writes it. The Backend API and the webhooks share their shapes, the browser's differ a little.

Held by tests to the types in @clerk/types and @clerk/backend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.clerk.model import PERMISSIONS, ROLES, EmailAddress, Invitation, Membership, Organization, Session, SignInToken, User

if TYPE_CHECKING:
    from lab.clerk.instance import Instance

Json = dict[str, Any]


def deleted(kind: str, record_id: str) -> Json:
    return {"object": kind, "id": record_id, "deleted": True}


def paginated(rows: list[Json], total: int) -> Json:
    return {"data": rows, "total_count": total}


# --- shared -----------------------------------------------------------------------------------------------------


def email_address(email: EmailAddress) -> Json:
    verification = {
        "object": "verification_admin" if email.verified else "verification_email_code",
        "status": "verified" if email.verified else "unverified",
        "strategy": "admin" if email.verified else "email_code",
        "attempts": None,
        "expire_at": None,
    }
    return {
        "id": email.id,
        "object": "email_address",
        "email_address": email.email_address,
        "reserved": False,
        "verification": verification,
        "linked_to": [],
        "matches_sso_connection": False,
        "created_at": email.created_at,
        "updated_at": email.updated_at,
    }


def person(user: User) -> Json:
    """The part of a user that other members see."""
    return {
        "user_id": user.id,
        "identifier": user.identifier,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "image_url": "",
        "has_image": False,
    }


def _user(user: User) -> Json:
    return {
        "id": user.id,
        "object": "user",
        "username": user.username,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "image_url": "",
        "has_image": False,
        "primary_email_address_id": user.primary_email_address_id,
        "primary_phone_number_id": None,
        "primary_web3_wallet_id": None,
        "email_addresses": [email_address(email) for email in user.emails],
        "phone_numbers": [],
        "web3_wallets": [],
        "external_accounts": [],
        "saml_accounts": [],
        "password_enabled": user.password_enabled,
        "two_factor_enabled": False,
        "totp_enabled": False,
        "backup_code_enabled": False,
        "external_id": user.external_id,
        "public_metadata": user.public_metadata,
        "unsafe_metadata": user.unsafe_metadata,
        "last_sign_in_at": user.last_sign_in_at,
        "create_organization_enabled": user.create_organization_enabled,
        "create_organizations_limit": user.create_organizations_limit,
        "delete_self_enabled": user.delete_self_enabled,
        "legal_accepted_at": None,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
    }


def _organization(organization: Organization) -> Json:
    return {
        "id": organization.id,
        "object": "organization",
        "name": organization.name,
        "slug": organization.slug,
        "image_url": "",
        "has_image": False,
        "max_allowed_memberships": organization.max_allowed_memberships,
        "admin_delete_enabled": organization.admin_delete_enabled,
        "public_metadata": organization.public_metadata,
        "created_at": organization.created_at,
        "updated_at": organization.updated_at,
    }


def _counts(organization: Organization, instance: Instance) -> Json:
    pending = [i for i in instance.data.invitations.values() if i.organization_id == organization.id and i.status == "pending"]
    return {
        "members_count": len(instance.memberships(organization_id=organization.id)),
        "pending_invitations_count": len(pending),
    }


def _membership(membership: Membership) -> Json:
    return {
        "id": membership.id,
        "object": "organization_membership",
        "role": membership.role,
        "role_name": ROLES[membership.role],
        "permissions": PERMISSIONS[membership.role],
        "public_metadata": membership.public_metadata,
        "created_at": membership.created_at,
        "updated_at": membership.updated_at,
    }


# --- Backend API and webhooks -----------------------------------------------------------------------------------


def backend_user(user: User) -> Json:
    return _user(user) | {
        "organization_memberships": None,
        "password_last_updated_at": None,
        "private_metadata": user.private_metadata,
        "banned": user.banned,
        "locked": user.locked,
        "lockout_expires_in_seconds": None,
        "verification_attempts_remaining": 100,
        "last_active_at": user.last_active_at,
        "locale": user.locale,
    }


def backend_organization(organization: Organization, instance: Instance, *, counts: bool = False) -> Json:
    """``counts`` only where Clerk was asked for them (``include_members_count``)."""
    found = _organization(organization) | {"private_metadata": organization.private_metadata}
    if organization.created_by:
        found["created_by"] = organization.created_by
    return found | (_counts(organization, instance) if counts else {})


def backend_membership(membership: Membership, instance: Instance) -> Json:
    return _membership(membership) | {
        "private_metadata": membership.private_metadata,
        "organization": backend_organization(instance.organization(membership.organization_id), instance),
        "public_user_data": person(instance.user(membership.user_id)),
    }


def backend_session(session: Session) -> Json:
    found = {
        "id": session.id,
        "object": "session",
        "client_id": session.client_id,
        "user_id": session.user_id,
        # nobody ends it at that moment: Clerk tells it of whoever asks
        "status": "expired" if session.status in ("active", "pending") and not session.live else session.status,
        "actor": None,
        "last_active_at": session.last_active_at,
        "expire_at": session.expire_at,
        "abandon_at": session.abandon_at,
        "created_at": session.created_at,
        "updated_at": session.updated_at,
    }
    return found | ({"last_active_organization_id": session.organization_id} if session.organization_id else {})


def invitation(found: Invitation, instance: Instance) -> Json:
    organization = instance.organization(found.organization_id)
    return {
        "id": found.id,
        "object": "organization_invitation",
        "email_address": found.email_address,
        "role": found.role,
        "role_name": ROLES[found.role],
        "organization_id": found.organization_id,
        "public_organization_data": {"object": "organization", **public_organization(organization)},
        "status": found.status,
        "public_metadata": found.public_metadata,
        "private_metadata": found.private_metadata,
        "url": None,
        "expires_at": found.expires_at,
        "created_at": found.created_at,
        "updated_at": found.updated_at,
    }


def public_organization(organization: Organization) -> Json:
    return {"id": organization.id, "name": organization.name, "slug": organization.slug, "image_url": "", "has_image": False}


def ticket(found: SignInToken, url: str) -> Json:
    return {
        "id": found.id,
        "object": "sign_in_token",
        "user_id": found.user_id,
        "token": found.token,
        "status": found.status,
        "url": url,
        "created_at": found.created_at,
        "updated_at": found.updated_at,
    }


# --- the browser's ----------------------------------------------------------------------------------------------


def frontend_organization(organization: Organization, instance: Instance) -> Json:
    return _organization(organization) | _counts(organization, instance)


def frontend_membership(membership: Membership, instance: Instance) -> Json:
    return _membership(membership) | {
        "organization": frontend_organization(instance.organization(membership.organization_id), instance),
        "public_user_data": person(instance.user(membership.user_id)),
    }


def frontend_user(user: User, instance: Instance) -> Json:
    return _user(user) | {
        "enterprise_accounts": [],
        "passkeys": [],
        "profile_image_id": "",
        "organization_memberships": [frontend_membership(m, instance) for m in instance.memberships(user_id=user.id)],
    }


def frontend_session(session: Session, instance: Instance, jwt: str | None) -> Json:
    """A session as the browser sees it; one that ended carries no token."""
    user = instance.data.users.get(session.user_id)
    tasks = [{"key": "choose-organization"}] if session.status == "pending" else None
    return {
        "id": session.id,
        "object": "session",
        "status": session.status,
        "expire_at": session.expire_at,
        "abandon_at": session.abandon_at,
        "last_active_at": session.last_active_at,
        "last_active_organization_id": session.organization_id,
        "last_active_token": {"object": "token", "jwt": jwt} if jwt else None,
        "actor": None,
        "tasks": tasks,
        "factor_verification_age": [0, -1],
        "user": frontend_user(user, instance) if user else None,
        "public_user_data": person(user) if user else None,
        "created_at": session.created_at,
        "updated_at": session.updated_at,
    }


def frontend_invitation(found: Invitation, instance: Instance) -> Json:
    return {
        "id": found.id,
        "object": "organization_invitation",
        "email_address": found.email_address,
        "public_organization_data": public_organization(instance.organization(found.organization_id)),
        "public_metadata": found.public_metadata,
        "status": found.status,
        "role": found.role,
        "created_at": found.created_at,
        "updated_at": found.updated_at,
    }


def complete_sign_in(user: User, session: Session, attempt_id: str) -> Json:
    return {
        "id": attempt_id,
        "object": "sign_in",
        "status": "complete",
        "supported_identifiers": ["email_address"],
        "identifier": user.identifier,
        "user_data": {
            "first_name": user.first_name or "",
            "last_name": user.last_name or "",
            "image_url": "",
            "has_image": False,
        },
        "supported_first_factors": [],
        "supported_second_factors": [],
        "first_factor_verification": None,
        "second_factor_verification": None,
        "created_session_id": session.id,
    }


def sent_invitation(found: Invitation) -> Json:
    """An invitation as the organisation's admins see it."""
    return {
        "id": found.id,
        "object": "organization_invitation",
        "email_address": found.email_address,
        "organization_id": found.organization_id,
        "public_metadata": found.public_metadata,
        "status": found.status,
        "role": found.role,
        "role_name": ROLES[found.role],
        "created_at": found.created_at,
        "updated_at": found.updated_at,
    }


def roles() -> list[Json]:
    """The two roles that an instance starts with."""
    times = {"created_at": 0, "updated_at": 0}
    return [
        {
            "id": f"role_{key.removeprefix('org:')}",
            "object": "role",
            "key": key,
            "name": name,
            "description": "",
            "permissions": [
                {"id": f"perm_{p}", "object": "permission", "key": p, "name": p, "description": "", "type": "system"} | times
                for p in PERMISSIONS[key]
            ],
        }
        | times
        for key, name in ROLES.items()
    ]
