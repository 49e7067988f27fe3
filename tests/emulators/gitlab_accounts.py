"""Who may talk to the emulated GitLab: users, personal access tokens, OAuth applications and their tokens.

Rules the real server has and proxies trip over: a code is good for one exchange, with the same redirect URI
and the verifier that belongs to its challenge; a refresh replaces both tokens, so that the old refresh
token fails and the old access token is dead at once; access tokens live two hours; personal access tokens
are no OAuth tokens and the other way round.
"""

import hashlib
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from urllib.parse import urlencode

from attrs import Factory, define, frozen

from emulators.values import (
    Answer,
    Clock,
    HeaderList,
    Ids,
    Json,
    JsonObject,
    Refusal,
    Request,
    as_list,
    as_object,
    as_text,
    json_answer,
)

ACCESS_LIFE_S = 7200
CODE_LIFE_S = 600
SCOPES = ("api", "read_api", "read_user", "ai_features", "read_repository", "openid", "profile", "email")

USERS: JsonObject = {
    "42": {"username": "duo.dev", "name": "Duo Developer", "email": "duo.dev@example.com", "seat": True},
    "43": {"username": "seatless", "name": "No Seat", "email": "seatless@example.com", "seat": False},
}
PERSONAL_TOKENS: JsonObject = {
    "glpat-good": {"user": 42, "scopes": ["api", "read_user"]},
    "glpat-features": {"user": 42, "scopes": ["ai_features", "read_user"]},
    "glpat-noscope": {"user": 42, "scopes": ["read_repository"]},
    "glpat-expired": {"user": 42, "scopes": ["api"], "state": "expired"},
    "glpat-revoked": {"user": 42, "scopes": ["api"], "state": "revoked"},
    "glpat-seatless": {"user": 43, "scopes": ["api", "read_user"]},
}
_REDIRECTS: list[Json] = [
    "http://localhost:17171/auth/callback",
    "http://127.0.0.1:17171/auth/callback",
    "http://127.0.0.1:8080/callback",
]
APPLICATIONS: JsonObject = {
    "emulated-public": {"secret": None, "redirect_uris": _REDIRECTS, "scopes": ["api", "read_user"]},
    "emulated-confidential": {
        "secret": "emulated-secret",
        "redirect_uris": _REDIRECTS,
        "scopes": ["api", "read_user", "ai_features"],
    },
}
INVALID_GRANT = (
    "The provided authorization grant is invalid, expired, revoked, does not match the redirection URI used"
    " in the authorization request, or was issued to another client."
)
INVALID_CLIENT = (
    "Client authentication failed due to unknown client, no client authentication included, or unsupported"
    " authentication method."
)


@frozen
class Account:
    """An authenticated caller."""

    user_id: str
    user: JsonObject
    scopes: frozenset[str]
    token: str
    is_personal: bool

    @property
    def has_seat(self) -> bool:
        """Whether the user has a Duo seat."""
        return self.user.get("seat") is True


@define(eq=False, kw_only=True)
class Grant:
    """An authorization code that waits for its exchange."""

    client: str
    redirect_uri: str
    scope: str
    challenge: str
    made_at: float
    used: bool = False


@define(eq=False, kw_only=True)
class TokenPair:
    """An access token and its refresh token."""

    client: str
    user: str
    scope: str
    access: str
    refresh: str
    made_at: float
    access_dead: bool = False
    refresh_dead: bool = False


def refuse(status: int, body: JsonObject, reason: str, headers: HeaderList = ()) -> Refusal:
    """A refusal with GitLab's body."""
    return Refusal(json_answer(body, status, headers), reason)


def refuse_message(status: int, message: str) -> Refusal:
    """A refusal of the REST API: `{"message": "403 Forbidden"}`."""
    return refuse(status, {"message": message}, message)


def refuse_oauth(status: int, error: str, description: str) -> Refusal:
    """A refusal in the OAuth form."""
    return refuse(status, {"error": error, "error_description": description}, f"{error}: {description}")


@define(eq=False)
class Accounts:
    """Users, applications and tokens of one instance."""

    clock: Clock
    settings: JsonObject
    ids: Ids = Factory(Ids)
    grants: dict[str, Grant] = Factory(dict)
    pairs: list[TokenPair] = Factory(list)

    def reset(self) -> None:
        """Forget everything that was issued."""
        self.grants.clear()
        self.pairs.clear()

    def authenticate(self, request: Request, *scopes: str) -> Account:
        """The caller, who must have one of the scopes."""
        token = request.bearer() or request.header("private-token")
        if not token:
            raise refuse_message(401, "401 Unauthorized")
        account = self._personal(token) or self._oauth(token)
        if account is None:
            raise refuse_message(401, "401 Unauthorized")
        if scopes and not account.scopes & set(scopes):
            text = "The request requires higher privileges than provided by the access token."
            body: JsonObject = {
                "error": "insufficient_scope",
                "error_description": text,
                "scope": " ".join(scopes),
            }
            raise refuse(403, body, "insufficient_scope")
        return account

    def _personal(self, token: str) -> Account | None:
        known = as_object(as_object(self.settings["tokens"]).get(token))
        if not known:
            return None
        if known.get("state") == "expired":
            text = "Token is expired. You can either do re-authorization or token refresh."
            raise refuse_oauth(401, "invalid_token", text)
        if known.get("state") == "revoked":
            text = "Token was revoked. You have to re-authorize from the user."
            raise refuse_oauth(401, "invalid_token", text)
        scopes = frozenset(as_text(scope) for scope in as_list(known.get("scopes")))
        return self._account(str(known["user"]), scopes, token, personal=True)

    def _oauth(self, token: str) -> Account | None:
        pair = next((pair for pair in self.pairs if pair.access == token), None)
        if pair is None:
            return None
        if pair.access_dead:
            text = "Token was revoked. You have to re-authorize from the user."
            raise refuse_oauth(401, "invalid_token", text)
        if self.clock() >= pair.made_at + ACCESS_LIFE_S:
            text = "Token is expired. You can either do re-authorization or token refresh."
            raise refuse_oauth(401, "invalid_token", text)
        return self._account(pair.user, frozenset(pair.scope.split()), token, personal=False)

    def _account(self, user_id: str, scopes: frozenset[str], token: str, *, personal: bool) -> Account:
        return Account(
            user_id, as_object(as_object(self.settings["users"])[user_id]), scopes, token, personal
        )

    def authorize(self, request: Request) -> Answer:
        """The authorization page, which approves at once (or denies, by the setting `authorize`)."""
        query = request.query
        client = as_object(as_object(self.settings["applications"]).get(query.get("client_id", "")))
        redirect = query.get("redirect_uri", "")
        if not client:
            raise _error_page("Client authentication failed due to unknown client")
        if redirect not in as_list(client["redirect_uris"]):
            raise _error_page("The redirect URI included is not valid.")
        back: dict[str, str] = {"state": query["state"]} if "state" in query else {}
        error = self._authorize_error(query, client)
        if error:
            return _redirect(redirect, {"error": error, **back})
        code = self.ids.next("code-", 32)
        self.grants[code] = Grant(
            client=query["client_id"],
            redirect_uri=redirect,
            scope=query.get("scope", ""),
            challenge=query.get("code_challenge", ""),
            made_at=self.clock(),
        )
        return _redirect(redirect, {"code": code, **back})

    def _authorize_error(self, query: Mapping[str, str], client: JsonObject) -> str:
        if self.settings["authorize"] == "deny":
            return "access_denied"
        if query.get("response_type") != "code":
            return "unsupported_response_type"
        wanted = query.get("scope", "").split()
        if not wanted or set(wanted) - {as_text(scope) for scope in as_list(client["scopes"])}:
            return "invalid_scope"
        if "code_challenge" in query and query.get("code_challenge_method") != "S256":
            return "invalid_request"
        if client["secret"] is None and not query.get("code_challenge"):
            return "invalid_request"
        return ""

    def check_token_request(self, request: Request) -> tuple[str, Mapping[str, str]]:
        """Form, client and grant type of a token request; returns the client id and the form."""
        kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
        if request.method != "POST" or kind != "application/x-www-form-urlencoded":
            raise refuse_oauth(400, "invalid_request", "The request must be form encoded.")
        form = request.form()
        client_id, secret = _client_credentials(request, form)
        client = as_object(as_object(self.settings["applications"]).get(client_id))
        if not client or (client["secret"] or "") != secret:
            raise refuse_oauth(401, "invalid_client", INVALID_CLIENT)
        match form.get("grant_type"):
            case "authorization_code":
                self._check_code(client_id, form)
            case "refresh_token":
                self._live_pair(client_id, form.get("refresh_token", ""))
            case None:
                raise refuse_oauth(400, "invalid_request", "Missing required parameter: grant_type.")
            case _:
                text = "The authorization grant type is not supported by the authorization server."
                raise refuse_oauth(400, "unsupported_grant_type", text)
        return client_id, form

    def _check_code(self, client_id: str, form: Mapping[str, str]) -> Grant:
        grant = self.grants.get(form.get("code", ""))
        if grant is None or grant.used or grant.client != client_id:
            raise refuse_oauth(400, "invalid_grant", INVALID_GRANT)
        if grant.redirect_uri != form.get("redirect_uri") or self.clock() > grant.made_at + CODE_LIFE_S:
            raise refuse_oauth(400, "invalid_grant", INVALID_GRANT)
        if grant.challenge and _challenge(form.get("code_verifier", "")) != grant.challenge:
            raise refuse_oauth(400, "invalid_grant", INVALID_GRANT)
        return grant

    def _live_pair(self, client_id: str, refresh: str) -> TokenPair:
        pair = next((pair for pair in self.pairs if pair.refresh == refresh), None)
        if pair is None or pair.refresh_dead or pair.client != client_id:
            raise refuse_oauth(400, "invalid_grant", INVALID_GRANT)
        return pair

    def issue(self, client_id: str, form: Mapping[str, str]) -> Answer:
        """Carry out a checked token request."""
        if form["grant_type"] == "refresh_token":
            old = self._live_pair(client_id, form["refresh_token"])
            old.access_dead = old.refresh_dead = True
            scope = old.scope
        else:
            grant = self._check_code(client_id, form)
            grant.used = True
            scope = grant.scope
        pair = self.new_pair(client_id, scope)
        return json_answer(
            {
                "access_token": pair.access,
                "token_type": "Bearer",
                "expires_in": ACCESS_LIFE_S,
                "refresh_token": pair.refresh,
                "scope": pair.scope,
                "created_at": int(pair.made_at),
            },
            200,
            (("cache-control", "no-store"),),
        )

    def new_pair(self, client_id: str, scope: str) -> TokenPair:
        """Issue tokens without a login."""
        pair = TokenPair(
            client=client_id,
            user="42",
            scope=scope,
            access=self.ids.next("access-", 40),
            refresh=self.ids.next("refresh-", 40),
            made_at=float(int(self.clock())),
        )
        self.pairs.append(pair)
        return pair

    def revoke(self, what: str) -> None:
        """Kill tokens: `access`, `refresh`, or one by its value."""
        for pair in self.pairs:
            pair.access_dead = pair.access_dead or what in {"access", pair.access}
            pair.refresh_dead = pair.refresh_dead or what in {"refresh", pair.refresh}
        personal = as_object(self.settings["tokens"])
        if what in personal:
            personal[what] = {**as_object(personal[what]), "state": "revoked"}


def _client_credentials(request: Request, form: Mapping[str, str]) -> tuple[str, str]:
    """Client id and secret, from the form or from a Basic header."""
    scheme, _, value = (request.header("authorization") or "").partition(" ")
    if scheme.lower() == "basic":
        client, _, secret = b64decode(value).decode().partition(":")
        return client, secret
    return form.get("client_id", ""), form.get("client_secret", "")


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _redirect(uri: str, query: Mapping[str, str]) -> Answer:
    return Answer(status=302, headers=(("location", f"{uri}?{urlencode(query)}"),), pieces=(b"",))


def _error_page(text: str) -> Refusal:
    page = f"<!DOCTYPE html><html><body><h1>An error has occurred</h1><p>{text}</p></body></html>"
    headers = (("content-type", "text/html; charset=utf-8"),)
    return Refusal(Answer(status=400, headers=headers, pieces=(page.encode(),)), text)
