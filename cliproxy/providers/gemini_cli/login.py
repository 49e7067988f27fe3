"""The login: the account in the browser, then the projects it is for.

Which projects is said beforehand (``-project_id``) or asked for: one, several with commas between them, their
numbers in the list, or ``ALL``. ``GOOGLE_ONE`` means the project that Google keeps for a personal account.
Each of them is set up and its API switched on before the file is written.
"""

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from cliproxy.credentials.naming import file_name
from cliproxy.errors import LoginError
from cliproxy.login.clients import OAuthClient
from cliproxy.login.steps import Ask, Flow, Note, UseClient
from cliproxy.providers.base import LoginInputs, LoginResult
from cliproxy.providers.gemini_cli.setup import Project, list_projects, set_up, switch_on
from cliproxy.providers.gemini_cli.tokens import (
    APPLICATION,
    FILE_TYPE,
    log_in_to_google,
    token_object,
    with_application,
)
from cliproxy.wire.jsontext import JsonValue
from cliproxy.wire.secret import Secret

ALL: Final = "ALL"
GOOGLE_ONE: Final = "GOOGLE_ONE"
MODE: Final = Ask(
    key="login_mode",
    prompt="1: Code Assist with a Google Cloud project, 2: Google One, a personal account",
    default="1",
)
MAX_QUESTIONS: Final = 5
_NO_PROJECT: Final = "No project selected"


@frozen(kw_only=True)
class Chosen:
    """The projects of a login, set up."""

    projects: tuple[str, ...]
    is_checked: bool = True
    """Their APIs are on."""


def log_in(inputs: LoginInputs) -> Flow[LoginResult]:
    """Log in and set up the projects."""
    client = yield UseClient(APPLICATION)
    assert isinstance(client, OAuthClient)
    granted = yield from log_in_to_google(with_application(client), inputs)
    token = token_object(granted.tokens, client, inputs.now())
    chosen = yield from _projects(granted.access, inputs.options.get("project_id", "").strip())
    return _result(granted.email, chosen, {"token": token})


def _result(email: str, chosen: Chosen, token: dict[str, JsonValue]) -> LoginResult:
    one = chosen.projects[0] if len(chosen.projects) == 1 else "all"
    return LoginResult(
        file_name=file_name(FILE_TYPE, email, one),
        data={
            "type": FILE_TYPE,
            "email": email,
            "project_id": ",".join(chosen.projects),
            "auto": False,
            "checked": chosen.is_checked,
            **token,
        },
        label=email or chosen.projects[0],
        notes=(f"Projects: {', '.join(chosen.projects)}.",),
    )


def _projects(access: Secret, preset: str) -> Flow[Chosen]:
    """Find out which projects are meant, and set them up."""
    if not preset:
        mode = yield MODE
        preset = GOOGLE_ONE if str(mode).strip() == "2" else ""
    if preset.upper() == GOOGLE_ONE:
        return (yield from _google_one(access))
    wanted = yield from _wanted(access, preset)
    final: list[str] = []
    for project in wanted:
        yield Note(f"Setting up {project} …")
        ready = yield from set_up(access, project)
        if ready not in final:
            final.append(ready)
    for project in final:
        yield from switch_on(access, project)
    return Chosen(projects=tuple(final))


def _google_one(access: Secret) -> Flow[Chosen]:
    """Use the project that Google keeps for the account.

    It is Google's to administrate: that the owner may not look at its APIs is no reason to give up.
    """
    project = yield from set_up(access)
    try:
        yield from switch_on(access, project)
    except LoginError as exc:
        yield Note(f"{exc.message}. Google keeps this project itself, so it should be on.")
        return Chosen(projects=(project,), is_checked=False)
    return Chosen(projects=(project,))


def _wanted(access: Secret, preset: str) -> Flow[tuple[str, ...]]:
    """Return the ids of the projects the owner means."""
    projects = yield from _listed(access, preset)
    if not projects:
        if not preset or preset.upper() == ALL:
            raise LoginError(
                f"{_NO_PROJECT}: the account has none",
                code="needs_project",
                hint="Make one at https://console.cloud.google.com/projectcreate, or use -project_id ID.",
            )
        return _parts(preset)
    found = meant(preset, projects) if preset else ()
    if found:
        return found
    if preset:
        yield Note(f"{preset} is not among the projects of this account.")
    return (yield from _asked(projects, "" if preset else projects[0].id))


def _listed(access: Secret, preset: str) -> Flow[tuple[Project, ...]]:
    """List the projects. An owner who may not, but has named his, goes on without."""
    try:
        return (yield from list_projects(access))
    except LoginError as exc:
        if not preset or preset.upper() == ALL:
            raise
        yield Note(f"{exc.message}; {preset} is used as it was given.")
        return ()


def _asked(projects: Sequence[Project], default: str) -> Flow[tuple[str, ...]]:
    """Let the owner choose; an answer that means nothing is asked for again."""
    lines = [f"[{at}] {project.id} ({project.name})" for at, project in enumerate(projects, 1)]
    yield Note("\n".join(["Projects of this account:", *lines]))
    question = Ask(
        # Not the name of the flag: what that says was looked at before.
        key="project",
        prompt=f"Project id or number, several with commas, or {ALL} for every one",
        default=default,
    )
    for _ in range(MAX_QUESTIONS):
        answer = yield question
        found = meant(str(answer), projects)
        if found:
            return found
        yield Note(f"{answer} is not among these projects.")
    raise LoginError(_NO_PROJECT, code="needs_project", hint="Name it beforehand: -project_id ID.")


def meant(said: str, projects: Sequence[Project]) -> tuple[str, ...]:
    """Return the ids that an owner's words mean; empty when a word means none of the projects."""
    if said.strip().upper() == ALL:
        return tuple(project.id for project in projects)
    by_word = {str(at): project.id for at, project in enumerate(projects, 1)}
    by_word |= {project.id.lower(): project.id for project in projects}
    found = [by_word.get(part.lower(), "") for part in _parts(said)]
    return tuple(dict.fromkeys(found)) if found and all(found) else ()


def _parts(said: str) -> tuple[str, ...]:
    """Split words at commas; each counts once."""
    return tuple(dict.fromkeys(part.strip() for part in said.split(",") if part.strip()))
