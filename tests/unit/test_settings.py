"""Settings: what is refused, in whose name, and that everything wrong is told at once."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from twentyops.errors import Refused
from twentyops.settings import INNER_PORTS, NAMES, PRODUCTION_HOST, load, publishable_key_host, render_env_example


def publishable(host: str = "lab-1.clerk.accounts.dev", kind: str = "test") -> str:
    return f"pk_{kind}_" + base64.b64encode(f"{host}$".encode()).decode().rstrip("=")


GOOD = {
    "DROPLET_HOST": "10.77.0.11",
    "DROPLET_HOST_KEY": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExample",
    "REGISTRY_USERNAME": "deployer",
    "REGISTRY_PASSWORD": "r-3f0a9c77",
    "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY": publishable(),
    "CLERK_SECRET_KEY": "sk_" + "test_" + "0123456789abcdef",
    "CLERK_WEBHOOK_SECRET": "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode(),
}


def refusal(values: Mapping[str, str | None]) -> dict[str, str]:
    """``{setting: remedy}`` of the refusal of GOOD with some values changed (``None``: left out)."""
    environ = {k: v for k, v in {**GOOD, **values}.items() if v is not None}
    with pytest.raises(Refused) as caught:
        load(environ)
    for name in ("CLERK_SECRET_KEY", "REGISTRY_PASSWORD", "CLERK_WEBHOOK_SECRET"):
        if len(environ.get(name, "")) > 12:
            assert environ[name] not in str(caught.value), "a refusal never shows a secret"
    return {p.setting: p.remedy for p in caught.value.problems}


def test_good_settings_load_and_derive_the_public_addresses() -> None:
    settings = load(GOOD)
    assert settings.public_url == "http://10.77.0.11"
    assert settings.webhook_url == "http://10.77.0.11/webhooks/clerk"
    assert settings.repository == "docker.io/wosool-ai/twenty-crm"


def test_secrets_hide_in_every_representation() -> None:
    settings = load(GOOD)
    for text in (repr(settings), str(settings.model_dump()), settings.model_dump_json()):
        for name in ("CLERK_SECRET_KEY", "REGISTRY_PASSWORD", "CLERK_WEBHOOK_SECRET"):
            assert GOOD[name] not in text


@pytest.mark.parametrize("name", [n for n, field in NAMES.items() if field.is_required()])
def test_required_setting_is_refused_when_missing_and_when_empty(name: str) -> None:
    assert name in refusal({name: None})
    assert name in refusal({name: " "})


@pytest.mark.parametrize(
    "text", ["changeme", "<password>", "xxxx", "your-token", "$(openssl rand -hex 32)", "${SECRET}", "replace_me_please"]
)
def test_placeholder_is_refused_by_name(text: str) -> None:
    assert "placeholder" in refusal({"REGISTRY_PASSWORD": text})["REGISTRY_PASSWORD"]


@pytest.mark.parametrize("name", ["CLERK_SECRET_KEY", "CLERK_WEBHOOK_SECRET", "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY"])
@pytest.mark.parametrize(
    "text",
    ["sk_", "whsec_", "pk_test_", "pk_test_!!!!", "pk_test_" + base64.b64encode(b"no-dollar.example").decode(), "nonsense"],
)
def test_malformed_clerk_value_is_refused_by_name(name: str, text: str) -> None:
    assert name in refusal({name: text})


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("http://localhost:3000", "not reachable"),
        ("http://203.0.113.7", "not the droplet"),
        ("10.77.0.11", "full address"),
        ("http://10.77.0.11/crm", "origin only"),
        ("https://10.77.0.11", "needs a domain"),
        *((f"http://10.77.0.11:{port}", f"port {port} is kept for") for port in INNER_PORTS),
    ],
)
def test_public_url_that_visitors_cannot_use_is_refused(url: str, part: str) -> None:
    assert part in refusal({"SERVER_URL": url})["SERVER_URL"]


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://10.77.0.11/", "http://10.77.0.11"),
        ("http://10.77.0.11:80", "http://10.77.0.11"),
        (" http://10.77.0.11 ", "http://10.77.0.11"),
        ("HTTP://10.77.0.11:8080/", "http://10.77.0.11:8080"),
        ("https://CRM.Example.com:443/", "https://crm.example.com"),
    ],
)
def test_public_url_is_what_a_browser_calls_the_origin(url: str, origin: str) -> None:
    for webhook in ("", f"{url.strip().rstrip('/')}/webhooks/clerk/"):
        settings = load({**GOOD, "SERVER_URL": url, "CLERK_WEBHOOK_URL": webhook})
        assert (settings.public_url, settings.webhook_url) == (origin, f"{origin}/webhooks/clerk")


@pytest.mark.parametrize("name", [n for n in NAMES if n in GOOD])
def test_blanks_around_a_value_are_left_out_and_a_line_break_inside_is_refused(name: str) -> None:
    assert load({**GOOD, name: f" {GOOD[name]}\r\n"}) == load(GOOD)
    assert "line break" in refusal({name: f"{GOOD[name][:4]}\n{GOOD[name][4:]}"})[name]


@pytest.mark.parametrize(
    ("data", "part"),
    [
        ("REGISTRY_USERNAME=café\n".encode("utf-16"), "is UTF-16"),
        (b"# a comment\nREGISTRY_USERNAME=caf\xe9\n", "is not UTF-8: line 2"),
        (b"REGISTRY_USERNAME=a\0b\n", "NUL"),
    ],
)
def test_settings_file_of_another_encoding_is_refused_by_name(tmp_path: Path, data: bytes, part: str) -> None:
    file = tmp_path / ".env"
    file.write_bytes(data)
    assert part in refusal({"TWENTYOPS_ENV_FILE": str(file)})[str(file)]


def test_settings_file_may_begin_with_the_mark_of_windows(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes("\ufeffREGISTRY_USERNAME=café\r\n".encode())
    environ = {name: value for name, value in GOOD.items() if name != "REGISTRY_USERNAME"}
    assert load({**environ, "TWENTYOPS_ENV_FILE": str(file)}).registry_username == "café"


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("2001:db8::11", "http://[2001:db8::11]"),
        ("[2001:db8::11]", "http://[2001:db8::11]"),
        ("crm.example.com", "http://crm.example.com"),
    ],
)
def test_droplet_by_ipv6_or_by_name_has_its_public_address(host: str, origin: str) -> None:
    settings = load({**GOOD, "DROPLET_HOST": host})
    assert settings.public_url == origin
    assert settings.droplet_host == host.strip("[]")
    assert load({**GOOD, "DROPLET_HOST": host, "SERVER_URL": f"{origin}/"}).public_url == origin


def test_ipv6_address_of_another_machine_is_refused() -> None:
    assert "not the droplet" in refusal({"DROPLET_HOST": "2001:db8::11", "SERVER_URL": "http://[2001:db8::12]"})["SERVER_URL"]
    assert load({**GOOD, "DROPLET_HOST": "2001:db8::11", "SERVER_URL": "http://[2001:DB8:0::11]"})


def test_alias_of_the_ssh_configuration_needs_a_public_address() -> None:
    assert "browsers do not know crm" in refusal({"DROPLET_HOST": "crm"})["SERVER_URL"]
    assert load({**GOOD, "DROPLET_HOST": "crm", "SERVER_URL": "http://203.0.113.7"}).public_url == "http://203.0.113.7"


@pytest.mark.parametrize("host", ["root@10.77.0.11", "ssh://10.77.0.11", "10.77.0.11 -oProxyCommand=x", ""])
def test_host_is_an_address_or_a_name_alone(host: str) -> None:
    assert "DROPLET_HOST" in refusal({"DROPLET_HOST": host})


def test_live_key_needs_https_and_a_domain() -> None:
    live = {
        "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY": publishable("clerk.example.com", "live"),
        "CLERK_SECRET_KEY": "sk_" + "live_" + "0123456789abcdef",
    }
    assert "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY" in refusal({**live})
    assert load({**GOOD, **live, "SERVER_URL": "https://crm.example.com"}).public_url == "https://crm.example.com"


def test_webhook_address_has_one_spelling() -> None:
    assert "CLERK_WEBHOOK_URL" in refusal({"CLERK_WEBHOOK_URL": "http://10.77.0.11/api/webhooks/clerk"})
    assert load({**GOOD, "CLERK_WEBHOOK_URL": "http://10.77.0.11/webhooks/clerk"})


def test_contradictions_are_refused() -> None:
    assert "BUILDER_HOST" in refusal({"BUILDER_HOST": "10.77.0.11", "BUILDER_HOST_KEY": GOOD["DROPLET_HOST_KEY"]})
    assert "BUILDER_HOST_KEY" in refusal({"BUILDER_HOST": "10.77.0.12"})
    assert "CLERK_SECRET_KEY" in refusal({"CLERK_SECRET_KEY": "sk_" + "live_" + "0123456789abcdef"})
    assert {"STORAGE_S3_REGION", "STORAGE_S3_NAME"} <= set(refusal({"STORAGE_TYPE": "s3"}))
    assert "EMAIL_SMTP_HOST" in refusal({"EMAIL_DRIVER": "smtp", "EMAIL_FROM_ADDRESS": "crm@example.com"})
    assert "TWENTY_VERSION" in refusal({"TWENTY_VERSION": "latest"})
    assert "DROPLET_SSH_KEY" in refusal({"DROPLET_SSH_KEY": "/nowhere/id_ed25519"})


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("hooks.example.com/services/T0", "full address"),
        ("ftp://hooks.example.com/x", "full address"),
        ("https:///services/T0", "full address"),
        ("https://hooks.example.com/a b", "full address"),
        ("https://hooks.example.com/x#y", "full address"),
        ("https://user:word@hooks.example.com/x", "without them"),
        ("https://discord.com/api/webhooks/1/abcdef", "/slack at its end"),
    ],
)
def test_webhook_address_that_takes_no_message_is_refused_without_showing_it(value: str, part: str) -> None:
    remedy = refusal({"NOTIFY_WEBHOOK_URL": value})["NOTIFY_WEBHOOK_URL"]
    assert part in remedy
    assert value not in remedy
    for good in (
        "https://hooks.example.com/services/T0/B0/x",
        "http://10.0.0.5:8065/hooks/x",
        "https://discord.com/api/webhooks/1/a/slack",
        "",
    ):
        assert load({**GOOD, "NOTIFY_WEBHOOK_URL": good})


def test_notifications_by_mail_need_addresses_and_a_mail_server() -> None:
    mail = {"EMAIL_DRIVER": "smtp", "EMAIL_SMTP_HOST": "mail.example.com", "EMAIL_FROM_ADDRESS": "crm@example.com"}
    assert load({**GOOD, **mail, "NOTIFY_EMAIL": "a@example.com,b@example.com"}).notify_email == "a@example.com, b@example.com"
    assert "give EMAIL_DRIVER=smtp" in refusal({"NOTIFY_EMAIL": "a@example.com"})["NOTIFY_EMAIL"]
    assert "EMAIL_SMTP_HOST" in refusal({**mail, "EMAIL_SMTP_HOST": "", "NOTIFY_EMAIL": "a@example.com"})
    for bad in ("ops", "a@b@c", "Ops <a@example.com>", "a@example.com,,b@example.com", "a@example.com b@example.com"):
        assert "is no e-mail address" in refusal({**mail, "NOTIFY_EMAIL": bad})["NOTIFY_EMAIL"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [("local", "every secret of the server"), ("LAMBDA", "packages inside our server"), ("docker", "knows no such type")],
)
def test_tenants_code_is_refused_with_the_reason(value: str, reason: str) -> None:
    assert reason in refusal({"SERVERLESS_TYPE": value})["SERVERLESS_TYPE"]


def test_tenants_code_is_off_unless_said_and_when_said() -> None:
    for given_type in (GOOD, {**GOOD, "SERVERLESS_TYPE": "DISABLED"}, {**GOOD, "SERVERLESS_TYPE": "disabled"}):
        assert load(given_type).serverless_type == "disabled"


@pytest.mark.parametrize("name", ["CLERK_PROXY_URL", "CLERK_JS_URL", "CLERK_API_URL", "CLERK_JWKS_URL", "CLERK_ISSUER"])
def test_settings_of_a_rehearsal_are_refused_elsewhere(name: str) -> None:
    value: dict[str, str | None] = {name: "http://10.77.0.1:4400"}
    assert "people would sign in at an emulator" in refusal(value)[name]
    assert getattr(load({**GOOD, name: str(value[name]), "TWENTYOPS_LAB": "1"}), name.lower()) == value[name]


def pem(size: int = 2048) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=size).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def test_public_key_of_clerk_is_kept_on_one_line() -> None:
    text = pem()
    for written in (text, text.replace("\n", "\\n"), text.strip()):
        kept = load({**GOOD, "CLERK_JWT_KEY": written}).clerk_jwt_key
        assert "\n" not in kept
        assert kept.replace("\\n", "\n") == text.strip()


@pytest.mark.parametrize("text", ["pk_test_x", "-----BEGIN PUBLIC KEY-----", pem(1024), pem().replace("M", "?", 1)])
def test_what_is_no_public_key_of_clerk_is_refused(text: str) -> None:
    assert "CLERK_JWT_KEY" in refusal({"CLERK_JWT_KEY": text})


def test_offered_source_carries_no_login() -> None:
    address = "https://someone:token@git.example.com/twenty.git"
    assert load({**GOOD, "TWENTY_SOURCE": address}).source_offer == "https://git.example.com/twenty.git"
    assert load({**GOOD, "TWENTY_SOURCE": "/srv/twenty"}).source_offer == ""
    assert load({**GOOD, "SOURCE_OFFER_URL": "https://example.com/ours"}).source_offer == "https://example.com/ours"


def test_everything_wrong_is_told_in_one_message() -> None:
    found = refusal(
        {"SERVER_URL": "http://localhost", "REGISTRY_PASSWORD": "changeme", "CLERK_SECRET_KEY": None, "TWENTY_VERSION": "x"}
    )
    assert {"SERVER_URL", "REGISTRY_PASSWORD", "CLERK_SECRET_KEY", "TWENTY_VERSION"} <= set(found)


def write(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "settings.env"
    path.write_text(text)
    return {"TWENTYOPS_ENV_FILE": str(path)}


def test_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    lines = "".join(f"{k}='{v}'\n" for k, v in GOOD.items()) + "IMAGE_NAME=acme/crm\n"
    settings = load({**write(tmp_path, lines), "IMAGE_NAME": "acme/other"})
    assert (settings.droplet_host, settings.image_name) == ("10.77.0.11", "acme/other")


def test_misspelt_name_in_the_file_is_refused_with_the_nearest_one_and_its_line(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        load({**GOOD, **write(tmp_path, "# comment\nSEVER_URL=http://10.77.0.11\n")})
    assert "SEVER_URL (settings.env line 2)" in str(caught.value)
    assert "did you mean SERVER_URL?" in str(caught.value)


def test_name_set_twice_and_unreadable_line_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        load({**GOOD, **write(tmp_path, "IMAGE_NAME=a\nIMAGE_NAME=b\nnot a setting\n")})
    assert "set twice" in str(caught.value)
    assert "line 3" in str(caught.value)


def test_named_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refused, match="no file at"):
        load({**GOOD, "TWENTYOPS_ENV_FILE": "/nowhere/settings.env"})


def test_a_test_or_rehearsal_never_gets_the_production_address() -> None:
    environ = {**{k: v for k, v in GOOD.items() if k != "DROPLET_HOST"}, "TWENTYOPS_LAB": "1"}
    with pytest.raises(Refused, match="never runs against the production address"):
        load(environ)
    with pytest.raises(Refused, match="never runs against the production address"):
        load({**environ, "DROPLET_HOST": PRODUCTION_HOST})


SECRET_NAMES = ("REGISTRY_PASSWORD", "CLERK_SECRET_KEY", "CLERK_WEBHOOK_SECRET")


def fetched(tmp_path: Path, printed: str, then: str = "") -> dict[str, str]:
    """GOOD without its secrets, which a command prints; each run of it is counted in ``runs``."""
    (tmp_path / "store").write_text(printed)
    command = f"echo run >> {tmp_path}/runs; cat {tmp_path}/store{then}"
    return {**{k: v for k, v in GOOD.items() if k not in SECRET_NAMES}, "SECRETS_COMMAND": command}


PRINTED = "".join(f'{name}="{GOOD[name]}"\n' for name in SECRET_NAMES)


def test_secrets_come_from_a_command_that_is_asked_once(tmp_path: Path) -> None:
    environ = fetched(tmp_path, PRINTED)
    assert [load(environ).clerk_secret_key.get_secret_value() for _ in range(3)] == [GOOD["CLERK_SECRET_KEY"]] * 3
    assert (tmp_path / "runs").read_text() == "run\n"
    assert load({**environ, "REGISTRY_PASSWORD": "from-outside"}).registry_password.get_secret_value() == "from-outside"


@pytest.mark.parametrize(
    ("printed", "then", "setting", "part"),
    [
        (PRINTED, "; exit 3", "SECRETS_COMMAND", "ended with exit code 3"),
        ("\n", "", "SECRETS_COMMAND", "printed nothing"),
        (
            PRINTED + "CLERK_SECRET=x-1-y-2-z\n",
            "",
            "CLERK_SECRET (output of SECRETS_COMMAND line 4)",
            "did you mean CLERK_SECRET_KEY",
        ),
        (PRINTED + "a secret alone in its line\n", "", "output of SECRETS_COMMAND line 4", "write NAME=value"),
        (PRINTED + "SECRETS_COMMAND=again\n", "", "SECRETS_COMMAND", "take that out"),
    ],
)
def test_command_for_secrets_is_refused_in_words(tmp_path: Path, printed: str, then: str, setting: str, part: str) -> None:
    with pytest.raises(Refused) as caught:
        load(fetched(tmp_path, printed, then))
    assert part in {p.setting: p.remedy for p in caught.value.problems}[setting]
    for hidden in (*(GOOD[name] for name in SECRET_NAMES), "x-1-y-2-z", "alone in its line"):
        assert hidden not in str(caught.value)


def test_secret_in_the_file_and_from_the_command_is_refused(tmp_path: Path) -> None:
    environ = fetched(tmp_path, PRINTED)
    file = "".join(f"{name}={value}\n" for name, value in environ.items()) + "REGISTRY_PASSWORD=another-one\n"
    with pytest.raises(Refused, match=r"REGISTRY_PASSWORD +set in settings.env and by SECRETS_COMMAND; keep one"):
        load(write(tmp_path, file))


def test_env_example_is_written_from_the_settings() -> None:
    text = (Path(__file__).parents[2] / ".env.example").read_text()
    assert text == render_env_example(), "write it anew: python -m twentyops.settings > .env.example"


def test_env_example_is_refused_for_exactly_its_required_settings(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        load(write(tmp_path, render_env_example()))
    assert {p.setting for p in caught.value.problems} == {n for n, field in NAMES.items() if field.is_required()}


@given(st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?){1,3}\Z"))
def test_publishable_key_decodes_to_the_host_it_was_made_of(host: str) -> None:
    assert publishable_key_host(publishable(host)) == host


@given(st.text(max_size=80))
def test_no_text_breaks_the_publishable_key_check(text: str) -> None:
    try:
        host = publishable_key_host(text)
    except ValueError:
        return
    assert "." in host


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("", []),
        ("10.0.0.5:587, 10.0.8.0/24", ["10.0.0.5/32 587", "10.0.8.0/24 0"]),
        ("192.168.0.1:443,192.168.0.1:443", ["192.168.0.1/32 443"]),
    ],
)
def test_private_addresses_that_containers_may_reach(text: str, targets: list[str]) -> None:
    assert [f"{t.network} {t.port}" for t in load({**GOOD, "EGRESS_ALLOW": text}).egress_allowed] == targets


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("smtp.example.com", "write 10.0.0.5:587"),
        ("10.0.0.5/8", "has host bits set"),
        ("10.0.0.5:70000", "ports are 1 to 65535"),
        ("10.0.0.5:", "write 10.0.0.5:587"),
        ("10.0.0.5:smtp", "write 10.0.0.5:587"),
        ("fd00::5", "containers have no IPv6"),
        ("[fd00::5]:443", "containers have no IPv6"),
        ("fd00:1::/64", "containers have no IPv6"),
        ("0.0.0.0/0", "no named address"),
        ("169.254.169.254", "stay closed"),
        ("127.0.0.1:25", "stay closed"),
    ],
)
def test_egress_that_is_no_named_address_is_refused(text: str, part: str) -> None:
    assert part in refusal({"EGRESS_ALLOW": text})["EGRESS_ALLOW"]


def test_a_private_relay_that_containers_may_not_reach_is_told_before_the_deploy() -> None:
    mail = {"EMAIL_DRIVER": "smtp", "EMAIL_FROM_ADDRESS": "crm@example.com", "EMAIL_SMTP_HOST": "10.0.0.5"}
    assert "add 10.0.0.5:587 to EGRESS_ALLOW" in refusal(mail)["EMAIL_SMTP_HOST"]
    assert load({**GOOD, **mail, "EGRESS_ALLOW": "10.0.0.0/24:587"}).egress_allowed
    s3 = {"STORAGE_TYPE": "s3", "STORAGE_S3_REGION": "r", "STORAGE_S3_NAME": "b", "STORAGE_S3_ENDPOINT": "http://[fd00::5]:9000"}
    assert "containers have no IPv6" in refusal(s3)["STORAGE_S3_ENDPOINT"]
    public = {**s3, "STORAGE_S3_ENDPOINT": "https://[2606:4700::1111]"}
    assert "containers have no IPv6" in refusal(public)["STORAGE_S3_ENDPOINT"]
    assert load({**GOOD, **s3, "STORAGE_S3_ENDPOINT": "https://s3.example.com"})


@pytest.mark.parametrize(
    ("tenants", "ours"),
    [
        ("10.0.9.7:443", "10.0.9.7:5432"),
        ("10.0.9.0/24:443", "10.0.9.7:5432"),
        ("10.0.9.7:443", "10.0.0.0/16:5432"),
        ("10.0.9.7:443", "10.0.9.7"),
        ("10.0.9.0/24:443,10.0.8.0/24:5432", "10.0.9.7:5432"),
    ],
)
def test_a_tenants_port_that_would_not_bind_is_refused(tenants: str, ours: str) -> None:
    """The server compares addresses only, and the packet filter opens for tenants' requests what it opens for the server."""
    assert (
        "of EGRESS_ALLOW, so tenants could reach"
        in refusal({"TENANT_EGRESS_ALLOW": tenants, "EGRESS_ALLOW": ours})["TENANT_EGRESS_ALLOW"]
    )


@pytest.mark.parametrize(
    ("tenants", "ours"),
    [
        ("10.0.9.7:443", "10.0.0.5:587"),
        ("10.0.9.7:443", "10.0.9.7:443"),
        ("10.0.9.0/24:443,10.0.9.0/24:5432", "10.0.9.7:5432"),
        # as the lab's attacker's server: every port is opened in so many words
        ("10.77.0.1", "10.77.0.1:8091"),
    ],
)
def test_a_tenants_port_that_binds_is_taken(tenants: str, ours: str) -> None:
    assert load({**GOOD, "TENANT_EGRESS_ALLOW": tenants, "EGRESS_ALLOW": ours}).tenant_egress_allowed


def test_https_on_a_port_that_is_not_published_is_refused() -> None:
    assert "port 8443 is not published" in refusal({"SERVER_URL": "https://crm.example.com:8443"})["SERVER_URL"]
    assert load({**GOOD, "SERVER_URL": "https://crm.example.com:443"})
    assert load({**GOOD, "SERVER_URL": "http://crm.example.com:8080"})
