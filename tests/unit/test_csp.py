"""The page's policy: what it allows, from the settings alone; and the files' one."""

from __future__ import annotations

import re

import pytest

from tests.unit.test_pure import settings
from twentyops import csp, stack
from twentyops.settings import publishable_key_host


def directives(**changed: str) -> dict[str, list[str]]:
    policy = csp.page_policy(settings().model_copy(update=changed))
    return {name: sources.split() for name, _, sources in (part.partition(" ") for part in policy.split("; "))}


def test_page_runs_no_script_that_somebody_wrote_into_it() -> None:
    script = directives()["script-src"]
    assert not {"'unsafe-inline'", "'unsafe-eval'", "data:", "blob:", "*", "https:", "http:"} & set(script)
    assert len([source for source in script if source.startswith("'sha256-")]) == 1


@pytest.mark.parametrize("name", ["object-src", "base-uri"])
def test_what_nobody_needs_is_off(name: str) -> None:
    assert directives()[name] == ["'none'"]


def test_origins_are_clerks_and_nobody_elses() -> None:
    key = settings().next_public_clerk_publishable_key
    origins = {source for sources in directives().values() for source in sources if source.startswith("http")}
    assert origins == {f"https://{publishable_key_host(key)}", csp.TURNSTILE, csp.CLERK_IMAGES}


def test_lab_names_the_emulator_instead() -> None:
    found = directives(clerk_proxy_url="http://10.77.0.30:8080/x", clerk_js_url="http://10.77.0.30:8081/clerk.js")
    assert [source for source in found["connect-src"] if source.startswith("http")] == [
        "http://10.77.0.30:8080",
        "http://10.77.0.30:8081",
    ]
    assert {"http://10.77.0.30:8080", "http://10.77.0.30:8081"} < set(found["script-src"])
    assert "clerk.accounts" not in str(found)


def test_config_script_is_the_text_that_the_server_writes() -> None:
    written = '\n      window._env_ = {\n  "REACT_APP_SERVER_BASE_URL": "https://crm.example.com"\n};\n    '
    assert csp.config_script_hash("https://crm.example.com") == csp.script_hash(written)
    assert csp.script_hash("alert(1);") == "'sha256-5jFwrAK0UV47oFbVg/iCCBbxD8X1w+QvoOUepu4C2YA='"


def test_policy_is_one_line_that_a_caddyfile_can_quote() -> None:
    for policy in (csp.page_policy(settings()), csp.FILE_POLICY):
        assert not re.search(r'["\\{}\n]', policy)


def test_caddyfile_says_both() -> None:
    text = stack.caddyfile(settings())
    assert f'header @others >Content-Security-Policy "{csp.page_policy(settings())}"' in text
    assert f'>Content-Security-Policy "{csp.FILE_POLICY}"' in text
    shown = re.search(r"~\^\((.*)\)\$ ", text)
    assert shown
    for name in csp.FILE_TYPES:
        assert re.fullmatch(shown[1], name)
    for name in ("text/html", "image/svg+xml", "image/png; charset=utf-8", "audio/vndxwave", "xaudio/mp4", ""):
        assert not re.fullmatch(shown[1], name)
