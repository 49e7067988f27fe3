"""The authorization-code login: send the owner to the vendor, get a code back, change it into tokens.

Two flows to be delegated to (``yield from``): :func:`authorize` ends with the code, :func:`exchange` with the
vendor's answer at the token endpoint. Between them a provider may do what its vendor wants differently.

The browser comes back to a listener on the loopback interface, or the owner pastes what the browser shows.
Pasted text may be the whole address, its query, ``code#state``, or the code alone. A pasted code alone
carries no state to be checked: that it belongs to this login is the word of its owner, who copied it, and
where the vendor has PKCE, of the verifier that only this process knows.
"""

import base64
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, urlencode

from attrs import field, frozen

from cliproxy.errors import LoginError
from cliproxy.login.pkce import METHOD, Pkce, from_random
from cliproxy.login.steps import AwaitCallback, Flow, OpenCallback, Send, Show
from cliproxy.wire import waits
from cliproxy.wire.http import Headers, HttpAnswer, HttpCall, Limits
from cliproxy.wire.jsontext import (
    JsonError,
    JsonObject,
    JsonValue,
    child,
    dumps,
    integer,
    loads_object,
    number,
    text,
)
from cliproxy.wire.secret import Secret

LOGIN_LIMITS: Final = Limits(connect=10.0, first_byte=30.0, idle=30.0, total=30.0)
"""Time limits of one request of a login or a renewal."""
FORM_TYPE: Final = "application/x-www-form-urlencoded"
JSON_TYPE: Final = "application/json"
MAX_REASON: Final = 300
SHORTEST_CODE: Final = 12
"""A single word that is shorter is a slip of the keyboard; codes are long, so that nobody guesses them."""
_PARAMETERS: Final = ("code", "state", "error", "error_description")
_DENIALS: Final = frozenset({"access_denied", "user_denied"})
SHORTEST_ASKED_S: Final = 5.0
LONGEST_ASKED_S: Final = 300.0
"""Bounds of the pause that a token endpoint may ask for."""
_FINAL: Final[Mapping[str, str]] = {
    "invalid_grant": "invalid_grant",
    "refresh_token_expired": "invalid_grant",
    "refresh_token_invalidated": "invalid_grant",
    "refresh_token_reused": "invalid_grant",
    "invalid_client": "invalid_client",
    "unauthorized_client": "invalid_client",
    "invalid_scope": "missing_scope",
}
"""Error codes of token endpoints that no repetition cures, and our codes for them."""


@frozen(kw_only=True)
class CodeLogin:
    """What a vendor's authorization-code login looks like. The defaults are those of RFC 6749 and 7636."""

    vendor: str
    """Name for messages."""
    authorize_url: str
    token_url: str
    client_id: str
    client_secret: Secret | None = None
    scope: str = ""
    callback_port: int
    callback_path: str = "/callback"
    host_in_url: str = "localhost"
    extra: Mapping[str, str] = field(factory=dict)
    """Further query parameters of the authorization URL."""
    redirect_url: str = ""
    """The only one the vendor accepts, even if the listener was moved to another port; empty: where it is."""
    response_type: str = "code"
    """Empty: the vendor does not want to be told."""
    redirect_name: str = "redirect_uri"
    """Name of that parameter in the authorization URL."""
    uses_pkce: bool = True
    is_json: bool = False
    """The token endpoint takes JSON in place of a form."""
    sends_state: bool = False
    """The token endpoint wants the state too."""
    headers: Mapping[str, str] = field(factory=dict)
    """Further headers for the token endpoint."""
    uses_basic: bool = False
    """The client id and secret go into the ``Authorization`` header as well."""


@frozen(kw_only=True)
class Granted:
    """A code, with what is needed to change it into tokens."""

    code: Secret
    redirect_url: str
    pkce: Pkce = field(repr=False)
    state: str = field(repr=False)


def authorize(login: CodeLogin, state: str, verifier: str) -> Flow[Granted]:
    """Send the owner to the vendor and wait for the code. ``state`` and ``verifier`` are fresh random
    texts."""
    pkce = from_random(verifier)
    opened = yield OpenCallback(
        port=login.callback_port, path=login.callback_path, host_in_url=login.host_in_url
    )
    assert isinstance(opened, str)
    redirect = login.redirect_url or opened
    query = {
        "client_id": login.client_id,
        **({"response_type": login.response_type} if login.response_type else {}),
        login.redirect_name: redirect,
        **({"scope": login.scope} if login.scope else {}),
        "state": state,
        **({"code_challenge": pkce.challenge, "code_challenge_method": METHOD} if login.uses_pkce else {}),
        **login.extra,
    }
    yield Show(url=f"{login.authorize_url}?{urlencode(query)}", text=f"Sign in to {login.vendor}")
    parameters = yield AwaitCallback(path=login.callback_path)
    code = _checked_code(parameters, state, login.vendor)
    return Granted(code=Secret(code), redirect_url=redirect, pkce=pkce, state=state)


def _checked_code(parameters: Mapping[str, str], state: str, vendor: str) -> str:
    error = parameters.get("error", "")
    if error:
        code = "denied" if error in _DENIALS else "refused"
        reason = parameters.get("error_description") or ("access was declined" if code == "denied" else error)
        raise LoginError(f"{vendor} ended the login: {one_line(reason)}", code=code)
    if "state" in parameters and parameters["state"] != state:
        raise LoginError(
            f"the answer does not belong to this login at {vendor} (the state differs)",
            code="state_mismatch",
            hint="Start the login again and use only the newest browser tab.",
        )
    if not parameters.get("code"):
        raise LoginError(f"{vendor} sent no code", code="bad_answer")
    return parameters["code"]


def exchange(login: CodeLogin, granted: Granted) -> Flow[JsonObject]:
    """Change a code into tokens at the token endpoint."""
    form = {
        "grant_type": "authorization_code",
        "client_id": login.client_id,
        "code": granted.code.reveal(),
        "redirect_uri": granted.redirect_url,
        **({"code_verifier": granted.pkce.verifier} if login.uses_pkce else {}),
        **({"state": granted.state} if login.sends_state else {}),
    }
    return (yield from ask_for_tokens(login, form))


def refresh(
    login: CodeLogin, refresh_token: Secret, extra: Mapping[str, str] | None = None
) -> Flow[JsonObject]:
    """Change a refresh token into new tokens; ``extra`` are further fields, such as ``scope``."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token.reveal(), **(extra or {})}
    if login.client_id:
        form["client_id"] = login.client_id
    return (yield from ask_for_tokens(login, form))


def ask_for_tokens(login: CodeLogin, form: Mapping[str, str]) -> Flow[JsonObject]:
    """Send a form to the token endpoint; the client secret is added where there is one."""
    fields = dict(form)
    headers = dict(login.headers)
    secret = login.client_secret
    if secret:
        fields["client_secret"] = secret.reveal()
    if secret and login.uses_basic:
        pair = f"{login.client_id}:{secret.reveal()}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode('ascii')}"
    answer = yield Send(post(login.token_url, fields, headers, is_json=login.is_json))
    assert isinstance(answer, HttpAnswer)
    return tokens_of(answer, login.vendor)


def post(
    url: str,
    fields: Mapping[str, JsonValue],
    headers: Mapping[str, str] | None = None,
    *,
    is_json: bool = False,
) -> HttpCall:
    """Make a request with fields, as a form or as JSON, under the limits of a login."""
    own = {"Content-Type": JSON_TYPE if is_json else FORM_TYPE, "Accept": JSON_TYPE}
    body = dumps(dict(fields)) if is_json else urlencode(fields).encode("ascii")
    return HttpCall(
        method="POST", url=url, headers=Headers({**own, **(headers or {})}), body=body, limits=LOGIN_LIMITS
    )


def get(url: str, headers: Mapping[str, str] | None = None) -> HttpCall:
    """Make a request for JSON under the limits of a login."""
    return HttpCall(
        method="GET", url=url, headers=Headers({"Accept": JSON_TYPE, **(headers or {})}), limits=LOGIN_LIMITS
    )


def body_of(answer: HttpAnswer) -> JsonObject:
    """Return the object of an answer; an empty one when there is none."""
    try:
        return loads_object(answer.body)
    except JsonError:
        return {}


def tokens_of(answer: HttpAnswer, vendor: str) -> JsonObject:
    """Read a token endpoint's answer. Raises :class:`~cliproxy.errors.LoginError` unless it brought an access
    token."""
    body = body_of(answer)
    if not answer.is_success or "error" in body:
        raise _token_error(answer, body, vendor)
    if not text(body, "access_token"):
        raise LoginError(
            f"{vendor} answered without an access token", code="bad_answer", status=answer.status
        )
    return body


def _token_error(answer: HttpAnswer, body: JsonObject, vendor: str) -> LoginError:
    status = answer.status
    error, reason = _named_error(body)
    reason = one_line(reason) or f"status {status}"
    if error in _FINAL:
        code = _FINAL[error]
        return LoginError(
            f"{vendor} refused the login data: {reason}",
            code=code,
            status=status,
            hint=_HINTS.get(error) or _HINTS[code],
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return LoginError(
            f"{vendor} limits the rate of logins: {reason}",
            code="rate_limited",
            status=status,
            retry_after=_asked_pause(answer.headers),
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return LoginError(f"{vendor} is not available: {reason}", code="unreachable", status=status)
    return LoginError(f"{vendor} refused to hand out a token: {reason}", code="refused", status=status)


def _named_error(body: JsonObject) -> tuple[str, str]:
    """Return the error's code and what there is to say about it.

    RFC 6749 has two texts; some vendors answer in the form of their APIs, with an object in place of the
    first.
    """
    inner = child(body, "error")
    if not inner:
        error = text(body, "error")
        return error, text(body, "error_description") or error
    code = text(inner, "code") or text(inner, "type")
    return code, text(inner, "message") or code


def _asked_pause(headers: Headers) -> float | None:
    """Return the pause of ``Retry-After`` in seconds, bounded: it is a stranger's word about our patience."""
    asked = waits.asked(headers, waits.moment(headers.get("date")))
    return None if asked is None else min(max(asked, SHORTEST_ASKED_S), LONGEST_ASKED_S)


_HINTS: Final[Mapping[str, str]] = {
    "invalid_grant": "The login has ended or was used elsewhere: log in again.",
    "invalid_client": "Check the application's client id and secret, and whether it is a confidential one.",
    "unauthorized_client": "Check the application's client id and that it allows authorization codes.",
    "missing_scope": "Add the scope to the application, then log in again.",
}


def expires_at(tokens: JsonObject, now: float) -> float | None:
    """Return the end of an access token in Unix seconds, from ``created_at`` and ``expires_in``."""
    lifetime = number(tokens, "expires_in")
    if lifetime is None or lifetime <= 0:
        return None
    created = integer(tokens, "created_at")
    # A server's clock that differs from ours would make a fresh token look old.
    begin = float(created) if created is not None and abs(created - now) < lifetime / 2 else now
    return begin + lifetime


def parse_pasted(pasted: str) -> dict[str, str]:
    """Read what an owner pasted: an address, a query, ``code#state`` or a code.

    The result has no ``state`` only for a code alone. Raises :class:`~cliproxy.errors.LoginError`.
    """
    given = pasted.strip().strip("\"'")
    if not given:
        raise LoginError("nothing was pasted", code="nothing_pasted")
    found = {} if any(c.isspace() for c in given) else _answer_in(given)
    if not found.get("code") and not found.get("error"):
        raise LoginError(
            "there is neither a code nor an address with one in the pasted text", code="bad_paste"
        )
    return found


def _answer_in(given: str) -> dict[str, str]:
    query = _query_of(given)
    if query is None:
        code, mark, state = given.partition("#")
        if mark:
            return {"code": code, "state": state}
        return {"code": code} if len(code) >= SHORTEST_CODE else {}
    found = {key: value for key, value in query.items() if key in _PARAMETERS and value}
    code, mark, state = found.get("code", "").partition("#")
    if mark and not found.get("state"):
        found |= {"code": code, "state": state}
    if "error" not in found and "error_description" in found:
        found["error"] = found["error_description"]
    return {"state": "", **found}


def _query_of(given: str) -> dict[str, str] | None:
    """Return the parameters of an address or query; ``None`` when the text is neither."""
    _, is_address, rest = given.partition("://")
    bare = given.removeprefix("?")
    if bare.split("=", 1)[0] in _PARAMETERS:
        rest = f"?{bare}"
    elif not is_address:
        rest = given
    before, _, fragment = rest.partition("#")
    _, has_query, query = before.partition("?")
    if not is_address and not has_query:
        return None
    return dict(parse_qsl(fragment)) | dict(parse_qsl(query))


def one_line(message: str) -> str:
    """Return a vendor's text fit for a message: one line, bounded, without control characters."""
    printable = "".join(c if c.isprintable() else " " for c in message)
    return " ".join(printable.split())[:MAX_REASON]
