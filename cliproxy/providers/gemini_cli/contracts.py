"""Requests to Code Assist, what its refusals mean, and an account as one credential for each project.

The dialect has made the envelope; what is left to add is the project. A token count has no envelope and names
the model in the request.

Quotas are those of a project and a model. A refusal for lack of quota says when to come back, in the body: in
seconds for the quota of a minute, in hours for that of a day. A third kind is about Google's machines, not
about the account: no capacity for the model at the moment.
"""

from http import HTTPStatus
from typing import Final

from attrs import evolve, frozen

from cliproxy.catalog import static
from cliproxy.catalog.model import ModelInfo
from cliproxy.credentials.model import Credential, CredentialId, Token, TokenSlot
from cliproxy.dialects.base import Action, Framing
from cliproxy.dialects.gemini.canvas import on_canvas
from cliproxy.dialects.gemini.errors import GoogleError, is_long, read_error, read_refusal
from cliproxy.errors import Failure, Kind, Scope
from cliproxy.providers.base import Call, Contract, own_headers
from cliproxy.providers.gemini_cli.setup import CODE_ASSIST_URL
from cliproxy.providers.gemini_cli.tokens import PROJECT_MEMBER, projects_of
from cliproxy.wire.http import Headers, HttpCall, UpstreamCall
from cliproxy.wire.jsontext import Document, JsonError, JsonObject, child, dumps, text

KEY: Final = "gemini-cli"
HOST: Final = CODE_ASSIST_URL.partition("://")[2]
PROJECT: Final = "project"
"""Which of the account's projects a credential stands for, among its options."""
_METHODS: Final = {Action.GENERATE: "generateContent", Action.COUNT: "countTokens"}
_STREAM: Final = "streamGenerateContent?alt=sse"
_COUNTED: Final[tuple[str, ...]] = ("contents", "systemInstruction", "tools")
_UNSAFE_IN_ID: Final = str.maketrans({"/": "_", "\\": "_", " ": "_"})

_LONG_S: Final = 600.0
_PROJECT_REASONS: Final = frozenset(
    {
        "BILLING_DISABLED",
        "CONSUMER_INVALID",
        "CONSUMER_SUSPENDED",
        "IAM_PERMISSION_DENIED",
        "SECURITY_POLICY_VIOLATED",
        "SERVICE_DISABLED",
        "SUBSCRIPTION_REQUIRED",
        "USER_PROJECT_DENIED",
        "VALIDATION_REQUIRED",
    }
)
"""Why a project, or the account in it, may not use Code Assist at all."""


# --- projects ---


def expand(credential: Credential) -> tuple[Credential, ...]:
    """Return the credential of each project of an account; the account's own where it has only one."""
    projects = projects_of(credential.data)
    if len(projects) <= 1:
        return (credential,)
    return tuple(
        evolve(
            credential,
            id=CredentialId(f"{credential.id}::{project.translate(_UNSAFE_IN_ID)}"),
            part_of=credential.id,
            label=f"{credential.label} [{project}]",
            options={**credential.options, PROJECT: project},
        )
        for project in projects
    )


def project_of(credential: Credential, token: Token | None) -> str:
    """Return the project that a credential's calls are for: its own, the one its file names, or the one that
    was found with its token."""
    named = text(credential.options, PROJECT) or next(iter(projects_of(credential.data)), "")
    return named or (text(token.data, PROJECT_MEMBER) if token is not None else "")


# --- requests ---


@frozen
class CodeAssistContract:
    """Code Assist, reached with the account's token."""

    id: str = "code-assist"
    dialect: str = "gemini-cli"
    framing: Framing = Framing.SSE
    needs: TokenSlot | None = TokenSlot.ACCOUNT
    streams_only: bool = False
    base_url: str = CODE_ASSIST_URL

    def supports(self, action: Action) -> bool:
        """It generates and counts."""
        return action in _METHODS

    def prepare(self, call: Call) -> UpstreamCall:
        """Put the project into the envelope; the owner's own headers have the last word."""
        accept = "text/event-stream" if call.stream else "application/json"
        headers = Headers({"Content-Type": "application/json", "Accept": accept})
        if call.token is not None:
            headers = headers.with_field("Authorization", f"Bearer {call.token.value.reveal()}")
        method = _STREAM if call.stream and call.action is Action.GENERATE else _METHODS[call.action]
        base = (call.credential.base_url or self.base_url).rstrip("/")
        return HttpCall(
            method="POST",
            url=f"{base}/v1internal:{method}",
            headers=headers.merged(own_headers(call)),
            body=_count_body(call) if call.action is Action.COUNT else _generate_body(call),
            stream=call.stream,
        )

    def read_failure(self, status: int, _headers: Headers, body: bytes) -> Failure | None:
        """Tell quotas, capacity and unusable projects apart; the rest is judged by the general rules."""
        return failure_of(status, body)


def failure_of(status: int, body: bytes) -> Failure | None:
    """Read a refusal that the general rules would misjudge; ``None`` for any other."""
    try:
        error = read_error(read_refusal(body))
    except JsonError:
        return None
    verdict = _verdict(status, error)
    if verdict is None:
        return None
    kind, scope = verdict
    return Failure(
        kind=kind,
        scope=scope,
        message=error.message or f"the upstream answered with status {status}",
        status=status,
        code=error.reason or error.status or None,
        retry_after=error.retry_after,
    )


def _generate_body(call: Call) -> bytes:
    document = Document.parse(call.body)
    inner = child(document.value, "request")
    canvas = on_canvas(call.model, inner)
    drawn: JsonObject = {"request": {**inner, **canvas}} if canvas else {}
    return document.patch({PROJECT: project_of(call.credential, call.token), **drawn})


def _count_body(call: Call) -> bytes:
    inner = child(Document.parse(call.body).value, "request")
    counted = {name: inner[name] for name in _COUNTED if name in inner}
    return dumps({"request": {"model": f"models/{call.model}", **counted}})


def _verdict(status: int, error: GoogleError) -> tuple[Kind, Scope] | None:
    if status == HTTPStatus.FORBIDDEN and error.reason in _PROJECT_REASONS:
        return Kind.PERMISSION, Scope.CREDENTIAL
    if status != HTTPStatus.TOO_MANY_REQUESTS:
        return None
    if error.reason == "MODEL_CAPACITY_EXHAUSTED":
        return Kind.OVERLOADED, Scope.MODEL
    lasts = error.reason == "QUOTA_EXHAUSTED" or is_long(error) or (error.retry_after or 0.0) > _LONG_S
    return (Kind.QUOTA if lasts else Kind.RATE_LIMIT), Scope.MODEL


CONTRACT: Final = CodeAssistContract()


def contracts_for(_credential: Credential, _model: str, _action: Action) -> tuple[Contract, ...]:
    """Return the one way there is."""
    return (CONTRACT,)


def static_models(credential: Credential) -> tuple[ModelInfo, ...]:
    """Return the bundled models; the service has no list."""
    return static.models_of(credential, KEY)
