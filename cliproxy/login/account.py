"""What OAuth accounts of all vendors have in common: how their tokens stand in a credential file.

The members are those of the reference server's files: ``access_token``, ``refresh_token``, ``expired`` (the
access token's end), ``last_refresh``. Files of other programs spell the end differently, and some keep the
tokens in an object ``token``; all of that is read, only the first form is written.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Final

from cliproxy.credentials.model import Credential, Token
from cliproxy.credentials.times import rfc3339, unix_time
from cliproxy.errors import LoginError
from cliproxy.login.code import CodeLogin, expires_at, refresh
from cliproxy.login.steps import Flow, Now, Persist
from cliproxy.wire.jsontext import JsonError, JsonObject, JsonValue, child, loads_object, text
from cliproxy.wire.secret import Secret

ENDS: Final = ("expired", "expire", "expires_at", "expiresAt", "expiry", "expires")
"""Names of the access token's end, the first that can be read counts."""
_COPIED: Final = ("access_token", "refresh_token", "id_token", "token_type", "scope")


def members(tokens: JsonObject, now: float) -> dict[str, JsonValue]:
    """Return the members of a credential file that a token answer fills."""
    end = expires_at(tokens, now)
    copied: dict[str, JsonValue] = {name: text(tokens, name) for name in _COPIED if text(tokens, name)}
    return copied | {"expired": rfc3339(end) if end is not None else "", "last_refresh": rfc3339(now)}


def initial(credential: Credential) -> Token | None:
    """Return the access token in a credential's file; ``None`` when it has none."""
    data = credential.data
    inner = child(data, "token")
    access = text(data, "access_token") or text(inner, "access_token")
    return Token(value=Secret(access), expires_at=end_of(data)) if access else None


def end_of(data: Mapping[str, JsonValue]) -> float | None:
    """Return when the access token of a file ends, in Unix seconds."""
    places = (data, child(data, "token"))
    ends = (unix_time(place.get(name)) for place in places for name in ENDS)
    return next((end for end in ends if end is not None), None)


def refresh_token_of(credential: Credential) -> Secret:
    """Return the refresh token of a file. Raises :class:`~cliproxy.errors.LoginError` when it has none."""
    data = credential.data
    found = text(data, "refresh_token") or text(child(data, "token"), "refresh_token")
    if not found:
        raise LoginError("the credential holds no refresh token", code="not_renewable", hint="Log in again.")
    return Secret(found)


def _nothing_more(_tokens: JsonObject) -> Mapping[str, JsonValue]:
    return {}


def renewed(
    login: CodeLogin,
    credential: Credential,
    extra: Mapping[str, str] | None = None,
    kept: Callable[[JsonObject], Mapping[str, JsonValue]] = _nothing_more,
) -> Flow[tuple[Token, JsonObject]]:
    """Renew an account's token and have it saved before anybody uses it.

    ``extra`` are further fields for the token endpoint, ``kept`` says what else of its answer belongs into
    the file. Returns the token and the vendor's whole answer.
    """
    tokens = yield from refresh(login, refresh_token_of(credential), extra)
    now = yield Now()
    # Saved first: the refresh token it came from may be of no use any more.
    yield Persist(patch={**members(tokens, now), **kept(tokens)})
    token = Token(value=Secret(text(tokens, "access_token")), expires_at=expires_at(tokens, now))
    return token, tokens


def claims_of(token: str) -> JsonObject:
    """Return what a JSON web token says of its owner, unchecked: it came from its issuer over TLS.

    Empty for anything that is no such token.
    """
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - head, claims, signature
        return {}
    try:
        return loads_object(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, JsonError):
        return {}
