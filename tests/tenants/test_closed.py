"""What Clerk decides is closed in Twenty, to strangers and to people who are signed in; nothing names a tenant."""

from __future__ import annotations

import pytest

from tests.tenants.conftest import Server, Tenant

ORIGIN = "http://crm.test"
NOBODY = "00000000-0000-4000-8000-00000000abcd"
PASSWORD = 'email: "owner@people.test", password: "Str0ng-enough-1"'
TO_STRANGERS = {
    "signUp": f"mutation {{ signUp({PASSWORD}) {{ tokens {{ refreshToken {{ token }} }} }} }}",
    "signIn": f"mutation {{ signIn({PASSWORD}) {{ tokens {{ refreshToken {{ token }} }} }} }}",
    "signUpInWorkspace": f"mutation {{ signUpInWorkspace({PASSWORD}) {{ loginToken {{ token }} }} }}",
    "getLoginTokenFromCredentials": (
        f'mutation {{ getLoginTokenFromCredentials({PASSWORD}, origin: "{ORIGIN}") {{ loginToken {{ token }} }} }}'
    ),
    "checkUserExists": 'query { checkUserExists(email: "owner@people.test") { exists } }',
    "emailPasswordResetLink": (
        f'mutation {{ emailPasswordResetLink(email: "owner@people.test", workspaceId: "{NOBODY}") {{ success }} }}'
    ),
    "updatePasswordViaResetToken": (
        'mutation { updatePasswordViaResetToken(passwordResetToken: "x", newPassword: "Str0ng-enough-1") { success } }'
    ),
    "validatePasswordResetToken": 'query { validatePasswordResetToken(passwordResetToken: "x") { id } }',
    "checkWorkspaceInviteHashIsValid": 'query { checkWorkspaceInviteHashIsValid(inviteHash: "x") { isValid } }',
    "findWorkspaceFromInviteHash": 'query { findWorkspaceFromInviteHash(inviteHash: "x") { id } }',
    "resendEmailVerificationToken": (
        f'mutation {{ resendEmailVerificationToken(email: "owner@people.test", origin: "{ORIGIN}") {{ success }} }}'
    ),
    "verifyEmailAndGetLoginToken": (
        'mutation { verifyEmailAndGetLoginToken(email: "owner@people.test", emailVerificationToken: "x",'
        f' origin: "{ORIGIN}") {{ loginToken {{ token }} }} }}'
    ),
    "getAuthorizationUrlForSSO": (
        f'mutation {{ getAuthorizationUrlForSSO(input: {{ identityProviderId: "{NOBODY}" }}) {{ authorizationURL }} }}'
    ),
    "initiateOTPProvisioning": (f'mutation {{ initiateOTPProvisioning(loginToken: "x", origin: "{ORIGIN}") {{ uri }} }}'),
}
TO_PEOPLE = {
    "signUpInNewWorkspace": "mutation { signUpInNewWorkspace { loginToken { token } } }",
    "activateWorkspace": 'mutation { activateWorkspace(data: { displayName: "x" }) { id } }',
    "deleteCurrentWorkspace": "mutation { deleteCurrentWorkspace { id } }",
    "sendInvitations": 'mutation { sendInvitations(emails: ["a@people.test"]) { success } }',
    "resendWorkspaceInvitation": f'mutation {{ resendWorkspaceInvitation(appTokenId: "{NOBODY}") {{ success }} }}',
    "deleteWorkspaceInvitation": f'mutation {{ deleteWorkspaceInvitation(appTokenId: "{NOBODY}") }}',
    "impersonate": f'mutation {{ impersonate(userId: "{NOBODY}", workspaceId: "{NOBODY}") {{ loginToken {{ token }} }} }}',
    "deleteUser": "mutation { deleteUser { id } }",
    "deleteUserFromWorkspace": f'mutation {{ deleteUserFromWorkspace(workspaceMemberIdToDelete: "{NOBODY}") {{ id }} }}',
    "updateUserEmail": 'mutation { updateUserEmail(newEmail: "b@people.test") }',
    "createApprovedAccessDomain": (
        'mutation { createApprovedAccessDomain(input: { domain: "people.test", email: "a@people.test" }) { id } }'
    ),
    "validateApprovedAccessDomain": (
        f'mutation {{ validateApprovedAccessDomain(input: {{ validationToken: "x", approvedAccessDomainId: "{NOBODY}" }}) {{ id }} }}'
    ),
}


@pytest.mark.parametrize("name", TO_STRANGERS)
def test_closed_to_strangers(server: Server, one: Tenant, name: str) -> None:
    """The refusal says Clerk, so it is ours and not a failure of something else; and it is the same for a known address."""
    query = TO_STRANGERS[name]
    unknown = server.api().metadata(query)
    known = server.api().metadata(query.replace("owner@people.test", one.owner.email))
    assert unknown.data is None
    assert "Clerk" in unknown.errors[0]["message"], unknown.body
    assert known.body == unknown.body


@pytest.mark.parametrize("name", TO_PEOPLE)
def test_closed_to_people(one: Tenant, name: str) -> None:
    answer = one.api.metadata(TO_PEOPLE[name])
    assert answer.errors, answer.body
    assert "Clerk" in answer.errors[0]["message"], answer.body


def test_admin_panel_is_nobodys(one: Tenant) -> None:
    for query in (
        "query { getConfigVariablesGrouped { groups { name } } }",
        "query { getSystemHealthStatus { services { label } } }",
        f'mutation {{ userLookupAdminPanel(userIdentifier: "{one.owner.email}") {{ user {{ id }} }} }}',
    ):
        answer = one.api.metadata(query)
        assert answer.status == 200, answer.body
        assert answer.errors[0]["message"] in ("Forbidden resource", "Permission denied"), answer.body
        assert not answer.data


@pytest.mark.parametrize("path", ["/auth/google", "/auth/google/redirect", "/auth/microsoft", "/auth/microsoft/redirect"])
def test_other_identity_providers_are_closed(server: Server, path: str) -> None:
    answer = server.http.get(path, follow_redirects=False)
    assert answer.status_code in (302, 400, 403, 404, 500)
    assert "accounts.google.com" not in answer.headers.get("location", "")
    assert "login.microsoftonline.com" not in answer.headers.get("location", "")
    assert "loginToken" not in answer.text + answer.headers.get("location", "")


def test_strangers_see_the_same_with_any_origin(server: Server, one: Tenant, other: Tenant) -> None:
    query = """query ($origin: String) { getPublicWorkspaceDataByDomain(origin: $origin) {
        id logo displayName workspaceUrls { subdomainUrl } authProviders { google microsoft password magicLink sso { id } } } }"""
    seen = []
    for origin in (str(server.http.base_url), "http://one.crm.test", "http://unknown.crm.test"):
        data = server.api().metadata(query, origin=origin).ok()["getPublicWorkspaceDataByDomain"]
        assert data.pop("workspaceUrls") == {"subdomainUrl": origin}
        seen.append(data)
    assert seen[0] == seen[1] == seen[2]
    assert seen[0]["id"] not in (one.workspace, other.workspace)
    assert seen[0]["displayName"] == ""
    assert seen[0]["authProviders"] == {"google": False, "microsoft": False, "password": False, "magicLink": False, "sso": []}


def test_settings_of_the_page_name_no_tenant(server: Server, one: Tenant, other: Tenant) -> None:
    text = server.http.get("/client-config").text
    for secret in (one.workspace, one.organization, one.owner.email, other.workspace, other.organization):
        assert secret not in text


def test_no_other_workspace_is_offered(one: Tenant) -> None:
    offered = one.api.metadata(
        "{ currentUser { availableWorkspaces { availableWorkspacesForSignIn { id loginToken } availableWorkspacesForSignUp { id } } } }"
    ).ok()["currentUser"]["availableWorkspaces"]
    assert offered == {"availableWorkspacesForSignIn": [], "availableWorkspacesForSignUp": []}
