"""Each of upstream's test files that is about what we edit passes on the patched tree; what fails on upstream's own tree is named."""

from __future__ import annotations

import pytest

from lab.accept.upstream import Answer

# file below packages/: what fails there without our patchset as well. Anything else that fails is ours
UPSTREAMS_OWN = {
    # the keys that it makes up expired on 2025-12-31
    "twenty-server/src/engine/core-modules/api-key/api-key.service.spec.ts": {
        "ApiKeyService generateApiKeyToken should generate a JWT token for a valid API key",
        "ApiKeyService generateApiKeyToken should use custom expiration time if provided",
        "ApiKeyService generateApiKeyToken should use default expiration if no expiresAt provided",
        "ApiKeyService utility methods isActive should return true for active API key",
        "ApiKeyService utility methods isExpired should return false for non-expired API key",
        "ApiKeyService validateApiKey should validate an active API key",
    },
}


@pytest.mark.timeout(3600)
def test_upstreams_own_tests_pass(answers: dict[str, Answer], spec: str) -> None:
    answer = answers.get(spec)
    assert answer is not None, f"jest did not run {spec}"
    assert answer.passed > 0, f"{spec} holds no test that passed: {answer.message[-4000:]}"
    ours = set(answer.failed) - UPSTREAMS_OWN.get(spec.removeprefix("packages/"), set())
    assert not ours, answer.message[-4000:]
    assert answer.failed or not answer.message, answer.message[-4000:]
