"""Projects, Code Assist for one of them, the API switched on: every branch against a script."""

import pytest

from cliproxy.errors import LoginError
from cliproxy.login.steps import Ask, Pause, Step
from cliproxy.providers.gemini_cli import setup
from cliproxy.providers.gemini_cli.setup import Project
from cliproxy.wire.jsontext import JsonObject, JsonValue
from cliproxy.wire.secret import Secret
from support.playbook import Beat, Sends, answer, play

ACCESS = Secret("ya29.a")
LOADED: JsonObject = {
    "allowedTiers": [{"id": "standard-tier"}, {"id": "free-tier", "isDefault": True}],
}
DONE: JsonObject = {"done": True, "response": {"cloudaicompanionProject": {"id": "p1"}}}


def code_assist(method: str, body: JsonValue, reply: JsonValue, status: int = 200) -> Beat:
    url = f"https://cloudcode-pa.googleapis.com/v1internal:{method}"
    sends = Sends(method="POST", url=url, json=body, bearer="ya29.a")
    return Beat(sends, answer(status, reply))


def load(reply: JsonValue = LOADED, wanted: str = "", status: int = 200) -> Beat:
    own: JsonObject = {"cloudaicompanionProject": wanted} if wanted else {}
    return code_assist("loadCodeAssist", {"metadata": setup.METADATA, **own}, reply, status)


def onboard(reply: JsonValue = DONE, wanted: str = "", tier: str = "free-tier") -> Beat:
    own: JsonObject = {"cloudaicompanionProject": wanted} if wanted else {}
    return code_assist("onboardUser", {"tierId": tier, "metadata": setup.METADATA, **own}, reply)


def refused(status: int, message: str) -> JsonObject:
    return {"error": {"code": status, "message": message}}


# --- requests ---


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "refused"),
        (401, "token_rejected"),
        (403, "forbidden"),
        (429, "rate_limited"),
        (503, "unreachable"),
        (599, "unreachable"),
    ],
)
def test_refusals_say_what_and_why(status: int, code: str) -> None:
    script = [load(refused(status, "Not\ntoday"), status=status)]
    with pytest.raises(LoginError, match="loadCodeAssist was refused: Not today") as caught:
        play(setup.set_up(ACCESS), script)
    assert (caught.value.code, caught.value.status) == (code, status)


def test_a_refusal_that_is_no_json_names_its_status() -> None:
    with pytest.raises(LoginError, match="status 502"):
        play(setup.set_up(ACCESS), [load(b"<html>", status=502)])


def user_info(reply: object) -> Beat:
    return Beat(Sends(method="GET", url=setup.USER_INFO_URL, bearer="ya29.a"), reply)


@pytest.mark.parametrize(
    ("reply", "email"),
    [
        (answer(200, {"email": " me@example.org "}), "me@example.org"),
        (answer(200, {}), ""),
        (answer(500, {}), ""),
        (LoginError("gone", code="unreachable"), ""),
    ],
)
def test_whose_account_it_is_is_good_to_know_and_no_more(reply: object, email: str) -> None:
    assert play(setup.email_of(ACCESS), [user_info(reply)]) == email


def page(reply: JsonValue, token: str = "") -> Beat:
    url = f"{setup.PROJECTS_URL}?pageToken={token}" if token else setup.PROJECTS_URL
    return Beat(Sends(method="GET", url=url, bearer="ya29.a"), answer(200, reply))


def test_projects_are_listed_over_all_pages_without_the_dead_ones() -> None:
    first: JsonObject = {
        "projects": [
            {"projectId": "a", "name": "A", "lifecycleState": "ACTIVE"},
            {"projectId": "b", "lifecycleState": "DELETE_REQUESTED"},
        ],
        "nextPageToken": "2",
    }
    found = play(
        setup.list_projects(ACCESS), [page(first), page({"projects": [{"projectId": "c"}, {}]}, "2")]
    )
    assert found == (Project("a", "A"), Project("c"))


def test_an_account_without_projects() -> None:
    assert play(setup.list_projects(ACCESS), [page({})]) == ()


# --- Code Assist ---


def test_a_project_that_was_asked_for() -> None:
    assert play(setup.set_up(ACCESS, "p1"), [load(wanted="p1"), onboard(wanted="p1")]) == "p1"


def test_the_project_google_keeps_for_the_account() -> None:
    script = [load({**LOADED, "cloudaicompanionProject": "p1"}), onboard(wanted="p1")]
    assert play(setup.set_up(ACCESS), script) == "p1"


def test_a_project_is_made_where_there_is_none() -> None:
    script = [
        load(),
        onboard({"done": False}),
        Beat(Pause(2.0)),
        onboard({"done": True, "response": {"cloudaicompanionProject": "made"}}),
        onboard({"done": True, "response": {"cloudaicompanionProject": "made"}}, wanted="made"),
    ]
    assert play(setup.set_up(ACCESS), script) == "made"


def test_no_project_is_made_in_time() -> None:
    script = [load(), *[onboard({"done": False}), Beat(Pause(2.0))] * 15]
    with pytest.raises(LoginError) as caught:
        play(setup.set_up(ACCESS), script)
    assert caught.value.code == "needs_project"


def test_googles_reason_for_giving_no_project_is_passed_on() -> None:
    ineligible: JsonObject = {"ineligibleTiers": [{"reasonMessage": "Not in your country."}]}
    script = [load(ineligible), onboard({"done": True}, tier="legacy-tier")]
    with pytest.raises(LoginError, match=r"Not in your country\."):
        play(setup.set_up(ACCESS), script)


def test_setting_up_is_waited_for_but_not_for_ever() -> None:
    begun = [load(wanted="p1"), onboard({"done": False}, wanted="p1"), Beat(Pause(5.0))]
    assert play(setup.set_up(ACCESS, "p1"), [*begun, onboard(wanted="p1")]) == "p1"
    never = [load(wanted="p1"), *[onboard({"done": False}, wanted="p1"), Beat(Pause(5.0))] * 60]
    with pytest.raises(LoginError) as caught:
        play(setup.set_up(ACCESS, "p1"), never)
    assert caught.value.code == "timeout"


def test_an_answer_that_names_no_project_means_the_one_asked_for() -> None:
    script = [load(wanted="p1"), onboard({"done": True}, wanted="p1")]
    assert play(setup.set_up(ACCESS, "p1"), script) == "p1"


def is_about_both(step: Step) -> None:
    assert isinstance(step, Ask)
    assert step.default == "1"
    assert "backend" in step.prompt
    assert "wanted" in step.prompt or "gen-lang-client-1" in step.prompt


BACKEND: JsonObject = {"done": True, "response": {"cloudaicompanionProject": {"id": "backend"}}}


@pytest.mark.parametrize(("choice", "chosen"), [("1", "backend"), ("2", "gen-lang-client-1")])
def test_the_owner_of_a_free_project_chooses_where_google_set_up_another(choice: str, chosen: str) -> None:
    wanted = "gen-lang-client-1"
    script = [load(wanted=wanted), onboard(BACKEND, wanted=wanted), Beat(is_about_both, choice)]
    assert play(setup.set_up(ACCESS, wanted), script) == chosen


def test_so_does_the_owner_of_a_free_account() -> None:
    free: JsonObject = {"allowedTiers": [{"id": "FREE", "isDefault": True}]}
    script = [
        load(free, wanted="wanted"),
        onboard(BACKEND, wanted="wanted", tier="FREE"),
        Beat(is_about_both, "1"),
    ]
    assert play(setup.set_up(ACCESS, "wanted"), script) == "backend"


def test_other_projects_stay_what_was_asked_for() -> None:
    script = [load(wanted="wanted"), onboard(BACKEND, wanted="wanted")]
    assert play(setup.set_up(ACCESS, "wanted"), script) == "wanted"


def test_a_difference_of_case_is_none() -> None:
    """Google's spelling is taken."""
    script = [load(wanted="P1"), onboard(wanted="P1")]
    assert play(setup.set_up(ACCESS, "P1"), script) == "p1"


@pytest.mark.parametrize(
    ("tiers", "tier"),
    [
        ([], "legacy-tier"),
        ([{"id": "a"}], "legacy-tier"),
        ([{"id": " ", "isDefault": True}, {"id": "b", "isDefault": True}], "b"),
    ],
)
def test_the_tier(tiers: list[JsonValue], tier: str) -> None:
    assert setup.default_tier({"allowedTiers": tiers}) == tier


# --- the API ---

SERVICE = "https://serviceusage.googleapis.com/v1/projects/p1/services/cloudaicompanion.googleapis.com"


def looks(reply: object) -> Beat:
    return Beat(Sends(method="GET", url=SERVICE, bearer="ya29.a"), reply)


def enables(reply: object) -> Beat:
    return Beat(Sends(method="POST", url=f"{SERVICE}:enable", json={}, bearer="ya29.a"), reply)


OFF = looks(answer(200, {"state": "DISABLED"}))


def test_an_api_that_is_on_is_left_alone() -> None:
    play(setup.switch_on(ACCESS, "p1"), [looks(answer(200, {"state": "ENABLED"}))])


@pytest.mark.parametrize(
    "reply",
    [answer(200, {}), answer(201, {}), answer(400, refused(400, "It is Already Enabled."))],
)
def test_an_api_is_switched_on(reply: object) -> None:
    play(setup.switch_on(ACCESS, "p1"), [OFF, enables(reply)])


def test_an_owner_who_may_not_look_may_still_switch_on() -> None:
    play(setup.switch_on(ACCESS, "p1"), [looks(answer(403, refused(403, "no"))), enables(answer(200, {}))])


@pytest.mark.parametrize("status", [400, 403])
def test_an_api_that_cannot_be_switched_on_says_where_to_do_it(status: int) -> None:
    with pytest.raises(LoginError, match="No billing") as caught:
        play(setup.switch_on(ACCESS, "p1"), [OFF, enables(answer(status, refused(status, "No billing")))])
    assert caught.value.code == "api_disabled"
    assert "project=p1" in caught.value.hint
