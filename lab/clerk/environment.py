"""What the instance tells a browser about itself: a development instance, organisations on, billing and all else off."""

from __future__ import annotations

from typing import Any

from lab.clerk.model import Settings

Json = dict[str, Any]
ATTRIBUTES = (
    "email_address", "phone_number", "username", "first_name", "last_name", "password", "web3_wallet", "authenticator_app",
    "backup_code", "passkey",
)  # fmt: skip


def _attribute(name: str) -> Json:
    email = name == "email_address"
    return {
        "enabled": name in ("email_address", "first_name", "last_name"),
        "required": email,
        "used_for_first_factor": email,
        "first_factors": ["email_code"] if email else [],
        "used_for_second_factor": False,
        "second_factors": [],
        "verifications": ["email_code"] if email else [],
        "verify_at_sign_up": email,
    }


def _user_settings() -> Json:
    return {
        "attributes": {name: _attribute(name) for name in ATTRIBUTES},
        "actions": {"delete_self": True, "create_organization": True},
        "social": {},
        "saml": {"enabled": False},
        "enterprise_sso": {"enabled": False},
        "sign_in": {"second_factor": {"required": False, "enabled": False}},
        "sign_up": {
            "allowlist_only": False,
            "progressive": True,
            "captcha_enabled": False,
            "mode": "public",
            "legal_consent_enabled": False,
        },
        "password_settings": {
            "allowed_special_characters": "",
            "disable_hibp": False,
            "min_length": 8,
            "max_length": 72,
            "require_special_char": False,
            "require_numbers": False,
            "require_uppercase": False,
            "require_lowercase": False,
            "show_zxcvbn": False,
            "min_zxcvbn_strength": 0,
        },
        "passkey_settings": {"allow_autofill": False, "show_sign_in_button": False},
        "username_settings": {"min_length": 4, "max_length": 64},
    }


def _display(base: str, settings: Settings) -> Json:
    home = settings.home_url or base
    back = f"{base}/default-redirect"
    return {
        "object": "display_config",
        "id": "display_config_lab",
        "instance_environment_type": "development",
        "application_name": "Lab",
        "branded": False,
        "theme": {
            "general": {
                "color": "#6c47ff",
                "padding": "1em",
                "box_shadow": "0 2px 8px rgba(0, 0, 0, 0.2)",
                "font_color": "#151515",
                "font_family": "sans-serif",
                "border_radius": "0.5em",
                "background_color": "#ffffff",
                "label_font_weight": "600",
            },
            "buttons": {"font_color": "#ffffff", "font_family": "sans-serif", "font_weight": "600"},
            "accounts": {"background_color": "#ffffff"},
        },
        "preferred_sign_in_strategy": "otp",
        "logo_image_url": "",
        "favicon_image_url": "",
        "home_url": home,
        "sign_in_url": f"{base}/sign-in",
        "sign_up_url": f"{base}/sign-up",
        "user_profile_url": f"{base}/user",
        "organization_profile_url": f"{base}/organization",
        "create_organization_url": f"{base}/create-organization",
        "waitlist_url": f"{base}/waitlist",
        "after_sign_in_url": back,
        "after_sign_up_url": back,
        "after_sign_out_one_url": f"{base}/sign-in/choose",
        "after_sign_out_all_url": f"{base}/sign-in",
        "after_switch_session_url": back,
        "after_leave_organization_url": back,
        "after_create_organization_url": back,
        "after_join_waitlist_url": back,
        "support_email": "",
        "terms_url": "",
        "privacy_policy_url": "",
        "show_devmode_warning": False,
        "captcha_public_key": None,
        "captcha_widget_type": None,
        "captcha_public_key_invisible": None,
        "captcha_provider": "turnstile",
        "captcha_oauth_bypass": [],
        "captcha_heartbeat": False,
    }


def environment(base: str, settings: Settings) -> Json:
    """The answer to ``/v1/environment`` for a browser that sees the instance at ``base``."""
    off = {"enabled": False, "has_paid_plans": False}
    return {
        "object": "environment",
        "id": "env_lab",
        "maintenance_mode": False,
        "client_debug_mode": False,
        "partitioned_cookies": False,
        "auth_config": {
            "object": "auth_config",
            "id": "aconf_lab",
            "single_session_mode": True,
            "claimed_at": None,
            "reverification": False,
            "test_mode": settings.test_mode,
        },
        "display_config": _display(base, settings),
        "user_settings": _user_settings(),
        "organization_settings": {
            "enabled": True,
            "max_allowed_memberships": 0,
            "force_organization_selection": settings.force_organization_selection,
            "actions": {"admin_delete": True},
            "domains": {"enabled": False, "enrollment_modes": [], "default_role": None},
            "slug": {"disabled": False},
            "organization_creation_defaults": {"enabled": False},
        },
        "commerce_settings": {
            "object": "commerce_settings",
            "id": "commerce_settings_lab",
            "billing": {"stripe_publishable_key": None, "organization": off, "user": off},
        },
        "api_keys_settings": {
            "object": "api_keys_settings",
            "id": "api_keys_settings_lab",
            "user_api_keys_enabled": False,
            "orgs_api_keys_enabled": False,
        },
        "protect_config": {"object": "protect_config", "id": "protect_config_lab"},
    }
