"""Service accounts and Vertex AI: `{location}-aiplatform.googleapis.com`.

A service account gets its access tokens at Google's token endpoint for an assertion signed with its key; the
models are gemini.py's, below the account's project and a location, or with a key below no project at all.

Settings:

* `accounts`: e-mail address → `{"project", "key_id", "public_key" in PEM form}`
* `keys`: API keys that are known
* `models`: list of names
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Callable

from attrs import define, evolve, field
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from emulators.gemini import Gemini
from emulators.gemini_rules import MODELS, refuse
from emulators.oauth import Authority, Login
from emulators.oauth import refuse as refuse_login
from emulators.values import (
    Answer,
    Clock,
    JsonObject,
    Ready,
    Request,
    as_list,
    as_object,
    as_text,
    dumps,
    json_answer,
    loads,
)

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUDIENCE = "https://oauth2.googleapis.com/token"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
LONGEST_S = 3600
SKEW_S = 300
DOMAIN = "aiplatform.googleapis.com"
LOCATIONS = {
    DOMAIN: "global",
    f"us-central1-{DOMAIN}": "us-central1",
    f"europe-west4-{DOMAIN}": "europe-west4",
    "aiplatform.eu.rep.googleapis.com": "eu",
}
"""Host → the only location it serves."""
HOSTS = tuple(LOCATIONS)
COUNTED = frozenset({"contents", "systemInstruction", "tools", "generationConfig", "model", "instances"})

_MODEL = r"publishers/google/models/([^/:]+):(\w+)$"
_IN_PROJECT = re.compile(rf"^/v1/projects/([^/]+)/locations/([^/]+)/{_MODEL}")
_WITH_KEY = re.compile(rf"^/v1/{_MODEL}")
_DEFAULTS: JsonObject = {"accounts": {}, "keys": []}


@define(eq=False)
class Vertex:
    """The family for the hosts; `owner` checks the token."""

    clock: Clock
    authority: Authority
    owner: Callable[[Request], Login]
    settings: JsonObject = field(factory=lambda: dict(_DEFAULTS))
    models: Gemini = field(init=False)
    tokens: int = 0
    """How many were got for assertions."""

    def __attrs_post_init__(self) -> None:
        self.models = Gemini(self.clock, lambda _request: None)

    # --- tokens -----------------------------------------------------------------------------------------

    def token(self, request: Request) -> Ready:
        """Check an assertion; the token is the account's."""
        fields = request.form()
        if set(fields) != {"grant_type", "assertion"}:
            raise refuse_login("invalid_request", f"fields {sorted(fields)}")
        email = self._signed_by(fields["assertion"])

        def issued(_turn: JsonObject | None) -> Answer:
            self.tokens += 1
            login = self.authority.new_login(email, SCOPE)
            life = int(login.ends_at - self.clock())
            return json_answer({"access_token": login.access, "expires_in": life, "token_type": "Bearer"})

        return issued

    def _signed_by(self, assertion: str) -> str:
        head, claims = (as_object(loads(_decoded(part))) for part in assertion.split(".")[:2])
        email = as_text(claims.get("iss"))
        account = as_object(as_object(self.settings["accounts"]).get(email))
        if not account:
            raise refuse_login("invalid_grant", "Invalid grant: account not found")
        wanted: JsonObject = {"alg": "RS256", "typ": "JWT", "kid": account["key_id"]}
        public = load_pem_public_key(as_text(account["public_key"]).encode())
        assert isinstance(public, RSAPublicKey)
        message, _, signature = assertion.rpartition(".")
        try:
            public.verify(_decoded(signature), message.encode(), PKCS1v15(), SHA256())
        except InvalidSignature:
            raise refuse_login("invalid_grant", "Invalid JWT Signature.") from None
        if head != wanted or set(claims) != {"iss", "scope", "aud", "iat", "exp"}:
            raise refuse_login("invalid_grant", f"head {head}, claims {sorted(claims)}")
        begin, end = int(str(claims["iat"])), int(str(claims["exp"]))
        if not (abs(begin - self.clock()) <= SKEW_S and 0 < end - begin <= LONGEST_S):
            raise refuse_login("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes)")
        if (claims["aud"], claims["scope"]) != (AUDIENCE, SCOPE):
            raise refuse_login("invalid_scope", f"{claims['scope']} for {claims['aud']}")
        return email

    # --- models -----------------------------------------------------------------------------------------

    def receive(self, request: Request) -> Ready:
        """Check who asks and where, and hand the body to the models."""
        host = (request.header("host") or "").partition(":")[0]
        in_project, with_key = _IN_PROJECT.match(request.path), _WITH_KEY.match(request.path)
        if request.method == "POST" and in_project is not None:
            project, location, model, method = in_project.groups()
            self._check_project(request, project)
            if location != LOCATIONS[host]:
                raise refuse(f"Location {location} is not served by {host}.")
            return self._asked(request, model, method)
        if request.method == "POST" and with_key is not None and host == DOMAIN:
            if request.header("x-goog-api-key") not in as_list(self.settings["keys"]):
                raise refuse("API keys are not supported by this API.", 401)
            return self._asked(request, *with_key.groups())
        raise refuse(f"The requested URL {request.path} was not found on this server.", 404)

    def _check_project(self, request: Request, project: str) -> None:
        account = as_object(as_object(self.settings["accounts"]).get(self.owner(request).app))
        if account.get("project") != project:
            text = "Permission 'aiplatform.endpoints.predict' denied on resource"
            raise refuse(f"{text} '//{DOMAIN}/projects/{project}' (or it may not exist).", 403)

    def _asked(self, request: Request, model: str, method: str) -> Ready:
        body = as_object(loads(request.body))
        if method != "countTokens":
            return self.models.receive(_bare(request, model, method, body))
        unknown = sorted(set(body) - COUNTED)
        if unknown:
            raise refuse(f'Invalid JSON payload received. Unknown name "{unknown[0]}": Cannot find field.')
        return self.models.receive(_bare(request, model, method, {"generateContentRequest": body}))

    # --- settings ---------------------------------------------------------------------------------------

    def configure(self, patch: JsonObject) -> None:
        """Change settings."""
        for key, value in patch.items():
            if key == "models":
                self.models.configure({"models": value})
            elif key in _DEFAULTS:
                self.settings[key] = value
            else:
                raise ValueError(f"unknown setting of Vertex AI: {key}")

    def state(self) -> JsonObject:
        """Settings, and how many tokens were got."""
        return {**self.settings, "tokens": self.tokens, "models": [*MODELS]}


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _bare(request: Request, model: str, method: str, body: JsonObject) -> Request:
    """The request as the public API would get it."""
    _, mark, query = request.target.partition("?")
    return evolve(request, target=f"/v1beta/models/{model}:{method}{mark}{query}", body=dumps(body))
