"""An authorization server: codes, device codes, tokens that rotate. Strict about every parameter.

Vendors build theirs on an `Authority`: it checks requests and keeps what was issued; the vendor's module says
at which address, in which form, and what else an answer contains.

Settings of an `Authority` (below the vendor's `oauth` setting):

* `decision`: what the owner does in the browser, `approve` or `deny`
* `pending`: how many device polls find the code not yet entered
* `slow_down`: how many of them are told to slow down
* `access_life`: seconds an access token lives
* `rotates`: a renewal gives a new refresh token, and the old one is of no use any more
* `reuse_kills`: a refresh token used twice ends the whole login, as vendors do that suspect a theft
"""

import hashlib
import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from attrs import define, field, frozen

from emulators.values import (
    JSON_TYPE,
    Answer,
    Clock,
    Ids,
    JsonObject,
    Refusal,
    Request,
    as_object,
    as_text,
    dumps,
    json_answer,
    loads,
)

CODE_LIFE_S = 600
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
FORM_TYPE = "application/x-www-form-urlencoded"


@frozen(kw_only=True)
class App:
    """A registered application."""

    id: str
    secret: str = ""
    """Empty: a public application."""
    redirects: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    """Exactly these must be asked for; empty: none may be."""
    needs_pkce: bool = True
    takes_json: bool = False
    """The token endpoint wants JSON; otherwise a form."""
    needs_state: bool = False
    """The token endpoint wants the state of the authorization, too."""
    needs_basic: bool = False
    redirect_name: str = "redirect_uri"
    response_type: str = "code"
    any_port: bool = False
    """A redirect to the loopback interface counts with every port, as RFC 8252 wants it."""

    def takes(self, redirect: str) -> bool:
        """Whether the browser may be sent there."""
        if redirect in self.redirects:
            return True
        return self.any_port and _portless(redirect) in map(_portless, self.redirects)


@define(kw_only=True)
class Grant:
    """A code on its way, or a device code."""

    app: str
    scope: str
    challenge: str
    made_at: float
    redirect: str = ""
    state: str = ""
    user_code: str = ""
    polls: int = 0
    used: bool = False


@define(kw_only=True)
class Login:
    """What an owner gave an application: one access and one refresh token at a time."""

    app: str
    scope: str
    access: str
    refresh: str
    ends_at: float
    spent: list[str] = field(factory=list)
    """Refresh tokens that were used before."""
    is_dead: bool = False


class NotYet(Exception):
    """A device poll that is part of the game: nobody did anything wrong, so nothing is logged as refused."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.answer = json_answer({"error": error}, 400)


def refuse(error: str, description: str, status: int = 400) -> Refusal:
    """A refusal in the OAuth form."""
    body: JsonObject = {"error": error, "error_description": description}
    return Refusal(json_answer(body, status), f"{error}: {description}")


@define(eq=False, kw_only=True)
class Authority:
    """The applications of one vendor and what was issued to them."""

    clock: Clock
    apps: tuple[App, ...]
    prefix: str = ""
    """What access tokens begin with."""
    ids: Ids = field(factory=Ids)
    grants: dict[str, Grant] = field(factory=dict)
    logins: list[Login] = field(factory=list)
    settings: JsonObject = field(
        factory=lambda: {
            "decision": "approve",
            "pending": 1,
            "slow_down": 0,
            "access_life": 3600,
            "rotates": True,
            "reuse_kills": True,
        }
    )

    def reset(self) -> None:
        """Forget everything that was issued."""
        self.grants.clear()
        self.logins.clear()

    def state(self) -> JsonObject:
        """What a test may look at."""
        return {
            **self.settings,
            "logins": [{"scope": x.scope, "access": x.access, "refresh": x.refresh} for x in self.logins],
        }

    def configure(self, patch: JsonObject) -> None:
        """Change settings; `revoke` and `expire` are acts on every login."""
        for key, value in patch.items():
            if key in ("revoke", "expire"):
                for login in self.logins:
                    login.is_dead = login.is_dead or key == "revoke"
                    login.ends_at = 0.0
            elif key in self.settings:
                self.settings[key] = value
            else:
                raise ValueError(f"unknown oauth setting: {key}")

    # --- the browser ------------------------------------------------------------------------------------

    def authorize(self, request: Request) -> Answer:
        """The authorization page; the owner decides at once."""
        query = request.query
        app = self._app(query.get("client_id", ""))
        redirect = query.get(app.redirect_name, "")
        if not app.takes(redirect):
            raise refuse("invalid_request", f"the redirect {redirect!r} is not registered")
        if query.get("response_type", "") != app.response_type:
            raise refuse("unsupported_response_type", "response_type")
        if not query.get("state"):
            raise refuse("invalid_request", "state is missing")
        challenge = self._challenge(app, query)
        self._check_scope(app, query.get("scope", ""))
        back = {"state": query["state"]}
        if self.settings["decision"] == "deny":
            return _redirect(redirect, {"error": "access_denied", **back})
        code = self.ids.next("code-", 32)
        self.grants[code] = Grant(
            app=app.id,
            scope=query.get("scope", ""),
            challenge=challenge,
            made_at=self.clock(),
            redirect=redirect,
            state=query["state"],
        )
        return _redirect(redirect, {"code": code, **back})

    # --- devices ----------------------------------------------------------------------------------------

    def start_device(self, request: Request, url: str, *, interval: int = 5) -> JsonObject:
        """Check a request for a device code; returns the answer's body."""
        fields = _fields(request, takes_json=False)
        app = self._app(fields.get("client_id", ""))
        challenge = self._challenge(app, fields)
        self._check_scope(app, fields.get("scope", ""))
        code, user_code = self.ids.next("device-", 32), self.ids.next("USER-", 4)
        self.grants[code] = Grant(
            app=app.id,
            scope=fields.get("scope", ""),
            challenge=challenge,
            made_at=self.clock(),
            user_code=user_code,
        )
        return {
            "device_code": code,
            "user_code": user_code,
            "verification_uri": url,
            "verification_uri_complete": f"{url}?user_code={user_code}",
            "expires_in": CODE_LIFE_S,
            "interval": interval,
        }

    # --- tokens -----------------------------------------------------------------------------------------

    def token_answer(self, request: Request, body: Callable[[Login], JsonObject] | None = None) -> Answer:
        """Carry out a token request; `body` makes the answer of a vendor whose is not the usual one."""
        try:
            login = self.token(request)
        except NotYet as not_yet:
            return not_yet.answer
        return json_answer((body or self.body)(login), 200, (("cache-control", "no-store"),))

    def token(self, request: Request) -> Login:
        """Carry out a token request; raises `Refusal` or `NotYet`."""
        app, fields = self._token_fields(request)
        match fields.get("grant_type"):
            case "authorization_code":
                return self._from_code(app, fields)
            case "refresh_token":
                return self._renewed(app, fields.get("refresh_token", ""))
            case kind if kind == DEVICE_GRANT:
                return self._from_device(app, fields)
        raise refuse("unsupported_grant_type", f"grant_type {fields.get('grant_type')!r}")

    def body(self, login: Login) -> JsonObject:
        """The usual answer of a token endpoint."""
        return {
            "access_token": login.access,
            "refresh_token": login.refresh,
            "token_type": "Bearer",
            "expires_in": int(login.ends_at - self.clock()),
            "scope": login.scope,
        }

    def new_login(self, app: str, scope: str = "") -> Login:
        """Issue tokens without a login."""
        login = Login(app=app, scope=scope, access="", refresh="", ends_at=0.0)
        self._issue(login)
        self.logins.append(login)
        return login

    def owner_of(self, access: str | None) -> Login | None:
        """The login a living access token belongs to."""
        found = next((login for login in self.logins if login.access == access), None)
        if found is None or found.is_dead or self.clock() >= found.ends_at:
            return None
        return found

    def _issue(self, login: Login) -> None:
        login.access = self.ids.next(f"{self.prefix}access-", 40)
        if self.settings["rotates"] or not login.refresh:
            login.refresh = self.ids.next("refresh-", 40)
        login.ends_at = self.clock() + float(str(self.settings["access_life"]))

    def _token_fields(self, request: Request) -> tuple[App, Mapping[str, str]]:
        kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
        fields = _fields(request, takes_json=kind == JSON_TYPE)
        app = self._app(fields.get("client_id", ""))
        if (kind == JSON_TYPE) != app.takes_json or kind not in (JSON_TYPE, FORM_TYPE):
            raise refuse("invalid_request", f"the body is of type {kind!r}")
        if fields.get("client_secret", "") != app.secret:
            raise refuse("invalid_client", "the client secret is wrong", 401)
        if app.needs_basic and _basic(request) != f"{app.id}:{app.secret}":
            raise refuse("invalid_client", "basic authentication is missing", 401)
        return app, fields

    def _from_code(self, app: App, fields: Mapping[str, str]) -> Login:
        grant = self._grant(app, fields.get("code", ""))
        if grant.redirect != fields.get("redirect_uri"):
            raise refuse("invalid_grant", "the redirect URI differs")
        if app.needs_state and fields.get("state") != grant.state:
            raise refuse("invalid_request", "the state differs")
        self._check_verifier(grant, fields)
        grant.used = True
        return self.new_login(app.id, grant.scope)

    def _from_device(self, app: App, fields: Mapping[str, str]) -> Login:
        grant = self._grant(app, fields.get("device_code", ""))
        self._check_verifier(grant, fields)
        grant.polls += 1
        if self.settings["decision"] == "deny":
            raise NotYet("access_denied")
        if grant.polls <= int(str(self.settings["slow_down"])):
            raise NotYet("slow_down")
        if grant.polls <= int(str(self.settings["pending"])):
            raise NotYet("authorization_pending")
        grant.used = True
        return self.new_login(app.id, grant.scope)

    def _renewed(self, app: App, refresh: str) -> Login:
        login = next((x for x in self.logins if refresh in (x.refresh, *x.spent)), None)
        if login is None or login.app != app.id or login.is_dead:
            raise refuse("invalid_grant", "the refresh token is not known")
        if refresh != login.refresh:
            login.is_dead = login.is_dead or bool(self.settings["reuse_kills"])
            raise refuse("invalid_grant", "the refresh token was used before")
        if self.settings["rotates"]:
            login.spent.append(refresh)
        self._issue(login)
        return login

    def _grant(self, app: App, code: str) -> Grant:
        grant = self.grants.get(code)
        if grant is None or grant.used or grant.app != app.id:
            raise refuse("invalid_grant", "the code is not known or was used")
        if self.clock() > grant.made_at + CODE_LIFE_S:
            raise NotYet("expired_token")
        return grant

    def _app(self, client_id: str) -> App:
        app = next((app for app in self.apps if app.id == client_id), None)
        if app is None:
            raise refuse("invalid_client", f"no application {client_id!r}", 401)
        return app

    def _challenge(self, app: App, fields: Mapping[str, str]) -> str:
        challenge = fields.get("code_challenge", "")
        if app.needs_pkce and (not challenge or fields.get("code_challenge_method") != "S256"):
            raise refuse("invalid_request", "a code challenge by S256 is needed")
        return challenge

    def _check_scope(self, app: App, scope: str) -> None:
        if sorted(scope.split()) != sorted(app.scopes):
            raise refuse("invalid_scope", f"the scope is {scope!r}")

    def _check_verifier(self, grant: Grant, fields: Mapping[str, str]) -> None:
        if grant.challenge and challenge_of(fields.get("code_verifier", "")) != grant.challenge:
            raise refuse("invalid_grant", "the code verifier is wrong")


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a verifier."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def unsigned_jwt(claims: JsonObject) -> str:
    """A token that shows claims and is signed by nobody, for fields that clients only read."""
    head, body = (urlsafe_b64encode(dumps(part)).rstrip(b"=").decode() for part in ({"alg": "none"}, claims))
    return f"{head}.{body}.c2lnbmF0dXJl"


def _fields(request: Request, *, takes_json: bool) -> Mapping[str, str]:
    if request.method != "POST":
        raise refuse("invalid_request", f"{request.method} is not POST")
    if not takes_json:
        return request.form()
    try:
        body = as_object(loads(request.body))
    except ValueError:
        raise refuse("invalid_request", "the body is not JSON") from None
    return {key: as_text(value) for key, value in body.items()}


def _basic(request: Request) -> str:
    scheme, _, value = (request.header("authorization") or "").partition(" ")
    return b64decode(value).decode() if scheme.lower() == "basic" else ""


def _portless(url: str) -> str:
    return re.sub(r"^(http://(?:localhost|127\.0\.0\.1)):\d+/", r"\1/", url)


def _redirect(uri: str, query: Mapping[str, str]) -> Answer:
    return Answer(status=302, headers=(("location", f"{uri}?{urlencode(query)}"),), pieces=(b"",))
