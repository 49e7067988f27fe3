"""The logins of a ChatGPT account: in the browser, by a code, or taken over from the vendor's command line.

The login by a code is the vendor's own, not RFC 8628::

    POST …/deviceauth/usercode   {"client_id"}                     → device_auth_id, user_code, interval
    POST …/deviceauth/token      {"device_auth_id", "user_code"}   → 403 or 404 until it was entered, then
                                                                     authorization_code, code_verifier

What it ends with is an authorization code like that of the browser, with a verifier the *vendor* made up; it
is changed into tokens in the same way.
"""

from http import HTTPStatus
from typing import Final

from attrs import field, frozen

from cliproxy.credentials.times import unix_time
from cliproxy.errors import LoginError
from cliproxy.login.code import Granted, authorize, body_of, exchange, one_line, post
from cliproxy.login.device import SHORTEST_PACE_S, SLOWER_S
from cliproxy.login.pkce import Pkce
from cliproxy.login.steps import Flow, Now, Pause, Send, Show
from cliproxy.providers.base import Import, LoginInputs, LoginResult
from cliproxy.providers.codex.account import CLIENT_ID, ISSUER, LOGIN, VENDOR, result_of
from cliproxy.wire.http import HttpAnswer
from cliproxy.wire.jsontext import JsonObject, child, number, text
from cliproxy.wire.secret import Secret

CODE_URL: Final = f"{ISSUER}/api/accounts/deviceauth/usercode"
POLL_URL: Final = f"{ISSUER}/api/accounts/deviceauth/token"
ENTRY_URL: Final = f"{ISSUER}/codex/device"
DEVICE_REDIRECT: Final = f"{ISSUER}/deviceauth/callback"
LONGEST_WAIT_S: Final = 900.0
_PENDING: Final = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
_PASSING: Final = frozenset({"timeout", "unreachable"})
"""Codes of failed polls that say nothing about the login."""
_ANOTHER_WAY: Final = "Log in with -codex-login."


def browser_login(inputs: LoginInputs) -> Flow[LoginResult]:
    """Log in through the browser. The vendor accepts one redirect address, so a listener that was moved to
    another port needs a forwarded one, or a pasted address."""
    granted = yield from authorize(LOGIN, inputs.random_token(), inputs.random_token())
    tokens = yield from exchange(LOGIN, granted)
    return result_of(tokens, inputs.now())


# --- by a code ----------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class _Code:
    """A code that waits to be entered."""

    id: str = field(repr=False)
    user_code: str
    pace_s: float


def device_login(inputs: LoginInputs) -> Flow[LoginResult]:
    """Log in with a code that the owner enters in any browser."""
    code = yield from _begin()
    yield Show(url=ENTRY_URL, code=code.user_code, text=f"Sign in to {VENDOR}", expires_in=LONGEST_WAIT_S)
    granted = yield from _wait(code)
    tokens = yield from exchange(LOGIN, granted)
    return result_of(tokens, inputs.now())


def _begin() -> Flow[_Code]:
    answer = yield Send(post(CODE_URL, {"client_id": CLIENT_ID}, is_json=True))
    assert isinstance(answer, HttpAnswer)
    if answer.status == HTTPStatus.NOT_FOUND:
        raise LoginError(
            f"{VENDOR} offers no login by a code at present",
            code="not_available",
            hint=_ANOTHER_WAY,
            status=answer.status,
        )
    body = body_of(answer)
    code = _Code(
        id=text(body, "device_auth_id"),
        user_code=text(body, "user_code") or text(body, "usercode"),
        pace_s=max(_seconds(body), SHORTEST_PACE_S),
    )
    if not answer.is_success or not code.id or not code.user_code:
        raise _refused("gave no code for this device", answer)
    return code


def _seconds(body: JsonObject) -> float:
    """Return the pace, which comes as a number or as a text."""
    said = text(body, "interval").strip()
    if said.isascii() and said.isdigit():
        return float(said)
    return float(number(body, "interval") or 0.0)


def _wait(code: _Code) -> Flow[Granted]:
    """Ask until the code was entered, at once for the first time."""
    began = yield Now()
    pace_s = code.pace_s
    while True:
        answer = yield from _poll(code)
        if answer is not None and answer.is_success:
            return _granted(answer)
        if answer is not None and answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            pace_s += SLOWER_S
        elif answer is not None and answer.status not in _PENDING:
            raise _refused("ended the login", answer)
        yield Pause(pace_s)
        now = yield Now()
        if now - began >= LONGEST_WAIT_S:
            raise LoginError(f"{VENDOR}: the code was not entered in time", code="timeout")


def _poll(code: _Code) -> Flow[HttpAnswer | None]:
    """Ask once; ``None`` when there was no answer worth the name."""
    fields = {"device_auth_id": code.id, "user_code": code.user_code}
    try:
        answer = yield Send(post(POLL_URL, fields, is_json=True))
    except LoginError as exc:
        if exc.code not in _PASSING:
            raise
        return None
    assert isinstance(answer, HttpAnswer)
    return None if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR else answer


def _granted(answer: HttpAnswer) -> Granted:
    body = body_of(answer)
    code, verifier = text(body, "authorization_code"), text(body, "code_verifier")
    if not code or not verifier:
        raise _refused("confirmed the login without a code", answer)
    pkce = Pkce(verifier, text(body, "code_challenge"))
    return Granted(code=Secret(code), redirect_url=DEVICE_REDIRECT, pkce=pkce, state="")


def _refused(what: str, answer: HttpAnswer) -> LoginError:
    error = child(body_of(answer), "error")
    reason = one_line(text(error, "message")) or f"status {answer.status}"
    return LoginError(
        f"{VENDOR} {what}: {reason}", code="bad_answer", hint=_ANOTHER_WAY, status=answer.status
    )


# --- taken over ---------------------------------------------------------------------------------------------


def take_over(document: JsonObject, _inputs: LoginInputs) -> Flow[LoginResult]:
    """Make a credential file of the command line's ``auth.json``."""
    tokens = child(document, "tokens")
    if not text(tokens, "refresh_token") and not text(tokens, "access_token"):
        has_key = bool(text(document, "OPENAI_API_KEY"))
        raise LoginError(
            "the file holds an API key and no account" if has_key else "the file holds no account",
            code="nothing_to_import",
            hint="A key belongs under `codex-api-key` in config.yaml." if has_key else _ANOTHER_WAY,
        )
    now = yield Now()
    refreshed = unix_time(document.get("last_refresh"))
    return result_of(tokens, refreshed if refreshed is not None else now)


IMPORT: Final = Import(
    program="Codex CLI", home="CODEX_HOME", directory=".codex", file="auth.json", flow=take_over
)
