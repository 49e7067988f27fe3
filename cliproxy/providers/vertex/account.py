"""Service accounts: their file, its import, their access tokens.

A credential file holds the whole key file that Google made, with its private key brought into one form, and
beside it the project and the region to use::

    {"type": "vertex", "service_account": {…}, "project_id": "…", "email": "…", "location": "us-central1"}

``location`` may be edited. An access token is never in the file: the next one is a signature away.
"""

import re
from collections.abc import Mapping
from typing import Final

from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.credentials.naming import file_name
from cliproxy.errors import LoginError
from cliproxy.login.assertion import AssertionLogin, log_in_by_assertion
from cliproxy.login.code import expires_at
from cliproxy.login.keys import normal_key
from cliproxy.login.steps import AskFile, Flow
from cliproxy.providers.base import LoginInputs, LoginResult, SlotPolicy
from cliproxy.wire.jsontext import JsonError, JsonObject, JsonValue, child, loads_object, text
from cliproxy.wire.secret import Secret

KEY: Final = "vertex"
FLAG: Final = "vertex-import"
VENDOR: Final = "Google Cloud"
TOKEN_URL: Final = "https://oauth2.googleapis.com/token"
SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
DEFAULT_LOCATION: Final = "us-central1"
LEAD_S: Final = 60.0
FILE: Final = AskFile(key=FLAG, prompt="Path of the service account's key file")

_LOCATION: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_UNSAFE_IN_NAME: Final = str.maketrans({"/": "_", "\\": "_", ":": "_", " ": "-"})
_HINT: Final = (
    "Make one in the Google Cloud console: IAM, Service Accounts, the account, Keys, Add key, JSON. The "
    "account needs the role Vertex AI User."
)


# --- import -------------------------------------------------------------------------------------------------


def import_account(inputs: LoginInputs) -> Flow[LoginResult]:
    """Make a credential file out of the key file that the owner hands in."""
    location = inputs.options.get("location", "").strip().lower() or DEFAULT_LOCATION
    if not _LOCATION.fullmatch(location):
        raise LoginError(
            f"{location} is no region", code="bad_location", hint="Regions are spelled like us-central1."
        )
    raw = yield FILE
    assert isinstance(raw, bytes)
    account = service_account(raw)
    project, email = text(account, "project_id"), text(account, "client_email")
    data: JsonObject = {
        "type": KEY,
        "service_account": account,
        "project_id": project,
        "email": email,
        "location": location,
    }
    return LoginResult(
        file_name=file_name(KEY, project.translate(_UNSAFE_IN_NAME)),
        data=data,
        label=f"{project} ({email})",
        notes=(f"It is used in {location}; edit `location` in the file to change that.",),
    )


def service_account(raw: bytes) -> JsonObject:
    """Read a key file and bring its private key into one form. Raises
    :class:`~cliproxy.errors.LoginError`."""
    try:
        account = loads_object(raw.decode("utf-8-sig", "ignore"))
    except JsonError as exc:
        raise LoginError("the file is not a JSON object", code="bad_file", hint=_HINT) from exc
    for member in ("private_key", "client_email", "project_id"):
        account[member] = text(account, member).strip()
        if not account[member]:
            raise LoginError(
                f"the file is not a service account's key: it has no `{member}`", code="bad_file", hint=_HINT
            )
    if not token_url_of(account).startswith("https://"):
        raise LoginError("`token_uri` in the file is not an https address", code="bad_file", hint=_HINT)
    return {**account, "private_key": normal_key(text(account, "private_key"))}


def token_url_of(account: JsonObject) -> str:
    """Return where an account gets its access tokens."""
    return text(account, "token_uri").strip() or TOKEN_URL


# --- tokens -------------------------------------------------------------------------------------------------


def _none_yet(_credential: Credential) -> Token | None:
    return None


def renew(credential: Credential, _tokens: Mapping[TokenSlot, Token]) -> Flow[Token]:
    """Get an access token by signing for it."""
    account = child(credential.data, "service_account")
    login = AssertionLogin(
        vendor=VENDOR,
        token_url=token_url_of(account),
        issuer=text(account, "client_email"),
        scope=SCOPE,
        key=Secret(text(account, "private_key")),
        key_id=text(account, "private_key_id"),
    )
    try:
        tokens, now = yield from log_in_by_assertion(login)
    except LoginError as exc:
        if exc.code != "invalid_grant":
            raise
        # The usual advice, to log in again, is for people.
        raise LoginError(
            exc.message,
            code=exc.code,
            status=exc.status,
            hint="See whether the account and this key of it still exist, and whether this machine's clock "
            "is right.",
        ) from exc
    return Token(value=Secret(text(tokens, "access_token")), expires_at=expires_at(tokens, now))


SLOTS: Final = {TokenSlot.ACCOUNT: SlotPolicy(initial=_none_yet, renew=renew, lead_s=LEAD_S)}


# --- what the file says -------------------------------------------------------------------------------------


def project_of(data: Mapping[str, JsonValue]) -> str:
    """Return the project of a file; other programs name it ``project``, or in the key file alone."""
    return (
        text(data, "project_id")
        or text(data, "project")
        or text(child(data, "service_account"), "project_id")
    ).strip()


def location_of(data: Mapping[str, JsonValue]) -> str:
    """Return the region of a file."""
    return text(data, "location").strip().lower() or DEFAULT_LOCATION
