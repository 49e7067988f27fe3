"""Requests to Vertex AI. Their bodies are the Gemini API's, save that of a count, which has no envelope."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from attrs import frozen

from cliproxy.catalog import static
from cliproxy.catalog.model import ModelInfo
from cliproxy.credentials.model import Credential, TokenSlot
from cliproxy.dialects.base import Action, Framing
from cliproxy.errors import Failure
from cliproxy.providers.base import Call, Contract, own_headers
from cliproxy.providers.gemini import GENERATE, STREAM, counted, failure_of, generate_body
from cliproxy.providers.vertex.account import KEY, location_of, project_of
from cliproxy.wire.http import Headers, HttpCall, UpstreamCall
from cliproxy.wire.jsontext import dumps

HOST: Final = "aiplatform.googleapis.com"
VERSION: Final = "v1"
GLOBAL: Final = "global"
MULTI_REGIONS: Final = frozenset({"us", "eu"})
"""Locations of several regions; they have hosts of another form."""
_ACTIONS: Final = frozenset({Action.GENERATE, Action.IMAGE, Action.COUNT})


@frozen(kw_only=True)
class VertexContract:
    """The service, reached with an account's token or, without one, with a key."""

    id: str
    needs: TokenSlot | None
    dialect: str = "gemini"
    framing: Framing = Framing.SSE
    streams_only: bool = False

    def supports(self, action: Action) -> bool:
        """It generates, pictures included, and counts."""
        return action in _ACTIONS

    def prepare(self, call: Call) -> UpstreamCall:
        """Address the model; the owner's own headers have the last word."""
        headers = Headers({"Content-Type": "application/json", **_identity(call)})
        if call.action is Action.COUNT:
            method, body = "countTokens", dumps(counted(call.body))
        else:
            method, body = STREAM if call.stream else GENERATE, generate_body(call)
        return HttpCall(
            method="POST",
            url=f"{address_of(call.credential, call.model)}:{method}",
            headers=headers.merged(own_headers(call)),
            body=body,
            stream=call.stream,
        )

    def read_failure(self, status: int, _headers: Headers, body: bytes) -> Failure | None:
        """Tell the login, the project and the quota apart; the rest is judged by the general rules."""
        return failure_of(status, body)


def _identity(call: Call) -> Mapping[str, str]:
    if call.token is not None:
        return {"Authorization": f"Bearer {call.token.value.reveal()}"}
    key = call.credential.api_key
    return {"x-goog-api-key": key.reveal()} if key is not None else {}


def address_of(credential: Credential, model: str) -> str:
    """Return the address of a model; with a key the project is the key's."""
    name = quote(model.removeprefix("models/"), safe="/@.-_~")
    path = f"publishers/google/models/{name}"
    if credential.api_key is not None:
        return f"{credential.base_url.rstrip('/') or f'https://{HOST}'}/{VERSION}/{path}"
    location = quote(location_of(credential.data), safe="")
    project = quote(project_of(credential.data), safe=":")
    base = credential.base_url.rstrip("/") or f"https://{host_of(location)}"
    return f"{base}/{VERSION}/projects/{project}/locations/{location}/{path}"


def host_of(location: str) -> str:
    """Return the host that serves a location."""
    if location == GLOBAL:
        return HOST
    if location in MULTI_REGIONS:
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-{HOST}"


ACCOUNT: Final = VertexContract(id="service-account", needs=TokenSlot.ACCOUNT)
API_KEY: Final = VertexContract(id="api-key", needs=None)


def contracts_for(credential: Credential, model: str, _action: Action) -> tuple[Contract, ...]:
    """Return the way that a credential opens; none to models that only draw, which are asked otherwise."""
    if static.only_draws(credential, KEY, model):
        return ()
    return (API_KEY if credential.api_key is not None else ACCOUNT,)


def static_models(credential: Credential) -> tuple[ModelInfo, ...]:
    """Return the models of the entry, else the known ones that can be asked here."""
    known = static.models_of(credential, KEY)
    return tuple(info for info in known if info.output_modalities != ("image",))
