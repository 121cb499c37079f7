"""What Clerk tells, as it is told to Twenty: addresses that cannot pass for others, names that Twenty takes."""

from __future__ import annotations

import pytest
from tenant_manager.clerk import organization, person, plain


def told(email: str, **more: str) -> dict[str, object]:
    address = {"id": "idn_1", "email_address": email, "verification": {"status": "verified"}}
    return {"id": "user_1", "primary_email_address_id": "idn_1", "email_addresses": [address], **more}


@pytest.mark.parametrize(
    ("email", "kept", "verified"),
    [
        ("  Alice@People.TEST ", "alice@people.test", True),
        ("kim@people.test", "kim@people.test", True),
        ("josé@people.test", "josé@people.test", True),
        ("\u212aim@people.test", "\u212aim@people.test", False),
        ("kim@people.\u212aest", "kim@people.\u212aest", False),
        ("\u0130ris@people.test", "\u0130ris@people.test", False),
        ("JOSÉ@people.test", "josÉ@people.test", False),
    ],
)
def test_an_address_that_could_pass_for_anothers_is_not_verified(email: str, kept: str, verified: bool) -> None:
    found = person(told(email))
    assert (found.email, found.verified) == (kept, verified)


@pytest.mark.parametrize(
    "text", ["😀" * 255, "a" + "😀" * 255, "a" * 254 + "😀", "é" * 300, "\ud83d" * 3 + "Sami", "😀" * 126 + " " * 9 + "x"]
)
def test_names_are_cut_by_utf_16_units_as_twenty_counts_them(text: str) -> None:
    cut = plain(text)
    assert 0 < len(cut.encode("utf-16-le")) // 2 <= 255
    assert cut.encode().decode() == cut.strip()
    assert organization({"id": "org_1", "name": text}).name == cut
    assert person(told("a@b.test", first_name=text)).first_name == cut
