"""A thin GraphQL client: what was asked, what came back, and the errors in the order of the answer."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass
from typing import Any

import httpx

Json = Any


@dataclass(frozen=True)
class Answer:
    """HTTP status and body of one GraphQL request; ``data`` is None where the server withheld it."""

    status: int
    body: dict[str, Json]

    @property
    def data(self) -> dict[str, Json] | None:
        data = self.body.get("data")
        return data if isinstance(data, dict) else None

    @property
    def errors(self) -> list[dict[str, Json]]:
        return list(self.body.get("errors") or [])

    @property
    def code(self) -> str | None:
        """``extensions.code`` of the first error."""
        return str(self.extensions["code"]) if "code" in self.extensions else None

    @property
    def extensions(self) -> dict[str, Json]:
        return dict(self.errors[0].get("extensions") or {}) if self.errors else {}

    def ok(self) -> dict[str, Json]:
        """The data of an answer that must hold no error."""
        assert not self.errors, self.errors
        assert self.data is not None, self.body
        return self.data

    def refused(self, kind: str) -> list[str]:
        """Codes with which one kind of metadata (``objectMetadata``, ``fieldMetadata``) was refused."""
        assert self.code == "METADATA_VALIDATION_FAILED", self.body
        return [error["code"] for item in self.extensions["errors"][kind] for error in item["errors"]]


class Api:
    """GraphQL of one server, with or without a token."""

    def __init__(self, http: httpx.Client, token: str | None = None) -> None:
        self._http = http
        self._token = token

    def with_token(self, token: str | None) -> Api:
        return Api(self._http, token)

    def metadata(self, query: str, **variables: Json) -> Answer:
        return self._post("/metadata", query, variables)

    def records(self, query: str, **variables: Json) -> Answer:
        return self._post("/graphql", query, variables)

    def _post(self, path: str, query: str, variables: dict[str, Json]) -> Answer:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        answer = self._http.post(path, json={"query": query, "variables": variables}, headers=headers)
        return Answer(answer.status_code, answer.json())


def fresh_name() -> str:
    """A camelCase name that no earlier run used; letters only, as a digit starts a new word for the server."""
    return "contract" + "".join(secrets.choice(string.ascii_lowercase) for _ in range(10))


EXCHANGE = """mutation ($loginToken: String!, $origin: String!) {
  getAuthTokensFromLoginToken(loginToken: $loginToken, origin: $origin) {
    tokens { accessOrWorkspaceAgnosticToken { token expiresAt } refreshToken { token expiresAt } } } }"""

SIGN_UP = """mutation ($email: String!, $password: String!) {
  signUp(email: $email, password: $password) {
    availableWorkspaces { availableWorkspacesForSignIn { id } }
    tokens { accessOrWorkspaceAgnosticToken { token expiresAt } refreshToken { token } } } }"""

LOGIN = """mutation ($email: String!, $password: String!, $origin: String!) {
  getLoginTokenFromCredentials(email: $email, password: $password, origin: $origin) {
    loginToken { token expiresAt } } }"""

NEW_WORKSPACE = "mutation { signUpInNewWorkspace { loginToken { token } workspace { id } } }"

ACTIVATE = """mutation ($data: ActivateWorkspaceInput!) {
  activateWorkspace(data: $data) { id displayName activationStatus version } }"""

ROLES = "{ getRoles { id label canBeAssignedToApiKeys canUpdateAllSettings } }"

CREATE_API_KEY = "mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { id name } }"

API_KEY_TOKEN = """mutation ($apiKeyId: UUID!, $expiresAt: String!) {
  generateApiKeyToken(apiKeyId: $apiKeyId, expiresAt: $expiresAt) { token } }"""

OBJECTS = """{ objects(paging: { first: 1000 }) { edges { node {
  id nameSingular namePlural isCustom isActive isSystem
  fieldsList { id name type isCustom isActive isUnique isNullable defaultValue options settings
    relation { type targetObjectMetadata { nameSingular } targetFieldMetadata { name } } } } } } }"""

CREATE_OBJECT = """mutation ($input: CreateOneObjectInput!) { createOneObject(input: $input) {
  id nameSingular namePlural isCustom isActive labelIdentifierFieldMetadataId fieldsList { id name type } } }"""

UPDATE_OBJECT = """mutation ($input: UpdateOneObjectInput!) { updateOneObject(input: $input) {
  id description labelSingular isActive } }"""

CREATE_FIELD = """mutation ($input: CreateOneFieldMetadataInput!) { createOneField(input: $input) {
  id name label type isCustom isActive isNullable isUnique defaultValue options settings } }"""

UPDATE_FIELD = """mutation ($input: UpdateOneFieldMetadataInput!) { updateOneField(input: $input) {
  id name label isActive defaultValue options } }"""

DELETE_FIELD = "mutation ($input: DeleteOneFieldInput!) { deleteOneField(input: $input) { id } }"
