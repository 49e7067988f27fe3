"""The Google login: the browser, the projects, the file."""

from urllib.parse import parse_qs, urlsplit

import pytest

from cliproxy.errors import LoginError
from cliproxy.login.clients import OAuthClient
from cliproxy.login.steps import Ask, AwaitCallback, Note, OpenCallback, Show, Step, UseClient
from cliproxy.providers.base import LoginInputs
from cliproxy.providers.gemini_cli import PROVIDER, setup
from cliproxy.providers.gemini_cli.login import MODE, log_in, meant
from cliproxy.providers.gemini_cli.setup import Project
from cliproxy.providers.gemini_cli.tokens import APPLICATION, TOKEN_URL
from cliproxy.wire.jsontext import JsonObject
from cliproxy.wire.secret import Secret
from support.playbook import Beat, Sends, answer, play

NOW = 1_790_000_000.0
STATE = "s" * 43
REDIRECT = "http://localhost:8085/oauth2callback"
TOKENS: JsonObject = {
    "access_token": "ya29.a",
    "refresh_token": "1//r",
    "expires_in": 3599,
    "token_type": "Bearer",
}
PROJECTS = (Project("one", "One"), Project("two", "Two"), Project("three", "Three"))


def inputs(project: str = "") -> LoginInputs:
    options = {"project_id": project} if project else {}
    return LoginInputs(options=options, random_token=lambda: STATE, now=lambda: NOW)


def shows(step: Step) -> None:
    assert isinstance(step, Show)
    parts = urlsplit(step.url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://accounts.google.com/o/oauth2/auth"
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert query.pop("scope").split() == [
        "https://www.googleapis.com/auth/cloud-platform",
        "https://www.googleapis.com/auth/userinfo.email",
        "https://www.googleapis.com/auth/userinfo.profile",
    ]
    assert query == {
        "client_id": "app",
        "response_type": "code",
        "redirect_uri": REDIRECT,
        "state": STATE,
        "access_type": "offline",
        "prompt": "consent",
    }


def browser(tokens: JsonObject = TOKENS, **back: str) -> list[Beat]:
    return [
        Beat(UseClient(APPLICATION), OAuthClient(id="app", secret=Secret("s3cret"))),
        Beat(OpenCallback(port=8085, path="/oauth2callback"), REDIRECT),
        Beat(shows),
        Beat(AwaitCallback(path="/oauth2callback"), {"code": "c0de", "state": STATE, **back}),
        Beat(
            Sends(
                method="POST",
                url=TOKEN_URL,
                form={
                    "grant_type": "authorization_code",
                    "client_id": "app",
                    "client_secret": "s3cret",
                    "code": "c0de",
                    "redirect_uri": REDIRECT,
                },
            ),
            answer(200, tokens),
        ),
    ]


def account(email: str = "me@example.org") -> list[Beat]:
    info = Beat(Sends(method="GET", url=setup.USER_INFO_URL), answer(200, {"email": email}))
    return [*browser(), info]


def listed(*projects: Project) -> Beat:
    items = [{"projectId": each.id, "name": each.name} for each in projects]
    return Beat(Sends(method="GET", url=setup.PROJECTS_URL), answer(200, {"projects": items}))


def sets_up(project: str, final: str = "", asked: str | None = None) -> list[Beat]:
    """Setting up one project; ``asked``: the one that Google is asked for."""
    base = "https://cloudcode-pa.googleapis.com/v1internal"
    own: JsonObject = {"cloudaicompanionProject": project} if asked is None else {}
    done: JsonObject = {"done": True, "response": {"cloudaicompanionProject": {"id": final or project}}}
    loaded: JsonObject = {} if asked is None else {"cloudaicompanionProject": project}
    load = Sends(
        method="POST", url=f"{base}:loadCodeAssist", json={"metadata": setup.METADATA, **own}, bearer="ya29.a"
    )
    onboard = Sends(method="POST", url=f"{base}:onboardUser", bearer="ya29.a")
    return [Beat(load, answer(200, loaded)), Beat(onboard, answer(200, done))]


def is_on(project: str, status: int = 200) -> list[Beat]:
    url = f"{setup.SERVICES_URL}/projects/{project}/services/{setup.SERVICE}"
    look = Beat(Sends(method="GET", url=url), answer(status, {"state": "ENABLED"}))
    if status == 200:
        return [look]
    refusal = {"error": {"message": "Permission denied"}}
    return [look, Beat(Sends(method="POST", url=f"{url}:enable"), answer(status, refusal))]


def asks(default: str = "one") -> list[object]:
    def compare(step: Step) -> None:
        assert isinstance(step, Ask)
        assert step.key == "project"
        assert step.default == default

    return [compare]


def question(reply: str, default: str = "one") -> Beat:
    return Beat(asks(default)[0], reply)  # type: ignore[arg-type]


def test_one_project_is_named_beforehand() -> None:
    script = [*account(), listed(*PROJECTS), Beat(Note), *sets_up("two"), *is_on("two")]
    result = play(log_in(inputs("two")), script)
    assert result.file_name == "gemini-me@example.org-two.json"
    assert result.label == "me@example.org"
    assert result.data == {
        "type": "gemini",
        "email": "me@example.org",
        "project_id": "two",
        "auto": False,
        "checked": True,
        "token": {
            "access_token": "ya29.a",
            "token_type": "Bearer",
            "refresh_token": "1//r",
            "expiry": "2026-09-21T15:13:19Z",
            "token_uri": TOKEN_URL,
            "client_id": "app",
            "client_secret": "s3cret",
            "scopes": list(setup_scopes()),
            "universe_domain": "googleapis.com",
        },
    }


def setup_scopes() -> tuple[str, ...]:
    prefix = "https://www.googleapis.com/auth/"
    return (f"{prefix}cloud-platform", f"{prefix}userinfo.email", f"{prefix}userinfo.profile")


@pytest.mark.parametrize("preset", ["ALL", "all", "one, two,three,two"])
def test_several_projects_make_one_file(preset: str) -> None:
    work = [beat for each in PROJECTS for beat in [Beat(Note), *sets_up(each.id)]]
    checks = [beat for each in PROJECTS for beat in is_on(each.id)]
    result = play(log_in(inputs(preset)), [*account(), listed(*PROJECTS), *work, *checks])
    assert result.file_name == "gemini-me@example.org-all.json"
    assert result.data["project_id"] == "one,two,three"


def test_projects_that_come_to_the_same_count_once() -> None:
    client = "gen-lang-client-"
    projects = (Project(f"{client}1"), Project(f"{client}2"))
    work = [beat for each in projects for beat in [Beat(Note), *sets_up(each.id, "backend"), Beat(Ask, "1")]]
    script = [*account(), listed(*projects), *work, *is_on("backend")]
    result = play(log_in(inputs("ALL")), script)
    assert result.data["project_id"] == "backend"
    assert result.file_name == "gemini-me@example.org-backend.json"


def test_the_owner_is_asked_for_mode_and_project() -> None:
    script = [
        *account(),
        Beat(MODE, "1"),
        listed(*PROJECTS),
        Beat(Note),
        question("2"),
        Beat(Note),
        *sets_up("two"),
        *is_on("two"),
    ]
    assert play(log_in(inputs()), script).data["project_id"] == "two"


def test_an_answer_that_means_nothing_is_asked_for_again() -> None:
    script = [
        *account(),
        Beat(MODE, "1"),
        listed(*PROJECTS),
        Beat(Note),
        question("nine"),
        Beat(Note),
        question("one,3"),
        Beat(Note),
        *sets_up("one"),
        Beat(Note),
        *sets_up("three"),
        *is_on("one"),
        *is_on("three"),
    ]
    assert play(log_in(inputs()), script).data["project_id"] == "one,three"


def test_it_is_not_asked_for_ever() -> None:
    asked = [beat for _ in range(5) for beat in (question("nine"), Beat(Note))]
    with pytest.raises(LoginError, match="No project selected"):
        play(log_in(inputs()), [*account(), Beat(MODE, "1"), listed(*PROJECTS), Beat(Note), *asked])


def test_an_unknown_preset_warns_and_asks_without_a_default() -> None:
    """Without a terminal nobody answers; then a slip must not log in to another project."""
    script = [
        *account(),
        listed(*PROJECTS),
        Beat(Note),
        Beat(Note),
        question("three", default=""),
        Beat(Note),
        *sets_up("three"),
        *is_on("three"),
    ]
    assert play(log_in(inputs("thre")), script).data["project_id"] == "three"


def test_an_account_that_lists_no_projects_takes_what_is_given() -> None:
    work = [Beat(Note), *sets_up("mine"), Beat(Note), *sets_up("yours"), *is_on("mine"), *is_on("yours")]
    result = play(log_in(inputs("mine,yours")), [*account(), listed(), *work])
    assert result.data["project_id"] == "mine,yours"


@pytest.mark.parametrize("preset", ["", "ALL"])
def test_without_projects_and_without_a_name_the_login_ends(preset: str) -> None:
    mode = [] if preset else [Beat(MODE, "1")]
    with pytest.raises(LoginError, match="No project selected"):
        play(log_in(inputs(preset)), [*account(), *mode, listed()])


def refuses_list() -> Beat:
    body = {"error": {"message": "API not enabled"}}
    return Beat(Sends(method="GET", url=setup.PROJECTS_URL), answer(403, body))


def test_an_owner_who_may_not_list_projects_names_his() -> None:
    script = [*account(), refuses_list(), Beat(Note), Beat(Note), *sets_up("mine"), *is_on("mine")]
    assert play(log_in(inputs("mine")), script).data["project_id"] == "mine"
    with pytest.raises(LoginError, match="API not enabled"):
        play(log_in(inputs("ALL")), [*account(), refuses_list()])


def test_google_one_takes_the_project_google_keeps() -> None:
    for preset, mode in (("", [Beat(MODE, "2")]), ("GOOGLE_ONE", [])):
        script = [*account(), *mode, *sets_up("kept", asked=""), *is_on("kept")]
        result = play(log_in(inputs(preset)), script)
        assert result.data["project_id"] == "kept"
        assert result.data["checked"] is True


def test_google_one_goes_without_the_check_of_a_project_that_is_googles() -> None:
    script = [*account(), Beat(MODE, "2"), *sets_up("kept", asked=""), *is_on("kept", 403), Beat(Note)]
    assert play(log_in(inputs()), script).data["checked"] is False


def test_an_api_that_stays_off_ends_the_login() -> None:
    script = [*account(), listed(*PROJECTS), Beat(Note), *sets_up("one"), *is_on("one", 403)]
    with pytest.raises(LoginError) as caught:
        play(log_in(inputs("one")), script)
    assert caught.value.code == "api_disabled"


def test_a_login_goes_without_an_address() -> None:
    script = [*account(""), Beat(Note), listed(*PROJECTS), Beat(Note), *sets_up("one"), *is_on("one")]
    result = play(log_in(inputs("one")), script)
    assert result.file_name == "gemini-one.json"
    assert result.label == "one"


def test_denial_and_a_foreign_state_end_the_login() -> None:
    with pytest.raises(LoginError) as denied:
        play(log_in(inputs()), browser(error="access_denied")[:-1])
    assert denied.value.code == "denied"
    with pytest.raises(LoginError) as foreign:
        play(log_in(inputs()), browser(state="other")[:-1])
    assert foreign.value.code == "state_mismatch"


def test_without_a_refresh_token_the_login_is_of_no_use() -> None:
    tokens = {name: value for name, value in TOKENS.items() if name != "refresh_token"}
    with pytest.raises(LoginError, match="no refresh token"):
        play(log_in(inputs()), browser(tokens))


def test_a_network_that_fails_on_the_way_ends_the_login() -> None:
    broken = Beat(browser()[-1].expect, LoginError("gone", code="unreachable"))
    with pytest.raises(LoginError) as caught:
        play(log_in(inputs()), [*browser()[:-1], broken])
    assert caught.value.code == "unreachable"


@pytest.mark.parametrize(
    ("said", "ids"),
    [
        ("all", ("one", "two", "three")),
        ("2", ("two",)),
        ("TWO", ("two",)),
        ("3, one", ("three", "one")),
        ("1,one", ("one",)),
        ("one,nine", ()),
        ("0", ()),
        ("4", ()),
        ("", ()),
        (",", ()),
    ],
)
def test_what_an_owner_may_say(said: str, ids: tuple[str, ...]) -> None:
    assert meant(said, PROJECTS) == ids


def test_the_flag() -> None:
    [login] = PROVIDER.logins
    assert (login.flag, login.callback_port) == ("login", 8085)
