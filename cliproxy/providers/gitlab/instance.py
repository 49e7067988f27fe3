"""Talk to one GitLab instance: its address, its REST calls, and what its refusals mean.

An instance is named by its base URL, which may have a path (an installation below ``https://host/gitlab``)
and may be plain ``http`` in a private network. Refusals are judged by the place of the call as much as by
the status: a 403 from ``/user`` is about the token, a 403 from a Duo endpoint is about the seat.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from cliproxy.credentials.model import Credential
from cliproxy.errors import LoginError
from cliproxy.login.code import LOGIN_LIMITS, body_of, one_line
from cliproxy.wire import waits
from cliproxy.wire.http import Headers, HttpAnswer, HttpCall
from cliproxy.wire.jsontext import JsonValue, dumps, dumps_text, text
from cliproxy.wire.secret import Secret

DEFAULT_URL: Final = "https://gitlab.com"
SCOPE: Final = "api"
"""The one scope that opens every Duo endpoint; ``read_user`` and ``ai_features`` do not."""
SEAT_HINT: Final = "It needs a GitLab Duo seat, and Duo switched on for the instance or group."
NO_ACCESS_S: Final = 1500.0
"""How long an entitlement that is missing is taken to stay missing."""
TROUBLE_S: Final = 60.0
_API: Final = "/api/v4"


def normal_url(given: str) -> str:
    """Return the base URL of an instance as it is stored. Raises :class:`~cliproxy.errors.LoginError`."""
    url = given.strip() or DEFAULT_URL
    url = (url if "://" in url else f"https://{url}").rstrip("/").removesuffix(_API).rstrip("/")
    if not _is_base(url):
        # A name or password in it is not repeated.
        shown = given.strip().rpartition("@")[2]
        raise LoginError(
            f"{shown} is not the address of a GitLab instance",
            code="unknown_instance",
            hint="It looks like https://gitlab.example.com or https://example.com/gitlab.",
        )
    return url


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # A port that is no number is found out when it is asked for.
        _ = parts.port
    except ValueError:
        return False
    is_plain = not (parts.query or parts.fragment or "@" in parts.netloc or any(map(str.isspace, url)))
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and is_plain


def instance_of(credential: Credential) -> str:
    """Return the base URL of a credential's instance."""
    return (credential.base_url or text(credential.data, "base_url") or DEFAULT_URL).rstrip("/")


def setting_of(credential: Credential, name: str) -> str:
    """Return a setting the owner made in the credential file or the configuration entry; empty: none.

    Both spellings are taken: ``rest_fallback``, as in credential files, and ``rest-fallback``, as in the
    configuration.
    """
    holders = (credential.data, credential.options)
    names = (name, name.replace("_", "-"))
    found = (text(holder, spelled).strip() for holder in holders for spelled in names)
    return next((value for value in found if value), "")


def token_page(instance: str) -> str:
    """Return where an owner creates a personal access token with the scope that is needed."""
    return f"{instance}/-/user_settings/personal_access_tokens?scopes={SCOPE}"


def api_call(
    instance: str, path: str, token: Secret, *, method: str = "POST", body: JsonValue = None
) -> HttpCall:
    """Return a REST call. A ``body`` of ``None`` is none at all."""
    fields = {"Authorization": f"Bearer {token.reveal()}", "Accept": "application/json"}
    return HttpCall(
        method=method,
        url=f"{instance}{_API}{path}",
        headers=Headers(fields if body is None else fields | {"Content-Type": "application/json"}),
        body=b"" if body is None else dumps(body),
        limits=LOGIN_LIMITS,
    )


def reason_of(answer: HttpAnswer) -> str:
    """Return what a refusal says, fit for a message."""
    body = body_of(answer)
    message = body.get("message")
    if isinstance(message, dict):
        message = dumps_text(message)
    said = (
        text(body, "error_description")
        or (message if isinstance(message, str) else "")
        or text(body, "error")
    )
    return one_line(said) or f"status {answer.status}"


def retry_after_of(headers: Headers, otherwise: float) -> float:
    """Return the seconds a refusal asks to wait."""
    now = waits.moment(headers.get("date"))
    asked = waits.asked(headers, now)
    if asked is None:
        asked = waits.windows(headers, now)
    return otherwise if asked is None else asked


def account_error(answer: HttpAnswer, instance: str) -> LoginError:
    """Read a refusal of ``/user``: something is wrong with the token or with the address."""
    status, reason = answer.status, reason_of(answer)
    if status == HTTPStatus.UNAUTHORIZED:
        is_told = any(word in reason.lower() for word in ("expired", "revoked"))
        why = "" if is_told else "It is mistyped, has expired or was revoked. "
        return LoginError(
            f"the token is refused by {instance}: {reason}",
            code="expired",
            status=status,
            hint=f"{why}Log in again; a new token is made at {token_page(instance)}",
        )
    if status == HTTPStatus.FORBIDDEN:
        if text(body_of(answer), "error") == "insufficient_scope":
            return missing_scope(instance, status)
        return LoginError(
            f"the account may not use the API of {instance}: {reason}", code="denied", status=status
        )
    passing = _passing_error(answer, instance, reason)
    return passing or LoginError(
        f"{instance} does not answer like a GitLab instance ({_strangeness(answer)})",
        code="unknown_instance",
        status=status,
        hint="Check the address, including the path of an installation below one.",
    )


def duo_error(answer: HttpAnswer, instance: str, what: str) -> LoginError:
    """Read a refusal of a Duo endpoint that hands out tokens: something is not available to the account.

    Such a failure is about this way of access only, so its codes never condemn the account.
    """
    status, reason = answer.status, reason_of(answer)
    if status == HTTPStatus.UNAUTHORIZED:
        return LoginError(
            f"{instance} refuses the token for {what}: {reason}", code="token_rejected", status=status
        )
    if status == HTTPStatus.FORBIDDEN:
        return _forbidden(answer, instance, what, reason)
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}:
        return LoginError(
            f"{what} cannot be found on {instance} (its version or edition lacks it)",
            code="not_available",
            status=status,
            retry_after=NO_ACCESS_S,
        )
    pause = retry_after_of(answer.headers, TROUBLE_S)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return LoginError(
            f"{instance} limits how often {what} may be asked for: {reason}",
            code="rate_limited",
            status=status,
            retry_after=pause,
        )
    return LoginError(
        f"{what} cannot be had from {instance} at present: {reason}",
        code="unavailable",
        status=status,
        retry_after=pause,
    )


def _forbidden(answer: HttpAnswer, instance: str, what: str, reason: str) -> LoginError:
    if text(body_of(answer), "error") == "insufficient_scope":
        return missing_scope(instance, answer.status)
    lowered = reason.lower()
    if "direct connection" in lowered or "direct access" in lowered:
        return LoginError(
            f"direct connections are switched off on {instance}: {reason}",
            code="disabled",
            status=answer.status,
            hint="An administrator can allow them in the GitLab Duo settings.",
            retry_after=NO_ACCESS_S,
        )
    return LoginError(
        f"the account has no access to {what} on {instance}: {reason}",
        code="no_seat",
        status=answer.status,
        hint=SEAT_HINT,
        retry_after=NO_ACCESS_S,
    )


def missing_scope(instance: str, status: int = 0, has: str = "") -> LoginError:
    """Say that the token lacks the scope."""
    held = f" (it has {has})" if has else ""
    return LoginError(
        f"the token lacks the scope {SCOPE} that GitLab Duo on {instance} needs{held}",
        code="missing_scope",
        status=status,
        hint=f"Create a token with that scope at {token_page(instance)}, or add it to the OAuth application.",
    )


def _passing_error(answer: HttpAnswer, instance: str, reason: str) -> LoginError | None:
    status = answer.status
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        pause = retry_after_of(answer.headers, TROUBLE_S)
        return LoginError(
            f"{instance} limits the rate: {reason}", code="rate_limited", status=status, retry_after=pause
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return LoginError(f"{instance} is not available: {reason}", code="unreachable", status=status)
    return None


def _strangeness(answer: HttpAnswer) -> str:
    location = urlsplit(answer.headers.get("location")).hostname
    if location:
        return f"it redirects to {location}"
    kind = answer.headers.get("content-type").partition(";")[0]
    return f"status {answer.status}{f', {one_line(kind)}' if kind else ''}"


def text_map(values: Mapping[str, JsonValue]) -> dict[str, str]:
    """Return the members of an object that are filled texts."""
    return {
        name.strip(): value.strip()
        for name, value in values.items()
        if isinstance(value, str) and name.strip() and value.strip()
    }
