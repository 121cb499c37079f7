"""What an operator's command shows, and what it asks the droplet for."""

from __future__ import annotations

import pytest

from ops import console, logs
from twentyops import access


@pytest.mark.parametrize(
    ("text", "secrets", "shown"),
    [
        ("key=abcdef123 end", ["abcdef123"], "key=***** end"),
        ("redis://:a%2Fb%2Bc%3D%3D@redis", ["a/b+c=="], "redis://:*****@redis"),
        ("longer and long", ["longer", "longer and long"], "*****"),
        ("nothing of ours", ["", "of"], "nothing of ours"),  # too short for secrets: half of the log would go
    ],
)
def test_masked(text: str, secrets: list[str], shown: str) -> None:
    assert access.masked(text, secrets) == shown


def test_log_of_services_comes_after_the_secrets_to_mask() -> None:
    text = logs.program(["server"], since="10m", tail="all", follow=True)
    assert text.index("/opt/twenty/secrets/") < text.index(logs.END_OF_SECRETS) < text.index("exec docker compose")
    assert text.endswith("logs --timestamps --since 10m --tail all --follow server 2>&1")


@pytest.mark.parametrize("since", ["5x", "m", "1m; reboot", "$(reboot)s"])
def test_time_that_is_none_is_refused(since: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["logs", "--since", since])
    with pytest.raises(SystemExit):
        logs.main()
    assert "90s, 10m, 2h" in capsys.readouterr().err


def test_console_is_said_in_the_audit_log_before_it_opens() -> None:
    text = console.program("worker", ["sh", "-c", "exit 7"], terminal=True)
    audit, _, inside = text.partition(" && exec ")
    assert "audit.log" in audit
    assert inside == "docker exec -it twenty-worker-1 sh -c 'exit 7'"
