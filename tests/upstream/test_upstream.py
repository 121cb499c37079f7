"""Each of upstream's test files that is about what we edit passes on the patched tree, or is named below with the reason."""

from __future__ import annotations

import pytest

from lab.accept.upstream import Answer


@pytest.mark.timeout(3600)
def test_upstreams_own_tests_pass(answers: dict[str, Answer], spec: str) -> None:
    answer = answers.get(spec)
    assert answer is not None, f"jest did not run {spec}"
    assert not answer.message, answer.message[-4000:]
    assert answer.failed == 0
    assert answer.passed > 0, f"{spec} holds no test that ran"
