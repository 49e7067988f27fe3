"""Google accounts and what programs reach with them: logins, Cloud projects, Code Assist.

Hosts and who plays them::

    accounts.google.com                    the authorization page               \\
    oauth2.googleapis.com                  POST /token                           | this module
    www.googleapis.com                     GET /oauth2/v1|v2/userinfo            |
    cloudresourcemanager.googleapis.com    GET /v1/projects                      |
    serviceusage.googleapis.com            GET and POST /v1/projects/…/services  /
    cloudcode-pa.googleapis.com            /v1internal:…                        google_code_assist.py
    daily-cloudcode-pa.googleapis.com      /v1internal:…                        google_antigravity.py
    *aiplatform.googleapis.com             /v1/…/models/…                       google_vertex.py

`APPS` lists the applications that may log in, `HOSTS` and `_endpoints` what is played; a further API of the
same accounts is a method here or a module of its own, with `Google.owner` as its check of the token.

Settings:

* `oauth`: see oauth.py. Refresh tokens do not rotate, and renewals do not repeat them
* `email`: whose account it is; empty: the user info has no address
* `projects`: list of project ids, or of objects `{projectId, name, projectNumber, lifecycleState}`
* `page_size`: how many projects one page of the list has
* `services`: project → `ENABLED`, `DISABLED` (can be enabled), `STUCK` (says off, but refuses to be
  enabled because it is on) or `REFUSED` (cannot be enabled); `ENABLED` where nothing is said
* `code_assist`: see google_code_assist.py
* `antigravity`: see google_antigravity.py
* `vertex`: see google_vertex.py
"""

import re
from collections.abc import Callable, Mapping
from typing import ClassVar

from attrs import define, field

from emulators.gemini_rules import error_body, refuse
from emulators.gemini_rules import failure as google_failure
from emulators.google_antigravity import APP as ANTIGRAVITY
from emulators.google_antigravity import DAILY, Antigravity
from emulators.google_code_assist import CodeAssist
from emulators.google_vertex import GRANT_TYPE, Vertex
from emulators.google_vertex import HOSTS as VERTEX
from emulators.oauth import App, Authority, Login
from emulators.oauth import refuse as refuse_login
from emulators.values import (
    Answer,
    Clock,
    Json,
    JsonObject,
    Ready,
    Refusal,
    Request,
    as_list,
    as_object,
    as_text,
    json_answer,
)

_SCOPE = "https://www.googleapis.com/auth/"
_ACCOUNT_SCOPES = (f"{_SCOPE}cloud-platform", f"{_SCOPE}userinfo.email", f"{_SCOPE}userinfo.profile")
GEMINI_CLI = App(
    id="681255809395-oo8ft2oprdrnp9e3aqf6av3hmdib135j.apps.googleusercontent.com",
    secret="emulated-gemini-cli-secret",
    redirects=("http://localhost:8085/oauth2callback",),
    scopes=_ACCOUNT_SCOPES,
    needs_pkce=False,
    any_port=True,
)
APPS: tuple[App, ...] = (GEMINI_CLI, ANTIGRAVITY)

ACCOUNTS = "accounts.google.com"
TOKENS = "oauth2.googleapis.com"
API = "www.googleapis.com"
PROJECTS = "cloudresourcemanager.googleapis.com"
SERVICES = "serviceusage.googleapis.com"
CODE_ASSIST = "cloudcode-pa.googleapis.com"

_SERVICE = re.compile(r"^/v1/projects/([^/]+)/services/([^/:]+)(:enable)?$")
_DEFAULTS: JsonObject = {
    "email": "me@example.org",
    "projects": ["first-project", "second-project"],
    "page_size": 100,
    "services": {},
}


@define(eq=False)
class Google:
    """The family for all hosts."""

    NAME: ClassVar[str] = "google"
    HOSTS: ClassVar[tuple[str, ...]] = (
        *(ACCOUNTS, TOKENS, API, PROJECTS, SERVICES),
        *(CODE_ASSIST, DAILY),
        *VERTEX,
    )

    clock: Clock
    settings: JsonObject = field(factory=lambda: dict(_DEFAULTS))
    authority: Authority = field(init=False)
    code_assist: CodeAssist = field(init=False)
    antigravity: Antigravity = field(init=False)
    vertex: Vertex = field(init=False)
    _endpoints: Mapping[str, Callable[[Request], Ready]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.authority = Authority(clock=self.clock, apps=APPS, prefix="ya29.")
        self.authority.configure({"rotates": False, "reuse_kills": False})
        self.code_assist = CodeAssist(self.clock, self.owner)
        self.antigravity = Antigravity(self.clock, self.owner)
        self.vertex = Vertex(self.clock, self.authority, self.owner)
        self._endpoints = {
            ACCOUNTS: self._authorization,
            TOKENS: self._tokens,
            API: self._user_info,
            PROJECTS: self._projects,
            SERVICES: self._services,
            CODE_ASSIST: self._code_assist,
            DAILY: self.antigravity.receive,
            **dict.fromkeys(VERTEX, self.vertex.receive),
        }

    def receive(self, request: Request) -> Ready:
        """Find the endpoint of the host."""
        host = (request.header("host") or "").partition(":")[0]
        return self._endpoints[host](request)

    def owner(self, request: Request) -> Login:
        """The login whose access token a request carries; raises `Refusal`."""
        login = self.authority.owner_of(request.bearer())
        if login is None:
            text = "Request had invalid authentication credentials. Expected OAuth 2 access token, login"
            raise refuse(f"{text} cookie or other valid authentication credential.", 401)
        return login

    # --- the account ------------------------------------------------------------------------------------

    def _authorization(self, request: Request) -> Ready:
        if request.method != "GET" or request.path not in ("/o/oauth2/auth", "/o/oauth2/v2/auth"):
            raise _not_found(request)
        if request.query.get("access_type") != "offline" or request.query.get("prompt") != "consent":
            # Without these there is no refresh token for an application that was agreed to before.
            raise refuse_login("invalid_request", "access_type and prompt")
        return lambda _turn: self.authority.authorize(request)

    def _tokens(self, request: Request) -> Ready:
        if request.method != "POST" or request.path != "/token":
            raise _not_found(request)
        grant_type = request.form().get("grant_type")
        if grant_type == GRANT_TYPE:
            return self.vertex.token(request)
        renews = grant_type == "refresh_token"

        def body(login: Login) -> JsonObject:
            usual = self.authority.body(login)
            return {name: value for name, value in usual.items() if name != "refresh_token" or not renews}

        return lambda _turn: self.authority.token_answer(request, body)

    def _user_info(self, request: Request) -> Ready:
        if request.method != "GET" or request.path not in ("/oauth2/v1/userinfo", "/oauth2/v2/userinfo"):
            raise _not_found(request)
        self.owner(request)
        email = as_text(self.settings["email"])
        info: JsonObject = {"id": "100000000000000000001", "name": "Me", "picture": "https://example.org/me"}
        told: JsonObject = {"email": email, "verified_email": True} if email else {}
        return lambda _turn: json_answer({**info, **told})

    # --- its projects -----------------------------------------------------------------------------------

    def projects(self) -> list[JsonObject]:
        """The account's projects, as the list shows them."""
        return [
            {
                "projectNumber": f"{1000 + number}",
                "projectId": as_text(item),
                "lifecycleState": "ACTIVE",
                "name": as_text(item).replace("-", " ").title(),
                **as_object(item),
            }
            for number, item in enumerate(as_list(self.settings["projects"]))
        ]

    def _projects(self, request: Request) -> Ready:
        if request.method != "GET" or request.path != "/v1/projects":
            raise _not_found(request)
        self.owner(request)
        begin, size = int(request.query.get("pageToken", "0")), int(str(self.settings["page_size"]))
        page: list[Json] = [*self.projects()[begin : begin + size]]
        more: JsonObject = {"nextPageToken": str(begin + size)} if begin + size < len(self.projects()) else {}
        # An account without projects gets an empty object, not an empty list.
        return lambda _turn: json_answer({**({"projects": page} if page else {}), **more})

    def _services(self, request: Request) -> Ready:
        self.owner(request)
        called = _SERVICE.match(request.path)
        if called is None or request.method != ("POST" if called[3] else "GET"):
            raise _not_found(request)
        project, service = called[1], called[2]
        states = as_object(self.settings["services"])
        state = as_text(states.get(project)) or "ENABLED"
        if called[3]:
            return lambda _turn: self._enabled(project, service, state)
        name = f"projects/{project}/services/{service}"
        shown = "ENABLED" if state == "ENABLED" else "DISABLED"
        return lambda _turn: json_answer({"name": name, "parent": f"projects/{project}", "state": shown})

    def _enabled(self, project: str, service: str, state: str) -> Answer:
        if state == "STUCK":
            return json_answer(error_body(400, f"Service {service} is already enabled for {project}."), 400)
        if state == "REFUSED":
            return json_answer(error_body(403, f"Permission denied to enable service [{service}]"), 403)
        self.settings["services"] = {**as_object(self.settings["services"]), project: "ENABLED"}
        return json_answer({"name": "operations/acat.p2-1", "done": True})

    def _code_assist(self, request: Request) -> Ready:
        """Production serves both applications; whose a request is shows in its token."""
        is_antigravity = self.owner(request).app == ANTIGRAVITY.id
        return (self.antigravity if is_antigravity else self.code_assist).receive(request)

    # --- settings ---------------------------------------------------------------------------------------

    def failure(self, request: Request, status: int, details: JsonObject) -> Answer:
        """An error of the API that was asked."""
        host = (request.header("host") or "").partition(":")[0]
        if host in (CODE_ASSIST, DAILY):
            return self.code_assist.failure(request, status, details)
        if host in VERTEX:
            return self.vertex.models.failure(request, status, details)
        return google_failure(status, details)

    def configure(self, patch: JsonObject) -> None:
        """Change settings."""
        for key, value in patch.items():
            if key == "oauth":
                self.authority.configure(as_object(value))
            elif key == "code_assist":
                self.code_assist.configure(as_object(value))
            elif key == "antigravity":
                self.antigravity.configure(as_object(value))
            elif key == "vertex":
                self.vertex.configure(as_object(value))
            elif key in _DEFAULTS:
                self.settings[key] = value
            else:
                raise ValueError(f"unknown setting: {key}")

    def state(self) -> JsonObject:
        """Settings, logins, and what was set up."""
        return {
            **self.settings,
            "oauth": self.authority.state(),
            "code_assist": self.code_assist.state(),
            "antigravity": self.antigravity.state(),
            "vertex": self.vertex.state(),
        }

    def reset(self) -> None:
        """Forget all logins."""
        self.authority.reset()
        self.code_assist.reset()
        self.antigravity.reset()


def _not_found(request: Request) -> Refusal:
    return refuse(f"The requested URL {request.path} was not found on this server.", 404)
