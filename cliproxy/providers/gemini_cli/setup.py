"""Setting up an account: its projects, Code Assist for one of them, and the API switched on.

All of it is flows with the account's access token. Code Assist is told by ``loadCodeAssist`` which tier an
account has, and set up by ``onboardUser``, which is asked again until it is done. An account that names no
project gets one from Google, if its tier is one for individuals.

Google may set up another project than was asked for: behind a project of AI Studio stands one of its own, and
accounts for free are moved to that. Which of the two is used is the owner's choice where both are open to
him.
"""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

from attrs import frozen

from cliproxy.dialects.gemini.errors import read_error
from cliproxy.errors import LoginError
from cliproxy.login.code import body_of, get, one_line, post
from cliproxy.login.steps import Ask, Flow, Pause, Send
from cliproxy.wire.http import HttpAnswer, HttpCall
from cliproxy.wire.jsontext import JsonObject, child, flag, objects, text
from cliproxy.wire.secret import Secret

CODE_ASSIST_URL: Final = "https://cloudcode-pa.googleapis.com"
USER_INFO_URL: Final = "https://www.googleapis.com/oauth2/v1/userinfo?alt=json"
PROJECTS_URL: Final = "https://cloudresourcemanager.googleapis.com/v1/projects"
SERVICES_URL: Final = "https://serviceusage.googleapis.com/v1"
SERVICE: Final = "cloudaicompanion.googleapis.com"
METADATA: Final[JsonObject] = {
    "ideType": "IDE_UNSPECIFIED",
    "platform": "PLATFORM_UNSPECIFIED",
    "pluginType": "GEMINI",
}
LEGACY_TIER: Final = "legacy-tier"
MAX_PAGES: Final = 20
PROVISION_EVERY_S: Final = 2.0
PROVISION_LIMIT_S: Final = 30.0
ONBOARD_EVERY_S: Final = 5.0
ONBOARD_LIMIT_S: Final = 300.0
_MADE_BY_AI_STUDIO: Final = "gen-lang-client-"
_FREE: Final = frozenset({"free", "legacy"})
_CODES: Final = {
    HTTPStatus.UNAUTHORIZED: "token_rejected",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limited",
}


@frozen
class Project:
    """One Cloud project of an account."""

    id: str
    name: str = ""


# --- requests ---


def ask_for(call: HttpCall, what: str) -> Flow[JsonObject]:
    """Send a request and return the object it is answered with. Raises
    :class:`~cliproxy.errors.LoginError`, which says ``what`` was refused."""
    answer = yield Send(call)
    assert isinstance(answer, HttpAnswer)
    body = body_of(answer)
    if answer.is_success:
        return body
    code = _CODES.get(HTTPStatus(answer.status)) if answer.status in set(HTTPStatus) else None
    if code is None:
        code = "unreachable" if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "refused"
    reason = one_line(read_error(body).message) or f"status {answer.status}"
    raise LoginError(f"{what} was refused: {reason}", code=code, status=answer.status)


def bearer(access: Secret) -> dict[str, str]:
    """Return the header that carries an access token."""
    return {"Authorization": f"Bearer {access.reveal()}"}


def code_assist(
    access: Secret, method: str, body: JsonObject, base_url: str = CODE_ASSIST_URL
) -> Flow[JsonObject]:
    """Call a method of Code Assist. Raises :class:`~cliproxy.errors.LoginError`."""
    call = post(f"{base_url}/v1internal:{method}", body, bearer(access), is_json=True)
    return (yield from ask_for(call, f"Code Assist's {method}"))


def email_of(access: Secret) -> Flow[str]:
    """Return whose the account is; empty when Google does not say."""
    try:
        info = yield from ask_for(get(USER_INFO_URL, bearer(access)), "the user info")
    except LoginError:
        return ""
    return text(info, "email").strip()


def list_projects(access: Secret) -> Flow[tuple[Project, ...]]:
    """Return the account's living projects. Raises :class:`~cliproxy.errors.LoginError`."""
    found: list[Project] = []
    page = ""
    for _ in range(MAX_PAGES):
        url = f"{PROJECTS_URL}?pageToken={page}" if page else PROJECTS_URL
        body = yield from ask_for(get(url, bearer(access)), "the list of projects")
        found += _projects_in(body)
        page = text(body, "nextPageToken")
        if not page:
            break
    return tuple(found)


def _projects_in(body: JsonObject) -> Iterator[Project]:
    for item in objects(body, "projects"):
        if text(item, "projectId") and text(item, "lifecycleState") in ("", "ACTIVE"):
            yield Project(text(item, "projectId"), text(item, "name"))


# --- Code Assist for a project ---


def set_up(access: Secret, wanted: str = "") -> Flow[str]:
    """Set up a project for Code Assist, or whichever Google gives the account; return its id.

    Raises :class:`~cliproxy.errors.LoginError`.
    """
    known: JsonObject = {"cloudaicompanionProject": wanted} if wanted else {}
    loaded = yield from code_assist(access, "loadCodeAssist", {"metadata": METADATA, **known})
    tier = default_tier(loaded)
    asked: JsonObject = {"tierId": tier, "metadata": METADATA}
    project = wanted or project_in(loaded)
    if not project:
        made = yield from _until_done(access, asked, PROVISION_EVERY_S, PROVISION_LIMIT_S)
        project = project_in(child(made, "response"))
    if not project:
        raise needs_project(loaded)
    asked["cloudaicompanionProject"] = project
    done = yield from _until_done(access, asked, ONBOARD_EVERY_S, ONBOARD_LIMIT_S)
    if not done:
        raise LoginError(f"Code Assist was not set up for {project} in time", code="timeout")
    final = project_in(child(done, "response")) or project
    if wanted and final.lower() != wanted.lower():
        return (yield from _one_of_two(final, wanted, tier))
    return final


def own_project(access: Secret) -> Flow[str]:
    """Return the project that Google keeps for an account. Raises :class:`~cliproxy.errors.LoginError`."""
    loaded = yield from code_assist(access, "loadCodeAssist", {"metadata": METADATA})
    project = project_in(loaded)
    if not project:
        raise needs_project(loaded)
    return project


def _until_done(access: Secret, body: JsonObject, every: float, limit: float) -> Flow[JsonObject]:
    """Ask until the work is done; empty when it is not done in time."""
    for _ in range(int(limit / every)):
        answer = yield from code_assist(access, "onboardUser", dict(body))
        if flag(answer, "done"):
            return answer
        yield Pause(every)
    return {}


def _one_of_two(final: str, wanted: str, tier: str) -> Flow[str]:
    """Choose between the project Google set up and the one that was asked for."""
    is_free = wanted.startswith(_MADE_BY_AI_STUDIO) or tier.lower() in _FREE
    if not is_free:
        return wanted
    choice = yield Ask(
        key="backend_project",
        prompt=(
            f"Google set up {final} in place of {wanted}. Use 1: {final} (recommended), "
            f"or 2: {wanted}, which may lack preview models"
        ),
        default="1",
    )
    return wanted if str(choice).strip() == "2" else final


def default_tier(loaded: JsonObject, otherwise: str = LEGACY_TIER) -> str:
    """Return the tier an account is set up with; ``otherwise`` where none is marked."""
    defaults = (
        text(tier, "id").strip() for tier in objects(loaded, "allowedTiers") if flag(tier, "isDefault")
    )
    return next((name for name in defaults if name), otherwise)


def project_in(body: JsonObject) -> str:
    """Return the project of an answer, which is told as a text or as an object."""
    return (
        text(body, "cloudaicompanionProject") or text(child(body, "cloudaicompanionProject"), "id")
    ).strip()


_NAME_ONE: Final = "Log in again with a Cloud project: -login -project_id ID."


def needs_project(loaded: JsonObject, hint: str = _NAME_ONE) -> LoginError:
    """Return the error of an account that has no project, with Google's reason where it gives one."""
    reasons = (text(tier, "reasonMessage") for tier in objects(loaded, "ineligibleTiers"))
    reason = one_line(next((reason for reason in reasons if reason), ""))
    message = "Google gives this account no project of its own" + (f": {reason}" if reason else "")
    return LoginError(message, code="needs_project", hint=hint)


# --- the API ---


def switch_on(access: Secret, project: str) -> Flow[None]:
    """See to it that a project's API is on. Raises :class:`~cliproxy.errors.LoginError`."""
    url = f"{SERVICES_URL}/projects/{project}/services/{SERVICE}"
    answer = yield Send(get(url, bearer(access)))
    assert isinstance(answer, HttpAnswer)
    if answer.is_success and text(body_of(answer), "state") == "ENABLED":
        return
    answer = yield Send(post(f"{url}:enable", {}, bearer(access), is_json=True))
    assert isinstance(answer, HttpAnswer)
    if answer.is_success:
        return
    reason = one_line(read_error(body_of(answer)).message) or f"status {answer.status}"
    if answer.status == HTTPStatus.BAD_REQUEST and "already enabled" in reason.lower():
        return
    raise LoginError(
        f"the API of {project} is off and could not be switched on: {reason}",
        code="api_disabled",
        status=answer.status,
        hint=(
            "Switch it on in the browser, then log in again: "
            f"https://console.cloud.google.com/apis/library/{SERVICE}?project={project}"
        ),
    )
