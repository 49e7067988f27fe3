"""The device login: show the owner a code, and ask the vendor again and again whether it was entered.

By RFC 8628. Two flows to be delegated to: :func:`begin` ends with the code to show, :func:`wait_for_tokens`
shows it and ends with the vendor's answer at the token endpoint; :func:`log_in` is both in a row.

The vendor names the pace and the end; ``slow_down`` makes the pace slower for good. A poll that gets no
answer at all says nothing about the owner and is repeated.
"""

from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from cliproxy.errors import LoginError
from cliproxy.login.code import body_of, one_line, post, tokens_of
from cliproxy.login.pkce import METHOD, Pkce, from_random
from cliproxy.login.steps import Flow, Now, Pause, Send, Show
from cliproxy.wire.http import HttpAnswer
from cliproxy.wire.jsontext import JsonObject, number, text

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:device_code"
SHORTEST_PACE_S: Final = 5.0
SLOWER_S: Final = 5.0
"""What ``slow_down`` adds to the pace."""
LONGEST_WAIT_S: Final = 900.0
_PASSING: Final = frozenset({"timeout", "unreachable"})
"""Codes of failed polls that say nothing about the login."""
_ENDS: Final[Mapping[str, tuple[str, str]]] = {
    "access_denied": ("denied", "access was declined"),
    "expired_token": ("timeout", "the code was not entered in time"),
}
"""Error codes that end the login: our code for them, and what to say."""


@frozen(kw_only=True)
class DeviceLogin:
    """What a vendor's device login looks like."""

    vendor: str
    """Name for messages."""
    device_url: str
    token_url: str
    client_id: str
    scope: str = ""
    uses_pkce: bool = False
    headers: Mapping[str, str] = field(factory=dict)
    longest_wait_s: float = LONGEST_WAIT_S


@frozen(kw_only=True)
class DeviceCode:
    """A code that waits to be entered."""

    device_code: str = field(repr=False)
    user_code: str
    url: str
    """Where to enter it; an address that already contains the code where the vendor has one."""
    pace_s: float
    expires_in: float
    """Seconds from its issue on."""
    pkce: Pkce | None = field(default=None, repr=False)


def log_in(login: DeviceLogin, verifier: str) -> Flow[JsonObject]:
    """Log in; ``verifier`` is fresh random text."""
    code = yield from begin(login, verifier)
    return (yield from wait_for_tokens(login, code))


def begin(login: DeviceLogin, verifier: str) -> Flow[DeviceCode]:
    """Ask the vendor for a code to show."""
    pkce = from_random(verifier) if login.uses_pkce else None
    fields = {"client_id": login.client_id}
    if login.scope:
        fields["scope"] = login.scope
    if pkce is not None:
        fields |= {"code_challenge": pkce.challenge, "code_challenge_method": METHOD}
    answer = yield Send(post(login.device_url, fields, login.headers))
    assert isinstance(answer, HttpAnswer)
    body = body_of(answer)
    device_code, url = text(body, "device_code"), _url(body)
    if not answer.is_success or not device_code or not url:
        reason = one_line(text(body, "error_description") or text(body, "error")) or f"status {answer.status}"
        raise LoginError(
            f"{login.vendor} gave no code for this device: {reason}", code="bad_answer", status=answer.status
        )
    life_s = float(number(body, "expires_in") or 0.0)
    return DeviceCode(
        device_code=device_code,
        user_code=text(body, "user_code"),
        url=url,
        pace_s=max(float(number(body, "interval") or 0.0), SHORTEST_PACE_S),
        expires_in=min(life_s, login.longest_wait_s) if life_s > 0 else login.longest_wait_s,
        pkce=pkce,
    )


def wait_for_tokens(login: DeviceLogin, code: DeviceCode) -> Flow[JsonObject]:
    """Show the code and wait until it was entered."""
    began = yield Now()
    yield Show(
        url=code.url,
        code=code.user_code,
        text=f"Sign in to {login.vendor}",
        expires_in=code.expires_in,
    )
    pace_s = code.pace_s
    while True:
        yield Pause(pace_s)
        answer = yield from _poll(login, code)
        if answer is not None:
            error = text(body_of(answer), "error")
            if error in _ENDS:
                our_code, reason = _ENDS[error]
                raise LoginError(f"{login.vendor} ended the login: {reason}", code=our_code)
            if error not in ("authorization_pending", "slow_down"):
                return tokens_of(answer, login.vendor)
            pace_s += SLOWER_S if error == "slow_down" else 0.0
        now = yield Now()
        if now - began >= code.expires_in:
            raise LoginError(f"{login.vendor}: the code was not entered in time", code="timeout")


def _poll(login: DeviceLogin, code: DeviceCode) -> Flow[HttpAnswer | None]:
    """Ask once whether the code was entered; ``None`` when there was no answer worth the name."""
    fields = {"grant_type": GRANT_TYPE, "client_id": login.client_id, "device_code": code.device_code}
    if code.pkce is not None:
        fields["code_verifier"] = code.pkce.verifier
    try:
        answer = yield Send(post(login.token_url, fields, login.headers))
    except LoginError as exc:
        if exc.code not in _PASSING:
            raise
        return None
    assert isinstance(answer, HttpAnswer)
    return None if answer.status >= 500 else answer  # noqa: PLR2004 - every server error passes


def _url(body: JsonObject) -> str:
    """Return where to enter the code; only addresses a browser may be sent to."""
    found = text(body, "verification_uri_complete") or text(body, "verification_uri")
    return found if found.startswith(("https://", "http://")) else ""
