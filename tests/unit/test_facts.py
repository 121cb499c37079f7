"""Facts that read more than a line."""

from __future__ import annotations

import pytest

from twentyops import facts

VERIFIED = '{"matched": true, "model": "0123456789ab", "workspaces": []}'
FAILED = "failed 3: the server answered 500 to /internal/data-model: "


@pytest.mark.parametrize(
    ("output", "matched", "outcome"),
    [
        ([VERIFIED, FAILED], True, FAILED),
        ([VERIFIED], True, ""),  # the server was not started by its entrypoint
        ([FAILED], None, None),
        ([], None, None),
        (["{not json", FAILED], None, None),
    ],
)
def test_state_of_the_data_model(output: list[str], matched: bool | None, outcome: str | None) -> None:
    state = facts.DataModelState().process(output)
    assert (state.get("matched"), state.get("outcome")) == (matched, outcome)
