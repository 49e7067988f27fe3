"""The login of a machine: an access token for a signed assertion (RFC 7523).

A service account has no owner who could agree to anything in a browser. It has a private key; whoever holds
that writes down who he is and what he wants, signs it, and gets an access token for an hour. There is no
refresh token: the next one is got in the same way.
"""

import base64
from typing import Final

from attrs import field, frozen

from cliproxy.login.code import post, tokens_of
from cliproxy.login.steps import Flow, Now, Send, Sign
from cliproxy.wire.http import HttpAnswer
from cliproxy.wire.jsontext import JsonObject, dumps
from cliproxy.wire.secret import Secret

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFE_S: Final = 3600
"""Life of an assertion; the longest that vendors take."""


@frozen(kw_only=True)
class AssertionLogin:
    """An account that logs in with its key."""

    vendor: str
    """Name for messages."""
    token_url: str
    issuer: str
    """Whose the key is."""
    scope: str
    key: Secret = field(repr=False)
    key_id: str = ""
    """Which of the account's keys it is."""


def log_in_by_assertion(login: AssertionLogin) -> Flow[tuple[JsonObject, float]]:
    """Get an access token; return the token endpoint's answer, and the time it was asked at. Raises
    :class:`~cliproxy.errors.LoginError`."""
    now = yield Now()
    message = assertion_of(login, now)
    signature = yield Sign(key=login.key, message=message)
    assertion = message + b"." + _base64(signature)
    fields = {"grant_type": GRANT_TYPE, "assertion": assertion.decode("ascii")}
    answer = yield Send(post(login.token_url, fields))
    assert isinstance(answer, HttpAnswer)
    return tokens_of(answer, login.vendor), now


def assertion_of(login: AssertionLogin, now: float) -> bytes:
    """Return what is to be signed: head and claims of a JSON web token."""
    head: JsonObject = {"alg": "RS256", "typ": "JWT"}
    if login.key_id:
        head["kid"] = login.key_id
    claims: JsonObject = {
        "iss": login.issuer,
        "scope": login.scope,
        "aud": login.token_url,
        "iat": int(now),
        "exp": int(now) + LIFE_S,
    }
    return _base64(dumps(head)) + b"." + _base64(dumps(claims))


def _base64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
